package issuer_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/oidc/issuer"
	"github.com/oidcbox/oidcbox/core/oidc/issuer/issuertest"
)

func credentials() url.Values { return url.Values{"grant_type": {issuer.GrantClient}} }

func TestFaultReplacesTheAnswer(t *testing.T) {
	s := issuertest.Start(t)
	s.Fault(issuer.Fault{
		Path: "/token", Times: 2, Skip: 1, Status: 503, RetryAfter: 1500 * time.Millisecond, Body: `{"error":"slow_down"}`,
	})
	wantOK(t, s.Token("service", "service-secret", credentials()))
	for range 2 {
		a := s.Token("service", "service-secret", credentials())
		wantError(t, a, 503, "slow_down")
		if a.Header.Get("Retry-After") != "2" || a.Header.Get("Content-Type") != "application/json" {
			t.Errorf("header: %v", a.Header)
		}
	}
	wantOK(t, s.Token("service", "service-secret", credentials()))
}

func TestFaultUntilCleared(t *testing.T) {
	s := issuertest.Start(t)
	s.Fault(issuer.Fault{Path: "/jwks", Status: 500})
	for range 3 {
		if resp := get(t, s.URL+"/jwks"); resp.StatusCode != 500 || resp.ContentLength != 0 {
			t.Errorf("got %d with %d bytes", resp.StatusCode, resp.ContentLength)
		}
	}
	s.ClearFaults()
	if resp := get(t, s.URL+"/jwks"); resp.StatusCode != 200 {
		t.Errorf("got %d", resp.StatusCode)
	}
}

// TestFaultAfterProcessing: the refresh token is used up although the answer never came.
func TestFaultAfterProcessing(t *testing.T) {
	for name, f := range map[string]issuer.Fault{
		"dropped": {Path: "/token", Times: 1, Drop: true},
		"gateway": {Path: "/token", Times: 1, After: true, Status: 502},
	} {
		t.Run(name, func(t *testing.T) {
			s := issuertest.Start(t)
			rt := s.Tokens("alice", "openid offline_access").Refresh
			s.Fault(f)
			form := refreshForm(rt, "client_id", "web", "client_secret", "web-secret")
			resp, err := http.DefaultTransport.(*http.Transport).Clone().RoundTrip(postForm(t, s.URL+"/token", form))
			if err == nil {
				resp.Body.Close()
			}
			if f.Drop != (err != nil) || err == nil && resp.StatusCode != f.Status {
				t.Fatalf("got %v, %v", resp, err)
			}
			wantError(t, s.Token("web", "web-secret", refreshForm(rt)), 400, "invalid_grant")
		})
	}
}

func TestFaultDelays(t *testing.T) {
	s := issuertest.Start(t)
	s.Fault(issuer.Fault{Path: "/token", Times: 1, Delay: 50 * time.Millisecond})
	begin := time.Now()
	wantOK(t, s.Token("service", "service-secret", credentials()))
	if d := time.Since(begin); d < 50*time.Millisecond {
		t.Errorf("answered after %s", d)
	}
}

func TestControlsOverHTTP(t *testing.T) {
	s := issuertest.Start(t)
	add := func(body string) issuertest.Answer {
		return manage(t, s, http.MethodPost, s.URL+"/_test/fault", "", body)
	}
	for _, body := range []string{
		`{}`, `[]`, `{"path":"/token","unknown":1}`, `{"path":"/token","status":99}`, `{"path":"/token","times":-1}`,
	} {
		wantError(t, add(body), 400, "invalid_request")
	}
	r := postForm(t, s.URL+"/_test/fault", url.Values{})
	wantError(t, s.Do(r), 400, "invalid_request")
	if a := add(`{"path":"/token","times":1,"status":429,"retry_after":3,"body":{"error":"slow_down"}}`); a.Status != 204 {
		t.Fatalf("got %d", a.Status)
	}
	a := s.Token("service", "service-secret", credentials())
	wantError(t, a, 429, "slow_down")
	if a.Header.Get("Retry-After") != "3" {
		t.Errorf("Retry-After is %q", a.Header.Get("Retry-After"))
	}
	add(`{"path":"/token","status":500,"body":"text"}`)
	manage(t, s, http.MethodDelete, s.URL+"/_test/fault", "", "")
	wantOK(t, s.Token("service", "service-secret", credentials()))
	if a := manage(t, s, http.MethodPost, s.URL+"/_test/rotate-keys", "", ""); a.Status != 204 {
		t.Errorf("rotate-keys: %d", a.Status)
	}
	if a := manage(t, s, http.MethodGet, s.URL+"/_test/log", "", ""); len(a.Body["requests"].([]any)) < 2 {
		t.Errorf("log: %v", a.Body)
	}
}

func TestNoControlsUnlessAskedFor(t *testing.T) {
	s := issuertest.Start(t, func(o *issuer.Options) { o.TestControls = false })
	for _, path := range []string{"/_test/log", "/_test/fault", "/_test/rotate-keys"} {
		for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodDelete} {
			if a := manage(t, s, method, s.URL+path, "", `{"path":"/token"}`); a.Status != 404 {
				t.Errorf("%s %s: %d", method, path, a.Status)
			}
		}
	}
	s.Token("service", "service-secret", credentials())
	if n := len(s.Requests()); n != 0 {
		t.Errorf("%d requests were kept", n)
	}
}

func TestRequestLogMasksSecrets(t *testing.T) {
	s := issuertest.Start(t)
	tok := s.Tokens("alice", "openid offline_access")
	s.ClearRequests()
	s.Token("", "", refreshForm(tok.Refresh, "client_id", "web", "client_secret", "web-secret", "scope", "openid"))
	log := s.Requests()
	if len(log) != 1 || log[0].Path != "/token" || log[0].Status != 200 {
		t.Fatalf("log: %+v", log)
	}
	f := log[0].Form
	masked := issuer.Masked(tok.Refresh.Expose())
	if f.Get("client_secret") != "***" || f.Get("refresh_token") != masked || f.Get("scope") != "openid" {
		t.Errorf("form: %v", f)
	}
	if all := f.Encode(); strings.Contains(all, tok.Refresh.Expose()) || strings.Contains(all, "web-secret") {
		t.Error("a secret is in the log")
	}
}

func TestRequestLogIsBounded(t *testing.T) {
	s := issuertest.Start(t)
	for range 1500 {
		get(t, s.URL+"/jwks")
	}
	if n := len(s.Requests()); n > 1000 || n < 800 {
		t.Errorf("%d requests are kept", n)
	}
}
