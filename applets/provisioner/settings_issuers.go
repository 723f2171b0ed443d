package provisioner

import (
	"slices"
	"strings"

	"github.com/oidcbox/oidcbox/core/account/httpapi"
	"github.com/oidcbox/oidcbox/core/account/provision"
	"github.com/oidcbox/oidcbox/core/config"
	"github.com/oidcbox/oidcbox/core/token/gate"
	"github.com/oidcbox/oidcbox/core/token/issuers"
	"github.com/oidcbox/oidcbox/core/token/policy"
	"github.com/oidcbox/oidcbox/core/transport/httpc"
)

// issuerKeys are those an issuer has beside what every daemon reads of one.
func issuerKeys() []string {
	return append(ruleKeys(), "groups", "users", "admins", "admins_for_all", "scopes", "audiences", "login")
}

// ruleKeys are those with which an issuer has rules of its own.
func ruleKeys() []string {
	return []string{"assurance", "assurance_base", "shells", "max_shell", "approval"}
}

func loginKeys() []string {
	return []string{"name", "client_id", "client_secret_file", "scopes", "audience", "resource"}
}

// defaultRate is how many questions a second an issuer gets: a class that logs in together must not have to wait.
const defaultRate = 100

func (r reader) issuers(a config.At) {
	// The issuer is asked unless the operator says otherwise: a token that was revoked opens nothing a minute later.
	o := issuers.Options{Lifetimes: r.s.lifetimes, Check: []gate.Mode{gate.Userinfo}, Rate: defaultRate, Also: issuerKeys()}
	rules := map[string]provision.IssuerRules{}
	for _, read := range issuers.Read(r.Reader, a, o) {
		iss := r.issuer(read)
		if iss.own {
			rules[iss.URL] = iss.rules
		}
		r.s.issuers = append(r.s.issuers, iss)
	}
	r.s.rules.Issuers = rules
}

func (r reader) issuer(read issuers.Issuer) issuer {
	f, at := read.Fields, read.Pair.At
	iss := issuer{Issuer: read.Issuer, at: read.Pair.Key, told: httpapi.Issuer{
		URL: read.URL, Scopes: r.Texts(f["scopes"]), AdminsForAll: r.Bool(f["admins_for_all"], false), Audiences: r.s.audiences,
	}}
	if f["audiences"].Present() {
		iss.told.Audiences = r.audiences(f["audiences"])
	}
	if len(iss.told.Audiences) == 0 {
		r.Note(at, "its tokens are taken whomever they were made for: whoever gets one elsewhere can log in with it here "+
			"(audiences: [what the issuer calls this service])")
	}
	if u := f["users"]; u.Present() {
		iss.told.Users = policy.ReadFor(r.Reader, u, read.URL)
		o := iss.told.Users.Overview()
		iss.told.Everybody, iss.told.VOs, iss.told.VOMatch, iss.told.Persons = o.Everybody, o.VOs, o.Match, o.Persons
	} else {
		r.Note(read.Pair.Key, "has no users: nobody of this issuer gets an account")
	}
	if d := f["admins"]; d.Present() {
		iss.told.Admins = policy.ReadFor(r.Reader, d, read.URL)
		if iss.told.Admins.Overview().Everybody {
			r.Fault(d, "everybody of this issuer could stop everybody else: name the persons (subject: {sub: [...]}), or a group")
		}
	}
	iss.own = slices.ContainsFunc(append(ruleKeys(), "groups"), func(k string) bool { return f[k].Present() })
	if iss.own {
		iss.rules = r.issuerRules(f, r.s.rules.Default)
	}
	iss.login = r.loginClient(f["login"], iss.told.Scopes)
	return iss
}

func (r reader) loginClient(a config.At, scopes []string) *loginClient {
	if !a.Present() {
		return nil
	}
	f := r.Fields(a, loginKeys()...)
	r.Need(a, f, "client_id")
	c := &loginClient{scopes: scopes}
	c.name, _ = r.Text(f["name"])
	c.id, _ = r.Text(f["client_id"])
	c.audience, _ = r.Text(f["audience"])
	c.resource = r.Bool(f["resource"], false)
	if f["client_secret_file"].Present() {
		c.secretFile, _ = r.Path(f["client_secret_file"])
		_, _ = r.SecretFile(f["client_secret_file"])
	}
	if f["scopes"].Present() {
		c.scopes = r.Texts(f["scopes"])
	}
	if !slices.Contains(c.scopes, "openid") {
		c.scopes = append([]string{"openid"}, c.scopes...)
	}
	return c
}

// gateConfig says whom the gate believes. The service of an issuer's name has its audiences.
func (s *settings) gateConfig() gate.Config {
	c := gate.Config{Audiences: s.audiences, Services: map[string]gate.Service{}}
	for _, i := range s.issuers {
		c.Issuers = append(c.Issuers, i.Issuer)
		if len(i.told.Audiences) == 0 {
			c.AcceptAnyAudience = true // there are none of everybody's either
			continue
		}
		c.Services[i.URL] = gate.Service{Audiences: i.told.Audiences}
	}
	return c
}

// makeGate finds what only the packages below know, by making them, which starts nothing.
func (r reader) makeGate(top config.At) {
	hc, err := httpc.New(httpc.Options{CAFile: r.s.caFile})
	if err == nil {
		defer hc.CloseIdle()
		var g *gate.Gate
		if g, err = gate.New(r.s.gateConfig(), gate.Options{HTTP: hc}); err == nil {
			g.Close()
		}
	}
	if err == nil {
		return
	}
	for line := range strings.SplitSeq(err.Error(), "\n") {
		r.Fault(top, "%s", line)
	}
}
