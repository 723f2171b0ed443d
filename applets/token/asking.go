package token

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"

	"github.com/oidcbox/oidcbox/core/agent/proto"
	"github.com/oidcbox/oidcbox/core/cli"
)

// alone is the value of an option with an optional value that was given none. It cannot be the name of a variable.
const alone = "-"

// asking are the options of oidc-token: what to ask for, and how to print it.
type asking struct {
	Time     *int64   `short:"t" placeholder:"SECONDS" help:"Minimum number of seconds the token should be valid."`
	Scope    []string `short:"s" sep:"none" placeholder:"SCOPE" help:"Scope to ask for. Separated by blanks, or given several times."`
	Aud      string   `aliases:"audience" placeholder:"AUDIENCE" help:"Audience to ask for. Several are separated by blanks."`
	ForceNew bool     `short:"f" help:"Get a new token, whatever is in the cache."`

	Token     *string `short:"o" optvalue:"-" placeholder:"OIDC_AT" help:"Print the token; with more of -o -i -e, or a name attached, as shell assignments."`
	Issuer    *string `short:"i" optvalue:"-" placeholder:"OIDC_ISS" help:"Print the issuer; see -o."`
	ExpiresAt *string `short:"e" optvalue:"-" placeholder:"OIDC_EXP" help:"Print the time of expiry in Unix seconds; see -o."`
	Env       bool    `short:"c" help:"Print all three as shell assignments."`
	All       bool    `short:"a" help:"Print all three, one per line."`

	Bearer     bool `help:"Print 'Bearer TOKEN'."`
	AuthHeader bool `aliases:"auth" help:"Print 'Authorization: Bearer TOKEN' without a line end."`

	Name    string  `default:"oidc-token" placeholder:"NAME" help:"Name of the program that asks, shown to the person."`
	IDToken bool    `name:"id-token" help:"Print an ID token instead."`
	Mytoken *string `short:"m" optvalue:"-" aliases:"MT" placeholder:"PROFILE" help:"Print a mytoken instead, made by the profile."`
	Seccomp bool    `hidden:"" help:"Accepted and ignored."`
}

// check refuses what cannot be meant. Names of variables go to a shell's eval.
func (c *Cmd) check(env *cli.Env) error {
	for _, name := range []*string{c.Token, c.Issuer, c.ExpiresAt} {
		if v := variable(name); v != "" && !variableName().MatchString(v) {
			return cli.Failf(cli.Usage, "%q is no name of a shell variable", v)
		}
	}
	if c.Mytoken != nil && proto.IsIssuer(c.Account, env.Upstream) {
		return cli.Failf(cli.Usage, "a mytoken is asked for by the short name of a login, not by issuer")
	}
	if env.Upstream {
		return nil
	}
	if err := c.checkMode(); err != nil {
		return err
	}
	return c.checkOperand(env)
}

// checkMode refuses options that belong to another job than the one that was asked for.
func (c *Cmd) checkMode() error {
	var jobs []string
	for _, j := range []struct {
		name string
		set  bool
	}{
		{"--exchange", c.Exchange},
		{"--client-credentials", c.ClientCredentials},
		{"--revoke", c.Revoke},
		{"--mytoken", c.Mytoken != nil},
		{"--id-token", c.IDToken},
	} {
		if j.set {
			jobs = append(jobs, j.name)
		}
	}
	if len(jobs) > 1 {
		return cli.Failf(cli.Usage, "%s cannot be used together", strings.Join(jobs, " and "))
	}
	grant := c.Exchange || c.ClientCredentials
	for _, m := range []struct {
		option  string
		given   bool
		belongs bool
		to      string
	}{
		{"--subject-file", c.SubjectFile != "", c.Exchange, "--exchange"},
		{"--subject-login", c.SubjectLogin != "", c.Exchange, "--exchange"},
		{"--requested-type", c.RequestedType != "", c.Exchange, "--exchange"},
		{"--save-as", c.SaveAs != "", c.Exchange, "--exchange"},
		{"--replace", c.Replace, c.SaveAs != "", "--save-as"},
		{"--resource", len(c.Resource) > 0, grant, "--exchange or --client-credentials"},
		{"--client-id", c.ClientID != "", grant || c.Revoke, "--exchange, --client-credentials or --revoke"},
		{"--client-secret-file", c.ClientSecretFile != "", c.ClientID != "", "--client-id"},
		{"--ca-file", c.CAFile != "", c.ClientID != "", "--client-id"},
		{"--token-file", c.TokenFile != "", c.Revoke, "--revoke"},
	} {
		if m.given && !m.belongs {
			return cli.Failf(cli.Usage, "%s goes with %s", m.option, m.to)
		}
	}
	return c.checkOutput()
}

// checkOutput refuses two ways of giving one token, and a token in a file that is none to be sent.
func (c *Cmd) checkOutput() error {
	file := c.Store || c.Watch != ""
	printed := c.Token != nil || c.Issuer != nil || c.ExpiresAt != nil || c.Env || c.All || c.Bearer || c.AuthHeader
	switch {
	case c.Store && c.Watch != "":
		return cli.Fail(cli.Usage, errors.New("--store and --watch cannot be used together"),
			"--watch default keeps the file of --store fresh")
	case file && (printed || c.IDToken || c.Mytoken != nil || c.Revoke):
		return cli.Failf(cli.Usage, "--store and --watch are for access tokens, and print none")
	case c.Watch != "" && c.SaveAs != "":
		return cli.Fail(cli.Usage, errors.New("--watch and --save-as cannot be used together"),
			"save the login first, then watch that")
	case c.Watch != "" && c.SubjectFile == "-":
		return cli.Failf(cli.Usage, "--watch cannot read standard input again; give a file")
	case c.RenewAt != 0 && (c.RenewAt < 0.05 || c.RenewAt > 0.95):
		return cli.Failf(cli.Usage, "--renew-at is a share of the life, from 0.05 to 0.95")
	case c.SubjectFile != "" && c.SubjectLogin != "":
		return cli.Failf(cli.Usage, "--subject-file and --subject-login cannot be used together")
	}
	return nil
}

// checkOperand wants a login, or an issuer beside a client that was given.
func (c *Cmd) checkOperand(env *cli.Env) error {
	if c.Revoke && c.Account == alone && c.TokenFile == "" {
		c.Account, c.TokenFile = "", "-"
	}
	isIssuer := proto.IsIssuer(c.Account, env.Upstream)
	grant := c.Exchange || c.ClientCredentials || c.Revoke
	switch {
	case c.Account == "" && !c.Revoke:
		return cli.Failf(cli.Usage, "expected %q", "<account>")
	case c.ClientID != "" && !isIssuer:
		return cli.Failf(cli.Usage, "with --client-id the issuer has to be named: https://...")
	case c.ClientID == "" && isIssuer && grant:
		return cli.Fail(cli.Usage, errors.New("a login has to be named, because its client is used"),
			"or give a client with --client-id and --client-secret-file")
	}
	return nil
}

var variableName = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`) })

// variable is the name attached to an option, "" for none.
func variable(opt *string) string {
	if opt == nil || *opt == alone {
		return ""
	}
	return *opt
}

// scope is what was asked for, blank-separated.
func (c *Cmd) scope() string { return strings.Join(strings.Fields(strings.Join(c.Scope, " ")), " ") }

// request is what to ask the agent. minValid is in seconds.
func (c *Cmd) request(env *cli.Env, minValid int64) proto.Request {
	r := proto.Request{
		Type: proto.TypeAccessToken, MinValid: minValid, Hint: c.Name,
		Scope: strings.Join(c.Scope, " "), Audience: c.Aud,
	}
	switch {
	case c.Mytoken != nil:
		r.Type, r.MinValid = proto.TypeMytoken, 0
		r.MytokenProfile = c.profile(env)
	case c.IDToken:
		r.Type, r.MinValid = proto.TypeIDToken, 0
	}
	if proto.IsIssuer(c.Account, env.Upstream) {
		r.Issuer = c.Account
	} else {
		r.Account = c.Account
	}
	return r
}

// profile is a mytoken profile as JSON: an object as it is, a name as a string.
func (c *Cmd) profile(env *cli.Env) json.RawMessage {
	s := variable(c.Mytoken)
	if s == "" {
		s = settings(env).MytokenProfile
	}
	if strings.HasPrefix(s, "{") && json.Valid([]byte(s)) {
		return json.RawMessage(s)
	}
	b, err := json.Marshal(s)
	if err != nil {
		return nil // a string always encodes
	}
	return b
}

// quotedList is a list for a message.
func quotedList(list []string) string {
	return fmt.Sprintf("%q", strings.Join(list, " "))
}
