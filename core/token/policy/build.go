package policy

import (
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/oidcbox/oidcbox/core/config"
	"github.com/oidcbox/oidcbox/core/token/assurance"
	"github.com/oidcbox/oidcbox/core/token/claims"
	"github.com/oidcbox/oidcbox/core/token/entitlement"
)

// kinds are the requirements, by their key.
func kinds() []string {
	return []string{
		"all_of", "one_of", "n_of", "issuer", "subject", "audience", "claim", "vo", "assurance", "scope", "capability",
	}
}

// requirement reads one: the name of a level, or a mapping with one key. What is wrong becomes a level that nobody has.
func (x *builder) requirement(a config.At) requirement {
	if !x.Usable(a) {
		return level{NoOne}
	}
	switch a.Kind() {
	case config.Mapping:
	case config.List:
		x.Fault(a, "has to be the name of a level or a mapping with one of %v; a list needs all_of or one_of", kinds())
		return level{NoOne}
	default:
		return x.level(a)
	}
	f := x.Fields(a, kinds()...)
	if len(f) != 1 {
		if len(f) > 1 || a.Len() == 0 {
			x.Fault(a, "has to have exactly one key; put several into all_of")
		}
		for _, p := range x.Pairs(a) { // what is inside may have faults of its own
			if slices.Contains(kinds(), p.Name) {
				x.kind(p.Name, p.At)
			}
		}
		return level{NoOne}
	}
	for kind, inner := range f {
		return x.kind(kind, inner)
	}
	return level{NoOne}
}

func (x *builder) level(a config.At) requirement {
	name, ok := x.Text(a)
	if !ok {
		return level{NoOne}
	}
	if !slices.Contains([]string{Anyone, NoOne, Identified}, name) {
		x.named[name] = append(x.named[name], a)
	}
	return level{name}
}

func (x *builder) kind(kind string, a config.At) requirement {
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
		return joined("one_of", 1, x.Texts(a), func(s string) requirement {
			return hasClaim{kind: "audience", claim: "aud", want: value{"text", s}}
		})
	case "claim":
		return x.claim(a)
	case "vo":
		return x.vo(a)
	case "assurance":
		return x.assurance(a)
	case "scope":
		return joined("all_of", 0, x.Texts(a), func(s string) requirement { return hasScope(s) })
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

// number returns a whole number, 1 or more.
func (x *builder) number(a config.At) (n int, ok bool) {
	n = x.Int(a, 0, 1, math.MaxInt)
	return n, n > 0
}

func (x *builder) requirements(a config.At) []requirement {
	var list []requirement
	for _, e := range x.List(a) {
		list = append(list, x.requirement(e))
	}
	return list
}

func (x *builder) nOf(a config.At) requirement {
	f := x.Fields(a, "n", "of")
	x.Need(a, f, "n", "of")
	n, ok := x.number(f["n"])
	c := counted{kind: "n_of", need: n, parts: x.requirements(f["of"])}
	if ok && len(c.parts) > 0 && n > len(c.parts) {
		x.Fault(f["n"], "more than there are in of (%d)", len(c.parts))
	}
	return c
}

func (x *builder) subject(a config.At) requirement {
	f := x.Fields(a, "issuer", "sub")
	x.Need(a, f, "sub")
	s := subjectIs{issuer: x.only, subs: x.Texts(f["sub"])}
	if x.only == "" {
		x.Need(a, f, "issuer")
	}
	if iss, ok := x.Text(f["issuer"]); ok {
		x.issuerURL(f["issuer"], iss)
		s.issuer = iss
	}
	return s
}

// match reads how many of total values have to be there; 0 means all.
func (x *builder) match(a config.At, total int) (kind string, need int) {
	if !x.Usable(a) {
		return "all_of", 0
	}
	switch a.Raw() {
	case "all":
		return "all_of", 0
	case "one":
		return "one_of", 1
	}
	if a.Kind() == config.Int {
		if n, ok := x.number(a); ok && total > 0 && n > total {
			x.Fault(a, "more than there are in required (%d)", total)
		} else if ok {
			return "n_of", n
		}
		return "all_of", 0
	}
	x.Fault(a, "has to be all, one or a number")
	return "all_of", 0
}

func (x *builder) claim(a config.At) requirement {
	f := x.Fields(a, "claim", "required", "match", "issuer")
	x.Need(a, f, "claim", "required")
	name, _ := x.Text(f["claim"])
	if slices.Contains(x.p.entitlementClaims, name) {
		x.Fault(f["claim"], "%s holds entitlements, which need vo: there they are bound to issuers", name)
	}
	values := x.values(f["required"])
	issuers := x.issuerURLs(f["issuer"])
	if len(issuers) == 0 {
		x.p.unbound = append(x.p.unbound, name)
	}
	kind, need := x.match(f["match"], len(values))
	return joined(kind, need, values, func(v value) requirement {
		return hasClaim{kind: "claim", claim: name, want: v, issuers: issuers}
	})
}

// values reads what a claim may have to be: text, a whole number or a truth value, or a list of those.
func (x *builder) values(a config.At) []value {
	if !x.Usable(a) {
		return nil
	}
	list := []config.At{a}
	if a.Kind() == config.List {
		if list = x.List(a); len(list) == 0 {
			x.Fault(a, "the list is empty")
		}
	}
	var values []value
	for _, e := range list {
		switch {
		case !x.Usable(e):
		case e.Kind() == config.Bool:
			values = append(values, value{"truth", strings.ToLower(e.Raw())})
		case e.Kind() == config.Int:
			if n, err := strconv.ParseInt(e.Raw(), 10, 64); err != nil || strconv.FormatInt(n, 10) != e.Raw() {
				x.Fault(e, "has to be a number as JSON writes it, or quoted text")
			}
			values = append(values, value{"number", e.Raw()})
		default:
			if s, ok := x.Text(e); ok {
				values = append(values, value{"text", s})
			}
		}
	}
	return values
}

func (x *builder) vo(a config.At) requirement {
	f := x.Fields(a, "required", "claim", "match", "issuer")
	x.Need(a, f, "required")
	v := inVO{claims: x.p.entitlementClaims, issuers: x.issuerURLs(f["issuer"])}
	if c, ok := f["claim"]; ok {
		v.claims = x.Texts(c)
	}
	v.plain = slices.ContainsFunc(v.claims, plainGroups)
	if v.plain && len(v.claims) > 1 {
		x.Fault(f["claim"], "plain groups and entitlements together: use one_of with two vo")
	}
	required := x.Texts(f["required"])
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
func (x *builder) bound(a config.At, v inVO) {
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
		x.Fault(a, "%q is no group (/VO/GROUP)", v.text)
	case len(v.issuers) > 0:
	case v.plain && wlcg && x.p.anyIssuer(func(i issuer) bool {
		return slices.ContainsFunc(i.groups, func(g string) bool { return leads(g, v.text, "/") })
	}):
	case v.plain:
		x.Note(a,
			"%s is bound to no issuer: every issuer you trust can assert it (add issuer, or issuers: URL: groups)", v.text)
	case ns == "":
		x.Fault(a, "%q is no entitlement and bound to no issuer: add issuer: URL", v.text)
	case !x.p.anyIssuer(asserted):
		x.Fault(a, "no issuer may assert %q: add issuer: URL here, or issuers: URL: namespaces: [urn:NID:NAMESPACE]", v.text)
	}
}

func (x *builder) assurance(a config.At) requirement {
	r := assured{claim: "eduperson_assurance"}
	text := a
	if a.Kind() == config.Mapping {
		f := x.Fields(a, "expression", "claim", "base")
		x.Need(a, f, "expression")
		text = f["expression"]
		if c, ok := x.Text(f["claim"]); ok {
			r.claim = c
		}
		if base, ok := x.Text(f["base"]); ok {
			if r.lax = base == "optional"; !r.lax && base != "required" {
				x.Fault(f["base"], "has to be required or optional")
			}
		}
	}
	if s, ok := x.Text(text); ok {
		var err error
		if r.expr, err = assurance.Parse(s); err != nil {
			x.Fault(text, "%v", err)
		}
	}
	return r
}

func (x *builder) capability(a config.At) requirement {
	c := capable{}
	op := a
	if a.Kind() == config.Mapping {
		f := x.Fields(a, "operation", "otherwise")
		op = f["operation"]
		if o, ok := f["otherwise"]; ok {
			c.otherwise = x.requirement(o)
		}
	}
	if s, ok := x.Text(op); ok && s != "requested" {
		if c.operation = s; !KnownOperation(s) {
			x.Fault(op, "%q is no operation; the request's own is called requested", s)
		}
	}
	if c.operation == "" || storageOperation(c.operation) {
		x.inUse = append(x.inUse, a)
	}
	return c
}
