package grant

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/oidcbox/oidcbox/core/agent/control"
	"github.com/oidcbox/oidcbox/core/agent/login"
	"github.com/oidcbox/oidcbox/core/oidc/flow"
	"github.com/oidcbox/oidcbox/core/oidc/provider"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/transport/httpc"
)

// op answers by path, and remembers the last form for each.
type op struct {
	*httptest.Server
	answers map[string]string // "STATUS BODY"
	forms   map[string]url.Values
}

func newOP(t *testing.T, answers map[string]string) *op {
	t.Helper()
	o := &op{answers: answers, forms: map[string]url.Values{}}
	o.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		o.forms[r.URL.Path] = r.PostForm
		var status int
		var body string
		_, _ = fmt.Sscanf(o.answers[r.URL.Path], "%d %s", &status, &body)
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}))
	t.Cleanup(o.Close)
	return o
}

func (o *op) client(t *testing.T, edit func(*provider.Metadata)) *flow.Client {
	t.Helper()
	hc, err := httpc.New(httpc.Options{})
	if err != nil {
		t.Fatal(err)
	}
	md := &provider.Metadata{
		Issuer: o.URL, TokenEndpoint: o.URL + "/token", RevocationEndpoint: o.URL + "/revoke",
		IntrospectionEndpoint: o.URL + "/introspect",
	}
	if edit != nil {
		edit(md)
	}
	return flow.New(hc, md, flow.ClientConfig{ID: "box", Secret: secret.FromString("s")}, flow.Options{})
}

// TestEnd: what is confirmed is what the provider says afterwards, and nothing is confirmed that was not revoked.
func TestEnd(t *testing.T) {
	token := secret.FromString("token")
	for name, c := range map[string]struct {
		revoke, introspect string
		edit               func(*provider.Metadata)
		want               string
		refused            bool
	}{
		"dead":        {"200 ", `200 {"active":false}`, nil, control.ConfirmedInactive, false},
		"alive":       {"200 ", `200 {"active":true}`, nil, control.ConfirmedActive, false},
		"no answer":   {"200 ", `403 {}`, nil, control.ConfirmedUnknown, false},
		"nonsense":    {"200 ", `200 {"active":"false"}`, nil, control.ConfirmedUnknown, false},
		"not offered": {"200 ", "", func(m *provider.Metadata) { m.IntrospectionEndpoint = "" }, control.ConfirmedNotOffered, false},
		"refused":     {`400 {"error":"invalid_request"}`, `200 {"active":false}`, nil, "", true},
		"no way":      {"", "", func(m *provider.Metadata) { m.RevocationEndpoint = "" }, "", true},
	} {
		t.Run(name, func(t *testing.T) {
			o := newOP(t, map[string]string{"/revoke": c.revoke, "/introspect": c.introspect})
			got, err := End(t.Context(), o.client(t, c.edit), token, "refresh_token")
			if got != c.want || (err != nil) != c.refused {
				t.Errorf("got %q, %v", got, err)
			}
			if name == "no way" && !errors.Is(err, flow.ErrNoEndpoint) {
				t.Errorf("got %v", err)
			}
			if c.refused && o.forms["/introspect"] != nil {
				t.Error("asked about a token that was not revoked")
			}
		})
	}
}

// TestRun: offline_access is asked for once, and only where the refresh token is to be kept.
func TestRun(t *testing.T) {
	subject := secret.FromString("st")
	for _, c := range []struct {
		r     control.GrantRequest
		scope string
		grant string
	}{
		{control.GrantRequest{Kind: control.GrantExchange, Subject: subject, Scope: "a b"}, "a b", "token-exchange"},
		{
			control.GrantRequest{Kind: control.GrantExchange, Subject: subject, Scope: "a", SaveAs: "x"},
			"a offline_access", "token-exchange",
		},
		{
			control.GrantRequest{Kind: control.GrantExchange, Subject: subject, Scope: "offline_access a", SaveAs: "x"},
			"offline_access a", "token-exchange",
		},
		{control.GrantRequest{Kind: control.GrantCredentials, Scope: "a"}, "a", "client_credentials"},
	} {
		o := newOP(t, map[string]string{"/token": `200 {"access_token":"at"}`})
		toks, err := Run(t.Context(), o.client(t, nil), c.r)
		form := o.forms["/token"]
		kind := form.Get("grant_type")
		if err != nil || toks.Access.Empty() || form.Get("scope") != c.scope || kind[max(0, len(kind)-len(c.grant)):] != c.grant {
			t.Errorf("%+v: sent %v, %v", c.r, form, err)
		}
	}
}

func TestLogin(t *testing.T) {
	base := login.Config{
		Name: "work", ClientName: "oidc-agent:work", Issuer: "https://op.example/", ClientID: "box", Scope: "old", AuthScope: "old",
		RefreshScope: "old", Audience: "old", RegistrationURI: "https://op.example/r", CertPath: "/ca",
		RefreshToken: secret.FromString("old"), RegistrationToken: secret.FromString("old"), PublicClient: true,
	}
	r := control.GrantRequest{SaveAs: "copy", Scope: "asked", Audience: " se "}
	got := Login(base, r, flow.Tokens{Refresh: secret.FromString("new"), Scope: "b offline_access a"})
	if got.Name != "copy" || got.ClientID != "box" || got.CertPath != "/ca" || !got.PublicClient || got.Issuer != base.Issuer ||
		got.AuthScope != "b a" || got.RefreshScope != "b a" || got.Scope != "" || got.Audience != "se" ||
		got.RefreshToken.Expose() != "new" || got.RegistrationURI != "" || !got.RegistrationToken.Empty() {
		t.Errorf("got %+v", got)
	}
	if got := Login(base, r, flow.Tokens{}); got.AuthScope != "asked" {
		t.Errorf("without a scope in the answer: %q", got.AuthScope)
	}
	if base.RefreshToken.Expose() != "old" || base.RegistrationToken.Empty() {
		t.Error("the other login has changed")
	}
}
