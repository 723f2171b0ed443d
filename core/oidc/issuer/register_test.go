package issuer_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/oidcbox/oidcbox/core/oidc/issuer/issuertest"
)

func manage(t *testing.T, s *issuertest.Server, method, uri, token, body string) issuertest.Answer {
	t.Helper()
	r, err := http.NewRequest(method, uri, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	return s.Do(r)
}

// agentRequest is what the original oidc-agent sends, grant types included that do not exist here.
const agentRequest = `{"client_name":"oidc-agent:test","application_type":"web",
"redirect_uris":["http://localhost:4242","http://localhost:8080","http://localhost:12345",
"edu.kit.data.oidc-agent:/redirect"],
"grant_types":["refresh_token","authorization_code","urn:ietf:params:oauth:grant-type:device_code","password"],
"response_types":["code","token"],"contacts":["a@example.org"],
"scope":"openid offline_access storage.read:/ wlcg.groups"}`

func TestRegistration(t *testing.T) {
	s := issuertest.Start(t)
	a := manage(t, s, http.MethodPost, s.URL+"/register", "", agentRequest)
	if a.Status != http.StatusCreated {
		t.Fatalf("got %d %v", a.Status, a.Body)
	}
	id, sec := a.Body["client_id"].(string), a.Body["client_secret"].(string)
	uri, token := a.Body["registration_client_uri"].(string), a.Body["registration_access_token"].(string)
	if a.Body["client_secret_expires_at"] != 0.0 || len(a.Body["grant_types"].([]any)) != 3 {
		t.Errorf("answer: %v", a.Body["grant_types"])
	}

	q := authQuery("client_id", id, "redirect_uri", "http://localhost:4242",
		"scope", "openid offline_access storage.read:/x email")
	back := parse(t, s.Login(s.URL+"/authorize?"+q.Encode(), "alice"))
	got := s.Token(id, sec, codeForm(back.Query().Get("code"), "client_id", "", "redirect_uri", "http://localhost:4242"))
	if at := access(t, s, wantOK(t, got)); at["scope"] != "openid offline_access storage.read:/x" {
		t.Errorf("scope is %v: the registration bounds it", at["scope"])
	}
	wantError(t, s.Token(id, sec, url.Values{"grant_type": {"client_credentials"}}), 400, "unauthorized_client")

	t.Run("read", func(t *testing.T) {
		a := manage(t, s, http.MethodGet, uri, token, "")
		if a.Body["client_id"] != id || a.Body["client_name"] != "oidc-agent:test" || a.Body["client_secret"] != nil {
			t.Errorf("got %d %v", a.Status, a.Body)
		}
		if a.Body["registration_access_token"] != token {
			t.Error("the management token is missing or another")
		}
	})
	t.Run("with the token of another", func(t *testing.T) {
		other := manage(t, s, http.MethodPost, s.URL+"/register", "", agentRequest)
		for _, method := range []string{http.MethodGet, http.MethodPut, http.MethodDelete} {
			if a := manage(t, s, method, uri, other.Body["registration_access_token"].(string), agentRequest); a.Status != 401 {
				t.Errorf("%s: %d", method, a.Status)
			}
			if a := manage(t, s, method, uri, "", agentRequest); a.Status != 401 {
				t.Errorf("%s without a token: %d", method, a.Status)
			}
		}
	})
	t.Run("update", func(t *testing.T) {
		change := `{"client_id":"` + id + `","redirect_uris":["https://new.example/cb"],
			"grant_types":["authorization_code","refresh_token"]}`
		a := manage(t, s, http.MethodPut, uri, token, change)
		if a.Status != http.StatusOK || a.Body["client_name"] != nil || a.Body["scope"] != nil {
			t.Errorf("got %d %v", a.Status, a.Body)
		}
		wantError(t, manage(t, s, http.MethodPut, uri, token, agentRequest), 400, "invalid_request")
		public := strings.Replace(change, `"client_id"`, `"token_endpoint_auth_method":"none","client_id"`, 1)
		wantError(t, manage(t, s, http.MethodPut, uri, token, public), 400, "invalid_client_metadata")
	})
	t.Run("delete ends what it got", func(t *testing.T) {
		rt := text(got, "refresh_token")
		if a := manage(t, s, http.MethodDelete, uri, token, ""); a.Status != http.StatusNoContent {
			t.Fatalf("got %d", a.Status)
		}
		wantError(t, s.Token(id, sec, refreshForm(rt)), 401, "invalid_client")
		if active(t, s, text(got, "access_token")) {
			t.Error("its access token is still active")
		}
		if a := manage(t, s, http.MethodGet, uri, token, ""); a.Status != 401 {
			t.Errorf("it can still be read: %d", a.Status)
		}
	})
}

func TestRegistrationOfAPublicClient(t *testing.T) {
	s := issuertest.Start(t)
	a := manage(t, s, http.MethodPost, s.URL+"/register", "", `{"token_endpoint_auth_method":"none",
		"redirect_uris":["http://127.0.0.1/cb"],"grant_types":["authorization_code","client_credentials"]}`)
	if a.Status != http.StatusCreated || a.Body["client_secret"] != nil {
		t.Fatalf("got %d %v", a.Status, a.Body)
	}
	id := a.Body["client_id"].(string)
	back := parse(t, s.Login(s.URL+"/authorize?"+authQuery("client_id", id).Encode(), "alice"))
	wantOK(t, s.Token("", "", codeForm(back.Query().Get("code"), "client_id", id)))
	wantError(t, s.Token(id, "", url.Values{"grant_type": {"client_credentials"}}), 400, "unauthorized_client")
}

func TestRegistrationRefuses(t *testing.T) {
	s := issuertest.Start(t)
	list, _ := json.Marshal(strings.Split(strings.Repeat("https://a.example/ ", 30)[:30*19-1], " "))
	longName := `{"redirect_uris":["https://a.example/"],"client_name":"` + strings.Repeat("x", 300) + `"}`
	cases := map[string][2]string{
		"no JSON":            {`redirect_uris=x`, "invalid_client_metadata"},
		"two objects":        {`{}{}`, "invalid_client_metadata"},
		"a member twice":     {`{"scope":"a","scope":"b"}`, "invalid_client_metadata"},
		"no redirect URI":    {`{}`, "invalid_redirect_uri"},
		"a script":           {`{"redirect_uris":["javascript:alert(1)"]}`, "invalid_redirect_uri"},
		"http elsewhere":     {`{"redirect_uris":["http://app.example/"]}`, "invalid_redirect_uri"},
		"a fragment":         {`{"redirect_uris":["https://app.example/#x"]}`, "invalid_redirect_uri"},
		"too many":           {`{"redirect_uris":` + string(list) + `}`, "invalid_redirect_uri"},
		"a string for list":  {`{"redirect_uris":"https://a.example/"}`, "invalid_client_metadata"},
		"no grant we have":   {`{"grant_types":["password"]}`, "invalid_client_metadata"},
		"unknown method":     {`{"token_endpoint_auth_method":"private_key_jwt"}`, "invalid_client_metadata"},
		"a bad scope":        {`{"redirect_uris":["https://a.example/"],"scope":"storage.read"}`, "invalid_client_metadata"},
		"a name too long":    {longName, "invalid_client_metadata"},
		"nested without end": {strings.Repeat(`{"a":`, 50) + "1" + strings.Repeat("}", 50), "invalid_client_metadata"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			wantError(t, manage(t, s, http.MethodPost, s.URL+"/register", "", c[0]), 400, c[1])
		})
	}
	t.Run("too large", func(t *testing.T) {
		big := `{"client_name":"` + strings.Repeat("x", 100_000) + `"}`
		wantError(t, manage(t, s, http.MethodPost, s.URL+"/register", "", big), 413, "invalid_request")
	})
	t.Run("an id that no key can be", func(t *testing.T) {
		if a := manage(t, s, http.MethodGet, s.URL+"/register/"+strings.Repeat("x", 2000), "t", ""); a.Status != 401 {
			t.Errorf("got %d", a.Status)
		}
	})
}
