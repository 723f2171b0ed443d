package differential

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"math/big"
	"slices"

	gojose "github.com/go-jose/go-jose/v4"

	"github.com/oidcbox/oidcbox/core/token/jose"
)

// laxClasses are those where go-jose refuses and ours, with a right signature, does not.
func laxClasses() []class {
	return []class{
		{
			"alg is Ed25519",
			theirsSayNo,
			"RFC 9864 gave EdDSA with this curve a name of its own; go-jose 4.1.8 does not know it",
			nil,
			func(in *input) bool { return in.header["alg"] == "Ed25519" },
			headerExample("EdDSA", `{"alg":"Ed25519","kid":"eddsa"}`),
		},
		{
			"token has no kid, or an empty one",
			theirsSayNo,
			"RFC 7515 section 4.1.4 makes it optional: ours tries at most four keys that fit. Profiles that want it check",
			[]error{gojose.ErrJWKSKidNotFound},
			func(in *input) bool { kid, _ := in.header["kid"].(string); return kid == "" },
			headerExample("ES256", `{"alg":"ES256"}`),
		},
		{
			"one key of the set is not understood",
			theirsSayNo,
			"RFC 7517 section 5 says to leave that key out; go-jose refuses the whole set",
			nil,
			func(in *input) bool {
				return slices.ContainsFunc(in.rawKeys, func(k json.RawMessage) bool { return !theyParse(k) && !oursParses(k) })
			},
			func() question {
				s := by("ES256")
				quantum := map[string]any{"kty": "AKP", "alg": "ML-DSA-44", "pub": "AA"}
				return question{s.token(s.header(), plainClaims), keySet(s.jwk, quantum)}
			},
		},
		{
			"RSA key has more than 4096 bits", theirsSayNo, "go-jose's bound; ours is 8192, which costs 0.3 ms a check", nil,
			func(in *input) bool {
				return slices.ContainsFunc(in.keys, func(k map[string]any) bool {
					n, _ := k["n"].(string)
					return k["kty"] == "RSA" && new(big.Int).SetBytes(lax64(n)).BitLen() > gojose.MaxRSAModulusBits
				})
			},
			func() question {
				long, err := rsa.GenerateMultiPrimeKey(rand.Reader, 6, 4160) // six small primes are found sooner
				if err != nil {
					panic(err)
				}
				s := newSigner("RS256", long)
				return question{s.token(s.header(), plainClaims), keySet(s.jwk)}
			},
		},
		{
			"a member of a key that is of no use here is broken",
			theirsSayNo,
			"x5c, x5u, x5t, private numbers besides d and numbers of other kinds of keys are never read here, nor believed",
			nil,
			func(in *input) bool {
				return slices.ContainsFunc(in.rawKeys, func(k json.RawMessage) bool {
					return !theyParse(k) && oursParses(k) && theyParse(needed(k))
				})
			},
			keyExample("ES256", map[string]any{"x5t": "short"}),
		},
		{
			"a member of the header that is of no use here is broken",
			theirsSayNo,
			"jwk, x5c and nonce are never read here, nor is anything else but alg, kid and typ",
			nil,
			func(in *input) bool {
				reduced := b64(only(in.rawHeader, "alg", "kid")) + ".e30.AA"
				_, whole := gojose.ParseSignedCompact(string(in.token), theirAlgs())
				_, err := gojose.ParseSignedCompact(reduced, theirAlgs())
				return whole != nil && err == nil
			},
			headerExample("ES256", `{"alg":"ES256","kid":"es256","x5c":["MA=="]}`),
		},
		{
			"two keys have one kid",
			theirsSayNo,
			"RFC 7517 section 4.5 only advises against it: ours tries at most four that fit; go-jose tries the first",
			nil,
			func(in *input) bool {
				n := 0
				for _, k := range in.keys {
					if kid, _ := k["kid"].(string); kid == in.header["kid"] {
						n++
					}
				}
				return n > 1
			},
			func() question {
				s := by("ES256")
				return question{s.token(s.header(), plainClaims), keySet(by("EdDSA").with(map[string]any{"kid": s.kid}), s.jwk)}
			},
		},
		{
			"the set has keys in another case as well",
			theirsSayNo,
			"encoding/json folds the case of names and takes the last; ours has exactly one name for it",
			nil,
			func(in *input) bool { return look(in.set, "keys").otherCase },
			func() question {
				q := keyExample("ES256", nil)()
				return question{q.token, append(bytes.TrimSuffix(q.set, []byte("}")), `,"KEYS":[]}`...)}
			},
		},
	}
}

func theyParse(k json.RawMessage) bool { return new(gojose.JSONWebKey).UnmarshalJSON(k) == nil }

func oursParses(k json.RawMessage) bool { _, err := jose.ParsePublicKey(k); return err == nil }

// needed is a key without the members that are of no use for checking signatures.
func needed(k json.RawMessage) []byte {
	if lenient(k)["kty"] == "RSA" {
		return only(k, "kty", "kid", "use", "alg", "n", "e")
	}
	return only(k, "kty", "kid", "use", "alg", "crv", "x", "y")
}

// only keeps these members of an object, with the texts that they have.
func only(object []byte, names ...string) []byte {
	var all map[string]json.RawMessage
	if json.Unmarshal(object, &all) != nil {
		return nil
	}
	for name := range all {
		if !slices.Contains(names, name) {
			delete(all, name)
		}
	}
	b, err := json.Marshal(all)
	if err != nil {
		return nil
	}
	return b
}
