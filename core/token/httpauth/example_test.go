package httpauth_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/oidcbox/oidcbox/core/token/gate"
	"github.com/oidcbox/oidcbox/core/token/httpauth"
	"github.com/oidcbox/oidcbox/core/token/jose"
	"github.com/oidcbox/oidcbox/core/token/policy"
	"github.com/oidcbox/oidcbox/core/token/verify"
)

// The three lines are those with auth: one makes the middleware, one puts it in front of a handler, and one, in the
// handler, asks who is there.
func Example() {
	key, token := exampleToken()
	g := exampleGate(key)
	defer g.Close()

	auth := httpauth.New(g, httpauth.Options{})
	handler := auth.Require(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		who, _ := httpauth.FromContext(r.Context())
		fmt.Fprintf(w, "hello %s of %s", who.Subject, who.Issuer)
	}))

	for _, header := range []string{"Bearer " + token, "Bearer wrong", ""} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		if header != "" {
			r.Header.Set("Authorization", header)
		}
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		fmt.Println(w.Code, w.Body)
		fmt.Printf("challenge: %q\n", w.Header().Get("WWW-Authenticate"))
	}
	// Output:
	// 200 hello alice of https://op.example.org
	// challenge: ""
	// 401 {"error":"invalid_token","error_description":"the token is not valid","error_details":null}
	//
	// challenge: "Bearer error=\"invalid_token\", error_description=\"the token is not valid\""
	// 401 {"error":"Unauthenticated","error_description":"a token is needed","error_details":null}
	//
	// challenge: "Bearer"
}

// exampleGate trusts one issuer, whose key it has. A service names its issuers, and the gate gets their keys itself.
func exampleGate(key *jose.PrivateKey) *gate.Gate {
	rules, err := policy.Parse("policy.yaml", []byte("version: 1\nrequire: IDENTIFIED\n"))
	if err != nil {
		panic(err)
	}
	g, err := gate.New(gate.Config{
		Issuers:   []gate.Issuer{{Issuer: verify.Issuer{URL: "https://op.example.org", Keys: jose.NewKeySet(key.Public())}}},
		Audiences: []string{"https://api.example.org"},
		Policy:    rules,
	}, gate.Options{})
	if err != nil {
		panic(err)
	}
	return g
}

func exampleToken() (*jose.PrivateKey, string) {
	key, err := jose.GenerateKey(jose.ES256, "")
	if err != nil {
		panic(err)
	}
	payload, err := json.Marshal(map[string]any{
		"iss": "https://op.example.org", "sub": "alice", "aud": "https://api.example.org", "client_id": "c", "jti": "1",
		"iat": time.Now().Unix(), "exp": time.Now().Add(time.Minute).Unix(),
	})
	if err != nil {
		panic(err)
	}
	token, err := key.Sign("at+jwt", payload)
	if err != nil {
		panic(err)
	}
	return key, token.Expose()
}
