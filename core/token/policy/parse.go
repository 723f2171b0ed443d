package policy

import (
	"net/url"
	"slices"
	"strings"

	"github.com/oidcbox/oidcbox/core/config"
	"github.com/oidcbox/oidcbox/core/token/claims"
	"github.com/oidcbox/oidcbox/core/token/entitlement"
)

// builder makes a Policy out of what the reader reads.
type builder struct {
	*config.Reader
	p       *Policy
	levelAt map[string]config.At   // where each level is defined
	named   map[string][]config.At // levels that are named somewhere, and where
	inUse   []config.At            // requirements that need a storage area of somebody
	only    string                 // the one issuer everything is about; "": any
}

// Parse reads a policy. name is that of the file, for messages. The error is Faults: all that is wrong.
func Parse(name string, b []byte) (*Policy, error) {
	r := config.NewReader(name)
	p := &Policy{}
	if top := r.Document(b); top.Present() {
		p = Read(r, top)
		if top.Kind() == config.Mapping && !slices.ContainsFunc(r.Pairs(top), isVersion) {
			r.Fault(top, "version is missing (version: 1)")
		}
	}
	if err := r.Err(); err != nil {
		return nil, err
	}
	p.Notes = r.Notes()
	return p, nil
}

func isVersion(p config.Pair) bool { return p.Name == "version" }

// Read is Parse for a policy that stands inside another file, at top, where it needs no version of its own. What is wrong and what may surprise is in r; while
// r.Err is not nil the policy is not to be used.
func Read(r *config.Reader, top config.At) *Policy {
	x := &builder{
		Reader: r,
		p:      &Policy{services: map[string]*service{}, issuers: map[string]issuer{}, levels: map[string]requirement{}},
		named:  map[string][]config.At{}, levelAt: map[string]config.At{},
	}
	x.policy(top)
	return x.p
}

func (x *builder) policy(top config.At) {
	f := x.Fields(top, "version", "issuers", "entitlements", "levels", "require", "rules", "services")
	if f["version"].Present() {
		x.Version(top, f, 1)
	}
	for _, p := range x.Pairs(f["issuers"]) {
		x.issuerURL(p.Key, p.Name)
		x.p.issuers[p.Name] = x.issuer(p.At)
	}
	x.entitlements(f["entitlements"])
	x.levels(f["levels"])
	if f["require"].Present() || f["rules"].Present() {
		x.p.single = x.service(top, f)
	}
	for _, p := range x.Pairs(f["services"]) {
		s := x.service(p.At, x.Fields(p.At, "require", "rules"))
		s.name = p.Name
		x.p.services[p.Name] = s
	}
	if x.p.single == nil && !f["services"].Present() {
		x.Fault(top, "nothing can be allowed: there is neither require nor rules nor services")
	}
	x.resolve()
	if len(x.inUse) > 0 && !x.p.anyIssuer(func(i issuer) bool { return len(i.areas) > 0 }) {
		x.Fault(x.inUse[0], "no issuer has areas, so no storage scope counts: add issuers: URL: areas: [/directory]")
	}
}

func (x *builder) issuerURL(a config.At, s string) {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.RawQuery != "" || u.Fragment != "" {
		x.Fault(a, "an issuer is a URL without query: https://HOST/PATH")
	}
}

func (x *builder) issuerURLs(a config.At) []string {
	list := x.Texts(a)
	for _, s := range list {
		x.issuerURL(a, s)
	}
	if len(list) == 0 && !a.Present() && x.only != "" {
		return []string{x.only}
	}
	return list
}

func (x *builder) issuer(a config.At) (i issuer) {
	f := x.Fields(a, "namespaces", "groups", "areas")
	for _, ns := range x.Texts(f["namespaces"]) {
		probe, err := entitlement.Parse(ns + ":group:x")
		if err != nil {
			x.Fault(f["namespaces"], "%q is no namespace (urn:NID:NAMESPACE)", ns)
			continue
		}
		i.namespaces = append(i.namespaces, probe.Namespace())
	}
	for _, g := range x.Texts(f["groups"]) {
		if !claims.ValidGroup(g) {
			x.Fault(f["groups"], "%q is no group (/VO/GROUP)", g)
		}
		i.groups = append(i.groups, g)
	}
	for _, p := range x.paths(f["areas"]) {
		i.areas = append(i.areas, storageArea{p})
	}
	return i
}

func (x *builder) paths(a config.At) []claims.Path {
	var list []claims.Path
	for _, s := range x.Texts(a) {
		p, err := claims.ParsePath(s)
		if err != nil {
			x.Fault(a, "%q is no absolute path without ..", s)
			continue
		}
		list = append(list, p)
	}
	return list
}

// entitlementClaims are where entitlements stand unless the policy says otherwise.
func entitlementClaims() []string { return []string{"entitlements", "eduperson_entitlement"} }

func (x *builder) entitlements(a config.At) {
	x.p.entitlementClaims = entitlementClaims()
	if !a.Present() {
		return
	}
	f := x.Fields(a, "claims", "subnamespaces")
	if c, ok := f["claims"]; ok {
		x.p.entitlementClaims = x.Texts(c)
		for _, name := range x.p.entitlementClaims {
			if plainGroups(name) {
				x.Fault(c, "%s holds plain groups, never entitlements", name)
			}
		}
	}
	if s, ok := f["subnamespaces"]; ok {
		switch how, ok := x.Text(s); {
		case !ok:
		case how == "exact":
			x.p.exactNamespaces = true
		case how != "prefix":
			x.Fault(s, "has to be prefix or exact")
		}
	}
}

func (x *builder) levels(a config.At) {
	for _, p := range x.Pairs(a) {
		if slices.Contains([]string{Anyone, NoOne, Identified}, p.Name) {
			x.Fault(p.Key, "is a level that is always there")
			continue
		}
		x.p.levels[p.Name] = x.requirement(p.At)
		x.levelAt[p.Name] = p.Key
	}
}

func (x *builder) service(whole config.At, f config.Fields) *service {
	s := &service{}
	if a, ok := f["require"]; ok {
		s.require = x.requirement(a)
	}
	for _, a := range x.List(f["rules"]) {
		r := x.Fields(a, "methods", "operations", "paths", "require")
		u := rule{methods: x.Texts(r["methods"]), operations: x.Texts(r["operations"])}
		u.paths = append(u.paths, x.paths(r["paths"])...)
		for _, op := range u.operations {
			if !KnownOperation(op) {
				x.Fault(r["operations"], "%q is no operation", op)
			}
		}
		if q, ok := r["require"]; ok {
			u.require = x.requirement(q)
		} else {
			x.Fault(a, "require is missing")
		}
		some := r["methods"].Present() || r["operations"].Present() || r["paths"].Present()
		if len(r) > 0 && !some {
			x.Fault(a, "a rule is for some methods, operations or paths; for all the rest there is require beside rules")
		}
		if i := slices.IndexFunc(s.rules, u.shadowedBy); i >= 0 {
			x.Fault(a, "no request gets here: all that it is for, rule %d before it decides (the first one that fits does)", i+1)
		}
		s.rules = append(s.rules, u)
	}
	if whole.Kind() == config.Mapping && !f["require"].Present() && !f["rules"].Present() {
		x.Fault(whole, "a service has neither require nor rules")
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
			x.Fault(a, "there is no level %q", name)
		}
	}
	state := map[string]int{} // depth below a level once known; -1 while walking
	for name := range x.p.levels {
		if x.depth(name, state) > maxDepth {
			x.Fault(x.levelAt[name], "levels that name levels: in a circle, or deeper than %d", maxDepth)
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
