package policy

import (
	"fmt"
	"slices"
	"strings"

	"github.com/oidcbox/oidcbox/core/token/assurance"
	"github.com/oidcbox/oidcbox/core/token/claims"
)

// requirement is one thing that has to hold. Everything below it is decided, also when the answer is known before, so
// that the tree shows all reasons.
type requirement interface {
	decide(e *evaluation) Node
}

// counted holds when at least need of its parts do; with need 0 all of them. Without parts it never holds.
type counted struct {
	kind  string
	need  int
	parts []requirement
}

func (c counted) decide(e *evaluation) Node {
	n := Node{Kind: c.kind}
	yes := 0
	for _, p := range c.parts {
		child := p.decide(e)
		if child.Yes {
			yes++
		}
		n.Children = append(n.Children, child)
	}
	need := c.needed()
	n.Yes = len(c.parts) > 0 && yes >= need
	n.Reason = fmt.Sprintf("%d of %d, needed %d", yes, len(c.parts), need)
	if len(c.parts) == 0 {
		n.Reason = "an empty list is satisfied by nobody"
	}
	return n
}

func (c counted) needed() int {
	if c.need == 0 {
		return len(c.parts)
	}
	return c.need
}

// level is a requirement by its name.
type level struct{ name string }

// The levels everybody has.
const (
	Anyone     = "ANYONE"     // whoever has a token that was accepted
	NoOne      = "NOONE"      // nobody
	Identified = "IDENTIFIED" // who has a subject and an issuer
)

func (l level) decide(e *evaluation) Node {
	n := Node{Kind: "level", Text: l.name}
	switch l.name {
	case Anyone:
		n.Yes = true
		return n
	case NoOne:
		n.Reason = "nobody has it"
		return n
	case Identified:
		if n.Yes = e.who.Issuer != "" && e.who.Subject.Subject != ""; !n.Yes {
			n.Reason = "the token names no subject"
		}
		return n
	}
	if done, ok := e.levels[l.name]; ok {
		return Node{Kind: n.Kind, Text: n.Text, Yes: done.Yes, Reason: "as decided above"}
	}
	if r := e.policy.levels[l.name]; r != nil {
		child := r.decide(e)
		n.Yes, n.Children = child.Yes, []Node{child}
	}
	if e.levels == nil {
		e.levels = map[string]Node{}
	}
	e.levels[l.name] = n
	return n
}

// issuerIs wants the token to be from one of some issuers.
type issuerIs []string

func (i issuerIs) decide(e *evaluation) Node {
	n := Node{Kind: "issuer", Text: strings.Join(i, " or "), Yes: slices.Contains(i, e.who.Issuer)}
	if !n.Yes {
		n.Reason = "the token is from another issuer"
	}
	return n
}

// subjectIs wants one of some persons of an issuer.
type subjectIs struct {
	issuer string
	subs   []string
}

func (s subjectIs) decide(e *evaluation) Node {
	n := Node{Kind: "subject", Text: fmt.Sprintf("%s at %s", strings.Join(s.subs, " or "), s.issuer)}
	switch {
	case e.who.Issuer != s.issuer:
		n.Reason = "the token is from another issuer"
	case !slices.Contains(s.subs, e.who.Subject.Subject) || e.who.Subject.Subject == "":
		n.Reason = "the token is of another subject"
	default:
		n.Yes = true
	}
	return n
}

// hasClaim wants value among those of a claim.
type hasClaim struct {
	kind, claim string
	want        value
	issuers     []string // nil: whoever asserts it
}

func (h hasClaim) decide(e *evaluation) Node {
	n := Node{Kind: h.kind, Text: h.claim + " = " + h.want.text}
	if len(h.issuers) > 0 && !slices.Contains(h.issuers, e.who.Issuer) {
		n.Reason = "the token is from an issuer that may not assert it"
		return n
	}
	values, there := e.who.values(h.claim)
	switch {
	case slices.Contains(values, h.want):
		n.Yes = true
	case !there:
		n.Reason = "there is no such claim"
	default:
		n.Reason = fmt.Sprintf("not among its values (%d)", len(values))
	}
	return n
}

// hasScope wants a scope; one with a path is covered by one of the same name above it.
type hasScope string

func (h hasScope) decide(e *evaluation) Node {
	n := Node{Kind: "scope", Text: string(h)}
	n.Yes = slices.ContainsFunc(e.who.scopes(), func(s string) bool { return claims.CoversScope(s, string(h)) })
	if !n.Yes {
		n.Reason = "the token does not have it"
		n.Yes = e.lacks(string(h))
	}
	return n
}

// lacks notes a scope that is not there. It reports whether to go on as if it were.
func (e *evaluation) lacks(scope string) bool {
	e.missing = append(e.missing, scope)
	return e.grantScopes
}

// assured wants assurance values.
type assured struct {
	expr  assurance.Expr
	claim string
	lax   bool
}

func (a assured) decide(e *evaluation) Node {
	list, there := e.who.texts(a.claim)
	values := assurance.NewValues(list)
	values.LaxBase = a.lax
	n := a.node(values, a.expr)
	n.Kind = "assurance"
	if !n.Yes && !there {
		n.Reason = "there is no claim " + a.claim
	}
	return n
}

// node shows an expression as a tree of its own.
func (a assured) node(v assurance.Values, x assurance.Expr) Node {
	n := Node{Kind: "value", Text: x.String(), Yes: v.Satisfied(x)}
	if x.Op == assurance.All || x.Op == assurance.One {
		n.Kind = map[assurance.Op]string{assurance.All: "all_of", assurance.One: "one_of"}[x.Op]
		for _, c := range x.Children {
			n.Children = append(n.Children, a.node(v, c))
		}
		return n
	}
	switch {
	case n.Yes:
	case v.Missing(x.Value):
		n.Reason = "the issuer does not assert " + assurance.Base + ", without which the other values mean nothing"
	default:
		n.Reason = "it is not asserted"
	}
	return n
}
