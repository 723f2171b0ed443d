package differential

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
)

// Shapes are put together from pieces that readers are known to stumble over. Bytes changed blindly seldom get as far.

// headerPieces are members for a header; K stands for the right kid.
var headerPieces = sync.OnceValue(func() []string {
	return strings.Fields(`
"alg":"ES256" "alg":"none" "alg":"HS256" "alg":"RS256" "alg":"PS256" "alg":"EdDSA" "alg":"Ed25519" "alg":7 "alg":null
"Alg":"none" "al\u0067":"ES256" "kid":K "kid":"" "kid":null "kid":["x"] "KID":K "kid":"\u0065s256" "kid":"\ud83d"
"kid":"es384" "typ":"JWT" "typ":"at+jwt" "typ":"application/AT+JWT" "typ":"" "typ":null "typ":{} "TYP":"x" "cty":"JWT"
"cty":null "zip":"DEF" "crit":[] "crit":["b64"] "crit":["exp"] "crit":null "crit":"b64" "b64":true "b64":false
"b64":null "b64":"true" "jku":"https://x.example/keys" "x5u":7 "x5c":["MA=="] "x5c":"MA==" "x5c":null "x5t":"AA"
"nonce":"n" "nonce":1 "nonce":null "jwk":{"kty":"oct","k":"AA"} "jwk":{"kty":"EC"} "jwk":null "jwk":[] "epk":{}
"p2c":1e400 "x":1e400 "x":{"a":1,"a":1} "x":[[[[]]]] "":0 "x":"\u0000"
`)
})

// keyPieces are members for a JWK; K stands for its kid, D for a number that fits nothing.
var keyPieces = sync.OnceValue(func() []string {
	return strings.Fields(`
"use":"sig" "use":"enc" "use":"" "use":null "use":1 "Use":"enc" "key_ops":["verify"] "key_ops":["sign","verify"]
"key_ops":["encrypt"] "key_ops":[] "key_ops":"verify" "key_ops":null "alg":"ES256" "alg":"RS256" "alg":"RSA-OAEP"
"alg":"HS256" "alg":"" "alg":null "alg":1 "ALG":"x" "kid":K "kid":"other" "kid":"" "kid":null "kid":3 "Kid":"x"
"kty":"RSA" "kty":"EC" "kty":"OKP" "kty":"oct" "kty":"AKP" "kty":null "Kty":"oct" "crv":"P-256" "crv":"P-384"
"crv":"secp256k1" "crv":"Ed448" "crv":null "d":"D" "d":"" "d":null "k":"D" "k":null "p":"D" "p":null "qi":"" "oth":[]
"priv":"D" "priv":null "pub":"D" "n":"D" "e":"AQAB" "e":"AAEAAQ" "e":"Aw" "e":"AQ" "e":"AQAAAAAB" "e":"" "e":null
"e":65537 "x":"D" "x":"" "x":null "y":"D" "y":null "x5c":[] "x5c":["MA=="] "x5c":"MA==" "x5c":null
"x5u":"https://x.example" "x5u":"%zz" "x5u":1 "x5t":"AA" "x5t":"" "x5t#S256":"AA" "x5t#S256":null "ext":true
"note":{"a":{"a":{"a":{}}}} "note":{"a":1,"a":2} "note":"\ud83d" "note":1e400 "":0 "iat":1
`)
})

// shape is a question made from a seed.
func shape(seed uint64) question {
	r := rand.New(rand.NewPCG(seed, 1))
	s := signers()[r.IntN(len(signers()))]
	header := compose(r, strings.Trim(s.header(), "{}"), headerPieces(), s.kid)
	token := s.token(header, plainClaims)
	var keys []string
	for range 1 + r.IntN(3) {
		k := s
		if len(keys) > 0 && r.IntN(3) > 0 {
			k = signers()[r.IntN(len(signers()))]
		}
		b, err := json.Marshal(k.jwk)
		if err != nil {
			panic(err)
		}
		keys = append(keys, compose(r, strings.Trim(string(b), "{}"), keyPieces(), s.kid))
	}
	r.Shuffle(len(keys), func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
	set := `{"keys":[` + strings.Join(keys, ",") + `]}`
	switch r.IntN(20) {
	case 0:
		set = strings.Replace(set, "keys", "KEYS", 1)
	case 1:
		set = strings.TrimSuffix(set, "}") + `,"keys":[]}`
	case 2:
		set = "\ufeff" + set
	case 3:
		token = damage(r, token)
	}
	return question{token, []byte(set)}
}

// compose writes an object of the members of base, some of them lost or replaced, and of pieces.
func compose(r *rand.Rand, base string, pieces []string, kid string) string {
	members := strings.Split(base, ",")
	if r.IntN(8) == 0 {
		i := r.IntN(len(members))
		members = slices.Delete(members, i, i+1)
	}
	for range r.IntN(3) {
		piece := pieces[r.IntN(len(pieces))]
		piece = strings.NewReplacer(":K", `:"`+kid+`"`, `"D"`, `"`+b64(bytes.Repeat([]byte{7}, 32))+`"`).Replace(piece)
		name, _, _ := strings.Cut(piece, ":")
		if r.IntN(2) == 0 { // in place of the one that is there, or beside it
			members = slices.DeleteFunc(members, func(m string) bool { return strings.HasPrefix(m, name+":") })
		}
		members = slices.Insert(members, r.IntN(len(members)+1), piece)
	}
	return "{" + strings.Join(members, ",") + "}"
}

// damage changes the text of a token.
func damage(r *rand.Rand, token []byte) []byte {
	i := r.IntN(len(token))
	switch r.IntN(5) {
	case 0:
		return slices.Insert(token, i, '\n')
	case 1:
		return append(token, '=')
	case 2:
		return slices.Insert(token, i, '.')
	case 3:
		return bytes.TrimRight(token, string(token[len(token)-1]))
	}
	token[i] ^= 1
	return token
}

// TestShapes asks both sides a few thousand shapes, always the same.
func TestShapes(t *testing.T) {
	n := uint64(2500)
	if testing.Short() {
		n = 400
	}
	seen := map[string]int{}
	for seed := range n {
		class, _ := compare(t, shape(seed))
		seen[class]++
		if t.Failed() {
			t.Fatalf("with seed %d", seed)
		}
	}
	t.Logf("%d shapes are answered alike, the others are of %d classes", seen[""], len(seen)-1)
}

// FuzzShape goes on with other seeds.
func FuzzShape(f *testing.F) {
	for seed := range uint64(50) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) { compare(t, shape(seed)) })
}
