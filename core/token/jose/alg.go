package jose

import (
	"slices"
	"strings"
)

// Alg is the name of a signature algorithm that is on the allow-list.
type Alg string

// The allow-list (RFC 7518 section 3.1, RFC 8037, RFC 9864). EdDSA is taken with Ed25519 keys only.
const (
	RS256   Alg = "RS256"
	RS384   Alg = "RS384"
	RS512   Alg = "RS512"
	PS256   Alg = "PS256"
	PS384   Alg = "PS384"
	PS512   Alg = "PS512"
	ES256   Alg = "ES256"
	ES384   Alg = "ES384"
	ES512   Alg = "ES512"
	EdDSA   Alg = "EdDSA"
	Ed25519 Alg = "Ed25519"
)

// Algs returns the whole allow-list.
func Algs() []Alg {
	return []Alg{RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA, Ed25519}
}

// ParseAlg returns the algorithm called name, exactly and with its case, or an *AlgorithmError.
func ParseAlg(name string) (Alg, error) {
	switch a := Alg(name); a {
	case RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA, Ed25519:
		return a, nil
	}
	known := []string{"none", "HS256", "HS384", "HS512", "ES256K", "Ed448"}
	if slices.ContainsFunc(known, func(k string) bool { return strings.EqualFold(k, name) }) {
		return "", &AlgorithmError{Alg: name}
	}
	return "", &AlgorithmError{}
}

// family says which keys an algorithm needs.
type family int

const (
	familyRSA family = iota + 1
	familyP256
	familyP384
	familyP521
	familyEd25519
)

func (a Alg) family() family {
	switch a {
	case RS256, RS384, RS512, PS256, PS384, PS512:
		return familyRSA
	case ES256:
		return familyP256
	case ES384:
		return familyP384
	case ES512:
		return familyP521
	case EdDSA, Ed25519:
		return familyEd25519
	}
	return 0
}

// Same reports whether a and b are one algorithm: Ed25519 has two names.
func (a Alg) Same(b Alg) bool {
	return a == b || a.family() == familyEd25519 && b.family() == familyEd25519
}
