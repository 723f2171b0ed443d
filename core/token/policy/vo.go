package policy

import (
	"fmt"
	"slices"
	"strings"

	"github.com/oidcbox/oidcbox/core/token/entitlement"
)

// issuer is what the policy says of one.
type issuer struct {
	namespaces []string      // of entitlements it may assert, normal form: geant:h-df.de
	groups     []string      // of wlcg.groups it may assert
	areas      []storageArea // where its storage scopes count
}

// inVO wants membership in a virtual organisation.
type inVO struct {
	text    string // as the policy has it
	want    entitlement.Entitlement
	parsed  bool     // want is one; otherwise text is compared as it is
	claims  []string // where to look
	issuers []string // who may assert it; nil: who may assert its namespace
	plain   bool     // claims of plain groups: never read as entitlements
}

func (v inVO) decide(e *evaluation) Node {
	n := Node{Kind: "vo", Text: fmt.Sprintf("%s in %s", v.text, strings.Join(v.claims, " or "))}
	if len(v.issuers) > 0 && !slices.Contains(v.issuers, e.who.Issuer) {
		n.Reason = "the token is from an issuer that may not assert it"
		return n
	}
	found, barred, some := false, false, false
	for _, claim := range v.claims {
		list, there := e.who.texts(claim)
		some = some || there
		for _, actual := range list {
			match, allowed := v.match(e, claim, actual)
			found, barred = found || match && allowed, barred || match && !allowed
		}
	}
	switch {
	case found:
		n.Yes = true
	case barred:
		n.Reason = "it is asserted by an issuer that may not"
	case some:
		n.Reason = "it is not among the groups"
	default:
		n.Reason = "there is no such claim"
	}
	return n
}

// match reports whether actual is the membership that is wanted, and whether this issuer may assert it.
func (v inVO) match(e *evaluation, claim, actual string) (match, allowed bool) {
	bound := len(v.issuers) > 0
	who := e.who.Issuer
	if v.plain {
		return actual == v.text, bound || claim != wlcgGroups || e.policy.mayAssertGroup(who, actual)
	}
	if !v.parsed {
		return actual == v.text, bound || e.policy.mayAssert(who, urnNamespace(actual))
	}
	have, err := entitlement.Parse(actual)
	if err != nil {
		return false, false
	}
	match = have.Satisfies(v.want, e.policy.exactNamespaces)
	return match, bound || e.policy.mayAssert(who, have.Namespace())
}

const wlcgGroups = "wlcg.groups"

// mayAssert reports whether who's entitlements of namespace count. Nobody's do unless the policy says so.
func (p *Policy) mayAssert(who, namespace string) bool {
	return namespace != "" && slices.ContainsFunc(p.issuers[who].namespaces, func(ns string) bool {
		return leads(ns, namespace, ":")
	})
}

// mayAssertGroup reports whether who's group counts: once the policy gives a group to issuers, only theirs does.
func (p *Policy) mayAssertGroup(who, group string) bool {
	ours := func(i issuer) bool {
		return slices.ContainsFunc(i.groups, func(g string) bool { return leads(g, group, "/") })
	}
	return ours(p.issuers[who]) || !p.anyIssuer(ours)
}

func (p *Policy) anyIssuer(is func(issuer) bool) bool {
	for _, i := range p.issuers {
		if is(i) {
			return true
		}
	}
	return false
}

func leads(short, long, sep string) bool { return long == short || strings.HasPrefix(long, short+sep) }

// urnNamespace is what follows urn: in lower case, "" for what is no URN.
func urnNamespace(s string) string {
	if len(s) < 4 || !strings.EqualFold(s[:4], "urn:") {
		return ""
	}
	return strings.ToLower(s[4:])
}
