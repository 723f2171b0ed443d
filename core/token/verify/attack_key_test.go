package verify_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"slices"
	"strings"

	"github.com/oidcbox/oidcbox/core/oidc/provider"
	"github.com/oidcbox/oidcbox/core/token/jose"
	"github.com/oidcbox/oidcbox/core/token/verify"
)

// algAttempts are about alg, and about keys used for what they are not.
func algAttempts() []attempt {
	const allow = "RFC 8725 3.1, RFC 7518 3.1"
	var list []attempt
	for _, alg := range []string{
		"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519",
	} {
		list = append(list, attempt{
			name: "signed with " + alg, source: "RFC 7518 3.1, RFC 8037 3.1, RFC 9864 2.2", alg: alg,
		})
	}
	for _, alg := range []string{
		"none", "None", "NONE", "nOnE", "", "es256", "ES256 ", "HS384", "HS512", "RS1", "ES256K", "Ed448",
		"RSA-OAEP", "dir",
		"ML-DSA-44", "A128KW", "ES256\\u0000",
	} {
		list = append(list, attempt{
			name: "alg " + alg, source: allow, want: "alg|claim", head: []string{`alg="` + alg + `"`},
		})
	}
	for name, alg := range map[string]string{
		"null": "null", "a number": "256", "an array": `["ES256"]`, "an object": `{}`,
	} {
		list = append(list, attempt{
			name: "alg is " + name, source: "RFC 7515 4.1.1", want: "claim|alg", head: []string{"alg=" + alg},
		})
	}
	withMAC := func(key func(f *forge) []byte) func(*forge, string) string {
		return resign(func(f *forge, input string, _ []byte) []byte { return mac(key(f), input) })
	}
	return append(
		list,
		attempt{name: "no alg", source: "RFC 7515 4.1.1", want: "claim|alg", head: []string{"alg="}},
		attempt{
			name: "HS256 with the RSA key in PEM", source: "RFC 8725 2.1, 3.1", want: "alg", alg: "RS256",
			head: []string{`alg="HS256"`},
			after: withMAC(func(f *forge) []byte {
				der := must(x509.MarshalPKIXPublicKey(f.private["r1"].Public()))
				return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
			}),
		},
		attempt{
			name: "HS256 with the modulus", source: "RFC 8725 2.1, 3.1", want: "alg", alg: "RS256",
			head:  []string{`alg="HS256"`},
			after: withMAC(func(f *forge) []byte { return f.private["r1"].(*rsa.PrivateKey).N.Bytes() }),
		},
		attempt{
			name: "HS256 with an oct key of the set", source: "RFC 8725 3.1", want: "alg", kid: "h1",
			head:  []string{`alg="HS256"`},
			set:   []string{`{"kty":"oct","kid":"h1","k":"c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0"}`},
			after: withMAC(func(*forge) []byte { return []byte("secretsecretsecretsecret") }),
		},
		attempt{
			name: "an algorithm its issuer does not use", source: "RFC 8725 3.1 (one key, one algorithm)",
			want: "alg", alg: "RS256",
			conf: func(c *verify.Config) { c.Issuers[0].Algs = []jose.Alg{jose.ES256} },
		},
		attempt{
			name: "the algorithm its issuer uses", source: "RFC 8725 3.1",
			conf: func(c *verify.Config) { c.Issuers[0].Algs = []jose.Alg{jose.ES256} },
		},
	)
}

// keyAttempts are about which key is chosen and what it may be used for.
func keyAttempts() []attempt {
	const choice = "RFC 7515 4.1.4, RFC 8725 3.10"
	list := []attempt{
		{name: "kid unknown", source: choice, want: "key", kid: "e9"},
		{name: "kid in other letters", source: "RFC 7517 4.5 (case-sensitive)", want: "key", kid: "E1"},
		{name: "kid empty", source: choice, want: "key|claim", head: []string{`kid=""`}},
		{name: "kid is a file name", source: "RFC 8725 3.10", want: "key", kid: "../../../../dev/null"},
		{name: "kid is a statement", source: "RFC 8725 3.10", want: "key", kid: "e1' OR '1'='1"},
		{name: "kid is an address", source: "RFC 8725 3.10", want: "key", kid: "http://127.0.0.1:1/"},
		{name: "kid of another type of key", source: "RFC 8725 3.1", want: "key", kid: "r1"},
		{name: "no kid, one key that fits", source: "RFC 7517 4.5", kid: "-"},
		{name: "no kid, second of two that fit", source: "RFC 7517 4.5", kid: "-", key: "e2", set: []string{"e2"}},
		{name: "no kid, key of nobody", source: "RFC 7515 5.2 (8)", want: "signature|key", kid: "-", key: "evil"},
		{
			name: "no kid in WLCG", source: "WLCG 1.3 keys: kid must be in the token", want: "key|claim",
			base: "wlcg", kid: "-",
		},
		{name: "two keys of one kid", source: "RFC 7517 5", key: "e2", set: []string{`e2`}, kid: "e2"},
		{name: "use enc", source: "RFC 7517 4.2", want: "key", key: "e2", set: []string{`e2,"use":"enc"`}},
		{name: "use sig", source: "RFC 7517 4.2", key: "e2", set: []string{`e2,"use":"sig"`}},
		{
			name: "key_ops without verify", source: "RFC 7517 4.3", want: "key", key: "e2",
			set: []string{`e2,"key_ops":["sign"]`},
		},
		{name: "key_ops empty", source: "RFC 7517 4.3", want: "key", key: "e2", set: []string{`e2,"key_ops":[]`}},
		{name: "key_ops verify", source: "RFC 7517 4.3", key: "e2", set: []string{`e2,"key_ops":["verify"]`}},
		{
			name: "JWK of another alg", source: "RFC 7517 4.4, RFC 8725 3.1", want: "key", key: "e2",
			set: []string{`e2,"alg":"ES384"`},
		},
		{name: "JWK of the same alg", source: "RFC 7517 4.4", key: "e2", set: []string{`e2,"alg":"ES256"`}},
		{
			name: "JWK for encryption by alg", source: "RFC 7517 4.4", want: "key", key: "e2",
			set: []string{`e2,"alg":"ECDH-ES"`},
		},
		{name: "ES256 with a P-384 key", source: "RFC 7518 3.4", want: "key", key: "e3"},
		{name: "ES384 with a P-256 key", source: "RFC 7518 3.4", want: "key", alg: "ES384", key: "e1"},
		{name: "EdDSA with the kid of an EC key", source: "RFC 8037 3.1", want: "key", alg: "EdDSA", kid: "e1"},
		{
			name: "RSA with 1024 bits", source: "RFC 7518 3.3", want: "key", alg: "RS256", key: "weak",
			set: []string{"weak"},
		},
		{
			name: "PSS with 1024 bits", source: "RFC 7518 3.5", want: "key", alg: "PS256", key: "weak",
			set: []string{"weak"},
		},
		{name: "RSA with exponent one", source: "RFC 7517 4.5", want: "key", alg: "RS256", kid: "one", set: []string{
			`{"kty":"RSA","kid":"one","e":"AQ","n":"` + b64(bytes.Repeat([]byte{0xc5}, 256)) + `"}`,
		}, after: resign(func(*forge, string, []byte) []byte { return bytes.Repeat([]byte{1}, 256) })},
		{
			name: "an unknown type of key beside ours", source: "RFC 7517 5",
			set: []string{`{"kty":"AKP","kid":"m","alg":"ML-DSA-44","pub":"AAAA"}`},
		},
		{
			name: "a broken key beside ours", source: "RFC 7517 5",
			set: []string{`{"kty":"EC","kid":"b","crv":"P-256","x":"AAAA","y":"AAAA"}`},
		},
		{name: "a key that is a point off the curve", source: "RFC 8725 3.4", want: "key", kid: "off", set: []string{
			`{"kty":"EC","kid":"off","crv":"P-256","x":"` + b64(bytes.Repeat([]byte{1}, 32)) + `","y":"` +
				b64(bytes.Repeat([]byte{2}, 32)) + `"}`,
		}},
		{name: "X25519 as a signing key", source: "RFC 8037 3.2", want: "key", alg: "EdDSA", kid: "x", set: []string{
			`{"kty":"OKP","crv":"X25519","kid":"x","x":"` + b64(bytes.Repeat([]byte{9}, 32)) + `"}`,
		}},
		{name: "key of another issuer", source: "RFC 8725 3.8", want: "key", key: "other"},
		{
			name: "key of another issuer under our kid", source: "RFC 8725 3.8", want: "signature", key: "other",
			kid: "e1",
		},
		{name: "keys cannot be had", source: "RFC 9110 15.6.4 (503)", want: "unavailable", conf: noKeys},
		{
			name: "a stranger while keys cannot be had", source: "RFC 9068 4 (iss exactly)", want: "issuer",
			body: []string{`iss="https://evil.example.org"`}, conf: noKeys,
		},
	}
	return append(list, embeddedKeys()...)
}

// down is a source of keys that has none, as when an issuer cannot be reached.
type down struct{}

func (down) Candidates(context.Context, string, jose.Header) ([]*jose.PublicKey, error) {
	return nil, downError{}
}

func (down) Generation(string) uint64 { return 0 }

type downError struct{}

func (downError) Error() string { return "issuer is down" }
func (downError) Unwrap() error { return provider.ErrUnavailable }

func noKeys(c *verify.Config) { c.Issuers, c.Keys = []verify.Issuer{{URL: atkIssuer}}, down{} }

// embeddedKeys are signed by the attacker, who hands in the key.
func embeddedKeys() []attempt {
	const source = "RFC 8725 3.10, RFC 7515 10.3 (keys from the token)"
	with := func(name string, head func(f *forge) string) attempt {
		return attempt{name: name, source: source, want: "signature|key", raw: func(f *forge) string {
			a := attempt{key: "evil"}
			a.rawHead = head(f)
			return f.make(a)
		}}
	}
	return []attempt{
		with("jwk of the attacker", func(f *forge) string { return `{"alg":"ES256","jwk":` + f.public["evil"] + `}` }),
		with("jwk of the attacker and our kid", func(f *forge) string {
			return `{"alg":"ES256","kid":"e1","jwk":` + f.public["evil"] + `}`
		}),
		with("jku of the attacker", func(*forge) string {
			return `{"alg":"ES256","kid":"evil","jku":"http://127.0.0.1:1/jwks"}`
		}),
		with("x5u of the attacker", func(*forge) string {
			return `{"alg":"ES256","kid":"evil","x5u":"http://127.0.0.1:1/c"}`
		}),
		with("x5c of the attacker", func(f *forge) string {
			der := must(x509.MarshalPKIXPublicKey(f.private["evil"].Public()))
			return `{"alg":"ES256","kid":"e1","x5c":["` + b64(der) + `"]}`
		}),
	}
}

// signatureAttempts are about the signature itself.
func signatureAttempts() []attempt {
	const source, ec = "RFC 7515 5.2 (8), RFC 8725 3.2", "RFC 7518 3.4"
	n := elliptic.P256().Params().N
	whole := func(b []byte) func(*forge, string) string {
		return resign(func(*forge, string, []byte) []byte { return b })
	}
	list := []attempt{
		{
			name: "another bit", source: source, want: "signature",
			after: resign(func(_ *forge, _ string, s []byte) []byte { s[10] ^= 1; return s }),
		},
		{
			name: "claims changed afterwards", source: source, want: "signature",
			after: func(_ *forge, token string) string {
				_, sig := parts(token)
				changed := body(attempt{body: []string{`sub="root"`}})
				return b64([]byte(`{"alg":"ES256","kid":"e1"}`)) + "." + b64([]byte(changed)) + "." + b64(sig)
			},
		},
		{
			name: "header changed afterwards", source: source, want: "signature",
			after: func(f *forge, token string) string {
				return b64([]byte(f.head(attempt{head: []string{"x=1"}}))) + token[strings.IndexByte(token, '.'):]
			},
		},
		{
			name: "signature of another token", source: source, want: "signature",
			after: func(f *forge, token string) string {
				input, _ := parts(token)
				_, sig := parts(f.make(attempt{body: []string{`sub="bob"`}}))
				return input + "." + b64(sig)
			},
		},
		{
			name: "signature over the claims only", source: "RFC 7515 5.1 (5)", want: "signature",
			after: resign(func(f *forge, input string, _ []byte) []byte {
				return f.sign(attempt{}, input[strings.IndexByte(input, '.')+1:])
			}),
		},
		{name: "ECDSA of zeros", source: ec + ", RFC 8725 3.2", want: "signature", after: whole(make([]byte, 64))},
		{name: "ECDSA with r and s the order", source: ec, want: "signature", after: whole(rs(n, n, 32))},
		{
			name: "ECDSA with r one and s zero", source: ec, want: "signature",
			after: whole(rs(big.NewInt(1), new(big.Int), 32)),
		},
		{
			name: "ECDSA of 63 bytes", source: ec, want: "signature",
			after: resign(func(_ *forge, _ string, s []byte) []byte { return s[:63] }),
		},
		{
			name: "ECDSA of 65 bytes", source: ec, want: "signature",
			after: resign(func(_ *forge, _ string, s []byte) []byte { return append([]byte{0}, s...) }),
		},
		{
			name: "ECDSA of 66 bytes, each half with a zero", source: ec, want: "signature",
			after: resign(func(_ *forge, _ string, s []byte) []byte {
				return slices.Concat([]byte{0}, s[:32], []byte{0}, s[32:])
			}),
		},
		{
			name: "ECDSA in DER", source: ec, want: "signature",
			after: resign(func(f *forge, input string, _ []byte) []byte {
				h := sha256.Sum256([]byte(input))
				return must(ecdsa.SignASN1(rand.Reader, f.private["e1"].(*ecdsa.PrivateKey), h[:]))
			}),
		},
		{
			name: "ECDSA with n minus s", source: ec + " (a valid signature as well)",
			after: resign(func(_ *forge, _ string, s []byte) []byte {
				return rs(new(big.Int).SetBytes(s[:32]), new(big.Int).Sub(n, new(big.Int).SetBytes(s[32:])), 32)
			}),
		},
		{
			name: "ECDSA over SHA-512", source: ec, want: "signature",
			after: resign(func(f *forge, input string, _ []byte) []byte {
				h := sha512.Sum512([]byte(input))
				r, s, err := ecdsa.Sign(rand.Reader, f.private["e1"].(*ecdsa.PrivateKey), h[:])
				return rs(r, must(s, err), 32)
			}),
		},
		{
			name: "EdDSA with s above the order", source: "RFC 8032 5.1.7", want: "signature", alg: "EdDSA",
			after: resign(func(_ *forge, _ string, s []byte) []byte {
				return append(s[:32:32], littleAdd(s[32:], edOrder())...)
			}),
		},
		{
			name: "EdDSA of zeros", source: "RFC 8032 5.1.7", want: "signature", alg: "EdDSA",
			after: whole(make([]byte, 64)),
		},
		{
			name: "EdDSA of 63 bytes", source: "RFC 8032 5.1.7", want: "signature", alg: "EdDSA",
			after: resign(func(_ *forge, _ string, s []byte) []byte { return s[:63] }),
		},
	}
	return append(list, rsaSignatures()...)
}

func rsaSignatures() []attempt {
	const v15, pss = "RFC 7518 3.3, RFC 8017 8.2.2", "RFC 7518 3.5"
	signed := func(opts crypto.SignerOpts, digest func(string) []byte) func(*forge, string) string {
		return resign(func(f *forge, input string, _ []byte) []byte {
			return must(f.private["r1"].Sign(rand.Reader, digest(input), opts))
		})
	}
	d256 := func(s string) []byte { h := sha256.Sum256([]byte(s)); return h[:] }
	d512 := func(s string) []byte { h := sha512.Sum512([]byte(s)); return h[:] }
	salt := func(n int) crypto.SignerOpts { return &rsa.PSSOptions{SaltLength: n, Hash: crypto.SHA256} }
	return []attempt{
		{name: "RS256 over SHA-512", source: v15, want: "signature", alg: "RS256", after: signed(crypto.SHA512, d512)},
		{
			name: "RS256 without the name of the hash", source: v15, want: "signature", alg: "RS256",
			after: signed(crypto.Hash(0), d256),
		},
		{
			name: "RS256 with a zero before", source: v15, want: "signature", alg: "RS256",
			after: resign(func(_ *forge, _ string, s []byte) []byte { return append([]byte{0}, s...) }),
		},
		{
			name: "RS256 with a zero behind", source: v15, want: "signature", alg: "RS256",
			after: resign(func(_ *forge, _ string, s []byte) []byte { return append(s, 0) }),
		},
		{
			name: "RS256 of zeros", source: v15, want: "signature", alg: "RS256",
			after: resign(func(*forge, string, []byte) []byte { return make([]byte, 256) }),
		},
		{
			name: "RS256 plus the modulus", source: "RFC 8017 5.2.2", want: "signature", alg: "RS256",
			raw: func(f *forge) string {
				for i := 0; ; i++ { // until the sum fits in 2048 bits
					token := f.make(attempt{alg: "RS256", body: []string{fmt.Sprintf("x=%d", i)}})
					input, sig := parts(token)
					sum := new(big.Int).Add(new(big.Int).SetBytes(sig), f.private["r1"].(*rsa.PrivateKey).N)
					if sum.BitLen() <= 2048 {
						return input + "." + b64(sum.FillBytes(make([]byte, 256)))
					}
					if i == 200 { // the modulus is nearly 2^2048: a byte more, then
						return input + "." + b64(sum.Bytes())
					}
				}
			},
		},
		{
			name: "PSS signature under RS256", source: v15, want: "signature", alg: "RS256",
			after: signed(salt(32), d256),
		},
		{
			name: "RS256 signature under PS256", source: pss, want: "signature", alg: "PS256",
			after: signed(crypto.SHA256, d256),
		},
		{
			name: "PS256 with a salt of one byte", source: pss + " (salt as long as the hash)", want: "signature",
			alg: "PS256", after: signed(&rsa.PSSOptions{SaltLength: 1, Hash: crypto.SHA256}, d256),
		},
		{name: "PS256 with a salt of 20", source: pss, want: "signature", alg: "PS256", after: signed(salt(20), d256)},
		{
			name: "PS256 with the longest salt", source: pss, want: "signature", alg: "PS256",
			after: signed(salt(rsa.PSSSaltLengthAuto), d256),
		},
	}
}

// edOrder is the order of the group of Ed25519 (RFC 8032 section 5.1).
func edOrder() *big.Int {
	l, _ := new(big.Int).SetString("27742317777372353535851937790883648493", 10)
	return l.Add(l, new(big.Int).Lsh(big.NewInt(1), 252))
}

// littleAdd adds n to a little-endian number of 32 bytes.
func littleAdd(b []byte, n *big.Int) []byte {
	c := slices.Clone(b)
	slices.Reverse(c)
	sum := new(big.Int).Add(new(big.Int).SetBytes(c), n).FillBytes(make([]byte, 32))
	slices.Reverse(sum)
	return sum
}
