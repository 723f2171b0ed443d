package verify

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/token/claims"
	"github.com/oidcbox/oidcbox/core/token/jose"
)

// FuzzPossession: any cnf with any proof. Who passes as a plain bearer has a token that is bound to nothing, or to nothing
// but the certificate of the connection; nobody passes with a proof that nobody has signed.
func FuzzPossession(f *testing.F) {
	v, err := New(Config{
		Issuers: []Issuer{{URL: "https://op.example", Keys: jose.NewKeySet()}}, Audiences: []string{"a"},
		Now: func() time.Time { return time.Unix(1_800_000_000, 0) },
	})
	if err != nil {
		f.Fatal(err)
	}
	sum := sha256.Sum256([]byte("der"))
	hash := base64.RawURLEncoding.EncodeToString(sum[:])
	for _, cnf := range []string{
		"", "{}", "null", `"x"`, `{"x5t#S256":"` + hash + `"}`, `{"jkt":"` + hash + `"}`, `{"jkt":""}`, `{"jwk":{}}`, `{"jkt":null}`,
		`{"jkt":"` + hash + `","x5t#S256":"` + hash + `"}`, `{"X5T#S256":"` + hash + `"}`, `{"x5t#S256":"` + hash + `","kid":"k"}`,
	} {
		f.Add(cnf, "Bearer", []byte("der"), "")
		f.Add(cnf, "DPoP", []byte("other"), "a.b.c")
		f.Add(cnf, "", []byte{}, "")
	}
	f.Fuzz(func(t *testing.T, cnf, scheme string, der []byte, proof string) {
		payload := `{"iss":"https://op.example"}`
		if cnf != "" {
			payload = `{"iss":"https://op.example","cnf":` + cnf + `}`
		}
		token, err := claims.Parse([]byte(payload))
		if err != nil {
			return
		}
		p := Proof{Scheme: Scheme(scheme), Method: "GET", URL: "https://a.example/", Certificate: der}
		if proof != "" {
			p.DPoP = []string{proof}
		}
		if _, err := v.Possession(sha256.Sum256([]byte("token")), &token, p); err != nil {
			return
		}
		if scheme != "" && scheme != string(Bearer) {
			t.Fatalf("scheme %q passes with cnf %s and proof %q", scheme, cnf, proof)
		}
		var bound map[string]any
		if cnf == "" || json.Unmarshal([]byte(cnf), &bound) == nil && len(bound) == 0 {
			return
		}
		own := sha256.Sum256(der)
		if len(bound) != 1 || len(der) == 0 || bound["x5t#S256"] != base64.RawURLEncoding.EncodeToString(own[:]) {
			t.Fatalf("cnf %s passes with certificate %q", cnf, der)
		}
	})
}
