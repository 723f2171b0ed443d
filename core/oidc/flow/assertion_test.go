package flow_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/oidc/flow"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/token/jose"
)

// TestAssertion is private_key_jwt (RFC 7523): what is sent in place of a secret.
func TestAssertion(t *testing.T) {
	f := newFake(t)
	key, err := jose.GenerateKey(jose.ES256, "client-key")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, c := range []struct {
		audience flow.AssertionAudience
		want     string
	}{{"", f.URL}, {flow.ForIssuer, f.URL}, {flow.ForTokenEndpoint, f.URL + "/token"}} {
		t.Run("for_"+string(c.audience), func(t *testing.T) {
			f.answersJSON(200, `{"access_token":"at"}`)
			client := f.client(t, func(cc *flow.ClientConfig, _ *flow.Options) { cc.Key, cc.Assertion = key, c.audience })
			if _, err := client.Refresh(t.Context(), oldRefresh, flow.Request{
				Extra: url.Values{"client_assertion": {"forged"}},
			}); err != nil {
				t.Fatal(err)
			}
			r := f.requests()[0]
			if r.header.Get("Authorization") != "" || r.form.Has("client_secret") || r.form.Get("client_id") != "box" ||
				r.form.Get("client_assertion_type") != "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" {
				t.Fatalf("sent %v %v", r.header, r.form)
			}
			m, err := jose.Parse([]byte(r.form.Get("client_assertion")))
			if err != nil || m.Verify(key.Public()) != nil || m.Header.KeyID != "client-key" {
				t.Fatalf("assertion: %v", err)
			}
			o, err := jose.StrictObject(m.Payload, 4, 20)
			if err != nil {
				t.Fatal(err)
			}
			get := func(name string) string { s, _ := o.String(name); return s }
			exp, _ := o.Time("exp")
			if get("iss") != "box" || get("sub") != "box" || get("aud") != c.want || exp.Sub(f.now) != time.Minute {
				t.Fatalf("claims %s", m.Payload)
			}
			if id := get("jti"); len(id) < 22 || seen[id] {
				t.Fatalf("jti %q", id)
			} else {
				seen[id] = true
			}
		})
	}
	t.Run("without_a_key_nothing_is_sent", func(t *testing.T) {
		f.answersJSON(200, `{"access_token":"at"}`)
		client := f.client(t, func(cc *flow.ClientConfig, _ *flow.Options) { cc.AuthMethod = "private_key_jwt" })
		if _, err := client.Refresh(t.Context(), oldRefresh, flow.Request{}); !errors.Is(err, flow.ErrAuthMethod) {
			t.Fatalf("got %v", err)
		}
		if len(f.requests()) > 0 {
			t.Fatal("sent")
		}
	})
	t.Run("a_refusal_does_not_repeat_it", func(t *testing.T) {
		f.answers(func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusBadRequest)
			_ = json.NewEncoder(w).Encode(map[string]string{
				"error": "invalid_client", "error_description": "bad " + r.Form.Get("client_assertion"),
			})
		})
		client := f.client(t, func(cc *flow.ClientConfig, _ *flow.Options) { cc.Key = key })
		_, err := client.Refresh(t.Context(), oldRefresh, flow.Request{})
		if err == nil || strings.Contains(err.Error(), f.requests()[0].form.Get("client_assertion")) {
			t.Fatalf("got %v", err)
		}
	})
}

// TestPushed is an authorization request that the provider gets before the browser comes (RFC 9126).
func TestPushed(t *testing.T) {
	f := newFake(t)
	f.md.PushedEndpoint = f.URL + "/par"
	f.md.AuthorizationEndpoint = f.URL + "/auth?realm=x"
	req := flow.CodeRequest{
		Request:     flow.Request{Scope: scopes("openid compute.read"), Audience: []string{"https://se.example"}},
		RedirectURI: "http://localhost:4242/",
	}
	offered := func(_ *flow.ClientConfig, o *flow.Options) { o.Push = flow.PushOffered }
	const good = `{"request_uri":"urn:ietf:params:oauth:request_uri:abc","expires_in":60}`
	t.Run("browser_takes_a_reference_only", func(t *testing.T) {
		f.answersJSON(201, good)
		l, err := f.client(t, offered).StartCode(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		u, _ := url.Parse(l.URL)
		q := u.Query()
		if len(q) != 3 || q.Get("realm") != "x" || q.Get("client_id") != "box" ||
			q.Get("request_uri") != "urn:ietf:params:oauth:request_uri:abc" {
			t.Fatalf("URL %s", l.URL)
		}
		sent := f.requests()[0]
		for name, want := range map[string]string{
			"state": l.State, "redirect_uri": req.RedirectURI, "scope": "openid compute.read", "response_type": "code",
			"code_challenge_method": "S256", "resource": "https://se.example", "realm": "",
		} {
			if sent.form.Get(name) != want {
				t.Errorf("%s is %q", name, sent.form.Get(name))
			}
		}
		if sent.path != "/par" || sent.header.Get("Authorization") == "" || sent.form.Get("code_challenge") == "" ||
			sent.form.Get("nonce") == "" || sent.form.Has("code_verifier") {
			t.Errorf("sent %+v", sent)
		}
	})
	t.Run("not_pushed_unless_wanted_or_required", func(t *testing.T) {
		f.answersJSON(201, good)
		if _, err := f.client(t).StartCode(t.Context(), req); err != nil || len(f.requests()) > 0 {
			t.Fatalf("%v, %d requests", err, len(f.requests()))
		}
		f.md.RequirePushed = true
		defer func() { f.md.RequirePushed = false }()
		if _, err := f.client(t).StartCode(t.Context(), req); err != nil || len(f.requests()) != 1 {
			t.Fatalf("%v, %d requests", err, len(f.requests()))
		}
	})
	t.Run("required_without_an_endpoint", func(t *testing.T) {
		md := *f.md
		defer func() { *f.md = md }()
		f.md.PushedEndpoint, f.md.RequirePushed = "", true
		if _, err := f.client(t).StartCode(t.Context(), req); !errors.Is(err, flow.ErrNoEndpoint) {
			t.Fatalf("got %v", err)
		}
	})
	for name, body := range map[string]string{
		"refused": `{"error":"invalid_request"}`, "no_reference": `{"expires_in":60}`, "html": "<html>",
		"reference_with_a_line": `{"request_uri":"urn:a\nb"}`,
		"reference_too_long":    `{"request_uri":"urn:` + strings.Repeat("a", 5000) + `"}`,
	} {
		t.Run(name, func(t *testing.T) {
			f.answersJSON(201, body)
			if _, err := f.client(t, offered).StartCode(t.Context(), req); err == nil {
				t.Fatal("a login was started")
			}
		})
	}
}

// TestResume is a login that one process begins and another finishes.
func TestResume(t *testing.T) {
	f := newFake(t)
	resume := flow.CodeResume{
		RedirectURI: "https://server.example/redirect", State: "a state that nobody guesses", Nonce: "a nonce",
		Verifier: secret.FromString(strings.Repeat("v", 43)), Audience: []string{"https://se.example"},
	}
	req := flow.CodeRequest{
		Request:     flow.Request{Scope: scopes("openid"), Audience: resume.Audience},
		RedirectURI: resume.RedirectURI, State: resume.State, Nonce: resume.Nonce, Verifier: resume.Verifier,
	}
	begun, err := f.client(t).StartCode(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	u, _ := url.Parse(begun.URL)
	sum := sha256.Sum256([]byte(resume.Verifier.Expose()))
	if q := u.Query(); q.Get("state") != resume.State || q.Get("nonce") != resume.Nonce ||
		q.Get("code_challenge") != base64.RawURLEncoding.EncodeToString(sum[:]) {
		t.Fatalf("URL %s", begun.URL)
	}
	answer := func(nonce string) {
		id := f.sign(t, "JWT", map[string]any{
			"iss": f.URL, "sub": "alice", "aud": "box", "iat": f.now.Unix(), "exp": f.now.Unix() + 60, "nonce": nonce,
		})
		f.answersJSON(200, toJSON(t, map[string]any{"access_token": "at", "token_type": "Bearer", "id_token": id}))
	}
	landed := url.Values{"state": {resume.State}, "code": {"c"}}
	t.Run("elsewhere", func(t *testing.T) {
		answer(resume.Nonce)
		tok, err := f.client(t).ResumeCode(resume).Finish(t.Context(), landed)
		if err != nil || tok.Subject != "alice" {
			t.Fatalf("%+v, %v", tok, err)
		}
		form := f.requests()[0].form
		if form.Get("code_verifier") != resume.Verifier.Expose() || form.Get("resource") != "https://se.example" ||
			form.Get("redirect_uri") != resume.RedirectURI {
			t.Fatalf("sent %v", form)
		}
	})
	t.Run("nonce_is_still_checked", func(t *testing.T) {
		answer("another")
		if _, err := f.client(t).ResumeCode(resume).Finish(t.Context(), landed); !errors.Is(err, flow.ErrIDToken) {
			t.Fatalf("got %v", err)
		}
	})
	t.Run("state_is_still_checked", func(t *testing.T) {
		answer(resume.Nonce)
		other := url.Values{"state": {"other"}, "code": {"c"}}
		if _, err := f.client(t).ResumeCode(resume).Finish(t.Context(), other); !errors.Is(err, flow.ErrState) {
			t.Fatalf("got %v", err)
		}
	})
	t.Run("verifier_that_is_none", func(t *testing.T) {
		for _, v := range []string{"short", strings.Repeat("v", 129), strings.Repeat("v", 42) + "&"} {
			bad := req
			bad.Verifier = secret.FromString(v)
			if _, err := f.client(t).StartCode(t.Context(), bad); !errors.Is(err, flow.ErrVerifier) {
				t.Errorf("%q: %v", v, err)
			}
		}
	})
}
