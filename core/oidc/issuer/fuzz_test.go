package issuer

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/oidcbox/oidcbox/core/token/jose"
	"github.com/oidcbox/oidcbox/store/memstore"
)

func fuzzIssuer(f *testing.F) *Issuer {
	i, err := New(f.Context(), Options{
		URL: "http://127.0.0.1:1/op", Engine: memstore.New(), Alg: jose.ES256, AutoLogin: "alice",
	})
	if err != nil {
		f.Fatal(err)
	}
	return i
}

// FuzzAuthorize: whatever the query is, the answer is a page or a redirect to a registered URI that carries iss, and
// never a code for a request without PKCE from the public client.
func FuzzAuthorize(f *testing.F) {
	i := fuzzIssuer(f)
	f.Add("client_id=native&redirect_uri=http://127.0.0.1:5/cb&response_type=code&scope=openid&code_challenge=" +
		strings.Repeat("a", 43) + "&code_challenge_method=S256&state=x")
	f.Add("client_id=web&redirect_uri=http://localhost/&response_type=code&scope=storage.read:/a+wlcg.groups" +
		"&resource=https://a")
	f.Add("client_id=native&redirect_uri=edu.kit.data.oidc-agent:/redirect&response_type=token")
	f.Add("%zz&client_id=web&client_id=native")
	f.Fuzz(func(t *testing.T, query string) {
		r := httptest.NewRequest(http.MethodGet, "http://127.0.0.1:1/op/authorize", nil)
		r.URL.RawQuery = query
		w := httptest.NewRecorder()
		i.ServeHTTP(w, r)
		if w.Code == http.StatusInternalServerError {
			t.Fatalf("%q: %d %s", query, w.Code, w.Body)
		}
		if w.Code != http.StatusSeeOther {
			return
		}
		to, err := url.Parse(w.Header().Get("Location"))
		if err != nil {
			t.Fatalf("%q redirects to %q", query, w.Header().Get("Location"))
		}
		q := to.Query()
		if to.Scheme != "edu.kit.data.oidc-agent" && !loopbackName(to.Hostname()) {
			t.Errorf("%q redirects to %s", query, to)
		}
		asked, _ := url.ParseQuery(query)
		if q.Has("code") && asked.Get("client_id") == "native" && asked.Get("code_challenge_method") != "S256" {
			t.Errorf("%q gave a code without PKCE", query)
		}
		if q.Get("iss") != i.URL() {
			t.Errorf("%q: iss is %q", query, q.Get("iss"))
		}
	})
}

// FuzzToken: whatever the form is, no token comes out without a code, a token or a secret, and nothing breaks.
func FuzzToken(f *testing.F) {
	i := fuzzIssuer(f)
	f.Add("grant_type=authorization_code&client_id=native&code=x&redirect_uri=http://127.0.0.1/&code_verifier=y", "")
	f.Add("grant_type=refresh_token&refresh_token="+strings.Repeat("A", 80)+"&scope=storage.read:/", "Basic d2ViOndlYg==")
	f.Add("grant_type=client_credentials&client_id=service&client_secret=x", "Bearer x")
	f.Add("grant_type="+GrantExchange+"&subject_token=a.b.c&audience=a+b&audience=c", "Basic !")
	f.Add("grant_type=urn:ietf:params:oauth:grant-type:device_code&device_code=z&client_id=native", "Basic")
	f.Fuzz(func(t *testing.T, form, auth string) {
		r := httptest.NewRequest(http.MethodPost, "http://127.0.0.1:1/op/token", strings.NewReader(form))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Authorization", auth)
		w := httptest.NewRecorder()
		i.ServeHTTP(w, r)
		if w.Code == http.StatusOK {
			t.Errorf("%q with %q gave %s", form, auth, w.Body)
		}
		if w.Code == http.StatusInternalServerError {
			t.Errorf("%q: %s", form, w.Body)
		}
	})
}
