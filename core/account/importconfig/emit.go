package importconfig

import (
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/oidcbox/oidcbox/core/account/names"
	"github.com/oidcbox/oidcbox/core/token/assurance"
)

func (c *conversion) provisioner() *page {
	p := &page{}
	p.set("version", 1)
	p.blank()
	p.comment("The old service stood behind a web server (nginx on port 8080, or with TLS on 443 or 8443), which can stay.")
	p.set("listen", "127.0.0.1:8080")
	p.set("proxies", []string{"127.0.0.1"})
	host := c.f.sshHost
	if host == "" {
		host = "localhost"
	}
	p.set("url", "https://"+host)
	p.open("operator")
	p.set("name", host)
	if c.m.privacyContact != "" {
		p.set("contact", c.m.privacyContact)
	}
	p.done()
	p.set("backend", backendWord(c.f.backend))
	p.blank()
	p.open("state")
	p.set("file", "/var/lib/oidcbox/provisioner/state.keys")
	p.set("key_file", "/var/lib/oidcbox/provisioner/state-key")
	p.done()
	p.blank()
	p.comment("Issuers are compared byte for byte here, the slash at the end included; the old service left scheme, www. and slash out.")
	p.comment("What counts is \"issuer\" in URL/.well-known/openid-configuration.")
	p.open("issuers")
	for _, o := range c.m.ops {
		c.issuer(p, o)
	}
	p.done()
	p.blank()
	c.accounts(p)
	c.names(p)
	c.groups(p)
	c.rest(p)
	return p
}

func backendWord(old string) string {
	switch old {
	case "ldap":
		return "ldap"
	case "bwidm":
		return "regapp"
	}
	return "local_unix"
}

func issuerURL(url string) string {
	if strings.Contains(url, "://") {
		return url
	}
	return "https://" + url
}

func (c *conversion) issuer(p *page, o op) {
	of := &page{depth: p.depth + 1}
	c.fields(of, o)
	if of.b.Len() == 0 {
		p.lead()
		p.b.WriteString(quote(issuerURL(o.url)) + ": {}\n")
		return
	}
	p.open(quote(issuerURL(o.url)))
	p.b.WriteString(of.b.String())
	p.done()
}

func (c *conversion) fields(p *page, o op) {
	c.users(p, o)
	if len(o.admins) > 0 {
		p.open("admins")
		p.open("subject")
		p.set("sub", o.admins)
		p.done()
		p.done()
		if o.anyOP {
			p.set("admins_for_all", true)
		}
	}
	if len(o.scopes) > 0 {
		p.set("scopes", o.scopes)
	}
	if len(o.audience) > 0 {
		p.set("audiences", o.audience)
	}
	if o.tiers.on() && !c.sameTiers() {
		c.shells(p, o)
	}
	if o.tiers.most != "" {
		p.set("max_shell", o.tiers.most)
	}
}

// users writes who may have an account.
func (c *conversion) users(p *page, o op) {
	vo, subject := !o.all && len(o.vos) > 0, !o.all && len(o.users) > 0
	switch {
	case o.all:
		p.set("users", "ANYONE")
	case vo && subject:
		p.open("users")
		p.open("one_of")
		p.next()
		c.vo(p, o)
		p.done()
		p.next()
		p.open("subject")
		p.set("sub", o.users)
		p.done()
		p.done()
		p.done()
		p.done()
	case vo:
		p.open("users")
		c.vo(p, o)
		p.done()
	case subject:
		p.open("users")
		p.open("subject")
		p.set("sub", o.users)
		p.done()
		p.done()
	}
}

func (c *conversion) vo(p *page, o op) {
	p.open("vo")
	defer p.done()
	p.set("required", o.vos)
	if !slices.Contains([]string{"eduperson_entitlement", "entitlements"}, o.claim) {
		p.set("claim", o.claim)
	}
	switch n, err := strconv.Atoi(o.match); {
	case err == nil && n > 0:
		p.set("match", n)
	case o.match == "all" || o.match == "one":
		p.set("match", o.match)
	default:
		s := c.mr.file.section(authorisationSection + o.name)
		c.mr.warn(c.mr.at(s, "vo_match"), "["+s.name+"] vo_match", "%q is none of one, all and a number above 0; all are required now", o.match)
		p.set("match", "all")
	}
}

func (c *conversion) sameTiers() bool {
	first := c.m.ops[0].tiers
	return !slices.ContainsFunc(c.m.ops, func(o op) bool {
		t := o.tiers
		return t.full != first.full || t.limited != first.limited || t.restricted != first.restricted ||
			t.otherwise != first.otherwise || t.prefix != first.prefix
	})
}

// shells writes what chooses a shell.
func (c *conversion) shells(p *page, o op) {
	t := o.tiers
	prefix := t.prefix
	if prefix == "" {
		prefix = "https://refeds.org"
	}
	s := c.mr.file.section(authorisationSection + o.name)
	p.open("shells")
	for _, e := range []struct{ tier, text string }{{"full", t.full}, {"limited", t.limited}, {"restricted", t.restricted}} {
		if e.text != "" {
			p.set(e.tier, c.expression(c.mr, value{line: s.line}, e.tier, e.text, prefix))
		}
	}
	p.done()
	if t.restricted != "*" {
		c.mr.warn(value{line: s.line}, "["+s.name+"] assurance_based_shell_default_tier", "who satisfies none of the expressions "+
			"had the shell %q; here they get none (nologin). Write restricted: \"*\" to let them in with that", orElse(t.otherwise, "full"))
	}
}

func orElse(s, fallback string) string {
	if s == "" {
		return fallback
	}
	return s
}

// expression writes an assurance expression with whole URLs where its words were relative to another place than ours.
func (c *conversion) expression(r *reader, at value, key, text, prefix string) string {
	if strings.TrimSuffix(prefix, "/") != assurance.Base {
		text = absolute(text, strings.TrimSuffix(prefix, "/")+"/")
	}
	if _, err := assurance.Parse(text); err != nil {
		r.warn(at, key, "%q cannot be read (%v): nobody satisfies it until it is mended", text, err)
	}
	return text
}

// absolute puts prefix before every word of an expression that is no URL.
func absolute(text, prefix string) string {
	spaced := strings.NewReplacer("(", " ( ", ")", " ) ", "&", " & ", "|", " | ").Replace(text)
	words := strings.Fields(spaced)
	for i, w := range words {
		if !slices.Contains([]string{"(", ")", "&", "|", "+", "*"}, w) && !strings.Contains(w, "://") {
			words[i] = prefix + strings.TrimPrefix(w, "/")
		}
	}
	return strings.NewReplacer("( ", "(", " )", ")").Replace(strings.Join(words, " "))
}

func (c *conversion) accounts(p *page) {
	p.open("accounts")
	defer func() { p.done(); p.blank() }()
	a := c.f.assurance
	if a.skip {
		p.comment("!! Switched off, as it was. What the file named beside it: " + a.require)
		p.set("assurance", "*")
	} else {
		p.set("assurance", c.expression(c.fr, a.at, "[assurance] require", a.require, a.prefix))
	}
	p.comment("The old service compared values, whether or not the provider asserts the framework as such.")
	p.set("assurance_base", "optional")
	if o := c.m.ops[0]; o.tiers.on() && c.sameTiers() {
		c.shells(p, o)
	}
	if c.f.approval {
		p.set("approval", true)
	}
	if l := c.f.ldap; c.f.backend == "ldap" {
		p.set("min_uid", l.minUID)
		p.set("max_uid", l.maxUID)
		p.set("min_gid", l.minGID)
		p.set("max_gid", l.maxGID)
	}
	if c.f.backend != "local_unix" {
		p.comment("Accounts that carry an identity already go on being theirs.")
		p.set("adopt", true)
		return
	}
	p.comment("For accounts that the old service made: \"oidcbox provisioner adopt\" once as root, then")
	p.comment("\"oidcbox provisioner admin rebuild\". Nobody gets a new name.")
}

func (c *conversion) names(p *page) {
	p.open("names")
	defer func() { p.done(); p.blank() }()
	if c.f.pooled {
		p.set("from", "pooled")
		if c.f.poolPrefix != "" {
			p.set("prefix", c.f.poolPrefix)
		}
		p.set("digits", c.f.poolDigits)
	} else {
		p.set("from", "friendly")
	}
	if c.f.backend == "bwidm" {
		p.comment("What the registration application puts before each name.")
		p.set("front", c.f.bwidm.org+"_")
	}
	c.shorten(p)
}

// shorten keeps the names of before.
func (c *conversion) shorten(p *page) {
	way := "middle"
	if c.f.unix.names == "v044" {
		way = "front"
	}
	p.comment("Long names are shortened as before, so that groups keep theirs. \"digest\" never makes one name of two.")
	p.set("shorten", way)
}

func (c *conversion) groups(p *page) {
	g := c.f.groups
	p.open("groups")
	defer func() { p.done(); p.blank() }()
	if g.regex {
		p.set("method", "regex")
		p.set("rewrites", c.rewrites(g.mapping))
	} else {
		p.set("method", "classic")
		if c.f.topOnly {
			p.set("top_only", true)
		}
	}
	c.shorten(p)
	if g.listed && len(g.entitlements)+len(g.values) > 0 {
		p.open("listed")
		if len(g.entitlements) > 0 {
			p.set("entitlements", g.entitlements)
		}
		if len(g.values) > 0 {
			p.set("values", g.values)
		}
		p.done()
	}
	if c.f.primary != "" {
		p.set("primary", c.f.primary)
	}
	if c.f.fallback != "" {
		p.set("fallback", c.f.fallback)
	}
	if len(c.f.additional) > 0 {
		p.set("additional", c.f.additional)
	}
}

// rewrites leaves comments out, and says which expressions are not ours (look-ahead, back references).
func (c *conversion) rewrites(lines []string) []string {
	at := c.fr.at(c.fr.file.section("groups"), "mapping")
	var list []string
	for _, line := range lines {
		line, _, _ = strings.Cut(line, " #")
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		if _, err := names.ParseRewrite(line); err != nil {
			c.fr.warn(at, "[groups] mapping", "%q is no rule here and was left out: %v", line, err)
			continue
		}
		list = append(list, line)
	}
	return list
}

func (c *conversion) rest(p *page) {
	p.open("login_info")
	for _, kv := range c.f.login {
		switch kv.key {
		case "description", "login_help":
			p.set(kv.key, kv.text)
		default:
			c.fr.note(value{}, "[login_info] "+kv.key, "clients are told description, login_help and ssh_host alone")
		}
	}
	p.set("ssh_host", orElse(c.f.sshHost, "localhost"))
	p.done()
	p.blank()
	p.open("passwords")
	p.set("on", c.m.otp)
	p.done()
	p.open("pages")
	p.comment("Logging in without any client: give issuers a login and switch this on.")
	p.set("on", false)
	p.done()
	if c.m.privacyFile != "" {
		p.open("privacy")
		p.set("file", c.m.privacyFile)
		if c.m.privacyContact != "" {
			p.set("contact", c.m.privacyContact)
		}
		p.done()
	}
	if c.m.docs {
		c.mr.note(value{}, "[mapper] enable_docs", "api.docs names where the page about the interface is")
	}
	if c.f.approval {
		c.approval(p)
	}
}

// approval writes whom to tell by mail.
func (c *conversion) approval(p *page) {
	m := c.f.mail
	p.open("approval")
	p.set("admins", []string{m.admin})
	p.done()
	p.open("mail")
	defer p.done()
	p.set("host", m.server)
	p.set("port", m.port)
	switch {
	case m.tls:
		p.set("security", "tls")
	case loopback(m.server):
		p.set("security", "none")
	default:
		c.fr.warn(value{}, "[notifier.email] use_ssl", "mail went to %s in plain text; it has to offer STARTTLS now", m.server)
		p.set("security", "starttls")
	}
	p.set("from", m.from)
	if m.hasPassword {
		p.set("user", m.from)
		p.set("password_file", c.secretFile("mail-password", m.password, false))
	}
}

func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.IsLoopback()
}

func (c *conversion) worker() *page {
	p := &page{}
	p.set("version", 1)
	p.set("users", []string{"oidcbox-provisioner"})
	p.set("backend", backendWord(c.f.backend))
	p.blank()
	hook := c.f.unix.hook
	switch c.f.backend {
	case "ldap":
		hook = c.f.ldap.hook
		c.ldap(p)
	case "bwidm":
		hook = c.f.bwidm.hook
		c.regapp(p)
	default:
		if c.f.backend != "local_unix" {
			c.fr.warn(value{}, "[ldf_adapter] backend", "%q is unknown; local_unix is written", c.f.backend)
		}
		c.unix(p)
	}
	p.blank()
	p.open("groups")
	given := slices.DeleteFunc(append([]string{c.f.primary, c.f.fallback}, c.f.additional...), func(s string) bool { return s == "" })
	slices.Sort(given)
	p.set("given", slices.Compact(given))
	p.done()
	if hook != "" {
		p.open("post_create")
		p.set("command", []string{hook})
		p.done()
	}
	if c.f.backend != "local_unix" {
		p.set("adopt", true)
	}
	return p
}

func (c *conversion) unix(p *page) {
	u := c.f.unix
	p.open("local_unix")
	defer p.done()
	p.set("home_base", u.home)
	p.open("shells")
	defer p.done()
	for _, s := range []pair{{"full", u.shell}, {"limited", u.limited}, {"restricted", u.restricted}} {
		if s.text != "" {
			p.set(s.key, s.text)
		}
	}
}

func (c *conversion) ldap(p *page) {
	l := c.f.ldap
	p.open("ldap")
	defer p.done()
	scheme := "ldap://"
	if l.tls {
		scheme = "ldaps://"
	} else if !loopback(l.host) {
		c.fr.warn(c.fr.at(c.fr.file.section("backend.ldap"), "tls"), "[backend.ldap] tls", "accounts and the password of the "+
			"administrator went to %s in plain text; StartTLS is required now (ca_file names its authority)", l.host)
	}
	p.set("servers", []string{scheme + net.JoinHostPort(l.host, strconv.Itoa(l.port))})
	if l.user != "" {
		p.set("bind_dn", l.user)
		p.set("password_file", c.secretFile("ldap-password", l.password, true))
	}
	p.set("mode", l.mode)
	p.set("user_base", l.userBase)
	p.set("group_base", l.groupBase)
	p.set("id_attribute", l.idAttribute)
	p.set("name_attribute", l.nameAttribute)
	p.open("shells")
	p.set("full", l.shell)
	p.done()
	p.set("home_base", l.home)
}

func (c *conversion) regapp(p *page) {
	b := c.f.bwidm
	p.open("regapp")
	defer p.done()
	p.set("url", b.url)
	p.set("user", b.user)
	p.set("password_file", c.secretFile("regapp-password", b.password, true))
	p.set("org_id", b.org)
	p.set("service", b.service)
}
