package verifier

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/cli"
)

// asking is a provider with endpoints that can be asked; what they say is set by each test.
type asking struct {
	*world
	introspection, userinfo string
	asked                   atomic.Int32
}

func newAsking(t *testing.T) *asking {
	a := &asking{world: newWorld(t, "")}
	inner := a.mux
	mux := http.NewServeMux()
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	a.issuer = srv.URL
	mux.Handle("/jwks", inner)
	mux.HandleFunc("/.well-known/openid-configuration", func(rw http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(rw, `{"issuer":%q,"jwks_uri":"%s/jwks","introspection_endpoint":"%s/in","userinfo_endpoint":"%s/ui"}`,
			a.issuer, a.issuer, a.issuer, a.issuer)
	})
	mux.HandleFunc("POST /in", func(rw http.ResponseWriter, r *http.Request) {
		a.asked.Add(1)
		if id, pw, _ := r.BasicAuth(); id != "rs" || pw != "s3cret" {
			rw.WriteHeader(http.StatusUnauthorized)
			return
		}
		_, _ = rw.Write([]byte(a.introspection))
	})
	mux.HandleFunc("GET /ui", func(rw http.ResponseWriter, r *http.Request) {
		a.asked.Add(1)
		if !strings.HasPrefix(r.Header.Get("Authorization"), "Bearer ") || a.userinfo == "" {
			rw.WriteHeader(http.StatusUnauthorized)
			return
		}
		_, _ = rw.Write([]byte(a.userinfo))
	})
	a.write(t, "secret", []byte("s3cret\n"))
	a.write(t, "wrong", []byte("other\n"))
	return a
}

func (a *asking) options(more ...string) []string {
	return append([]string{"token", "--issuer", a.issuer, "--audience", audience}, more...)
}

func (a *asking) introspect(more ...string) []string {
	return a.options(append([]string{"--introspect", "--client-id", "rs", "--client-secret-file", "secret"}, more...)...)
}

func (a *asking) active(more string) string {
	return fmt.Sprintf(`{"active":true,"token_type":"Bearer","sub":"alice","aud":%q,"exp":%d%s}`, audience, a.now.Unix()+90, more)
}

func TestOpaqueToken(t *testing.T) {
	a := newAsking(t)
	for _, c := range []struct {
		name, introspection, userinfo string
		args                          []string
		code                          int
		stdout, stderr                string
	}{
		{"active", a.active(""), "", a.introspect(), cli.OK, "accepted: alice at " + a.issuer + ", opaque, valid for 1m30s\n", ""},
		{
			"with_userinfo", a.active(""), `{"sub":"alice","name":"Alice"}`, a.introspect("--userinfo"), cli.OK,
			"accepted: alice at ", "",
		},
		{"inactive", `{"active":false}`, "", a.introspect(), cli.No, "", "token refused: issuer says that the token is not active"},
		{
			"for_somebody_else", `{"active":true,"token_type":"Bearer","sub":"alice","aud":"shop"}`, "", a.introspect(), cli.No, "",
			"token refused: token is for another audience",
		},
		{
			"for_nobody", `{"active":true,"token_type":"Bearer","sub":"alice"}`, "", a.introspect(), cli.No, "",
			"hint: --opaque-any-audience",
		},
		{
			"for_anybody", `{"active":true,"token_type":"Bearer","sub":"alice"}`, "", a.introspect("--opaque-any-audience"), cli.OK,
			"the issuer does not say for how long", "",
		},
		{
			"userinfo_alone_does_not_say_for_whom", "", `{"sub":"alice"}`, a.options("--userinfo"), cli.No, "",
			"token refused: the issuer does not say for whom the opaque token is\nhint: --opaque-any-audience",
		},
		{"userinfo_alone", "", `{"sub":"alice"}`, a.options("--userinfo", "--opaque-any-audience"), cli.OK, "accepted: alice at ", ""},
		{"userinfo_refuses", "", "", a.options("--userinfo", "--opaque-any-audience"), cli.No, "", "token refused: issuer says"},
		{"not_json", "<html>", "", a.introspect(), cli.Temporary, "", "hint: nothing was decided about the token"},
		{
			"wrong_secret", a.active(""), "", a.options("--introspect", "--client-id", "rs", "--client-secret-file", "wrong"),
			cli.Temporary, "", "issuer refuses our client rs",
		},
		{
			"perhaps_a_refresh_token", `{"active":true,"sub":"alice","aud":"` + audience + `"}`, "", a.introspect(), cli.No, "",
			"it does not say what kind of token this is",
		},
		{"not_asked", a.active(""), "", a.options(), cli.No, "", "hint: an opaque token is checked by asking its issuer"},
		{"bound_to_a_key", a.active(`,"cnf":{"jkt":"0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}`), "", a.introspect(), cli.No, "", "token refused: "},
		{"control_characters", `{"active":true,"token_type":"Bearer","sub":"al\u001b[31mice\nx","aud":"` + audience + `"}`, "", a.introspect(), cli.OK, `al\u001b[31mice x at`, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			a.introspection, a.userinfo = c.introspection, c.userinfo
			code, stdout, stderr := a.run("opaque-token-1\n", c.args...)
			if code != c.code || !strings.Contains(stdout, c.stdout) || !strings.Contains(stderr, c.stderr) || c.code != 0 && stdout != "" {
				t.Errorf("%d, %q, %q; want %d, %q, %q", code, stdout, stderr, c.code, c.stdout, c.stderr)
			}
			if strings.Contains(stdout+stderr, "opaque-token-1") || strings.Contains(stdout+stderr, "s3cret") {
				t.Errorf("a secret is shown: %q %q", stdout, stderr)
			}
		})
	}
}

func TestOpaqueTokenJSON(t *testing.T) {
	a := newAsking(t)
	a.introspection, a.userinfo = a.active(`,"scope":"read"`), `{"sub":"alice","name":"Alice"}`
	code, stdout, stderr := a.run("opaque-token-1", a.introspect("--userinfo", "--json")...)
	var r result
	if err := json.Unmarshal([]byte(stdout), &r); err != nil || code != cli.OK {
		t.Fatalf("%d, %v, %q", code, err, stderr)
	}
	if !r.Opaque || r.Subject != "alice" || r.Issuer != a.issuer || r.Profile != "" || r.Claims != nil ||
		r.Expires != a.now.Unix()+90 || !strings.Contains(string(r.Introspection), `"read"`) ||
		!strings.Contains(string(r.Userinfo), "Alice") {
		t.Errorf("%s", stdout)
	}
}

// TestSignedTokenIsAskedAbout: with --introspect a JWT needs both, its signature and the issuer's word.
func TestSignedTokenIsAskedAbout(t *testing.T) {
	a := newAsking(t)
	good := a.token(t, time.Hour)
	for _, c := range []struct {
		name, token, introspection, userinfo string
		args                                 []string
		code                                 int
		stderr                               string
		asked                                int32
	}{
		{"active", good, a.active(""), "", a.introspect(), cli.OK, "", 1},
		{"with_keys_of_a_file", good, a.active(""), "", a.introspect("--jwks", "keys.json"), cli.OK, "", 1},
		{"with_keys_of_a_directory", good, a.active(""), "", a.introspect("--keys-dir", "keys"), cli.OK, "", 1},
		{"revoked", good, `{"active":false}`, "", a.introspect(), cli.No, "not active", 1},
		{"of_somebody_else", good, `{"active":true,"sub":"bob"}`, "", a.introspect(), cli.No, "contradicts the token", 1},
		{"userinfo", good, "", `{"sub":"alice"}`, a.options("--userinfo"), cli.OK, "", 1},
		{"userinfo_of_somebody_else", good, "", `{"sub":"bob"}`, a.options("--userinfo"), cli.No, "contradicts the token", 1},
		{"userinfo_refuses", good, "", "", a.options("--userinfo"), cli.No, "not active", 1},
		{"expired", a.token(t, -time.Hour), a.active(""), "", a.introspect(), cli.No, "expired", 0},
		{"not_signed_rightly", good[:len(good)-6] + "AAAAAA", a.active(""), "", a.introspect(), cli.No, "signature", 0},
		{"unsigned", good[:strings.LastIndex(good, ".")+1], a.active(""), "", a.introspect(), cli.No, "token refused", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			a.introspection, a.userinfo = c.introspection, c.userinfo
			before := a.asked.Load()
			code, stdout, stderr := a.run(c.token, c.args...)
			if code != c.code || !strings.Contains(stderr, c.stderr) {
				t.Errorf("%d, %q, %q; want %d, %q", code, stdout, stderr, c.code, c.stderr)
			}
			if n := a.asked.Load() - before; n != c.asked {
				t.Errorf("the issuer was asked %d times, want %d", n, c.asked)
			}
		})
	}
}

func TestAskedUsage(t *testing.T) {
	a := newAsking(t)
	for _, c := range []struct {
		name, stderr string
		args         []string
	}{
		{"no_client", "--introspect needs --client-id and --client-secret-file", a.options("--introspect")},
		{"no_secret", "--introspect needs", a.options("--introspect", "--client-id", "rs")},
		{"client_for_nothing", "go with --introspect or --userinfo", a.options("--client-id", "rs")},
		{"any_audience_for_nothing", "go with --introspect or --userinfo", a.options("--opaque-any-audience")},
		{
			"no_issuer", "there is no issuer that could be asked",
			[]string{"token", "--jwks", "keys.json", "--audience", audience, "--userinfo", "--opaque-any-audience"},
		},
		{"secret_not_there", "--client-secret-file", a.options("--introspect", "--client-id", "rs", "--client-secret-file", "absent")},
		{"no_audience", "no audience is given", []string{"token", "--issuer", a.issuer, "--userinfo", "--opaque-any-audience"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, stdout, stderr := a.run("opaque-token-1", c.args...)
			if code != cli.Usage || stdout != "" || !strings.Contains(stderr, c.stderr) {
				t.Errorf("%d, %q, %q; want %q", code, stdout, stderr, c.stderr)
			}
		})
	}
	if n := a.asked.Load(); n != 0 {
		t.Errorf("the issuer was asked %d times", n)
	}
}
