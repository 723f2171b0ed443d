package service

import (
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/agent/proto"
)

// says is a provider with one answer of its token endpoint.
func says(t *testing.T, answer http.HandlerFunc) *httptest.Server {
	t.Helper()
	mux := http.NewServeMux()
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(w, `{"issuer":%q,"token_endpoint":%q,"authorization_endpoint":%q,"scopes_supported":["openid"]}`,
			srv.URL, srv.URL+"/token", srv.URL+"/auth")
	})
	mux.HandleFunc("POST /token", answer)
	return srv
}

func jsonAnswer(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// loadPlain loads a login without asking the provider.
func (w *world) loadPlain(name, issuer string) {
	w.t.Helper()
	w.must(proto.Request{Type: proto.TypeAdd, PlainAdd: true, Config: w.account(name, map[string]any{
		"issuer_url": issuer, "client_id": "box", "client_secret": "private-client-secret", "refresh_token": "private-refresh-token",
		"auth_scope": "openid",
	})})
}

// TestEveryRefusalIsNamed: whatever the provider says, or does not say, the answer has a text that people know, names
// the provider, and repeats no secret, also when the provider does.
func TestEveryRefusalIsNamed(t *testing.T) {
	w := newWorld(t)
	echo := `private-refresh-token private-client-secret`
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		text   string // prefix
		help   string // part
		reason proto.Reason
	}{
		"invalid_grant": {
			jsonAnswer(400, `{"error":"invalid_grant","error_description":"expired: `+echo+`"}`),
			"invalid_grant: expired: ", "oidc-gen l0 --reauthenticate", proto.ReasonLogin,
		},
		"invalid_grant without words": {
			jsonAnswer(400, `{"error":"invalid_grant"}`), "invalid_grant:", "--reauthenticate", proto.ReasonLogin,
		},
		"invalid_client": {
			jsonAnswer(401, `{"error":"invalid_client","error_description":"`+echo+`"}`),
			"invalid_client: ", "client of this login", proto.ReasonOther,
		},
		"invalid_scope":  {jsonAnswer(400, `{"error":"invalid_scope"}`), "invalid_scope", "fewer", proto.ReasonOther},
		"invalid_target": {jsonAnswer(400, `{"error":"invalid_target"}`), "invalid_target", "audience", proto.ReasonOther},
		"access_denied":  {jsonAnswer(403, `{"error":"access_denied"}`), "access_denied", "", proto.ReasonDenied},
		"temporarily_unavailable": {
			jsonAnswer(503, `{"error":"temporarily_unavailable"}`), "temporarily_unavailable", "", proto.ReasonTemporary,
		},
		"an error that nobody knows": {
			jsonAnswer(400, `{"error":"no_such_thing","error_description":"sorry\u001b[2J"}`), "no_such_thing: sorry", "", proto.ReasonOther,
		},
		"HTML with status 500": {jsonAnswer(500, "<html>"+echo), "Received Http Status Code 500", "", proto.ReasonTemporary},
		"HTML with status 404": {jsonAnswer(404, "<html>"+echo), "Received Http Status Code 404", "", proto.ReasonOther},
		"no JSON": {
			jsonAnswer(200, echo), "Provider answered with unexpected response", "", proto.ReasonOther,
		},
		"no token in it": {
			jsonAnswer(200, `{"token_type":"Bearer"}`), "Provider answered with unexpected response", "", proto.ReasonOther,
		},
		"cut": {
			func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "could not connect to url", "", proto.ReasonTemporary,
		},
	} {
		t.Run(name, func(t *testing.T) {
			w.t = t
			op := says(t, c.answer)
			w.loadPlain("l0", op.URL)
			defer w.must(proto.Request{Type: proto.TypeRemove, Account: "l0"})
			rep := w.ask(proto.Request{Type: proto.TypeAccessToken, Account: "l0", Scope: "openid", Audience: "https://x.example"})
			all := rep.Error + rep.Info.Text()
			if !strings.HasPrefix(rep.Error, c.text) || !strings.Contains(rep.Info.Text(), c.help) || rep.Issuer != op.URL {
				t.Errorf("got %q of %q, help %q", rep.Error, rep.Issuer, rep.Info.Text())
			}
			if strings.Contains(all, "private-") || strings.Contains(all, "\x1b") {
				t.Errorf("told too much: %q", all)
			}
			if got := (&proto.AgentError{Text: rep.Error, Help: rep.Info.Text()}).Reason(); got != c.reason {
				t.Errorf("reason %v, want %v", got, c.reason)
			}
		})
	}
}

// TestUnknownLifetime: without expires_in the end of a JWT is its own; of anything else nobody knows it, so it is not
// given twice.
func TestUnknownLifetime(t *testing.T) {
	end := time.Now().Add(time.Hour).Truncate(time.Second)
	part := base64.RawURLEncoding.EncodeToString
	jwt := part([]byte(`{"alg":"RS256"}`)) + "." + part(fmt.Appendf(nil, `{"exp":%d}`, end.Unix())) + ".c2ln"
	for name, c := range map[string]struct {
		token   string
		expires int64
		asked   int
	}{
		"JWT":                 {jwt, end.Unix(), 1},
		"opaque":              {"opaque", 0, 3},
		"JWT without an end":  {part([]byte(`{"alg":"RS256"}`)) + "." + part([]byte(`{}`)) + ".c2ln", 0, 3},
		"JWT that has ended":  {part([]byte(`{"alg":"RS256"}`)) + "." + part([]byte(`{"exp":5}`)) + ".c2ln", -1, 3},
		"three parts, no JWT": {"a.b.c", 0, 3},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			asked := 0
			op := says(t, func(rw http.ResponseWriter, r *http.Request) {
				asked++
				jsonAnswer(200, fmt.Sprintf(`{"access_token":%q,"token_type":"Bearer"}`, c.token))(rw, r)
			})
			w.loadPlain("l", op.URL)
			for range 3 {
				rep := w.must(proto.Request{Type: proto.TypeAccessToken, Account: "l"})
				if c.expires >= 0 && rep.ExpiresAt != c.expires || c.expires < 0 && rep.ExpiresAt > time.Now().Unix() {
					t.Errorf("expires at %d", rep.ExpiresAt)
				}
			}
			if asked != c.asked {
				t.Errorf("asked the provider %d times, want %d", asked, c.asked)
			}
		})
	}
}

// TestScopedExpiry: the expiry in the answer is that of the token in the answer, and a request with a scope does not
// disturb what is cached for others.
func TestScopedExpiry(t *testing.T) {
	w := newWorld(t)
	lives := map[string]int{"": 3600, "openid": 600}
	op := says(t, func(rw http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		life := lives[""]
		if r.PostForm.Get("audience") != "" {
			life = lives["openid"]
		}
		jsonAnswer(200, fmt.Sprintf(`{"access_token":"at%d","token_type":"Bearer","expires_in":%d}`, life, life))(rw, r)
	})
	w.loadPlain("l", op.URL)
	for range 2 {
		for audience, life := range map[string]int64{"": 3600, "se": 600} {
			rep := w.must(proto.Request{Type: proto.TypeAccessToken, Account: "l", Audience: audience})
			left := rep.ExpiresAt - time.Now().Unix()
			if left > life || left < life-60 || rep.AccessToken.Expose() != fmt.Sprint("at", life) {
				t.Errorf("audience %q: %d s left of %d", audience, left, life)
			}
		}
	}
}

// TestLongerThanLives: a minimum that no token of the provider reaches gets a fresh one each time, and no error.
func TestLongerThanLives(t *testing.T) {
	w := newWorld(t)
	asked := 0
	op := says(t, func(rw http.ResponseWriter, r *http.Request) {
		asked++
		jsonAnswer(200, fmt.Sprintf(`{"access_token":"at%d","token_type":"Bearer","expires_in":600}`, asked))(rw, r)
	})
	w.loadPlain("l", op.URL)
	for n, c := range []struct {
		minValid int64
		want     string
	}{{0, "at1"}, {300, "at1"}, {3600, "at2"}, {3600, "at3"}, {0, "at3"}, {proto.ForceNew, "at4"}, {0, "at4"}} {
		rep := w.must(proto.Request{Type: proto.TypeAccessToken, Account: "l", MinValid: c.minValid})
		if got := rep.AccessToken.Expose(); got != c.want {
			t.Errorf("request %d, at least %d s: %s, want %s", n, c.minValid, got, c.want)
		}
	}
}
