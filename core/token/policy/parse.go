package policy

import (
	"net/url"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/oidcbox/oidcbox/core/token/claims"
	"github.com/oidcbox/oidcbox/core/token/entitlement"
)

// builder makes a Policy out of what the reader reads.
type builder struct {
	reader
	p       *Policy
	levelAt map[string]at   // where each level is defined
	named   map[string][]at // levels that are named somewhere, and where
	inUse   []at            // requirements that need a storage area of somebody
}

// Parse reads a policy. name is that of the file, for messages. The error is Faults: all that is wrong.
func Parse(name string, b []byte) (*Policy, error) {
	x := &builder{
		reader: newReader(name),
		p:      &Policy{services: map[string]*service{}, issuers: map[string]issuer{}, levels: map[string]requirement{}},
		named:  map[string][]at{}, levelAt: map[string]at{},
	}
	top := x.document(b)
	if top.node != nil {
		x.policy(top)
	}
	if len(x.faults) > 0 {
		return nil, x.sorted()
	}
	return x.p, nil
}

func (x *builder) policy(top at) {
	f := x.fields(top, "version", "issuers", "entitlements", "levels", "require", "rules", "services")
	if v, ok := f["version"]; !ok {
		x.fault(at{node: top.node}, "version is missing (version: 1)")
	} else if n, ok := x.number(v); ok && n != 1 {
		x.fault(v, "version %d is not known; this program reads 1", n)
	}
	for _, p := range x.pairs(f["issuers"]) {
		x.issuerURL(p.key, p.name)
		x.p.issuers[p.name] = x.issuer(p.at)
	}
	x.entitlements(f["entitlements"])
	x.levels(f["levels"])
	if f["require"].node != nil || f["rules"].node != nil {
		x.p.single = x.service(top, f)
	}
	for _, p := range x.pairs(f["services"]) {
		s := x.service(p.at, x.fields(p.at, "require", "rules"))
		s.name = p.name
		x.p.services[p.name] = s
	}
	if x.p.single == nil && f["services"].node == nil {
		x.fault(at{node: top.node}, "nothing can be allowed: there is neither require nor rules nor services")
	}
	x.resolve()
	if len(x.inUse) > 0 && !x.p.anyIssuer(func(i issuer) bool { return len(i.areas) > 0 }) {
		x.fault(x.inUse[0], "no issuer has areas, so no storage scope counts: add issuers: URL: areas: [/directory]")
	}
}

func (x *builder) issuerURL(a at, s string) {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.RawQuery != "" || u.Fragment != "" {
		x.fault(a, "an issuer is a URL without query: https://HOST/PATH")
	}
}

func (x *builder) issuerURLs(a at) []string {
	list := x.texts(a)
	for _, s := range list {
		x.issuerURL(a, s)
	}
	return list
}

func (x *builder) issuer(a at) (i issuer) {
	f := x.fields(a, "namespaces", "groups", "areas")
	for _, ns := range x.texts(f["namespaces"]) {
		probe, err := entitlement.Parse(ns + ":group:x")
		if err != nil {
			x.fault(f["namespaces"], "%q is no namespace (urn:NID:NAMESPACE)", ns)
			continue
		}
		i.namespaces = append(i.namespaces, probe.Namespace())
	}
	for _, g := range x.texts(f["groups"]) {
		if !claims.ValidGroup(g) {
			x.fault(f["groups"], "%q is no group (/VO/GROUP)", g)
		}
		i.groups = append(i.groups, g)
	}
	for _, p := range x.paths(f["areas"]) {
		i.areas = append(i.areas, storageArea{p})
	}
	return i
}

func (x *builder) paths(a at) []claims.Path {
	var list []claims.Path
	for _, s := range x.texts(a) {
		p, err := claims.ParsePath(s)
		if err != nil {
			x.fault(a, "%q is no absolute path without ..", s)
			continue
		}
		list = append(list, p)
	}
	return list
}

func (x *builder) entitlements(a at) {
	x.p.entitlementClaims = []string{"entitlements", "eduperson_entitlement"}
	if a.node == nil {
		return
	}
	f := x.fields(a, "claims", "subnamespaces")
	if c, ok := f["claims"]; ok {
		x.p.entitlementClaims = x.texts(c)
		for _, name := range x.p.entitlementClaims {
			if plainGroups(name) {
				x.fault(c, "%s holds plain groups, never entitlements", name)
			}
		}
	}
	if s, ok := f["subnamespaces"]; ok {
		switch how, ok := x.text(s); {
		case !ok:
		case how == "exact":
			x.p.exactNamespaces = true
		case how != "prefix":
			x.fault(s, "has to be prefix or exact")
		}
	}
}

func (x *builder) levels(a at) {
	for _, p := range x.pairs(a) {
		if slices.Contains([]string{Anyone, NoOne, Identified}, p.name) {
			x.fault(p.key, "is a level that is always there")
			continue
		}
		x.p.levels[p.name] = x.requirement(p.at)
		x.levelAt[p.name] = p.key
	}
}

func (x *builder) service(whole at, f map[string]at) *service {
	s := &service{}
	if a, ok := f["require"]; ok {
		s.require = x.requirement(a)
	}
	for _, a := range x.list(f["rules"]) {
		r := x.fields(a, "methods", "operations", "paths", "require")
		u := rule{methods: x.texts(r["methods"]), operations: x.texts(r["operations"])}
		u.paths = append(u.paths, x.paths(r["paths"])...)
		for _, op := range u.operations {
			if !knownOperation(op) {
				x.fault(r["operations"], "%q is no operation", op)
			}
		}
		if q, ok := r["require"]; ok {
			u.require = x.requirement(q)
		} else {
			x.fault(a, "require is missing")
		}
		if len(r) > 0 && r["methods"].node == nil && r["operations"].node == nil && r["paths"].node == nil {
			x.fault(a, "a rule is for some methods, operations or paths; for all the rest there is require beside rules")
		}
		s.rules = append(s.rules, u)
	}
	if whole.node.Kind == yaml.MappingNode && f["require"].node == nil && f["rules"].node == nil {
		x.fault(whole, "a service has neither require nor rules")
	}
	return s
}

// resolve looks at the names of levels: all of them are there, and none needs itself.
func (x *builder) resolve() {
	for name, places := range x.named {
		if _, ok := x.p.levels[name]; ok {
			continue
		}
		for _, a := range places {
			x.fault(a, "there is no level %q", name)
		}
	}
	state := map[string]int{} // depth below a level once known; -1 while walking
	for name := range x.p.levels {
		if x.depth(name, state) > maxDepth {
			x.fault(x.levelAt[name], "levels that name levels: in a circle, or deeper than %d", maxDepth)
		}
	}
}

func (x *builder) depth(name string, state map[string]int) int {
	if d, ok := state[name]; ok {
		if d < 0 {
			return maxDepth + 1
		}
		return d
	}
	state[name] = -1
	d := 0
	for _, inner := range levelsIn(x.p.levels[name]) {
		d = max(d, x.depth(inner, state)+1)
	}
	state[name] = d
	return d
}

func levelsIn(r requirement) []string {
	switch r := r.(type) {
	case level:
		return []string{r.name}
	case capable:
		return levelsIn(r.otherwise)
	case counted:
		var list []string
		for _, p := range r.parts {
			list = append(list, levelsIn(p)...)
		}
		return list
	}
	return nil
}

func plainGroups(claim string) bool { return claim == "groups" || strings.HasPrefix(claim, "wlcg.") }
