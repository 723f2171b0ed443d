package frameworks

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/go-chi/chi/v5"
	"github.com/labstack/echo/v4"

	"github.com/oidcbox/oidcbox/core/token/gate"
	"github.com/oidcbox/oidcbox/core/token/httpauth"
	"github.com/oidcbox/oidcbox/core/token/jose"
	"github.com/oidcbox/oidcbox/core/token/policy"
	"github.com/oidcbox/oidcbox/core/token/verify"
)

const (
	issuer   = "https://op.example.org"
	audience = "https://api.example.org"
	rules    = `
version: 1
rules:
  - {paths: [/items/secret], require: {subject: {issuer: "https://op.example.org", sub: bob}}}
require: IDENTIFIED
`
)

// world is a middleware whose gate trusts the key.
func world(t *testing.T) (*httpauth.Auth, *jose.PrivateKey) {
	t.Helper()
	key, err := jose.GenerateKey(jose.ES256, "k")
	if err != nil {
		t.Fatal(err)
	}
	p, err := policy.Parse("rules", []byte(rules))
	if err != nil {
		t.Fatal(err)
	}
	g, err := gate.New(gate.Config{
		Issuers:   []gate.Issuer{{Issuer: verify.Issuer{URL: issuer, Keys: jose.NewKeySet(key.Public())}}},
		Audiences: []string{audience}, Policy: p,
	}, gate.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Close)
	return httpauth.New(g, httpauth.Options{}), key
}

func token(t *testing.T, key *jose.PrivateKey, sub string) string {
	t.Helper()
	payload, err := json.Marshal(map[string]any{
		"iss": issuer, "sub": sub, "aud": audience, "client_id": "c", "jti": "1", "iat": time.Now().Unix(),
		"exp": time.Now().Add(time.Hour).Unix(),
	})
	if err != nil {
		t.Fatal(err)
	}
	signed, err := key.Sign("at+jwt", payload)
	if err != nil {
		t.Fatal(err)
	}
	return signed.Expose()
}

// greeting is what every handler answers: the parameter of its route, and who asked.
func greeting(r *http.Request, id string) string {
	who, ok := httpauth.FromContext(r.Context())
	return fmt.Sprintf("%s for %s of %s, %t", id, who.Subject, who.Issuer, ok)
}

func withStandard(auth *httpauth.Auth) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /items/{id}", auth.Require(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprint(w, greeting(r, r.PathValue("id")))
	})))
	mux.HandleFunc("GET /open", func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, "open") })
	return mux
}

func withChi(auth *httpauth.Auth) http.Handler {
	r := chi.NewRouter()
	r.Get("/open", func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, "open") })
	r.Group(func(r chi.Router) {
		r.Use(auth.Require)
		r.Get("/items/{id}", func(w http.ResponseWriter, r *http.Request) {
			_, _ = fmt.Fprint(w, greeting(r, chi.URLParam(r, "id")))
		})
	})
	return r
}

func withEcho(auth *httpauth.Auth) http.Handler {
	e := echo.New()
	e.GET("/open", func(c echo.Context) error { return c.String(http.StatusOK, "open") })
	items := e.Group("/items")
	items.Use(echo.WrapMiddleware(auth.Require))
	items.GET("/:id", func(c echo.Context) error {
		return c.String(http.StatusOK, greeting(c.Request(), c.Param("id")))
	})
	return e
}

func withGin(auth *httpauth.Auth) http.Handler {
	gin.SetMode(gin.TestMode)
	e := gin.New()
	e.GET("/open", func(c *gin.Context) { c.String(http.StatusOK, "open") })
	items := e.Group("/items", func(c *gin.Context) {
		r, ok := auth.Admit(c.Writer, c.Request)
		if !ok {
			c.Abort()
			return
		}
		c.Request = r
	})
	items.GET("/:id", func(c *gin.Context) { c.String(http.StatusOK, greeting(c.Request, c.Param("id"))) })
	return e
}

// TestFrameworks: with every router the same requests get the same answers, and a handler runs only after a yes.
func TestFrameworks(t *testing.T) {
	auth, key := world(t)
	alice, bob := "Bearer "+token(t, key, "alice"), "Bearer "+token(t, key, "bob")
	cases := []struct {
		name, path string
		headers    []string
		status     int
		body       string // "": a refusal
	}{
		{"open_route", "/open", nil, 200, "open"},
		{"no_token", "/items/7", nil, 401, ""},
		{"wrong_token", "/items/7", []string{"Bearer x"}, 401, ""},
		{"two_headers", "/items/7", []string{alice, alice}, 400, ""},
		{"right_token", "/items/7", []string{alice}, 200, "7 for alice of https://op.example.org, true"},
		{"not_for_alice", "/items/secret", []string{alice}, 403, ""},
		{"for_bob", "/items/secret", []string{bob}, 200, "secret for bob of https://op.example.org, true"},
		{"not_for_alice_encoded", "/items/%73ecret", []string{alice}, 403, ""},
		{"no_such_route", "/nowhere", []string{alice}, 404, "-"},
	}
	for name, h := range map[string]http.Handler{
		"net/http": withStandard(auth), "chi": withChi(auth), "echo": withEcho(auth), "gin": withGin(auth),
	} {
		for _, c := range cases {
			t.Run(name+"/"+c.name, func(t *testing.T) {
				r := httptest.NewRequest(http.MethodGet, c.path, nil)
				r.Header["Authorization"] = c.headers
				if c.headers == nil {
					delete(r.Header, "Authorization")
				}
				w := httptest.NewRecorder()
				h.ServeHTTP(w, r)
				if w.Code != c.status {
					t.Fatalf("status %d, want %d: %s", w.Code, c.status, w.Body)
				}
				if c.body != "" && c.body != "-" && w.Body.String() != c.body {
					t.Errorf("body %q, want %q", w.Body, c.body)
				}
				if c.body == "" {
					refused(t, w)
				}
			})
		}
	}
}

// refused looks at an answer that httpauth gave, to which no router may have added anything.
func refused(t *testing.T, w *httptest.ResponseRecorder) {
	t.Helper()
	var body map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil || body["error"] == nil {
		t.Errorf("body %q: %v", w.Body, err)
	}
	if w.Header().Get("WWW-Authenticate") == "" || w.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("%v", w.Header())
	}
}

// TestDocument: the lines of docs/admin/introspection.md are those that stand here.
func TestDocument(t *testing.T) {
	doc, err := os.ReadFile("../../docs/admin/introspection.md")
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile("frameworks_test.go")
	if err != nil {
		t.Fatal(err)
	}
	flat := func(b []byte) string {
		return strings.Join(strings.Fields(strings.ReplaceAll(string(b), ";", " ")), " ")
	}
	for _, line := range []string{
		"r.Use(auth.Require)", "Use(echo.WrapMiddleware(auth.Require))",
		"r, ok := auth.Admit(c.Writer, c.Request) if !ok { c.Abort() return } c.Request = r }",
	} {
		// Here it stands in this list, and once more where it is used.
		if inDoc, used := strings.Contains(flat(doc), line), strings.Count(flat(source), line) > 1; !inDoc || !used {
			t.Errorf("%s: in the document %t, in the test %t", line, inDoc, used)
		}
	}
}
