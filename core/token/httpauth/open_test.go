package httpauth

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/token/policy"
)

func TestOpen(t *testing.T) {
	issuer := serveKeys(t)
	auth, err := Open(Config{Issuers: []string{issuer}, Audiences: []string{"https://api.example.org"}})
	if err != nil {
		t.Fatal(err)
	}
	defer auth.Close()
	h := auth.Require(http.HandlerFunc(greet))
	later := map[string]any{"iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix(), "iss": issuer}
	nobody := map[string]any{"sub": ""}
	for name, v := range later {
		nobody[name] = v
	}
	for name, c := range map[string]struct {
		token  string
		status int
	}{
		"of_the_issuer":     {signed(t, issuer, []string{"/cms"}), 200},
		"of_another_issuer": {signed(t, "https://evil.example.org", []string{"/cms"}), 401},
		"of_nobody":         {token(t, nobody), 401},
		"of_somebody":       {token(t, later), 200},
	} {
		t.Run(name, func(t *testing.T) {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, request{headers: []string{"Authorization", "Bearer " + c.token}}.make())
			if w.Code != c.status {
				t.Errorf("%d %s, want %d", w.Code, w.Body, c.status)
			}
		})
	}
}

// TestOpenIssuerDown: without keys nobody is refused and nobody gets in.
func TestOpenIssuerDown(t *testing.T) {
	issuer := "http://" + freeAddress(t)
	auth, err := Open(Config{Issuers: []string{issuer}, Audiences: []string{"https://api.example.org"}})
	if err != nil {
		t.Fatal(err)
	}
	defer auth.Close()
	w := httptest.NewRecorder()
	auth.Require(http.HandlerFunc(greet)).ServeHTTP(w, request{
		headers: []string{"Authorization", "Bearer " + signed(t, issuer, []string{"/cms"})},
	}.make())
	if w.Code != 503 || w.Header().Get("Retry-After") == "" || w.Header().Get("WWW-Authenticate") != "" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
}

func TestOpenRefuses(t *testing.T) {
	good := Config{Issuers: []string{"https://op.example.org"}, Audiences: []string{"https://api.example.org"}}
	for name, change := range map[string]func(*Config){
		"no_audience":           func(c *Config) { c.Audiences = nil },
		"no_issuer":             func(c *Config) { c.Issuers = nil },
		"an_issuer_of_no_https": func(c *Config) { c.Issuers = []string{"ftp://op.example.org"} },
		"a_policy_with_faults":  func(c *Config) { c.Policy = []byte("version: 1\nrequires: ANYONE\n") },
		"an_empty_policy":       func(c *Config) { c.Policy = []byte{} },
		"certificates_missing":  func(c *Config) { c.CAFile = "/nowhere/ca.pem" },
	} {
		t.Run(name, func(t *testing.T) {
			c := good
			change(&c)
			auth, err := Open(c)
			if !errors.Is(err, ErrConfig) {
				t.Fatalf("%v, %v", auth, err)
			}
			var faults policy.Faults
			if strings.Contains(name, "faults") && !errors.As(err, &faults) {
				t.Errorf("the faults are not in %v", err)
			}
		})
	}
	if auth, err := Open(good); err != nil {
		t.Error(err)
	} else {
		auth.Close()
	}
}
