package provisioner

import (
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/oidcbox/oidcbox/core/account/backend"
	"github.com/oidcbox/oidcbox/core/account/names"
	"github.com/oidcbox/oidcbox/core/account/provision"
	"github.com/oidcbox/oidcbox/core/config"
	"github.com/oidcbox/oidcbox/core/token/assurance"
	"github.com/oidcbox/oidcbox/core/token/entitlement"
)

// nameSource is a site's own source of names; at most one of the two is set.
type nameSource struct {
	program program
	ldap    nameDirectory
}

// program is one that is started with arguments, never through a shell.
type program struct {
	command []string // nil: there is none
	timeout time.Duration
}

// nameDirectory is a directory that knows what people are called.
type nameDirectory struct {
	server, base, filter, attribute string
	bindDN, passwordFile, caFile    string
	timeout                         time.Duration
}

const (
	fromFriendly = "friendly"
	fromPool     = "pooled"
	fromExternal = "external"

	maxProgramTime = 5 * time.Minute
)

func limitKeys() []string { return []string{"min_uid", "max_uid", "min_gid", "max_gid", "reserved"} }

func accountKeys() []string {
	return append(append(ruleKeys(), limitKeys()...), "keep_sessions", "adopt", "compatible_verified")
}

func shellKeys() []string { return []string{"full", "limited", "restricted"} }

func nameKeys() []string {
	return []string{"from", "front", "shorten", "prefix", "digits", "program", "ldap"}
}
func programKeys() []string { return []string{"command", "timeout"} }
func nameDirectoryKeys() []string {
	return []string{"server", "base", "filter", "attribute", "bind_dn", "password_file", "ca_file", "timeout"}
}

// groupRuleKeys say how claims become groups, also for one issuer.
func groupRuleKeys() []string {
	return []string{"method", "top_only", "form", "rewrites", "table", "shorten", "listed", "max"}
}

func groupKeys() []string  { return append(groupRuleKeys(), "primary", "fallback", "additional") }
func listedKeys() []string { return []string{"entitlements", "values"} }
func claimKeys() []string  { return []string{"entitlements", "groups", "assurance", "mfa", "ssh_keys"} }

func (r reader) accounts(a config.At) {
	if !a.Present() {
		return
	}
	f := r.Fields(a, accountKeys()...)
	r.Need(a, f, "assurance")
	rules := &r.s.rules
	rules.Default = r.issuerRules(f, provision.IssuerRules{MaxTier: backend.Full})
	rules.Limits = readLimits(r.Reader, f)
	rules.KeepSessions = r.Bool(f["keep_sessions"], false)
	rules.Adopt = r.Bool(f["adopt"], r.s.backend == regappBackend)
	rules.CompatVerified = r.Bool(f["compatible_verified"], false)
	rules.NoNumbers = r.s.backend == regappBackend || r.s.backend == execBackend
}

// readLimits reads which names and numbers there may be.
func readLimits(r *config.Reader, f config.Fields) names.Limits {
	number := func(key string, fallback int) uint32 {
		return uint32(r.Int(f[key], fallback, names.HardFloor, 1<<31-1)) //nolint:gosec // within the bounds of an uid
	}
	l := names.Limits{
		MinUID: number("min_uid", 1000), MaxUID: number("max_uid", 60000), MinGID: number("min_gid", 1000),
		MaxGID: number("max_gid", 60000), Reserved: r.Texts(f["reserved"]),
	}
	if l.MinUID > l.MaxUID || l.MinGID > l.MaxGID {
		r.Fault(f["min_uid"], "no number is left between minimum and maximum")
	}
	return l
}

// issuerRules reads the rules that stand in f over those that hold otherwise.
func (r reader) issuerRules(f config.Fields, otherwise provision.IssuerRules) provision.IssuerRules {
	rules := otherwise
	rules.Approval = r.Bool(f["approval"], otherwise.Approval)
	if a := f["assurance"]; a.Present() {
		rules.Assurance = r.expression(a)
	}
	if a := f["assurance_base"]; a.Present() {
		rules.LaxBase = r.OneOf(a, "required", "required", "optional") == "optional"
	}
	if a := f["shells"]; a.Present() {
		s := r.Fields(a, shellKeys()...)
		rules.Tiers = &provision.Tiers{
			Full: r.expression(s["full"]), Limited: r.expression(s["limited"]), Restricted: r.expression(s["restricted"]),
		}
	}
	if a := f["groups"]; a.Present() { // of an issuer alone: accounts have no such key
		groups := r.groupRules(r.Fields(a, groupRuleKeys()...))
		rules.Groups = &groups
	}
	if a := f["max_shell"]; a.Present() {
		tier := r.OneOf(a, string(backend.Full), string(backend.Full), string(backend.Limited), string(backend.Restricted),
			string(backend.NoShell))
		rules.MaxTier = backend.Tier(tier)
	}
	return rules
}

// expression is satisfied by nobody where there is none.
func (r reader) expression(a config.At) assurance.Expr {
	s, ok := r.Text(a)
	if !ok {
		return assurance.Expr{}
	}
	e, err := assurance.Parse(s)
	if err != nil {
		r.Fault(a, "%v", err)
	}
	r.profiles(a, e)
	return e
}

// profiles says when an expression asks for a profile of REFEDS's that does not exist: whoever misspells one shuts
// everybody out.
func (r reader) profiles(a config.At, e assurance.Expr) {
	for _, child := range e.Children {
		r.profiles(a, child)
	}
	const profiles = assurance.Base + "/profile/"
	name, ok := strings.CutPrefix(e.Value, profiles)
	switch {
	case !ok || name == "cappuccino" || name == "espresso":
	case name == "mfa":
		r.Note(a, "profile/mfa is %s, which nobody has: a second factor is https://refeds.org/profile/mfa", e.Value)
	default:
		r.Note(a, "%s is no profile of the REFEDS assurance framework (cappuccino, espresso): has anybody that?", e.Value)
	}
}

func (r reader) names(a config.At) {
	f := config.Fields{}
	if a.Present() {
		f = r.Fields(a, nameKeys()...)
	}
	n := &r.s.rules.Naming
	n.Shorten = r.shorten(f["shorten"])
	n.Prefix, _ = r.Text(f["prefix"])
	n.Front, _ = r.Text(f["front"])
	n.Digits = r.Int(f["digits"], 0, 1, 6)
	if p := f["program"]; p.Present() {
		r.s.source.program, _ = readProgram(r.Reader, p)
	}
	if d := f["ldap"]; d.Present() {
		r.s.source.ldap = r.nameDirectory(d)
	}
	from := r.OneOf(f["from"], fromFriendly, fromFriendly, fromPool, fromExternal)
	external := f["program"].Present() || f["ldap"].Present()
	switch {
	case from == fromExternal && f["program"].Present() == f["ldap"].Present():
		r.Fault(a, "from: external needs one of program and ldap")
	case from != fromExternal && external:
		r.Fault(a, "program and ldap are for from: external")
	}
	n.Mode = map[string]provision.Mode{
		fromFriendly: provision.Friendly, fromPool: provision.Pooled, fromExternal: provision.External,
	}[from]
	if r.s.backend == regappBackend && n.Front == "" && n.Mode != provision.External {
		r.Fault(a, "front is missing: local names of a reg-app begin with its org_id and \"_\" (names: {front: fdl_})")
	}
	if n.Mode == provision.Pooled && n.Prefix != "" {
		if _, err := names.NewPool(n.Prefix, max(n.Digits, 1)); err != nil {
			r.Fault(f["prefix"], "%v", err)
		}
	}
}

func (r reader) shorten(a config.At) names.Shorten {
	return map[string]names.Shorten{"digest": names.Digest, "middle": names.Middle, "front": names.Front}[r.OneOf(
		a, "digest", "digest", "middle", "front")]
}

// readProgram reads a program with its arguments, and what else stands there. It is named by its path: where a PATH leads
// is not ours to guess.
// more are keys that stand there as well.
func readProgram(r *config.Reader, a config.At, more ...string) (p program, f config.Fields) {
	f = r.Fields(a, append(programKeys(), more...)...)
	r.Need(a, f, "command")
	p.command = r.Texts(f["command"])
	p.timeout = r.Duration(f["timeout"], 0, 100*time.Millisecond, maxProgramTime)
	if len(p.command) > 0 && !filepath.IsAbs(p.command[0]) {
		r.Fault(f["command"], "the program has to be named by its whole path")
	}
	return p, f
}

func (r reader) nameDirectory(a config.At) (d nameDirectory) {
	f := r.Fields(a, nameDirectoryKeys()...)
	r.Need(a, f, "server", "base", "filter", "attribute")
	d.server, _ = r.Text(f["server"])
	d.base, _ = r.Text(f["base"])
	d.filter, _ = r.Text(f["filter"])
	d.attribute, _ = r.Text(f["attribute"])
	d.bindDN, _ = r.Text(f["bind_dn"])
	if f["password_file"].Present() {
		d.passwordFile, _ = r.Path(f["password_file"])
		_, _ = r.SecretFile(f["password_file"])
	}
	d.caFile, _ = r.Path(f["ca_file"])
	d.timeout = r.Duration(f["timeout"], 0, 100*time.Millisecond, maxProgramTime)
	return d
}

func (r reader) groups(a config.At) {
	f := config.Fields{}
	if a.Present() {
		f = r.Fields(a, groupKeys()...)
	}
	rules := &r.s.rules
	rules.Groups = r.groupRules(f)
	rules.Primary = r.group(f["primary"])
	rules.Fallback = r.group(f["fallback"])
	for _, name := range r.Texts(f["additional"]) {
		if err := names.Check(name); err != nil {
			r.Fault(f["additional"], "%q: %v", name, err)
		}
		rules.Additional = append(rules.Additional, name)
	}
}

// groupRules reads how claims become groups.
func (r reader) groupRules(f config.Fields) (g names.GroupRules) {
	g.Method = map[string]names.Method{"classic": names.Classic, "regex": names.Regex, "table": names.Table}[r.OneOf(
		f["method"], "classic", "classic", "regex", "table")]
	g.Form = map[string]entitlement.Form{
		"g069": entitlement.G069, "g002": entitlement.G002, "g002-strict": entitlement.G002Strict,
	}[r.OneOf(f["form"], "g069", "g069", "g002", "g002-strict")]
	g.TopOnly = r.Bool(f["top_only"], false)
	g.Shorten = r.shorten(f["shorten"])
	g.Max = r.Int(f["max"], 0, 1, 4096)
	g.Limits = r.s.rules.Limits
	r.mappings(f, &g)
	if l := f["listed"]; l.Present() {
		lists := r.Fields(l, listedKeys()...)
		g.Entitlements, g.Values = r.patterns(lists["entitlements"]), r.patterns(lists["values"])
	}
	return g
}

// mappings reads what makes groups of claims in other ways than the classic one.
func (r reader) mappings(f config.Fields, g *names.GroupRules) {
	for _, line := range r.Texts(f["rewrites"]) {
		w, err := names.ParseRewrite(line)
		if err != nil {
			r.Fault(f["rewrites"], "%q: %v", line, err)
		}
		g.Rewrites = append(g.Rewrites, w)
	}
	if f["table"].Present() {
		for _, p := range r.Pairs(f["table"]) {
			group, _ := r.Text(p.At)
			row, err := names.NewRow(p.Name, group)
			if err != nil {
				r.Fault(p.Key, "%v", err)
			}
			g.Table = append(g.Table, row)
		}
	}
	switch {
	case g.Method == names.Regex && len(g.Rewrites) == 0:
		r.Fault(f["method"], "regex needs rewrites")
	case g.Method == names.Table && len(g.Table) == 0:
		r.Fault(f["method"], "table needs table")
	case g.Method != names.Regex && f["rewrites"].Present():
		r.Fault(f["rewrites"], "is for method: regex")
	case g.Method != names.Table && f["table"].Present():
		r.Fault(f["table"], "is for method: table")
	}
}

func (r reader) group(a config.At) string {
	name, ok := r.Text(a)
	if !ok {
		return ""
	}
	if err := names.Check(name); err != nil {
		r.Fault(a, "%v", err)
	}
	return name
}

func (r reader) patterns(a config.At) (list []*regexp.Regexp) {
	for _, s := range r.Texts(a) {
		p, err := regexp.Compile(s)
		if err != nil {
			r.Fault(a, "%q: %v", s, err)
			continue
		}
		list = append(list, p)
	}
	return list
}

func (r reader) claimRules(a config.At) {
	if !a.Present() {
		return
	}
	f := r.Fields(a, claimKeys()...)
	c := &r.s.claims
	c.Entitlements, c.Groups = r.Texts(f["entitlements"]), r.Texts(f["groups"])
	c.Assurance, c.MFA = r.Texts(f["assurance"]), r.Texts(f["mfa"])
	c.Keys, _ = r.Text(f["ssh_keys"])
}
