package registration_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/oidcbox/oidcbox/core/oidc/provider"
	"github.com/oidcbox/oidcbox/core/oidc/registration"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/transport/httpc"
	"github.com/oidcbox/oidcbox/testdata/services"
)

var none secret.Text

func newHTTP(t *testing.T) *httpc.Client {
	t.Helper()
	hc, err := httpc.New(httpc.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(hc.CloseIdle)
	return hc
}

// box is what our own tools ask for.
func box() registration.Request {
	return registration.Request{
		Name:          "oidcbox:test",
		RedirectURIs:  []string{"http://localhost:4242", "http://localhost:8080", "edu.kit.data.oidc-agent:/redirect"},
		GrantTypes:    []string{"authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:device_code"},
		ResponseTypes: []string{"code"},
		Scope:         []string{"openid", "offline_access", "storage.read:/"},
	}
}

func startOP(t *testing.T, env ...string) (*services.Provider, string, *httpc.Client) {
	t.Helper()
	p, hc := services.OP(t, env...), newHTTP(t)
	md, err := provider.Discover(t.Context(), hc, p.Issuer)
	if err != nil {
		t.Fatal(err)
	}
	return p, md.RegistrationEndpoint, hc
}

func TestProviderManagement(t *testing.T) {
	p, endpoint, hc := startOP(t)
	c, err := registration.Register(t.Context(), hc, endpoint, box(), none)
	if err != nil {
		t.Fatal(err)
	}
	if c.ID == "" || c.Secret.Empty() || c.RegistrationURI == "" || c.RegistrationToken.Empty() || c.AuthMethod == "" {
		t.Fatalf("incomplete: %+v", c)
	}
	if missing := c.Missing(box().Scope); missing != nil {
		t.Fatalf("scopes missing: %v", missing)
	}
	now, err := registration.Read(t.Context(), hc, c)
	if err != nil || now.ID != c.ID || !now.Secret.Equal(c.Secret) || !slices.Equal(now.RedirectURIs, c.RedirectURIs) {
		t.Fatalf("read %+v, %v", now, err)
	}
	changed := box()
	changed.RedirectURIs = []string{"http://localhost:43985"}
	now, err = registration.Update(t.Context(), hc, now, changed)
	if err != nil || !slices.Equal(now.RedirectURIs, changed.RedirectURIs) || now.RegistrationToken.Empty() {
		t.Fatalf("update %+v, %v", now, err)
	}
	wrong := now
	wrong.RegistrationToken = secret.FromString("wrong-registration-token")
	if err := registration.Delete(t.Context(), hc, wrong); !registration.Gone(err) || strings.Contains(err.Error(),
		"wrong-reg") {
		t.Fatalf("delete with a wrong token: %v", err)
	}
	if err := registration.Delete(t.Context(), hc, now); err != nil {
		t.Fatal(err)
	}
	if _, err := registration.Read(t.Context(), hc, now); !registration.Gone(err) {
		t.Fatalf("read after delete: %v", err)
	}
	p.Fault(services.Fault{Path: "/reg", Status: 503, Times: 1, Body: ""})
	if _, err := registration.Register(t.Context(), hc, endpoint, box(), none); !registration.Temporary(err) {
		t.Fatalf("503: %v", err)
	}
}

// TestProviderStrictTypes: web clients may have no loopback redirects there.
func TestProviderStrictTypes(t *testing.T) {
	p, endpoint, hc := startOP(t, "OP_STRICT_DCR=1")
	r := box()
	r.ApplicationType = registration.Web
	if _, err := registration.Register(t.Context(), hc, endpoint, r, none); err == nil {
		t.Fatal("the provider is not strict")
	}
	c, err := registration.Register(t.Context(), hc, endpoint, box(), none)
	if err != nil || c.ApplicationType != registration.Native {
		t.Fatalf("%+v, %v", c, err)
	}
	p.ClearLog()
	r = box()
	r.RedirectURIs = []string{"https://box.example/cb"}
	if c, err = registration.Register(t.Context(), hc, endpoint, r, none); err != nil ||
		c.ApplicationType != registration.Web {
		t.Fatalf("%+v, %v", c, err)
	}
	if n := len(p.Log("/reg")); n != 1 {
		t.Fatalf("%d requests", n)
	}
}

func TestProviderInitialToken(t *testing.T) {
	_, endpoint, hc := startOP(t, "OP_DCR=token", "OP_DCR_TOKEN=let-me-in-0123456789")
	if _, err := registration.Register(t.Context(), hc, endpoint, box(), none); !registration.Gone(err) {
		t.Fatalf("without: %v", err)
	}
	_, err := registration.Register(t.Context(), hc, endpoint, box(), secret.FromString("wrong-token-0123456789"))
	if err == nil || strings.Contains(err.Error(), "wrong-token") {
		t.Fatalf("wrong: %v", err)
	}
	if _, err := registration.Register(t.Context(), hc, endpoint, box(),
		secret.FromString("let-me-in-0123456789")); err != nil {
		t.Fatal(err)
	}
}

// TestApplicationType: the other type is tried once, and only where that can help.
func TestApplicationType(t *testing.T) {
	const good = `201 {"client_id":"c"}`
	tests := []struct {
		name, kind string
		answers    []string
		sent       []string
		text       string // part of the error
	}{
		{"native_for_loopback", "", []string{good}, []string{"native"}, ""},
		{"web_if_native_is_refused", "", []string{`400 {"error":"invalid_client_metadata"}`, good}, []string{
			"native",
			"web",
		}, ""},
		{
			"refused_in_other_words", "",
			[]string{`400 {"error":"invalid_request","error_description":"Custom redirect_uri not allowed"}`, good},
			[]string{"native", "web"},
			"",
		},
		{"first_refusal_is_reported", "", []string{
			`400 {"error":"invalid_redirect_uri","error_description":"one"}`,
			`400 {"error":"invalid_redirect_uri","error_description":"two"}`,
		}, []string{"native", "web"}, "one"},
		{"asked_for_web", "web", []string{`400 {"error":"invalid_redirect_uri"}`}, []string{"web"}, "invalid_redirect_uri"},
		{"closed", "", []string{`401 {"error":"invalid_token"}`}, []string{"native"}, "invalid_token"},
		{"not_there", "", []string{`404 <html>`}, []string{"native"}, "404 Not Found"},
		{"overloaded", "", []string{`503 `}, []string{"native"}, "503"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var sent []string
			s := answering(t, func(w http.ResponseWriter, body map[string]any) {
				sent = append(sent, fmt.Sprint(body["application_type"]))
				write(w, tt.answers[min(len(sent), len(tt.answers))-1])
			})
			r := box()
			r.ApplicationType = tt.kind
			_, err := registration.Register(t.Context(), newHTTP(t), s, r, none)
			if !slices.Equal(sent, tt.sent) {
				t.Errorf("sent %v, want %v", sent, tt.sent)
			}
			if (err == nil) != (tt.text == "") || err != nil && !strings.Contains(err.Error(), tt.text) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func answering(t *testing.T, h func(http.ResponseWriter, map[string]any)) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body map[string]any
		_ = json.NewDecoder(r.Body).Decode(&body)
		h(w, body)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// write sends "STATUS BODY".
func write(w http.ResponseWriter, answer string) {
	var status int
	_, _ = fmt.Sscan(answer, &status)
	w.WriteHeader(status)
	_, _ = io.WriteString(w, answer[4:])
}

func TestAnswers(t *testing.T) {
	tests := []struct {
		name, body string
		ok         bool
		check      func(registration.Client) bool
	}{
		{"minimal", `{"client_id":"c"}`, true, func(c registration.Client) bool { return c.Secret.Empty() && c.Scope == "" }},
		{"fewer_scopes", `{"client_id":"c","scope":"openid"}`, true, func(c registration.Client) bool {
			return slices.Equal(c.Missing(box().Scope), []string{"offline_access", "storage.read:/"})
		}},
		{
			"more_scopes", `{"client_id":"c","scope":"openid offline_access storage.read:/ x"}`, true,
			func(c registration.Client) bool { return c.Missing(box().Scope) == nil },
		},
		{
			"no_scope_says_nothing", `{"client_id":"c"}`, true,
			func(c registration.Client) bool { return c.Missing(box().Scope) == nil },
		},
		{
			"scope_as_array", `{"client_id":"c","scope":["a","b"]}`, true,
			func(c registration.Client) bool { return c.Scope == "a b" },
		},
		{
			"nulls", `{"client_id":"c","client_secret":null,"redirect_uris":null,"scope":null}`, true,
			func(c registration.Client) bool { return c.Secret.Empty() },
		},
		{
			"secret_for_ever", `{"client_id":"c","client_secret_expires_at":0}`, true,
			func(c registration.Client) bool { return c.SecretExpires.IsZero() },
		},
		{
			"secret_that_ends", `{"client_id":"c","client_secret_expires_at":1900000000}`, true,
			func(c registration.Client) bool { return c.SecretExpires.Unix() == 1900000000 },
		},
		{
			"secret_end_makes_no_sense", `{"client_id":"c","client_secret_expires_at":1e300}`, true,
			func(c registration.Client) bool { return c.SecretExpires.IsZero() },
		},
		{"no_client_id", `{"client_secret":"x"}`, false, nil},
		{"client_id_is_a_number", `{"client_id":7}`, false, nil},
		{"client_id_without_end", `{"client_id":"` + strings.Repeat("x", 5000) + `"}`, false, nil},
		{"client_id_twice", `{"client_id":"a","client_id":"b"}`, false, nil},
		{"redirects_as_text", `{"client_id":"c","redirect_uris":"http://x"}`, false, nil},
		{"HTML", `<html>`, false, nil},
		{"empty", ``, false, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := answering(t, func(w http.ResponseWriter, _ map[string]any) { write(w, "200 "+tt.body) })
			c, err := registration.Register(t.Context(), newHTTP(t), s, box(), none)
			if !tt.ok {
				if !errors.Is(err, registration.ErrAnswer) || registration.Temporary(err) {
					t.Fatalf("accepted: %+v, %v", c, err)
				}
				return
			}
			if err != nil || c.ID != "c" || !tt.check(c) {
				t.Fatalf("%+v, %v", c, err)
			}
			if c.Raw.Expose() != tt.body {
				t.Fatal("the answer was not kept")
			}
		})
	}
}

// TestManagementKeepsWhatTheAnswerLeavesOut, and takes over what it renews.
func TestManagementKeepsWhatTheAnswerLeavesOut(t *testing.T) {
	answer := `200 {"client_id":"c"}`
	var got map[string]any
	s := answering(t, func(w http.ResponseWriter, body map[string]any) {
		got = body
		write(w, answer)
	})
	c := registration.Client{
		ID: "c", Secret: secret.FromString("old-secret"), RegistrationURI: s,
		RegistrationToken: secret.FromString("old-token"),
	}
	now, err := registration.Update(t.Context(), newHTTP(t), c, box())
	if err != nil || !now.Secret.Equal(c.Secret) || !now.RegistrationToken.Equal(c.RegistrationToken) ||
		now.RegistrationURI != s {
		t.Fatalf("%+v, %v", now, err)
	}
	if got["client_id"] != "c" || got["client_secret"] != "old-secret" { // RFC 7592 2.2
		t.Fatalf("sent %v", got)
	}
	answer = `200 {"client_id":"c","client_secret":"new-secret","registration_access_token":"new-token"}`
	now, err = registration.Read(t.Context(), newHTTP(t), c)
	if err != nil || now.Secret.Expose() != "new-secret" || now.RegistrationToken.Expose() != "new-token" {
		t.Fatalf("%+v, %v", now, err)
	}
	answer = `200 {"client_id":"another"}`
	if _, err := registration.Read(t.Context(), newHTTP(t), c); !errors.Is(err, registration.ErrAnswer) {
		t.Fatalf("answer about another client: %v", err)
	}
	c.RegistrationURI = ""
	if _, err := registration.Read(t.Context(), newHTTP(t), c); !errors.Is(err, registration.ErrNoEndpoint) {
		t.Fatalf("unmanaged: %v", err)
	}
}

func TestExtraNeverReplaces(t *testing.T) {
	var got map[string]any
	s := answering(t, func(w http.ResponseWriter, body map[string]any) {
		got = body
		write(w, `201 {"client_id":"c"}`)
	})
	r := box()
	r.Extra = map[string]any{"client_name": "other", "test_rotate": "never"}
	if _, err := registration.Register(t.Context(), newHTTP(t), s, r, none); err != nil {
		t.Fatal(err)
	}
	if got["client_name"] != "oidcbox:test" || got["test_rotate"] != "never" ||
		got["scope"] != "openid offline_access storage.read:/" {
		t.Fatalf("sent %v", got)
	}
}

func TestRefusalTexts(t *testing.T) {
	s := answering(t, func(w http.ResponseWriter, _ map[string]any) {
		write(w,
			`403 {"error":"denied\u001b[2J","error_description":"token initial-token-0123 \r\n\u202eis `+strings.Repeat("x",
				9999)+`"}`)
	})
	_, err := registration.Register(t.Context(), newHTTP(t), s, box(), secret.FromString("initial-token-0123"))
	if err == nil || strings.Contains(err.Error(), "initial-token") || len(err.Error()) > 500 ||
		strings.ContainsFunc(err.Error(), func(r rune) bool { return r < ' ' || r == 0x202e }) {
		t.Fatalf("%q", err)
	}
}

// TestTokenStaysAtHome: a redirect does not carry the registration token away.
func TestTokenStaysAtHome(t *testing.T) {
	away := 0
	other := answering(t, func(w http.ResponseWriter, _ map[string]any) {
		away++
		write(w, `200 {"client_id":"c"}`)
	})
	s := answering(t, func(w http.ResponseWriter, _ map[string]any) {
		w.Header().Set("Location", other)
		w.WriteHeader(http.StatusTemporaryRedirect)
	})
	c := registration.Client{ID: "c", RegistrationURI: s, RegistrationToken: secret.FromString("token")}
	if _, err := registration.Read(t.Context(), newHTTP(t), c); err == nil {
		t.Error("read followed")
	}
	if _, err := registration.Register(t.Context(), newHTTP(t), s, box(), none); err == nil {
		t.Error("registration followed")
	}
	if err := registration.Delete(t.Context(), newHTTP(t), c); err == nil || away != 0 {
		t.Errorf("%v, %d requests went away", err, away)
	}
}
