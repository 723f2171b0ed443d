package policy

import (
	"fmt"
	"slices"
	"strings"

	"github.com/oidcbox/oidcbox/core/token/claims"
)

// Request is what is asked for. Operation is in the words of a profile (storage.read, compute.create, read); Path is as
// the client sent it, percent-encoded once. What is "" is not known, and a rule that needs it refuses.
type Request struct{ Service, Method, Operation, Path string }

// Decision is the answer. The zero value is no.
type Decision struct {
	Allowed bool `json:"allowed"`
	// Reason is the first reason for a no, for the log: it names requirements, never the values of a person's claims.
	Reason string `json:"reason,omitempty"`
	// InsufficientScope are the scopes with which the answer would be yes (RFC 6750 section 3.1); nil when more than
	// scopes is missing.
	InsufficientScope []string `json:"insufficient_scope,omitempty"`
	Tree              Node     `json:"tree"`
}

// Node is one requirement and how it was decided.
type Node struct {
	Kind     string `json:"kind"`
	Text     string `json:"text,omitempty"`
	Yes      bool   `json:"yes"`
	Reason   string `json:"reason,omitempty"`
	Children []Node `json:"children,omitempty"`
}

// String is the tree, one node per line, indented by its depth.
func (n Node) String() string {
	var b strings.Builder
	n.write(&b, 0)
	return b.String()
}

func (n Node) write(b *strings.Builder, depth int) {
	b.WriteString(strings.Repeat("  ", depth))
	b.WriteString(map[bool]string{true: "yes  ", false: "no   "}[n.Yes] + n.Kind)
	if n.Text != "" {
		b.WriteString(" " + n.Text)
	}
	if n.Reason != "" {
		b.WriteString(": " + n.Reason)
	}
	b.WriteByte('\n')
	for _, c := range n.Children {
		c.write(b, depth+1)
	}
}

// first is the first reason for a no below n.
func (n Node) first() string {
	for _, c := range n.Children {
		if !c.Yes {
			return c.first()
		}
	}
	text := strings.TrimSpace(n.Kind + " " + n.Text)
	if n.Reason == "" {
		return text
	}
	return text + ": " + n.Reason
}

// Policy is a file that was read. It does not change and may be used by many goroutines. The zero value refuses all.
type Policy struct {
	single   *service // of requests that name no service
	services map[string]*service
	issuers  map[string]issuer
	levels   map[string]requirement

	entitlementClaims []string
	exactNamespaces   bool
	unbound           []string // claims that anybody may assert

	// Notes are what works and may surprise.
	Notes []Fault
}

// Unbound are the claims, sorted, that a requirement takes from whichever issuer. Where several are trusted, the least of
// them can say there what it likes.
func (p *Policy) Unbound() []string {
	list := slices.Clone(p.unbound)
	slices.Sort(list)
	return slices.Compact(list)
}

// Services are the names the policy knows, sorted.
func (p *Policy) Services() []string {
	var names []string
	for name := range p.services {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

type service struct {
	name    string
	rules   []rule
	require requirement // for requests no rule is for; nil: no
}

type rule struct {
	methods, operations []string
	paths               []claims.Path
	require             requirement
}

// Decide answers for one person and one request. It is a pure function.
func (p *Policy) Decide(s Subject, r Request) Decision {
	who := newPerson(s)
	look := &evaluation{policy: p, who: who, request: r}
	tree := p.decide(look)
	d := Decision{Allowed: tree.Yes, Tree: tree}
	if d.Allowed {
		return d
	}
	d.Reason = tree.first()
	if len(look.missing) > 0 {
		with := &evaluation{policy: p, who: who, request: r, grantScopes: true}
		if p.decide(with).Yes {
			slices.Sort(look.missing)
			d.InsufficientScope = slices.Compact(look.missing)
		}
	}
	return d
}

// evaluation is the state of one Decide.
type evaluation struct {
	policy  *Policy
	who     person
	request Request
	levels  map[string]Node // decided already: a level that is named often costs once; nil: none is

	missing     []string // scopes that were not there
	grantScopes bool     // what if they were
}

func (p *Policy) decide(e *evaluation) Node {
	s := p.single
	if e.request.Service != "" && len(p.services) > 0 {
		s = p.services[e.request.Service]
	}
	if s == nil {
		return Node{Kind: "policy", Reason: "it has nothing for this service"}
	}
	n := Node{Kind: "policy"}
	if s.name != "" {
		n = Node{Kind: "service", Text: s.name}
	}
	require, reason := s.choose(e.request, &n)
	if require == nil {
		n.Reason = reason
		return n
	}
	child := require.decide(e)
	n.Yes, n.Children = child.Yes, []Node{child}
	return n
}

// choose finds the requirement that is for the request: of the first rule that fits, or the service's own.
func (s *service) choose(r Request, n *Node) (requirement, string) {
	for i, rule := range s.rules {
		fits, unknown := rule.fits(r)
		if unknown != "" {
			return nil, fmt.Sprintf("rule %d needs the request's %s", i+1, unknown)
		}
		if fits {
			n.Text = strings.TrimSpace(fmt.Sprintf("%s rule %d", n.Text, i+1))
			return rule.require, ""
		}
	}
	if s.require == nil {
		return nil, "no rule is for this request"
	}
	return s.require, ""
}

// shadowedBy reports whether earlier is for everything that u is for. A lock behind an open door is a mistake that nobody
// would notice.
func (u rule) shadowedBy(earlier rule) bool {
	within := func(mine, theirs []string, same func(a, b string) bool) bool {
		return len(theirs) == 0 || len(mine) > 0 && !slices.ContainsFunc(mine, func(m string) bool {
			return !slices.ContainsFunc(theirs, func(t string) bool { return same(m, t) })
		})
	}
	below := len(earlier.paths) == 0 || len(u.paths) > 0 && !slices.ContainsFunc(u.paths, func(p claims.Path) bool {
		return !slices.ContainsFunc(earlier.paths, func(base claims.Path) bool { _, in := p.Below(base); return in })
	})
	return below && within(u.methods, earlier.methods, strings.EqualFold) &&
		within(u.operations, earlier.operations, func(a, b string) bool { return a == b })
}

// fits reports whether the rule is for r, or what would have to be known to say so. Methods compare without case: a
// backend may do so as well.
func (u rule) fits(r Request) (fits bool, unknown string) {
	fits = true
	if len(u.methods) > 0 {
		if r.Method == "" {
			return false, "method"
		}
		fits = slices.ContainsFunc(u.methods, func(m string) bool { return strings.EqualFold(m, r.Method) })
	}
	if fits && len(u.operations) > 0 {
		if r.Operation == "" {
			return false, "operation"
		}
		fits = slices.Contains(u.operations, r.Operation)
	}
	if fits && len(u.paths) > 0 {
		path, err := claims.ParseRequestPath(r.Path)
		if err != nil {
			return false, "path, absolute and without tricks"
		}
		fits = slices.ContainsFunc(u.paths, func(p claims.Path) bool {
			_, below := path.Below(p)
			return below
		})
	}
	return fits, ""
}
