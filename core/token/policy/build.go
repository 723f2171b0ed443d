package policy

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/oidcbox/oidcbox/core/token/assurance"
	"github.com/oidcbox/oidcbox/core/token/claims"
	"github.com/oidcbox/oidcbox/core/token/entitlement"
)

func newReader(name string) reader { return reader{file: name, bad: map[*yaml.Node]bool{}} }

// kinds are the requirements, by their key.
func kinds() []string {
	return []string{
		"all_of", "one_of", "n_of", "issuer", "subject", "audience", "claim", "vo", "assurance", "scope", "capability",
	}
}

// requirement reads one: the name of a level, or a mapping with one key. What is wrong becomes a level that nobody has.
func (x *builder) requirement(a at) requirement {
	if a.node == nil || x.bad[a.node] {
		return level{NoOne}
	}
	if a.node.Kind == yaml.ScalarNode {
		return x.level(a)
	}
	if a.node.Kind != yaml.MappingNode {
		x.fault(a, "has to be the name of a level or a mapping with one of %v; a list needs all_of or one_of", kinds())
		return level{NoOne}
	}
	f := x.fields(a, kinds()...)
	if len(f) != 1 {
		if len(f) > 1 || len(a.node.Content) == 0 {
			x.fault(a, "has to have exactly one key; put several into all_of")
		}
		for _, p := range x.pairs(a) { // what is inside may have faults of its own
			if slices.Contains(kinds(), p.name) {
				x.kind(p.name, p.at)
			}
		}
		return level{NoOne}
	}
	for kind, inner := range f {
		return x.kind(kind, inner)
	}
	return level{NoOne}
}

func (x *builder) level(a at) requirement {
	name, ok := x.text(a)
	if !ok {
		return level{NoOne}
	}
	if !slices.Contains([]string{Anyone, NoOne, Identified}, name) {
		x.named[name] = append(x.named[name], a)
	}
	return level{name}
}

func (x *builder) kind(kind string, a at) requirement {
	switch kind {
	case "all_of":
		return counted{kind: kind, parts: x.requirements(a)}
	case "one_of":
		return counted{kind: kind, need: 1, parts: x.requirements(a)}
	case "n_of":
		return x.nOf(a)
	case "issuer":
		return issuerIs(x.issuerURLs(a))
	case "subject":
		return x.subject(a)
	case "audience":
		return joined("one_of", 1, x.texts(a), func(s string) requirement {
			return hasClaim{kind: "audience", claim: "aud", want: value{"text", s}}
		})
	case "claim":
		return x.claim(a)
	case "vo":
		return x.vo(a)
	case "assurance":
		return x.assurance(a)
	case "scope":
		return joined("all_of", 0, x.texts(a), func(s string) requirement { return hasScope(s) })
	}
	return x.capability(a)
}

// joined makes one requirement of several values; a single one needs no list around it.
func joined[T any](kind string, need int, list []T, one func(T) requirement) requirement {
	c := counted{kind: kind, need: need}
	for _, v := range list {
		c.parts = append(c.parts, one(v))
	}
	if len(c.parts) == 1 {
		return c.parts[0]
	}
	return c
}

func (x *builder) requirements(a at) []requirement {
	var list []requirement
	for _, e := range x.list(a) {
		list = append(list, x.requirement(e))
	}
	return list
}

func (x *builder) nOf(a at) requirement {
	f := x.fields(a, "n", "of")
	x.need(a, f, "n", "of")
	n, ok := x.number(f["n"])
	c := counted{kind: "n_of", need: n, parts: x.requirements(f["of"])}
	if ok && len(c.parts) > 0 && n > len(c.parts) {
		x.fault(f["n"], "more than there are in of (%d)", len(c.parts))
	}
	return c
}

// need says which keys are missing.
func (x *builder) need(a at, f map[string]at, names ...string) {
	if x.bad[a.node] || a.node.Kind != yaml.MappingNode {
		return
	}
	for _, name := range names {
		if _, ok := f[name]; !ok {
			x.fault(a, "%s is missing", name)
		}
	}
}

func (x *builder) subject(a at) requirement {
	f := x.fields(a, "issuer", "sub")
	x.need(a, f, "issuer", "sub")
	s := subjectIs{subs: x.texts(f["sub"])}
	if iss, ok := x.text(f["issuer"]); ok {
		x.issuerURL(f["issuer"], iss)
		s.issuer = iss
	}
	return s
}

// match reads how many of total values have to be there; 0 means all.
func (x *builder) match(a at, total int) (kind string, need int) {
	if a.node == nil || x.bad[a.node] {
		return "all_of", 0
	}
	if a.node.Kind == yaml.ScalarNode {
		switch a.node.Value {
		case "all":
			return "all_of", 0
		case "one":
			return "one_of", 1
		}
		if a.node.ShortTag() == "!!int" {
			if n, ok := x.number(a); ok && total > 0 && n > total {
				x.fault(a, "more than there are in required (%d)", total)
			} else if ok {
				return "n_of", n
			}
			return "all_of", 0
		}
	}
	x.fault(a, "has to be all, one or a number")
	return "all_of", 0
}

func (x *builder) claim(a at) requirement {
	f := x.fields(a, "claim", "required", "match", "issuer")
	x.need(a, f, "claim", "required")
	name, _ := x.text(f["claim"])
	if slices.Contains(x.p.entitlementClaims, name) {
		x.fault(f["claim"], "%s holds entitlements, which need vo: there they are bound to issuers", name)
	}
	values := x.values(f["required"])
	issuers := x.issuerURLs(f["issuer"])
	kind, need := x.match(f["match"], len(values))
	return joined(kind, need, values, func(v value) requirement {
		return hasClaim{kind: "claim", claim: name, want: v, issuers: issuers}
	})
}

// values reads what a claim may have to be: text, a whole number or a truth value, or a list of those.
func (x *builder) values(a at) []value {
	if a.node == nil || x.bad[a.node] {
		return nil
	}
	list := []at{a}
	if a.node.Kind == yaml.SequenceNode {
		if list = x.list(a); len(list) == 0 {
			x.fault(a, "the list is empty")
		}
	}
	var values []value
	for _, e := range list {
		switch {
		case x.bad[e.node]:
		case e.node.Kind == yaml.ScalarNode && e.node.ShortTag() == "!!bool":
			values = append(values, value{"truth", strings.ToLower(e.node.Value)})
		case e.node.Kind == yaml.ScalarNode && e.node.ShortTag() == "!!int":
			if n, err := strconv.ParseInt(e.node.Value, 10, 64); err != nil || strconv.FormatInt(n, 10) != e.node.Value {
				x.fault(e, "has to be a number as JSON writes it, or quoted text")
			}
			values = append(values, value{"number", e.node.Value})
		default:
			if s, ok := x.text(e); ok {
				values = append(values, value{"text", s})
			}
		}
	}
	return values
}

func (x *builder) vo(a at) requirement {
	f := x.fields(a, "required", "claim", "match", "issuer")
	x.need(a, f, "required")
	v := inVO{claims: x.p.entitlementClaims, issuers: x.issuerURLs(f["issuer"])}
	if c, ok := f["claim"]; ok {
		v.claims = x.texts(c)
	}
	v.plain = slices.ContainsFunc(v.claims, plainGroups)
	if v.plain && len(v.claims) > 1 {
		x.fault(f["claim"], "plain groups and entitlements together: use one_of with two vo")
	}
	required := x.texts(f["required"])
	kind, need := x.match(f["match"], len(required))
	return joined(kind, need, required, func(s string) requirement {
		one := v
		one.text = s
		if e, err := entitlement.Parse(s); err == nil && !v.plain {
			one.want, one.parsed = e, true
		}
		x.bound(f["required"], one)
		return one
	})
}

// bound sees to it that somebody is named who may assert the membership: otherwise every trusted issuer could.
func (x *builder) bound(a at, v inVO) {
	wlcg := slices.Contains(v.claims, wlcgGroups)
	ns := urnNamespace(v.text)
	if v.parsed {
		ns = v.want.Namespace()
	}
	asserted := func(i issuer) bool {
		return slices.ContainsFunc(i.namespaces, func(n string) bool { return leads(n, ns, ":") || leads(ns, n, ":") })
	}
	switch {
	case wlcg && !claims.ValidGroup(v.text):
		x.fault(a, "%q is no group (/VO/GROUP)", v.text)
	case len(v.issuers) > 0:
	case v.plain && wlcg && x.p.anyIssuer(func(i issuer) bool {
		return slices.ContainsFunc(i.groups, func(g string) bool { return leads(g, v.text, "/") })
	}):
	case v.plain:
		x.p.Notes = append(x.p.Notes, Fault{x.file, a.node.Line, a.key, fmt.Sprintf(
			"%s is bound to no issuer: every issuer you trust can assert it (add issuer, or issuers: URL: groups)", v.text)})
	case ns == "":
		x.fault(a, "%q is no entitlement and bound to no issuer: add issuer: URL", v.text)
	case !x.p.anyIssuer(asserted):
		x.fault(a, "no issuer may assert %q: add issuer: URL here, or issuers: URL: namespaces: [urn:NID:NAMESPACE]", v.text)
	}
}

func (x *builder) assurance(a at) requirement {
	r := assured{claim: "eduperson_assurance"}
	text := a
	if a.node.Kind == yaml.MappingNode {
		f := x.fields(a, "expression", "claim", "base")
		x.need(a, f, "expression")
		text = f["expression"]
		if c, ok := x.text(f["claim"]); ok {
			r.claim = c
		}
		if base, ok := x.text(f["base"]); ok {
			if r.lax = base == "optional"; !r.lax && base != "required" {
				x.fault(f["base"], "has to be required or optional")
			}
		}
	}
	if s, ok := x.text(text); ok {
		var err error
		if r.expr, err = assurance.Parse(s); err != nil {
			x.fault(text, "%v", err)
		}
	}
	return r
}

func (x *builder) capability(a at) requirement {
	c := capable{}
	op := a
	if a.node.Kind == yaml.MappingNode {
		f := x.fields(a, "operation", "otherwise")
		op = f["operation"]
		if o, ok := f["otherwise"]; ok {
			c.otherwise = x.requirement(o)
		}
	}
	if s, ok := x.text(op); ok && s != "requested" {
		if c.operation = s; !knownOperation(s) {
			x.fault(op, "%q is no operation; the request's own is called requested", s)
		}
	}
	if c.operation == "" || storageOperation(c.operation) {
		x.inUse = append(x.inUse, a)
	}
	return c
}
