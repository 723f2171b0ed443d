package httpauth_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/oidcbox/oidcbox/core/token/httpauth"
	"github.com/oidcbox/oidcbox/core/token/jose"
)

// The three lines are those with httpauth or auth in them: one makes the middleware, one puts it in front of a handler,
// and one, in the handler, asks who is there.
func Example() {
	op, token := exampleIssuer()
	defer op.Close()

	auth, err := httpauth.Open(httpauth.Config{Issuers: []string{op.URL}, Audiences: []string{"https://api.example.org"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer auth.Close()
	handler := auth.Require(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		who, _ := httpauth.FromContext(r.Context())
		fmt.Fprintf(w, "hello %s", who.Subject)
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
	// 200 hello alice
	// challenge: ""
	// 401 {"error":"invalid_token","error_description":"the token is not valid","error_details":null}
	//
	// challenge: "Bearer error=\"invalid_token\", error_description=\"the token is not valid\""
	// 401 {"error":"Unauthenticated","error_description":"a token is needed","error_details":null}
	//
	// challenge: "Bearer"
}

// exampleIssuer is an issuer as far as a service sees one, and a token of it.
func exampleIssuer() (*httptest.Server, string) {
	key, err := jose.GenerateKey(jose.ES256, "")
	if err != nil {
		panic(err)
	}
	mux := http.NewServeMux()
	op := httptest.NewServer(mux)
	send := func(v any) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { _ = json.NewEncoder(w).Encode(v) }
	}
	mux.Handle("/.well-known/openid-configuration", send(map[string]string{"issuer": op.URL, "jwks_uri": op.URL + "/keys"}))
	mux.Handle("/keys", send(jose.NewKeySet(key.Public())))
	payload, err := json.Marshal(map[string]any{
		"iss": op.URL, "sub": "alice", "aud": "https://api.example.org", "client_id": "c", "jti": "1",
		"iat": time.Now().Unix(), "exp": time.Now().Add(time.Minute).Unix(),
	})
	if err != nil {
		panic(err)
	}
	token, err := key.Sign("at+jwt", payload)
	if err != nil {
		panic(err)
	}
	return op, token.Expose()
}
