package jose

import (
	"errors"
	"fmt"
)

var (
	// ErrTooLarge: the token, key set or document is longer than allowed.
	ErrTooLarge = errors.New("input is too large")
	// ErrCharacters: the token has characters that RFC 6750 section 2.1 does not allow in a bearer token.
	ErrCharacters = errors.New("token has characters that no bearer token has")
	// ErrShape: not three parts between two dots, or one that must not be empty is. The token may be an opaque one.
	ErrShape = errors.New("not a signed JWT: it has not the form of three parts between two dots")
	// ErrEncrypted: five parts, a JWE.
	ErrEncrypted = errors.New("encrypted tokens (JWE) are not accepted")
	// ErrSerialization: the JSON serialisation of a JWS, which is no JWT (RFC 7519 section 1).
	ErrSerialization = errors.New("JSON serialisation of a JWS is not accepted")
	// ErrBase64: a part is not canonical base64url without padding.
	ErrBase64 = errors.New("not canonical base64url without padding")
	// ErrJSON: not exactly one strict JSON object.
	ErrJSON = errors.New("not one strict JSON object")
	// ErrDepth: JSON nested deeper than allowed.
	ErrDepth = errors.New("JSON is nested too deep")
	// ErrMembers: more JSON members than allowed.
	ErrMembers = errors.New("JSON has too many members")
	// ErrCaseVariant: a member differs from one we know in upper and lower case only.
	ErrCaseVariant = errors.New("member name differs from a known one in case only")
	// ErrMissing: a required member is absent.
	ErrMissing = errors.New("is missing")
	// ErrCritical: the header has crit or b64, and no extension is supported (RFC 7515 section 4.1.11, RFC 7797).
	ErrCritical = errors.New("header asks for an extension (crit or b64), none is supported")
	// ErrTokenType: typ says that this is another kind of token (RFC 8725 section 3.11).
	ErrTokenType = errors.New("typ in the header is not that of an access token")
	// ErrNested: cty is present, which announces a token in the token.
	ErrNested = errors.New("nested tokens (cty) are not accepted")
	// ErrSignature: the signature does not belong to this token and key.
	ErrSignature = errors.New("signature does not match")
	// ErrKeyMismatch: the key may not be used with the algorithm in the header.
	ErrKeyMismatch = errors.New("key does not fit the algorithm of the token")
	// ErrKeyType: a key of a type or curve that is never used for signatures here; RFC 7517 section 5 says to skip it.
	ErrKeyType = errors.New("key type is not supported")
	// ErrWeakKey: an RSA key under 2048 bits or with a bad exponent, an Ed25519 key of small order.
	ErrWeakKey = errors.New("key is too weak")
	// ErrKey: a key that is broken or not meant for checking signatures.
	ErrKey = errors.New("key is not usable")
	// ErrName: a member name that we would write is not plain.
	ErrName = errors.New("member name has characters outside A-Z a-z 0-9 . _ : / -")
)

// AlgorithmError: alg is not on the allow-list. Alg is set only when it is one of the well-known refused names, so that
// nothing a stranger wrote ends up in a log line.
type AlgorithmError struct{ Alg string }

func (e *AlgorithmError) Error() string {
	if e.Alg == "" {
		return "algorithm is not allowed"
	}
	return fmt.Sprintf("algorithm %s is not allowed", e.Alg)
}

// MemberError: a JSON member has the wrong type or value. Want says what is right. The value is not kept.
type MemberError struct{ Name, Want string }

func (e *MemberError) Error() string { return fmt.Sprintf("%s is not %s", e.Name, e.Want) }
