// Package issuers reads from a configuration file which issuers are believed, within which limits and how each is asked: what
// the daemons that take tokens have in common. The outcome is what core/token/gate is made of.
//
// It decides nothing about a token, starts nothing and fetches nothing.
//
// Not a public API.
package issuers

import (
	"slices"
	"time"

	"github.com/oidcbox/oidcbox/core/config"
	"github.com/oidcbox/oidcbox/core/oidc/provider"
	"github.com/oidcbox/oidcbox/core/token/claims"
	"github.com/oidcbox/oidcbox/core/token/gate"
	"github.com/oidcbox/oidcbox/core/token/jose"
	"github.com/oidcbox/oidcbox/core/token/remote"
	"github.com/oidcbox/oidcbox/core/token/verify"
	"github.com/oidcbox/oidcbox/core/transport/httpc"
)

// Keys are those of an issuer; ClientKeys those below client, LifetimeKeys those below lifetimes.
func Keys() []string {
	return []string{
		"check", "cache", "rate", "client", "opaque", "opaque_any_audience", "prefixes", "profiles", "algs", "skew",
		"max_lifetime", "lifetimes", "keys_file",
	}
}

// ClientKeys is described at Keys.
func ClientKeys() []string { return []string{"id", "secret_file"} }

// LifetimeKeys is described at Keys.
func LifetimeKeys() []string { return []string{"min_refresh", "max_refresh", "expiry"} }

// Options are what a role has of its own.
type Options struct {
	Lifetimes provider.Lifetimes // of keys, for issuers that say nothing about it
	Check     []gate.Mode        // likewise; nil: offline
	Rate      float64            // likewise, questions a second; 0: that of core/token/remote
	Also      []string           // further keys an issuer may have
}

// Issuer is one that was read.
type Issuer struct {
	gate.Issuer
	Pair   config.Pair   // where it stands
	Fields config.Fields // all that stands there
}

type reader struct{ *config.Reader }

// Read reads the issuers at a, in their order. What is wrong is said to r.
func Read(r *config.Reader, a config.At, o Options) []Issuer {
	x := reader{r}
	pairs := r.Pairs(a)
	if r.Usable(a) && a.Kind() == config.Mapping && len(pairs) == 0 {
		r.Fault(a, "no issuer is trusted")
	}
	list := make([]Issuer, 0, len(pairs))
	for _, p := range pairs {
		iss := x.issuer(p, o)
		iss.URL = p.Name
		if err := provider.CheckIssuer(p.Name); err != nil {
			r.Fault(p.Key, "%v", err)
		} else if iss.Keys == nil && httpc.CheckURL(p.Name) != nil {
			r.Fault(p.Key, "its keys are fetched over https only: plain http is for this machine alone")
		}
		list = append(list, iss)
	}
	return list
}

// issuer reads one. With nothing behind its name it is trusted with all defaults.
func (r reader) issuer(p config.Pair, o Options) (iss Issuer) {
	iss.Pair, iss.Check, iss.Lifetimes, iss.Rate = p, o.Check, o.Lifetimes, o.Rate
	if p.At.Kind() == config.Null {
		return iss
	}
	f := r.Fields(p.At, slices.Concat(Keys(), o.Also)...)
	iss.Fields = f
	if f["check"].Present() {
		iss.Check = r.checks(f["check"])
	}
	iss.Cache = r.Duration(f["cache"], 0, time.Second, remote.MaxCache)
	iss.Rate = float64(r.Int(f["rate"], int(o.Rate), 1, remote.MaxRate))
	r.client(f, &iss)
	r.limits(f, &iss)
	iss.Keys = r.staticKeys(f["keys_file"])
	r.askable(p, iss)
	return iss
}

// limits reads which tokens of an issuer are taken.
func (r reader) limits(f config.Fields, iss *Issuer) {
	iss.Opaque = r.Bool(f["opaque"], false)
	iss.OpaqueAnyAudience = r.Bool(f["opaque_any_audience"], false)
	iss.Prefixes = r.Texts(f["prefixes"])
	for _, s := range r.Texts(f["profiles"]) {
		p := claims.Profile(s)
		if iss.Profiles = append(iss.Profiles, p); !slices.Contains(claims.Profiles(), p) {
			r.Fault(f["profiles"], "there is no profile %q; profiles are %v", s, claims.Profiles())
		}
	}
	for _, s := range r.Texts(f["algs"]) {
		alg, err := jose.ParseAlg(s)
		if err != nil {
			r.Fault(f["algs"], "there is no algorithm %q; they are %v", s, jose.Algs())
		}
		iss.Algs = append(iss.Algs, alg)
	}
	if f["skew"].Present() {
		skew := r.Duration(f["skew"], 0, 0, verify.MaxSkew)
		iss.Skew = &skew
	}
	iss.MaxLifetime = r.maxLifetime(f["max_lifetime"])
	if f["lifetimes"].Present() {
		iss.Lifetimes = Lifetimes(r.Reader, f["lifetimes"])
	}
}

// Lifetimes reads how long keys are used: the name of a table, or single values.
func Lifetimes(r *config.Reader, a config.At) provider.Lifetimes {
	var l provider.Lifetimes
	var err error
	switch a.Kind() {
	case config.Absent:
		return l
	case config.Text:
		if l, err = provider.LifetimesOf(a.Raw()); err != nil {
			r.Fault(a, "has to be %s, %s, or a mapping with %v", provider.WLCG13, provider.WLCG10, LifetimeKeys())
		}
		return l
	}
	f := r.Fields(a, LifetimeKeys()...)
	l.MinRefresh = r.Duration(f["min_refresh"], 0, time.Minute, provider.MaxExpiry)
	l.MaxRefresh = r.Duration(f["max_refresh"], 0, time.Minute, provider.MaxExpiry)
	l.Expiry = r.Duration(f["expiry"], 0, time.Minute, provider.MaxExpiry)
	if err := l.Check(); err != nil {
		r.Fault(a, "%v", err)
	}
	return l
}

func (r reader) checks(a config.At) []gate.Mode {
	var list []gate.Mode
	for _, s := range r.Texts(a) {
		if list = append(list, gate.Mode(s)); !slices.Contains(gate.Modes(), gate.Mode(s)) {
			r.Fault(a, "there is no check %q; checks are %v", s, gate.Modes())
		}
	}
	return list
}

func (r reader) client(f config.Fields, iss *Issuer) {
	a := f["client"]
	if !a.Present() {
		return
	}
	c := r.Fields(a, ClientKeys()...)
	r.Need(a, c, "id", "secret_file")
	iss.ClientID, _ = r.Text(c["id"])
	iss.ClientSecret, _ = r.SecretFile(c["secret_file"])
}

// askable judges how an issuer is asked.
func (r reader) askable(p config.Pair, iss Issuer) {
	introspects := slices.Contains(iss.Check, gate.Introspection)
	asked := introspects || slices.Contains(iss.Check, gate.Userinfo)
	opaque := iss.Opaque || len(iss.Prefixes) > 0
	switch {
	case asked && slices.Contains(iss.Check, gate.Offline):
		r.Fault(p.At, "check is offline or something else, not both")
	case introspects && iss.ClientID == "":
		r.Fault(p.At, "check: introspection needs client: {id: ID, secret_file: FILE}")
	case opaque && !asked:
		r.Fault(p.At, "opaque tokens need check: introspection or userinfo")
	case opaque && !introspects && !iss.OpaqueAnyAudience:
		r.Fault(p.At, "userinfo does not say for whom an opaque token is: use check: introspection, or opaque_any_audience")
	}
	if opaque && iss.OpaqueAnyAudience {
		r.Note(p.At, "opaque tokens that are for nobody in particular are taken: whoever got one elsewhere can use it here")
	}
	if iss.Keys != nil && !asked {
		r.Note(p.At, "the keys are from a file: that one is stolen or replaced has to be written there by hand")
	}
}

// maxLifetime is 0 for the default and negative for none.
func (r reader) maxLifetime(a config.At) time.Duration {
	if a.Raw() == "none" {
		return -1
	}
	return r.Duration(a, 0, time.Minute, 366*24*time.Hour)
}

// staticKeys reads a key set from a file, for a site without a way to the issuer.
func (r reader) staticKeys(a config.At) *jose.KeySet {
	name, ok := r.Path(a)
	if !ok {
		return nil
	}
	b, err := config.ReadFile(name, jose.MaxKeySet)
	if err != nil {
		r.Fault(a, "%v", err)
		return nil
	}
	set, skipped, err := jose.ParseKeySet(b)
	switch {
	case err != nil:
		r.Fault(a, "%s: %v", name, err)
	case set.Len() == 0:
		r.Fault(a, "%s has no key that can be used", name)
	}
	for _, s := range skipped {
		r.Note(a, "%s: left out: %v", name, s)
	}
	return set
}
