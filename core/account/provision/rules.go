package provision

import (
	"fmt"
	"slices"

	"github.com/oidcbox/oidcbox/core/account/backend"
	"github.com/oidcbox/oidcbox/core/account/names"
	"github.com/oidcbox/oidcbox/core/token/assurance"
)

// Mode says where names of new accounts come from.
type Mode int

// The modes.
const (
	Friendly Mode = iota // what the person is called
	Pooled               // a prefix and a number
	External             // a program or a directory of the site
)

// Naming says how new accounts are named. An account that is there keeps its name.
type Naming struct {
	Mode     Mode
	Front    string         // before every name that is not External, as systems want it that serve several sites: "fdl_"
	Shorten  names.Shorten  // Friendly
	Prefix   string         // Pooled: "" is the primary group
	Digits   int            // Pooled: 0 is 3
	External names.External // External
}

// Tiers choose a shell by assurance: the first expression that is satisfied counts. The zero value of one is satisfied
// by nobody. [MFAProfile] is asserted where the login had a second factor.
type Tiers struct{ Full, Limited, Restricted assurance.Expr }

// IssuerRules are for the identities of one issuer. The zero value lets nobody have an account, since nobody satisfies
// the zero assurance.Expr; an expression of "*" asks for nothing.
type IssuerRules struct {
	Approval  bool           // an administrator decides about new accounts and further groups
	Assurance assurance.Expr // what a deployment needs
	LaxBase   bool           // values count although the issuer does not assert RAF as such
	Tiers     *Tiers         // nil: everybody has the full shell
	// MaxTier is the best that identities of the issuer get; "" is Full.
	MaxTier backend.Tier
	// Groups are for the claims of this issuer, so that it cannot put its people into groups of another one's; nil takes
	// those of Rules.
	Groups *names.GroupRules
}

// Rules say who gets which account. The zero value gives none.
type Rules struct {
	Naming Naming
	Groups names.GroupRules
	Limits names.Limits

	Primary    string   // group of every new account; "" takes the first of those that claims give
	Fallback   string   // primary group where claims give none
	Additional []string // groups that everybody gets

	Default IssuerRules
	Issuers map[string]IssuerRules // instead of Default, by issuer

	// Adopt takes accounts over that are there with an identity and that the ledger does not know, as long as users cannot
	// edit that field (backend.System.Trust): for directories that others keep. Without it only Rebuild does that.
	Adopt bool
	// NoNumbers is for account systems that tell no uids. Otherwise an account without one is a mismatch.
	NoNumbers bool
	// CompatVerified says "verified" about suspended accounts, too, as motley-cue does. They are not let in all the same.
	CompatVerified bool
	// KeepSessions leaves sessions and processes alone when an account is suspended.
	KeepSessions bool
}

// issuer returns the rules for identities of iss.
func (r Rules) issuer(iss string) IssuerRules {
	if own, ok := r.Issuers[iss]; ok {
		return own
	}
	return r.Default
}

// check finds what would fail at every deployment.
func (r Rules) check() error {
	n := r.Naming
	switch n.Mode {
	case Friendly:
	case Pooled:
		if n.Prefix == "" { // then the primary group is, which claims may give
			break
		}
		if _, err := names.NewPool(n.Prefix, n.digits()); err != nil {
			return fmt.Errorf("%w: names: %w", ErrRules, err)
		}
	case External:
		if n.External == nil {
			return fmt.Errorf("%w: external names without a source", ErrRules)
		}
	default:
		return fmt.Errorf("%w: way of naming %d", ErrRules, n.Mode)
	}
	if n.Front != "" && names.Check(n.Front+"x") != nil {
		return fmt.Errorf("%w: no name can begin with %q", ErrRules, n.Front)
	}
	for _, group := range slices.Concat([]string{r.Primary, r.Fallback}, r.Additional) {
		if group != "" && names.Check(group) != nil {
			return fmt.Errorf("%w: group %q: %w", ErrRules, group, names.ErrAlphabet)
		}
	}
	for iss, own := range r.Issuers {
		if !knownTier(own.MaxTier) {
			return fmt.Errorf("%w: tier %q of issuer %s", ErrRules, own.MaxTier, iss)
		}
	}
	if !knownTier(r.Default.MaxTier) {
		return fmt.Errorf("%w: tier %q", ErrRules, r.Default.MaxTier)
	}
	return nil
}

func (n Naming) digits() int {
	if n.Digits == 0 {
		return 3
	}
	return n.Digits
}

// tiers are in order, the best one first.
func tiers() []backend.Tier {
	return []backend.Tier{backend.Full, backend.Limited, backend.Restricted, backend.NoShell}
}

func knownTier(t backend.Tier) bool { return t == "" || slices.Contains(tiers(), t) }

// worse returns the one of two tiers that allows less.
func worse(a, b backend.Tier) backend.Tier {
	order := tiers()
	return order[max(slices.Index(order, a), slices.Index(order, b))]
}

// tier is the shell for the values of s, and whether the door is open at all.
func (r IssuerRules) tier(s Subject) (backend.Tier, bool) {
	if !r.satisfied(s, r.Assurance) {
		return "", false
	}
	best := r.MaxTier
	if best == "" {
		best = backend.Full
	}
	if r.Tiers == nil {
		return best, true
	}
	for i, e := range []assurance.Expr{r.Tiers.Full, r.Tiers.Limited, r.Tiers.Restricted} {
		if r.satisfied(s, e) {
			return worse(best, tiers()[i]), true
		}
	}
	return "", false
}

// satisfied judges e by the values of s. A second factor is about the login and not about the person: it counts where
// it is named, and is no answer to "+", which wants a value about the person.
func (r IssuerRules) satisfied(s Subject, e assurance.Expr) bool {
	list := s.Assurance[:min(len(s.Assurance), maxValues)]
	if s.MFA {
		if len(list) == 0 {
			e = withoutAny(e)
		}
		list = append(slices.Clone(list), MFAProfile)
	}
	values := assurance.NewValues(list)
	values.LaxBase = r.LaxBase
	return values.Satisfied(e)
}

// withoutAny is e where nobody satisfies "+".
func withoutAny(e assurance.Expr) assurance.Expr {
	if e.Op == assurance.Any {
		return assurance.Expr{}
	}
	children := make([]assurance.Expr, len(e.Children))
	for i, c := range e.Children {
		children[i] = withoutAny(c)
	}
	e.Children = children
	return e
}
