package mytoken

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/config"
	"github.com/oidcbox/oidcbox/core/mytoken"
	"github.com/oidcbox/oidcbox/core/mytoken/rules"
)

// limits are the options that say what a new mytoken may be used for.
type limits struct {
	Profile      string   `placeholder:"PROFILE" help:"JSON object, or names of profiles of the server (MYTOKEN_PROFILE)."`
	Restrictions []string `name:"restrictions" aliases:"restriction" sep:"none" placeholder:"R" help:"JSON, a file of it (a path with / or ./ in front), or names of templates (MYTOKEN_RESTRICTIONS)."`
	Scope        []string `name:"scope" aliases:"scopes" short:"s" sep:"none" placeholder:"SCOPE" help:"Scope of access tokens; may be repeated."`
	Audience     []string `name:"aud" aliases:"audience,audiences" sep:"none" placeholder:"AUD" help:"Audience of access tokens; may be repeated."`
	Exp          string   `name:"exp" aliases:"naf" placeholder:"TIME" help:"Not after: +1d12h, 2026-01-31 12:00, or seconds since 1970."`
	Nbf          string   `name:"nbf" placeholder:"TIME" help:"Not before."`
	Hosts        []string `name:"hosts" aliases:"host,ip,ips,ip-allow" placeholder:"HOST" help:"Address, network or host that it may be used from; 'this' is where you are now."`
	GeoAllow     []string `name:"geo-ip-allow" placeholder:"COUNTRY" help:"Countries that it may be used from."`
	GeoDisallow  []string `name:"geo-ip-disallow" placeholder:"COUNTRY" help:"Countries that it may not be used from."`
	UsagesAT     *int64   `name:"usages-AT" aliases:"usages-at" placeholder:"N" help:"How many access tokens."`
	UsagesOther  *int64   `name:"usages-other" placeholder:"N" help:"How many other uses."`
	Capability   []string `name:"capability" aliases:"capabilities" placeholder:"CAPABILITY" help:"What it may be used for; may be repeated."`

	Rotation     string        `name:"rotation" aliases:"rotate" placeholder:"R" help:"JSON object, or names of templates (MYTOKEN_ROTATION)."`
	RotateAT     bool          `name:"rotation-on-AT" aliases:"rotate-on-AT,rotation-on-at,rotate-on-at" help:"Replace it with each access token."`
	RotateOther  bool          `name:"rotation-on-other" aliases:"rotate-on-other" help:"Replace it with each other use."`
	RotateRevoke bool          `name:"rotation-auto-revoke" aliases:"rotate-auto-revoke" help:"End it when a replaced one is used."`
	RotateLife   time.Duration `name:"rotation-lifetime" aliases:"rotate-lifetime" placeholder:"TIME" help:"How long each lives."`
}

// request is what to ask the server for: the profile, and what the options say instead of it.
func (l limits) request(s *session, srv *mytoken.Server) (mytoken.Request, error) {
	r, err := mytoken.ParseProfile(orEnv(l.Profile, s.env, "MYTOKEN_PROFILE"))
	if err != nil {
		return r, err
	}
	clauses, err := l.clauses(s)
	if err != nil {
		return r, err
	}
	if clauses != nil {
		r.Restrictions = clauses
	}
	if r.Restrictions, err = l.settle(s, srv, r.Restrictions); err != nil {
		return r, err
	}
	if len(l.Capability) > 0 {
		r.Capabilities = l.Capability
	}
	rotation, err := l.rotation(s)
	if rotation != nil {
		r.Rotation = rotation
	}
	return r, err
}

func orEnv(value string, env *cli.Env, name string) string {
	if value != "" {
		return value
	}
	return env.Getenv(name)
}

// clauses are those of the options; nil: they say nothing.
func (l limits) clauses(s *session) (mytoken.Restrictions, error) {
	given := l.Restrictions
	if v := s.env.Getenv("MYTOKEN_RESTRICTIONS"); len(given) == 0 && v != "" && l.clause().Empty() {
		given = []string{v}
	}
	if len(given) == 0 {
		if c := l.clause(); !c.Empty() {
			return mytoken.Restrictions{c}, nil
		}
		return nil, nil
	}
	if !l.clause().Empty() {
		return nil, cli.Fail(cli.Usage, fmt.Errorf("--restrictions and options for a single restriction are given"),
			"put all of them into --restrictions")
	}
	var all mytoken.Restrictions
	for _, text := range given {
		rs, err := s.restrictions(text)
		if err != nil {
			return nil, err
		}
		all = append(all, rs...)
	}
	return all, nil
}

// clause is the one that the options for a single restriction make.
func (l limits) clause() mytoken.Restriction {
	return mytoken.Restriction{
		NotBefore: moment(l.Nbf), Expires: moment(l.Exp), Scope: strings.Join(l.Scope, " "), Audience: l.Audience,
		Hosts: l.Hosts, GeoIPAllow: l.GeoAllow, GeoIPDisallow: l.GeoDisallow,
		UsagesAT: l.UsagesAT, UsagesOther: l.UsagesOther,
	}
}

// moment reads a time as people write it.
func moment(s string) mytoken.Moment {
	if n, err := strconv.ParseInt(strings.TrimSpace(s), 10, 64); err == nil && n > 0 && !strings.HasPrefix(s, "+") {
		return mytoken.At(time.Unix(n, 0))
	}
	return mytoken.TimeText(s)
}

// maxRestrictions bounds a file of restrictions.
const maxRestrictions = 256 << 10

// restrictions reads JSON, a file of it, or names of templates.
func (s *session) restrictions(text string) (rs mytoken.Restrictions, err error) {
	text = strings.TrimSpace(text)
	if path, ok := s.filePath(text); ok {
		b, err := config.ReadFile(path, maxRestrictions)
		if err != nil {
			return nil, cli.Fail(cli.NotFound, fmt.Errorf("read --restrictions: %w", err), "")
		}
		text = strings.TrimSpace(string(b))
	}
	if !strings.HasPrefix(text, "{") && !strings.HasPrefix(text, "[") {
		quoted, err := json.Marshal(strings.ReplaceAll(text, ",", " "))
		if err != nil {
			return nil, err
		}
		text = string(quoted)
	}
	err = rs.UnmarshalJSON([]byte(text))
	return rs, err
}

func (s *session) filePath(text string) (string, bool) {
	if rest, ok := strings.CutPrefix(text, "~/"); ok {
		return filepath.Join(s.env.Getenv("HOME"), rest), true
	}
	for _, prefix := range []string{"/", "./", "../"} {
		if strings.HasPrefix(text, prefix) {
			return within(s.env, text), true
		}
	}
	return "", false
}

// settle gives the clauses the form a mytoken carries, and refuses those that nothing could ever use, with the reasons.
// Clauses of templates are the server's to judge.
func (l limits) settle(s *session, srv *mytoken.Server, rs mytoken.Restrictions) (mytoken.Restrictions, error) {
	template := func(r mytoken.Restriction) bool { return len(r.Include) > 0 }
	if slices.ContainsFunc(rs, template) {
		return rs, nil
	}
	set := rules.Setting{Now: s.env.Now()}
	if slices.Contains(srv.Restrictions, "hosts") {
		set.Supported = srv.Restrictions
	}
	return rules.Settle(rs, set)
}

// rotation is what the options say of it, nil for nothing.
func (l limits) rotation(s *session) (*mytoken.Rotation, error) {
	text := strings.TrimSpace(orEnv(l.Rotation, s.env, "MYTOKEN_ROTATION"))
	if text == "" && !l.RotateAT && !l.RotateOther && !l.RotateRevoke && l.RotateLife == 0 {
		return nil, nil
	}
	r := &mytoken.Rotation{}
	if text != "" && !strings.HasPrefix(text, "{") {
		r.Include = strings.FieldsFunc(text, func(c rune) bool { return c == ' ' || c == ',' })
	} else if text != "" {
		if err := r.UnmarshalJSON([]byte(text)); err != nil {
			return nil, err
		}
	}
	if l.RotateLife < 0 || l.RotateLife%time.Second != 0 {
		return nil, cli.Failf(cli.Usage, "--rotation-lifetime is a number of whole seconds")
	}
	r.OnAT, r.OnOther = r.OnAT || l.RotateAT, r.OnOther || l.RotateOther
	r.AutoRevoke = r.AutoRevoke || l.RotateRevoke
	if l.RotateLife > 0 {
		r.Lifetime = l.RotateLife
	}
	return r, nil
}

// tokenName is the name of a new mytoken as the server shows it.
func (s *session) tokenName(name string) string {
	if name == "" {
		return ""
	}
	return s.set.tokenPrefix() + ":" + name
}
