package jose

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"strings"
)

// Limits of one token. A header is small; a payload may list many groups.
const (
	MaxToken       = 64 << 10
	headerDepth    = 16
	headerMembers  = 100
	PayloadDepth   = 32
	PayloadMembers = 1000
)

// Header is what the verifier uses of a JOSE header. jku, x5u, jwk, x5c and x5t are never looked at.
type Header struct {
	Alg      Alg
	KeyID    string
	HasKeyID bool
	// Type is typ in lower case without an "application/" in front, "" when absent.
	Type string
}

// Message is a well-formed compact JWS. Nothing in it may be believed before Verify has returned nil.
type Message struct {
	Header  Header
	Payload []byte

	header    []byte
	input     []byte // what was signed: header, dot, payload, as they came
	signature []byte
}

// Parse reads a compact JWS of at most MaxToken bytes. It checks the form, the encoding and the header, and leaves the
// payload as bytes (none are allowed), because what it has to be is the caller's matter. The message
// refers to raw, which must not change while the message is in use. Errors repeat nothing of the token.
func Parse(raw []byte) (*Message, error) { return ParseLimit(raw, MaxToken) }

// ParseLimit is Parse with another size limit in bytes.
func ParseLimit(raw []byte, limit int) (*Message, error) {
	if len(raw) > limit {
		return nil, ErrTooLarge
	}
	first, second, err := split(raw)
	if err != nil {
		return nil, err
	}
	// One buffer for all three parts, each 3/4 of its text and rounded up.
	buf := make([]byte, 0, len(raw)/4*3+9)
	var parts [3][]byte
	for i, part := range [3][]byte{raw[:first], raw[first+1 : second], raw[second+1:]} {
		if parts[i], buf, err = decodePart(buf, part); err != nil {
			return nil, malformed(raw, err)
		}
	}
	h, err := parseHeader(parts[0])
	if err != nil {
		return nil, err
	}
	return &Message{Header: h, Payload: parts[1], header: parts[0], input: raw[:second], signature: parts[2]}, nil
}

// split returns the places of the two dots.
func split(raw []byte) (first, second int, err error) {
	if len(raw) > 0 && raw[0] == '{' {
		return 0, 0, ErrSerialization
	}
	switch bytes.Count(raw, []byte{'.'}) {
	case 2:
	case 4:
		return 0, 0, malformed(raw, ErrEncrypted)
	default:
		return 0, 0, malformed(raw, ErrShape)
	}
	first, second = bytes.IndexByte(raw, '.'), bytes.LastIndexByte(raw, '.')
	if first == 0 || second == len(raw)-1 {
		return 0, 0, malformed(raw, ErrShape)
	}
	return first, second, nil
}

// malformed is err, or ErrCharacters where that comes first. Whatever decodes as base64url has only characters that a
// bearer token may have, so they are looked at when something else is wrong already.
func malformed(raw []byte, err error) error {
	if !bearerCharacters(raw) {
		return ErrCharacters
	}
	return err
}

// bearerCharacters checks the grammar b64token of RFC 6750 section 2.1.
func bearerCharacters(raw []byte) bool {
	end := len(bytes.TrimRight(raw, "="))
	for _, c := range raw[:end] {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case c == '-', c == '_', c == '.', c == '~', c == '+', c == '/':
		default:
			return false
		}
	}
	return end > 0
}

// decodePart appends the bytes of one part to buf and returns them alone, and the buffer.
func decodePart(buf, part []byte) (decoded, grown []byte, err error) {
	// The decoder skips line breaks.
	if bytes.IndexByte(part, '\n') >= 0 || bytes.IndexByte(part, '\r') >= 0 {
		return nil, nil, ErrBase64
	}
	grown, err = base64.RawURLEncoding.AppendDecode(buf, part)
	if err != nil || !canonical(part) {
		return nil, nil, ErrBase64
	}
	n := len(buf)
	return grown[n:len(grown):len(grown)], grown, nil
}

// canonical reports whether the unused low bits of the last character are zero. base64.Encoding.Strict does the same,
// at the price of a copy of its tables for every decoder that is not kept in a variable.
func canonical[T []byte | string](part T) bool {
	return len(part) == 0 || base64Value(part[len(part)-1])&unusedBits(len(part)%4) == 0
}

// unusedBits is the mask of the bits that the last character does not use.
func unusedBits(rest int) byte {
	switch rest {
	case 2:
		return 0x0f
	case 3:
		return 0x03
	}
	return 0
}

func base64Value(c byte) byte {
	switch {
	case 'A' <= c && c <= 'Z':
		return c - 'A'
	case 'a' <= c && c <= 'z':
		return c - 'a' + 26
	case '0' <= c && c <= '9':
		return c - '0' + 52
	case c == '-':
		return 62
	}
	return 63
}

func parseHeader(b []byte) (Header, error) {
	o, err := readObject(b, limits{depth: headerDepth, members: headerMembers, expect: 4})
	if err != nil {
		return Header{}, err
	}
	if err := o.RefuseVariants("alg", "kid", "typ", "cty", "crit", "b64"); err != nil {
		return Header{}, err
	}
	if !o.Has("alg") {
		return Header{}, &AlgorithmError{}
	}
	name, err := o.String("alg")
	if err != nil {
		return Header{}, err
	}
	h := Header{HasKeyID: o.Has("kid")}
	if h.Alg, err = ParseAlg(name); err != nil {
		return Header{}, err
	}
	if h.KeyID, err = o.String("kid"); err != nil {
		return Header{}, err
	}
	if o.Has("crit") || o.Has("b64") {
		return Header{}, ErrCritical
	}
	if o.Has("cty") {
		return Header{}, ErrNested
	}
	typ, err := o.String("typ")
	if err != nil {
		return Header{}, err
	}
	h.Type = mediaType(typ)
	if h.Type == "" && o.Has("typ") { // names no type, which is not the same as none at all
		return Header{}, ErrTokenType
	}
	return h, nil
}

// mediaType folds a typ (RFC 7515 section 4.1.9): case does not matter and "application/" may be left out.
func mediaType(typ string) string {
	return strings.TrimPrefix(strings.ToLower(typ), "application/")
}

// Verify checks the signature with k, which has to fit the algorithm of the header. The error is ErrKeyMismatch or
// ErrSignature.
func (m *Message) Verify(k *PublicKey) error {
	by := k.check(m.Header.Alg)
	if by == nil {
		return ErrKeyMismatch
	}
	if by.Verify(m.input, m.signature, k.key) != nil {
		return ErrSignature
	}
	return nil
}

// EmbeddedKey returns the public key that the header carries (jwk, RFC 7515 section 4.1.3). A signature that this key
// checks says no more than that somebody holds the other half: it is for proofs of possession, never for tokens. A key
// with any private member is refused (ErrKey). Errors are those of ParsePublicKey, and ErrMissing.
func (m *Message) EmbeddedKey() (*PublicKey, error) {
	o, err := readObject(m.header, limits{depth: headerDepth, members: headerMembers, expect: 4})
	if err != nil {
		return nil, err
	}
	if err := o.RefuseVariants("jwk"); err != nil {
		return nil, err
	}
	jwk, there, err := o.Object("jwk")
	if err != nil {
		return nil, err
	}
	if !there {
		return nil, fmt.Errorf("jwk %w", ErrMissing)
	}
	for _, private := range []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k"} {
		if jwk.Has(private) {
			return nil, fmt.Errorf("%w: it has a private member", ErrKey)
		}
	}
	raw, _ := o.Raw("jwk")
	return ParsePublicKey([]byte(raw))
}

// AccessTokenType reports whether typ is absent or one that an access token may have: jwt or at+jwt. Any other is
// another kind of token (logout+jwt, dpop+jwt, secevent+jwt ...).
func (h Header) AccessTokenType() error {
	switch h.Type {
	case "", "jwt", "at+jwt":
		return nil
	}
	return ErrTokenType
}
