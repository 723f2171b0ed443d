package mint

import (
	"bytes"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/oidcbox/oidcbox/core/mytoken"
	"github.com/oidcbox/oidcbox/core/token/jose"
)

// MaxSize is the longest mytoken, in bytes. It travels in a header of a request.
const MaxSize = 16 << 10

// maxSeqNo is what every reader of JSON keeps exactly.
const maxSeqNo = 1 << 53

// maxTried is how many keys one mytoken is tried with: its header does not say which.
const maxTried = 8

// Checker checks the mytokens of one server. It may be used from several goroutines.
type Checker struct {
	issuer string
	keys   *jose.KeySet
}

// NewChecker returns what checks the mytokens that the server issuer has signed with one of keys, the current one
// first.
func NewChecker(issuer string, keys *jose.KeySet) *Checker {
	return &Checker{issuer: issuer, keys: keys}
}

// Check returns what a mytoken says when it is one of this server: form, signature, times without leeway, issuer,
// audience, jti and sub. Whether it is revoked or was replaced is not known here. Errors are those of this package;
// none repeats anything of the token.
func (k *Checker) Check(raw []byte, now time.Time) (mytoken.Claims, error) {
	c, err := k.Genuine(raw)
	if err != nil {
		return mytoken.Claims{}, err
	}
	return c, Timely(c, now)
}

// Genuine is Check without the times: for what may be asked of a mytoken that is over.
func (k *Checker) Genuine(raw []byte) (mytoken.Claims, error) {
	m, err := parse(raw)
	if err != nil {
		return mytoken.Claims{}, err
	}
	if err := k.verify(m); err != nil {
		return mytoken.Claims{}, err
	}
	c, err := mytoken.ParseClaims(m.Payload)
	if err != nil {
		return mytoken.Claims{}, fmt.Errorf("%w: %w", ErrForm, err)
	}
	if c.Issuer != k.issuer || c.Audience != k.issuer {
		return mytoken.Claims{}, ErrIssuer
	}
	if err := complete(c); err != nil {
		return mytoken.Claims{}, fmt.Errorf("%w: %w", ErrForm, err)
	}
	return c, nil
}

// Timely compares the times of a mytoken with now, without leeway: the server that reads them is the one that wrote
// them. The error is ErrExpired or ErrNotYet.
func Timely(c mytoken.Claims, now time.Time) error {
	s := now.Unix()
	switch {
	case !c.Expires.IsZero() && s >= c.Expires.Unix():
		return ErrExpired
	case s < c.NotBefore.Unix(), s < c.IssuedAt.Unix():
		return ErrNotYet
	}
	return nil
}

// parse reads the form: a JWS whose header is the one that this profile has for its algorithm, to the byte.
func parse(raw []byte) (*jose.Message, error) {
	m, err := jose.ParseLimit(raw, MaxSize)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrForm, err)
	}
	header := `{"alg":"` + string(m.Header.Alg) + `","typ":"` + typ + `"}`
	want := base64.RawURLEncoding.EncodeToString([]byte(header))
	if got, _, _ := bytes.Cut(raw, []byte(".")); string(got) != want {
		return nil, fmt.Errorf("%w: %w", ErrForm, errHeader)
	}
	return m, nil
}

var errHeader = errors.New("header is not alg and typ MT+JWT alone")

func (k *Checker) verify(m *jose.Message) error {
	tried := 0
	for _, key := range k.keys.Keys() {
		if !key.Fits(m.Header.Alg) {
			continue
		}
		if m.Verify(key) == nil {
			return nil
		}
		if tried++; tried == maxTried {
			break
		}
	}
	return ErrSignature
}

// complete checks what this profile wants of the claims beyond their types.
func complete(c mytoken.Claims) error {
	switch want := Subject(c.OIDCSubject, c.OIDCIssuer); {
	case !version(c.Version):
		return &jose.MemberError{Name: "ver", Want: "a version 0 of mytokens"}
	case c.SeqNo < 1 || c.SeqNo > maxSeqNo:
		return &jose.MemberError{Name: "seq_no", Want: "1 or more"}
	case !uuid(c.ID):
		return &jose.MemberError{Name: "jti", Want: "a UUID"}
	case c.OIDCSubject == "" || c.OIDCIssuer == "":
		return &jose.MemberError{Name: "oidc_sub", Want: "a person at a provider"}
	case subtle.ConstantTimeCompare([]byte(c.Subject), []byte(want)) != 1:
		return &jose.MemberError{Name: "sub", Want: "that of the person at the provider"}
	case c.NotBefore.IsZero() || c.IssuedAt.IsZero():
		return &jose.MemberError{Name: "iat", Want: "a time, beside nbf"}
	}
	for _, r := range c.Restrictions {
		if len(r.Unknown()) > 0 || len(r.Vacant()) > 0 || len(r.Include) > 0 {
			return &jose.MemberError{Name: "restrictions", Want: "clauses that can be kept to"}
		}
	}
	return nil
}

// version takes those whose tokens have the claims of ours: 0.4 and later.
func version(s string) bool {
	major, minor, ok := strings.Cut(s, ".")
	n, err := strconv.ParseUint(minor, 10, 16)
	return ok && err == nil && major == "0" && n >= 4
}

// uuid reports whether s is a UUID other than the one of zeros.
func uuid(s string) bool {
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return false
	}
	b, err := hex.DecodeString(strings.ReplaceAll(s, "-", ""))
	return err == nil && len(b) == 16 && !bytes.Equal(b, make([]byte, 16))
}
