package gate

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/oidcbox/oidcbox/core/oidc/provider"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/token/policy"
	"github.com/oidcbox/oidcbox/core/token/verify"
	"github.com/oidcbox/oidcbox/core/transport/httpc"
)

// Mode says how an issuer's tokens are checked beyond their signature.
type Mode string

// The modes. What each notices, and how late, is in docs/revocation.md.
const (
	Offline       Mode = "offline"       // signature and times; the default
	Userinfo      Mode = "userinfo"      // and the userinfo endpoint takes the token
	Introspection Mode = "introspection" // and the introspection endpoint says that it is active (RFC 7662)
)

// Modes returns all of them.
func Modes() []Mode { return []Mode{Offline, Userinfo, Introspection} }

// Issuer is one that is trusted, within which limits, and how it is asked.
type Issuer struct {
	verify.Issuer

	Check Mode // "": Offline
	// Cache is how long an answer of the issuer about a token is used, at most until the token ends; 0: a minute.
	Cache time.Duration
	// ClientID and ClientSecret are ours at the issuer's introspection endpoint.
	ClientID     string
	ClientSecret secret.Text
	// Opaque takes tokens that are no JWTs: the issuer is asked by Check, which then is not Offline.
	Opaque bool
	// Prefixes of this issuer's opaque tokens; such a token is sent to nobody else.
	Prefixes []string
	// OpaqueAnyAudience takes opaque tokens of which the issuer does not say for whom they are, as userinfo never does.
	OpaqueAnyAudience bool
}

// Service is what one protected service has of its own.
type Service struct {
	Audiences []string // its names; nil: those of Config
}

// Config says whom to believe and who may do what. It is plain data and not changed by New.
type Config struct {
	Issuers []Issuer
	// Audiences are our own names, for every service that has none of its own. See verify.Config.
	Audiences []string
	// AcceptAnyAudience takes tokens for whomever, for services without audiences of their own; see verify.Config.
	AcceptAnyAudience bool
	// Services by name. One that is not here has Audiences of Config: what may be done there is up to the policy.
	Services map[string]Service
	// Policy says who may do what. nil: Decide refuses all, Check works.
	Policy   *policy.Policy
	MaxToken int // bytes; 0: jose.MaxToken
}

// Options are what a gate works with, as opposed to what it decides.
type Options struct {
	// HTTP is for everything that is fetched. It may be nil when all issuers have static keys and are Offline.
	HTTP *httpc.Client
	// Keys is a cache of key sets to go on with, of the gate before or of the caller's own: Close leaves it alone. nil:
	// the gate makes one with HTTP and closes it.
	Keys *provider.Keys
	// Observe is told every judgement, from many goroutines at once; it has to return soon. nil: nobody is told.
	Observe func(Event)

	Now func() time.Time // nil: time.Now
	Log *slog.Logger     // nil: nothing is logged
}

// check says all that is wrong with c beyond what verify.New finds.
func (c *Config) check(o Options) error {
	var faults []error
	for _, iss := range c.Issuers {
		switch iss.Check {
		case "", Offline:
			if iss.Opaque {
				faults = append(faults, fmt.Errorf("issuer %s: opaque tokens need check: introspection or userinfo", iss.URL))
			}
		case Userinfo, Introspection:
			if o.HTTP == nil {
				faults = append(faults, fmt.Errorf("issuer %s: there is no HTTP client to ask it with", iss.URL))
			}
		default:
			faults = append(faults, fmt.Errorf("issuer %s: there is no check %q", iss.URL, iss.Check))
		}
		if len(iss.Prefixes) > 0 && !iss.Opaque {
			faults = append(faults, fmt.Errorf("issuer %s: prefixes are for opaque tokens, which it has none of", iss.URL))
		}
		if iss.Keys == nil && o.HTTP == nil && o.Keys == nil {
			faults = append(faults, fmt.Errorf("issuer %s: there is no HTTP client to get its keys with", iss.URL))
		}
	}
	return errors.Join(faults...)
}
