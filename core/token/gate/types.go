package gate

import (
	"time"

	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/token/policy"
	"github.com/oidcbox/oidcbox/core/token/verify"
)

// Scheme is the authentication scheme a token came with, as its RFC spells it. A request may spell it in any case; who
// reads requests brings it into this form.
type Scheme string

// The schemes. The zero value of a Presented counts as Bearer.
const (
	Bearer Scheme = "Bearer" // RFC 6750
	DPoP   Scheme = "DPoP"   // RFC 9449
)

// Presented is what a client showed: the token, and what goes with it.
type Presented struct {
	// Token is what stood behind the scheme; the empty secret when there was none. Check and Decide do not wipe it.
	Token  secret.Text
	Scheme Scheme
	// DPoP are the values of the request's DPoP headers, all of them: two are one too many, and that is found here.
	DPoP []string
	// Method and URL are those of the request as the client sent it, for the proof: URL with scheme and host. Without a
	// proof they are not looked at.
	Method, URL string
	// Certificate is the TLS certificate the client proved to have, as DER (RFC 8705); nil for none.
	Certificate []byte
	// Issuer is a hint for opaque tokens: who may have issued it. It is not believed, and a signed token ignores it.
	Issuer string
}

// Outcome is what is known after a token was looked at. With a Refusal it has what was believed by then: the identity
// when only the policy said no, nothing when the token itself was refused.
type Outcome struct {
	Identity verify.Identity
	Subject  policy.Subject  // Identity with what its issuer said of it, as the policy sees it
	Decision policy.Decision // of Decide; the zero value after Check
	// Expires is when the token ends: exp of the signed token, or of the introspection of an opaque one; zero when
	// nobody said. It is no promise that the token is taken until then.
	Expires time.Time
	Opaque  bool   // no signed token: believed because its issuer said so
	Service string // that was asked for
}

// Event is one judgement, for audit and metrics. It holds no token.
type Event struct {
	TokenID string // secret.Text.ID of the token; "" when there was none
	Scheme  Scheme
	Request policy.Request // only Service for Check
	Outcome Outcome
	Refusal *Refusal // nil: yes
	Claimed *Claimed // of a token that was not believed and can be read; nil mostly
	Took    time.Duration
}

// Allowed reports whether the answer was yes.
func (e Event) Allowed() bool { return e.Refusal == nil }
