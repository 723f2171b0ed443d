package dpop

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"time"

	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/token/jose"
)

// Limits and their defaults.
const (
	// MaxProof is the longest proof that is read, in bytes. One with the largest RSA key takes half of it.
	MaxProof = 8 << 10
	// DefaultAge is how long after iat a proof is taken.
	DefaultAge = time.Minute
	// DefaultAhead is how far iat may lie in the future.
	DefaultAhead = 30 * time.Second
	// DefaultRemember is how many used proofs are remembered at most; each takes some 40 bytes.
	DefaultRemember = 1 << 20
	// DefaultPerKey is how many of them may be of one key: 700 requests a second for the whole of the window. It gets
	// less as the second half of the room fills.
	DefaultPerKey = 1 << 16

	maxID      = 512 // bytes of jti
	depth      = 16
	maxMembers = 100
)

// Options are the settings of a Checker; zero values are the defaults.
type Options struct {
	Age, Ahead time.Duration
	Remember   int
	PerKey     int
	// Nonces makes a nonce of this service necessary in every proof (RFC 9449 section 9): proofs cannot be made ahead of
	// time then. A client learns the nonce by a first request that is refused.
	Nonces bool
	// NonceKey is shared by the instances of one service, 32 bytes at least. Without it each makes its own.
	NonceKey secret.Text
	Now      func() time.Time
}

// Request is what a proof has to be for.
type Request struct {
	Method string            // as it stands in the request
	URL    string            // whole, as the client sent it; query and fragment do not matter
	Token  [sha256.Size]byte // SHA-256 of the access token
	Key    string            // thumbprint (RFC 7638) of the key in the token: cnf.jkt
}

// Checker checks proofs and remembers them. It may be used by many goroutines.
type Checker struct {
	o      Options
	used   *replays
	nonces *nonces
}

// New returns a checker that remembers nothing yet. The error is ErrOptions.
func New(o Options) (*Checker, error) {
	for _, d := range []struct {
		to      *time.Duration
		without time.Duration
	}{{&o.Age, DefaultAge}, {&o.Ahead, DefaultAhead}} {
		if *d.to == 0 {
			*d.to = d.without
		}
		if *d.to < 0 || *d.to > time.Hour {
			return nil, fmt.Errorf("%w: a time is not between 0 and an hour", ErrOptions)
		}
	}
	if o.Remember <= 0 {
		o.Remember = DefaultRemember
	}
	if o.PerKey <= 0 {
		o.PerKey = DefaultPerKey
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	c := &Checker{o: o, used: newReplays(o)}
	if o.Nonces {
		var err error
		if c.nonces, err = newNonces(o); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// Check decides whether headers, the values of all DPoP headers of a request, prove that its sender holds the key of
// the token. A proof is good once: nil is returned once for each. The errors are those of this package; they repeat
// nothing that stood in the proof.
func (c *Checker) Check(headers []string, r Request) error {
	m, err := only(headers)
	if err != nil {
		return err
	}
	return c.check(m, r, true)
}

// only reads the proof where there is exactly one.
func only(headers []string) (*jose.Message, error) {
	switch len(headers) {
	case 0:
		return nil, ErrNoProof
	case 1:
	default:
		return nil, &proofError{"there is more than one"}
	}
	m, err := jose.ParseLimit([]byte(headers[0]), MaxProof)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrProof, err)
	}
	return m, nil
}

// check decides about a proof that was read, for a request with a token or without one.
func (c *Checker) check(m *jose.Message, r Request, token bool) error {
	if err := signed(m, r.Key); err != nil {
		return err
	}
	p, err := readClaims(m.Payload)
	if err == nil && token && p.hash == "" {
		err = fmt.Errorf("ath %w", jose.ErrMissing)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrProof, err)
	}
	now := c.o.Now()
	if err := c.judge(p, r, now); err != nil {
		return err
	}
	if token != (p.hash != "") || token && !p.isFor(r.Token) {
		return ErrRequest
	}
	if c.nonces != nil && !c.nonces.ours(p.nonce, now) {
		return &NonceError{Next: c.nonces.at(now)}
	}
	return c.used.add(r.Key, p.id, now)
}

// Prove checks a proof that comes without a token, as at a token endpoint (RFC 9449 section 5), and returns the
// thumbprint of the key it was made with: what is issued can be bound to that. A proof that is good for a token is none
// here.
func (c *Checker) Prove(headers []string, method, url string) (thumbprint string, err error) {
	m, err := only(headers)
	if err != nil {
		return "", err
	}
	k, err := m.EmbeddedKey()
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrProof, err)
	}
	r := Request{Method: method, URL: url, Key: k.Thumbprint()}
	if err := c.check(m, r, false); err != nil {
		return "", err
	}
	return r.Key, nil
}

// Nonce returns the nonce that an answer may carry for the next request (RFC 9449 section 8.2), "" when none is wanted.
func (c *Checker) Nonce() string {
	if c.nonces == nil {
		return ""
	}
	return c.nonces.at(c.o.Now())
}

// Remembered returns how many used proofs are remembered.
func (c *Checker) Remembered() int { return c.used.count(c.o.Now()) }

// signed checks the signature of a proof with the key it carries, which has to be the one called key. What another key
// signed costs no check of a signature.
func signed(m *jose.Message, key string) error {
	if m.Header.Type != "dpop+jwt" {
		return &proofError{"typ is not dpop+jwt"}
	}
	k, err := m.EmbeddedKey()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrProof, err)
	}
	if !k.Fits(m.Header.Alg) {
		return fmt.Errorf("%w: %w", ErrProof, jose.ErrKeyMismatch)
	}
	if key == "" || subtle.ConstantTimeCompare([]byte(k.Thumbprint()), []byte(key)) != 1 {
		return ErrBinding
	}
	if err := m.Verify(k); err != nil {
		return fmt.Errorf("%w: %w", ErrProof, err)
	}
	return nil
}

// proof is the claims of one.
type proof struct {
	id, method, url, hash, nonce string
	issued, expires, notBefore   time.Time
}

func readClaims(payload []byte) (proof, error) {
	o, err := jose.StrictObject(payload, depth, maxMembers)
	if err != nil {
		return proof{}, err
	}
	if err := o.RefuseVariants("jti", "htm", "htu", "iat", "ath", "nonce", "exp", "nbf"); err != nil {
		return proof{}, err
	}
	var p proof
	for _, f := range []struct {
		to   *string
		name string
		must bool
	}{
		{&p.id, "jti", true},
		{&p.method, "htm", true},
		{&p.url, "htu", true},
		{&p.hash, "ath", false},
		{&p.nonce, "nonce", false},
	} {
		if *f.to, err = o.String(f.name); err != nil {
			return proof{}, err
		}
		if f.must && *f.to == "" {
			return proof{}, fmt.Errorf("%s %w", f.name, jose.ErrMissing)
		}
	}
	if len(p.id) > maxID {
		return proof{}, fmt.Errorf("jti: %w", jose.ErrTooLarge)
	}
	return p, p.times(o)
}

func (p *proof) times(o jose.Object) (err error) {
	if !o.Has("iat") {
		return fmt.Errorf("iat %w", jose.ErrMissing)
	}
	for _, f := range []struct {
		to   *time.Time
		name string
	}{{&p.issued, "iat"}, {&p.expires, "exp"}, {&p.notBefore, "nbf"}} {
		if *f.to, err = o.Time(f.name); err != nil {
			return err
		}
	}
	return nil
}

// judge compares a proof with the request and the clock. exp and nbf are no claims of a proof; where they are there
// they mean what they mean everywhere.
func (c *Checker) judge(p proof, r Request, now time.Time) error {
	if r.Method == "" || p.method != r.Method || !sameURL(p.url, r.URL) {
		return ErrRequest
	}
	ahead := now.Add(c.o.Ahead)
	if p.issued.After(ahead) || now.After(p.issued.Add(c.o.Age)) || p.notBefore.After(ahead) {
		return ErrAge
	}
	if !p.expires.IsZero() && !now.Before(p.expires) {
		return ErrAge
	}
	return nil
}

// isFor reports whether a proof is for the token with this hash.
func (p proof) isFor(token [sha256.Size]byte) bool {
	hash := base64.RawURLEncoding.EncodeToString(token[:])
	return subtle.ConstantTimeCompare([]byte(p.hash), []byte(hash)) == 1
}
