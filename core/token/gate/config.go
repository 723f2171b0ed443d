package gate

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/oidcbox/oidcbox/core/oidc/provider"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/token/dpop"
	"github.com/oidcbox/oidcbox/core/token/policy"
	"github.com/oidcbox/oidcbox/core/token/remote"
	"github.com/oidcbox/oidcbox/core/token/verify"
	"github.com/oidcbox/oidcbox/core/transport/httpc"
)

// Mode says how an issuer's tokens are checked beyond their signature.
type Mode string

// The modes. What each notices, and how late, is in docs/revocation.md.
const (
	Offline       Mode = "offline"       // signature and times alone
	Userinfo      Mode = "userinfo"      // the userinfo endpoint takes the token and says who it is of
	Introspection Mode = "introspection" // the introspection endpoint says that it is active (RFC 7662)
)

// Modes returns all of them.
func Modes() []Mode { return []Mode{Offline, Userinfo, Introspection} }

// Issuer is one that is trusted, within which limits, and how it is asked.
type Issuer struct {
	verify.Issuer
	Lifetimes provider.Lifetimes // of its keys; zero: those of the cache

	// Check says what is done beyond the signature. nil: Offline. Userinfo and Introspection may stand together.
	Check []Mode
	// Cache is how long an answer of the issuer about a token is used, at most until the token ends; 0: that of
	// core/token/remote.
	Cache time.Duration
	// Rate is how many questions a second the issuer gets, see remote.Issuer; 0: the default.
	Rate float64
	// ClientID and ClientSecret are ours at the issuer's introspection endpoint.
	ClientID     string
	ClientSecret secret.Text
	// Opaque takes tokens that are no JWTs, also when neither a hint nor a prefix names this issuer: they are then
	// shown to every issuer that has this. Check says how they are checked.
	Opaque bool
	// Prefixes of this issuer's opaque tokens; such a token is shown to nobody else.
	Prefixes []string
	// OpaqueAnyAudience takes opaque tokens of which the issuer does not say for whom they are, as userinfo never does.
	OpaqueAnyAudience bool
}

func (i Issuer) asks(m Mode) bool { return slices.Contains(i.Check, m) }

func (i Issuer) takesOpaque() bool { return i.Opaque || len(i.Prefixes) > 0 }

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
	// Cache keeps what was verified, DPoP remembers proofs: those of the gate before, if there was one; nil: new ones.
	Cache *verify.Cache
	DPoP  *dpop.Checker
	// Observe is told every judgement, from many goroutines at once; it has to return soon. nil: nobody is told.
	Observe func(Event)

	Now func() time.Time // nil: time.Now
	Log *slog.Logger     // nil: nothing is logged
}

// Trusted lists the issuers for provider.Keys.Trust: those whose keys have to be fetched. A gate that makes its own
// cache tells it; who hands one in does so before New.
func (c *Config) Trusted() []provider.Trusted {
	var list []provider.Trusted
	for _, iss := range c.Issuers {
		if iss.Keys == nil {
			list = append(list, provider.Trusted{Issuer: iss.URL, Lifetimes: iss.Lifetimes})
		}
	}
	return list
}

// check says all that is wrong with c beyond what the packages below find.
func (c *Config) check(o Options) error {
	var faults []error
	fault := func(iss Issuer, format string, args ...any) {
		faults = append(faults, fmt.Errorf("issuer %s: "+format, append([]any{iss.URL}, args...)...))
	}
	if len(c.Audiences) == 0 && !c.AcceptAnyAudience && !c.everyServiceHasOwn() {
		faults = append(faults, errors.New("no audience is configured"))
	}
	for _, iss := range c.Issuers {
		for _, m := range iss.Check {
			if !slices.Contains(Modes(), m) {
				fault(iss, "there is no check %q", m)
			}
		}
		asked := iss.asks(Userinfo) || iss.asks(Introspection)
		switch {
		case asked && iss.asks(Offline):
			fault(iss, "check is offline or something else, not both")
		case asked && o.HTTP == nil:
			fault(iss, "there is no HTTP client to ask it with")
		case !asked && iss.takesOpaque():
			fault(iss, "opaque tokens need check: introspection or userinfo")
		}
		if iss.takesOpaque() && !iss.asks(Introspection) && !iss.OpaqueAnyAudience {
			fault(iss, "userinfo does not say for whom an opaque token is: use introspection, or take those for anybody")
		}
		if iss.Keys == nil && o.HTTP == nil && o.Keys == nil {
			fault(iss, "there is no HTTP client to get its keys with")
		}
		if err := iss.Lifetimes.Check(); err != nil {
			fault(iss, "%w", err)
		}
	}
	return errors.Join(faults...)
}

// everyServiceHasOwn reports whether no service is left without a name of its own.
func (c *Config) everyServiceHasOwn() bool {
	for _, s := range c.Services {
		if len(s.Audiences) == 0 {
			return false
		}
	}
	return len(c.Services) > 0
}

// remote returns what asks issuers, nil when none is to be asked.
func (c *Config) remote(o Options) (*remote.Source, error) {
	var list []remote.Issuer
	any := false
	for _, iss := range c.Issuers {
		any = any || iss.asks(Userinfo) || iss.asks(Introspection)
		list = append(list, remote.Issuer{
			URL: iss.URL, Introspection: iss.asks(Introspection), Userinfo: iss.asks(Userinfo),
			ClientID: iss.ClientID, ClientSecret: iss.ClientSecret, Opaque: iss.Opaque, Prefixes: iss.Prefixes,
			Cache: iss.Cache, Rate: iss.Rate,
		})
	}
	if !any {
		return nil, nil
	}
	return remote.New(list, remote.Options{HTTP: o.HTTP, Constrained: true, Now: o.Now, Log: o.Log})
}
