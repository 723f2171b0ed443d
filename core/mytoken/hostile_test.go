package mytoken

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/oidcbox/oidcbox/core/oidc/flow"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/transport/httpc"
)

// planted is a mytoken that must not show up anywhere.
const planted = "planted-secret-mytoken-0123456789abcdefghij"

func answering(t *testing.T, status int, body string) *Client {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}))
	t.Cleanup(s.Close)
	return New(httpClient(t), &Server{
		Issuer: s.URL, MytokenEndpoint: s.URL, TokenEndpoint: s.URL, AccessTokenEndpoint: s.URL, TokeninfoEndpoint: s.URL,
		RevocationEndpoint: s.URL, TransferEndpoint: s.URL, ProfilesEndpoint: s.URL,
	}, Options{})
}

func TestHostileAnswers(t *testing.T) {
	mt := secret.FromString(planted)
	for _, tt := range []struct {
		name, body string
		status     int
	}{
		{"html", "<html>" + planted, 200},
		{"empty", "", 200},
		{"array", `[{"access_token":"x"}]`, 200},
		{"no_token", `{"token_type":"Bearer"}`, 200},
		{"token_twice", `{"access_token":"a","access_token":"b"}`, 200},
		{"token_of_a_header", `{"access_token":"a\r\nX: y"}`, 200},
		{"token_is_a_number", `{"access_token":7}`, 200},
		{"not_bearer", `{"access_token":"a","token_type":"DPoP"}`, 200},
		{"error_with_200", `{"error":"invalid_token","error_description":"` + planted + `"}`, 200},
		{"echo", `{"error":"invalid_request","error_description":"bad token ` + planted + `"}`, 400},
		{"echo_as_the_code", `{"error":"` + planted + `"}`, 400},
		{"echo_of_a_part", `{"error":"invalid_request","error_description":"bad token ` + planted[:20] + `..."}`, 400},
		{"escape_codes", "{\"error\":\"x\\u001b[2J\",\"error_description\":\"\\u001b[2J\\u0007" + planted + "\"}", 400},
		{"long", `{"error":"x","error_description":"` + strings.Repeat("a", 100_000) + `"}`, 400},
		{"deep", strings.Repeat(`{"a":`, 100) + "1" + strings.Repeat("}", 100), 200},
		{"created_with_text", "Created", 201},
		{"redirect", "", 302},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := answering(t, tt.status, tt.body)
			_, err := c.AccessToken(t.Context(), mt, AccessRequest{})
			if err == nil {
				t.Fatal("taken for an access token")
			}
			text := err.Error()
			if strings.Contains(text, "planted") || strings.ContainsRune(text, '\x1b') || len(text) > 1000 {
				t.Errorf("error %q", text)
			}
			_, err = c.Subtoken(t.Context(), mt, Request{})
			if err == nil || strings.Contains(err.Error(), "planted") {
				t.Errorf("sub-mytoken: %v", err)
			}
			if _, _, err = c.Subtokens(t.Context(), mt); err == nil {
				t.Error("taken for a tree")
			}
			if _, err = c.Templates(t.Context(), DefaultGroup, Profiles); err == nil && tt.name != "array" {
				t.Error("taken for templates")
			}
		})
	}
}

// TestNothingThatIsNoMytokenIsSent: what a person pasted wrongly stays here.
func TestNothingThatIsNoMytokenIsSent(t *testing.T) {
	c := answering(t, 200, `{}`)
	for _, bad := range []string{"", "short", strings.Repeat("x", 31), strings.Repeat("x y", 30), strings.Repeat("x", 1<<20)} {
		mt := secret.FromString(bad)
		if _, err := c.AccessToken(t.Context(), mt, AccessRequest{}); !errors.Is(err, ErrToken) {
			t.Errorf("%d characters: %v", len(bad), err)
		}
		if _, err := c.Refresh(t.Context(), mt, flow.Request{}); !errors.Is(err, ErrToken) {
			t.Errorf("%d characters: %v", len(bad), err)
		}
	}
}

// TestUpdateIsNotLost: the mytoken that replaced the used one comes out whatever is wrong with the rest.
func TestUpdateIsNotLost(t *testing.T) {
	next := strings.Repeat("n", 64)
	for _, tt := range []struct{ name, body string }{
		{"rest_is_useless", `{"token_update":{"mytoken":"` + next + `"}}`},
		{"update_is_odd", `{"access_token":"a","token_update":{"mytoken":"` + next + `","mytoken_type":7,"capabilities":"x"}}`},
		{"json_is_broken", `{"access_token":"a","access_token":"b","token_update":{"mytoken":"` + next + `"}}`},
		{"cut_off", `{"access_token":"a","token_update":{"mytoken":"` + next + `","mom`},
		{"for_clients_that_know_refresh_tokens", `{"access_token":"a","refresh_token":"` + next + `"}`},
		{"as_oidc_agent_reads_it", `{"access_token":"a","mytoken":"` + next + `"}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var kept string
			r := flow.Request{Keep: func(fresh secret.Text) { kept = fresh.Expose() }}
			toks, _ := answering(t, 200, tt.body).Refresh(t.Context(), secret.FromString(planted), r)
			if kept != next || toks.Refresh.Expose() != next {
				t.Fatalf("kept %q", kept)
			}
		})
	}
}

func TestHostileConsent(t *testing.T) {
	for _, body := range []string{
		`{"polling_code":"x"}`,
		`{"consent_uri":"javascript:alert(1)","polling_code":"x"}`,
		`{"consent_uri":"https://user:pw@example.org/","polling_code":"x"}`,
		"{\"consent_uri\":\"https://example.org/\\u001b[2J\",\"polling_code\":\"x\"}",
		`{"consent_uri":"https://example.org/c/1"}`,
	} {
		if _, err := answering(t, 200, body).Start(t.Context(), Request{}); !errors.Is(err, ErrAnswer) {
			t.Errorf("%s: %v", body, err)
		}
	}
	for _, body := range []string{
		`{"consent_uri":"https://example.org/c/1","polling_code":"x"}`,
		`{"user_code":"A","verification_uri":"javascript:alert(1)","polling_code":"x"}`,
		`{"user_code":"A","verification_uri":"https://op.example.org/device"}`,
		"{\"user_code\":\"\\u001b[2J\",\"verification_uri\":\"https://op.example.org/device\",\"polling_code\":\"x\"}",
	} {
		if _, err := answering(t, 200, body).Start(t.Context(), Request{Device: true}); !errors.Is(err, ErrAnswer) {
			t.Errorf("%s: %v", body, err)
		}
	}
	c := answering(t, 200, `{"consent_uri":"https://example.org/c/1","polling_code":"x","interval":1e9,"expires_in":1e12}`)
	if w, err := c.Start(t.Context(), Request{}); err != nil || w.Interval > maxInterval || w.Interval < minInterval {
		t.Errorf("%+v %v", w, err)
	}
}

func TestHostileConfiguration(t *testing.T) {
	ok := map[string]any{
		"issuer": "https://mt.example.org", "token_endpoint": "https://mt.example.org/a", "mytoken_endpoint": "https://mt.example.org/b",
	}
	for name, edit := range map[string]func(map[string]any){
		"no_issuer":       func(m map[string]any) { delete(m, "issuer") },
		"no_endpoint":     func(m map[string]any) { delete(m, "mytoken_endpoint") },
		"plain_http":      func(m map[string]any) { m["token_endpoint"] = "http://mt.example.org/a" },
		"file":            func(m map[string]any) { m["mytoken_endpoint"] = "file:///etc/passwd" },
		"relative":        func(m map[string]any) { m["mytoken_endpoint"] = "/b" },
		"user_name":       func(m map[string]any) { m["mytoken_endpoint"] = "https://a@mt.example.org/b" },
		"providers_is_no": func(m map[string]any) { m["providers_supported"] = "x" },
		"provider_is_no":  func(m map[string]any) { m["providers_supported"] = []any{7} },
		"too_many":        func(m map[string]any) { m["providers_supported"] = make([]struct{}, maxProviders+1) },
	} {
		m := map[string]any{}
		for k, v := range ok {
			m[k] = v
		}
		edit(m)
		b, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ParseServer(b); !errors.Is(err, ErrServer) {
			t.Errorf("%s: %v", name, err)
		}
	}
	b, _ := json.Marshal(ok)
	if _, err := ParseServer(b); err != nil {
		t.Error(err)
	}
}

func TestDiscoverErrors(t *testing.T) {
	hc := httpClient(t)
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"issuer":"https://a.example","token_endpoint":"https://a.example/t","mytoken_endpoint":"https://a.example/m"}`)
	}))
	t.Cleanup(other.Close)
	if _, err := Discover(t.Context(), hc, other.URL); !errors.Is(err, ErrOtherServer) {
		t.Errorf("another server's document: %v", err)
	}
	for _, bad := range []string{"", "mytoken", "ftp://a.example", "https://a.example?x", "https://u@a.example"} {
		if _, err := Discover(t.Context(), hc, bad); !errors.Is(err, ErrServer) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	down := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) }))
	t.Cleanup(down.Close)
	if _, err := Discover(t.Context(), hc, down.URL); !Temporary(err) || errors.Is(err, ErrServer) {
		t.Errorf("a server in trouble: %v", err)
	}
	if _, err := Discover(t.Context(), hc, "http://mt.example.org"); !errors.Is(err, httpc.ErrInsecure) {
		t.Errorf("plain http elsewhere: %v", err)
	}
}
