package provisioner

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/cli/setup"
	"github.com/oidcbox/oidcbox/core/daemon/keep"
	"github.com/oidcbox/oidcbox/core/secret/keystore"
	"github.com/oidcbox/oidcbox/core/token/assurance"
)

// setupCmd makes a new provisioner. What is not given as a flag is asked for on a terminal.
type setupCmd struct {
	ConfigDir string `default:"/etc/oidcbox" placeholder:"DIR" help:"Where the configurations go (${default})."`
	StateDir  string `default:"/var/lib/oidcbox" placeholder:"DIR" help:"Where states go (${default})."`
	RunDir    string `default:"/run" placeholder:"DIR" help:"Below which sockets are made (${default})."`
	User      string `default:"oidcbox-provisioner" placeholder:"USER" help:"Who runs the server (${default})."`
	Issuer    string `placeholder:"URL" help:"The first issuer whose people may log in."`
	Members   string `placeholder:"VO" help:"Who of them: members of this VO (an entitlement or a group), or everybody."`
	Audience  string `placeholder:"AUD" help:"What the issuer calls this service (aud of its tokens), or none."`
	SSHHost   string `name:"ssh-host" placeholder:"HOST" help:"Where people log in."`
	Listen    string `placeholder:"ADDR" help:"Where it listens: 127.0.0.1:8080, or unix:PATH."`
	URL       string `name:"url" placeholder:"URL" help:"How people reach it from outside, for the pages; or none."`
	ClientID  string `placeholder:"ID" help:"As the pages are registered at the issuer; or none."`
	SecretOf  string `name:"client-secret-file" placeholder:"FILE" help:"File with the client secret there; it is copied. None: a public client."`
	Assurance string `placeholder:"EXPR" help:"What has to be known about a person (REFEDS): profile/cappuccino, or * for nothing."`
	Backend   string `default:"local_unix" enum:"local_unix,dryrun" help:"Where accounts are made: local_unix or dryrun (${default}); others are written by hand."`
	StateOnly bool   `help:"Make only the state, by a configuration that is there."`
	Yes       bool   `help:"Ask nothing: what is missing is an error."`
}

// nothing is the answer that there is none.
const (
	nothing   = "none"
	everybody = "everybody"

	serveFile   = "provisioner.yaml"
	workerFile  = "worker.yaml"
	stateFile   = "state.keys"
	stateKey    = "state-key"
	loginSecret = "login-secret"
)

// Run writes what is not there, and overwrites nothing.
func (c *setupCmd) Run(ctx context.Context, env *cli.Env) error {
	file := filepath.Join(within(env, c.ConfigDir), serveFile)
	if !c.StateOnly {
		for _, name := range []string{file, c.workerConfig(env)} {
			if _, err := os.Lstat(name); !errors.Is(err, fs.ErrNotExist) {
				return cli.Fail(cli.No, fmt.Errorf("setup: there is a configuration already: %s", name),
					"--state-only makes the state by it; --config-dir names another directory")
			}
		}
		if err := setup.Complete(ctx, c.questions(env), c.Yes); err != nil {
			return err
		}
		if err := c.write(env, file); err != nil {
			return err
		}
	}
	s, err := readSettings(file)
	if err != nil {
		return configError(ofServe, err)
	}
	if err := c.makeState(ctx, env, s); err != nil {
		return err
	}
	c.next(env, s)
	return nil
}

func (c *setupCmd) workerConfig(env *cli.Env) string {
	return filepath.Join(within(env, c.ConfigDir), workerFile)
}

func (c *setupCmd) questions(env *cli.Env) []setup.Question {
	is := func(s string) func() string { return func() string { return s } }
	host := func() string {
		name, err := os.Hostname()
		if err != nil {
			return "localhost"
		}
		return name
	}
	return []setup.Question{
		{To: &c.Issuer, Flag: "issuer", Text: "Issuer whose people may log in (https://op.example.org)", Wrong: wrongURL},
		{
			To: &c.Members, Flag: "members",
			Text: "Who of them: an entitlement (urn:...:group:...), a group, or everybody",
		},
		{To: &c.Audience, Flag: "audience", Text: "What the issuer calls this service (aud of its tokens)", Without: is(nothing)},
		{To: &c.SSHHost, Flag: "ssh-host", Text: "Host where people log in", Without: host},
		{To: &c.Listen, Flag: "listen", Text: "Where it listens", Without: is("127.0.0.1:8080"), Wrong: wrongPlace},
		{
			To: &c.Assurance, Flag: "assurance", Text: "What has to be known about a person (REFEDS), * for nothing",
			Without: is("profile/cappuccino"), Wrong: wrongExpression,
		},
		{
			To: &c.URL, Flag: "url", Text: "How people reach it from outside, for pages (https://" + host() + ")", Without: is(nothing),
			Wrong: wrongURL,
		},
		{
			To: &c.ClientID, Flag: "client-id", Text: "Client id of the pages at the issuer", Without: is(nothing),
			Skip: c.URL == nothing,
		},
		{
			To: &c.SecretOf, Flag: "client-secret-file", Text: "File with the client secret there", Without: is(nothing),
			Skip: c.ClientID == nothing || c.URL == nothing, Wrong: wrongFile(env),
		},
	}
}

func wrongURL(s string) string {
	host, secure := strings.CutPrefix(s, "https://")
	if !secure {
		host, _ = strings.CutPrefix(s, "http://")
	}
	switch {
	case s == nothing:
		return ""
	case host == s || host == "":
		return "it begins with https://"
	}
	return ""
}

// wrongPlace says what a place to listen at has to be; nothing when it is.
func wrongPlace(s string) string {
	if _, err := netip.ParseAddrPort(s); err == nil || strings.HasPrefix(s, "unix:") || s == "systemd" {
		return ""
	}
	return "a numeric address and a port: 127.0.0.1:8080, [::1]:8080, or unix:PATH"
}

func wrongExpression(s string) string {
	if _, err := assurance.Parse(s); err != nil {
		return err.Error()
	}
	return ""
}

func wrongFile(env *cli.Env) func(string) string {
	return func(name string) string {
		if info, err := os.Stat(within(env, name)); name == nothing || err == nil && info.Mode().IsRegular() {
			return ""
		}
		return "that is no file; " + nothing + ": a public client"
	}
}

// makeState makes the state, and gives it to the user of the server.
func (c *setupCmd) makeState(ctx context.Context, env *cli.Env, s *settings) error {
	if s.state.File != "" {
		if err := setup.MakePrivateDir(filepath.Dir(s.state.File)); err != nil {
			return cli.Fail(cli.No, fmt.Errorf("setup: %w", err), "")
		}
	}
	st, err := keep.Make(ctx, s.state, stateOptions(env))
	switch {
	case errors.Is(err, keystore.ErrExists):
		env.Note("the state is there already and stays as it is")
	case err != nil:
		return err
	default:
		if err := st.Close(); err != nil {
			return err
		}
	}
	return c.give(ctx, env, s)
}

// give hands directories and files over to the user of the server, where root made them.
func (c *setupCmd) give(ctx context.Context, env *cli.Env, s *settings) error {
	if os.Geteuid() != 0 {
		return nil
	}
	u, err := userOf(ctx, c.User)
	if errors.Is(err, errNobody) {
		env.Note("there is no user %s: systemd-sysusers makes it; give it %s then (chown -R)", c.User, filepath.Dir(s.state.File))
		return nil
	}
	if err != nil || u.UID == 0 || s.state.File == "" {
		return err
	}
	names := []string{filepath.Dir(s.state.File), s.state.File, s.state.KeyFile, filepath.Join(filepath.Dir(s.state.File), loginSecret)}
	for _, name := range names {
		err := os.Lchown(name, int(u.UID), int(u.GID))
		if name != "" && err != nil && !errors.Is(err, fs.ErrNotExist) {
			return cli.Fail(cli.No, fmt.Errorf("setup: give it to %s: %w", c.User, err), "")
		}
	}
	return nil
}

// next says what is to be done now.
func (c *setupCmd) next(env *cli.Env, s *settings) {
	if !c.StateOnly {
		env.Note("written: %s and %s", s.file, c.workerConfig(env))
	}
	if s.state.KeyFile != "" {
		env.Note("key of the state: %s - keep a copy elsewhere: without it nobody can read the state", s.state.KeyFile)
	}
	env.Note("")
	env.Note("next:")
	for _, i := range s.issuers {
		if i.login != nil {
			env.Note("  register the pages at %s: redirect URI %s", i.URL, s.redirectURI())
		}
	}
	config := cli.ShellQuote(s.file)
	env.Note("  oidcbox provisioner config check %s", config)
	env.Note("  oidcbox provisioner worker --config %s     (as root)", cli.ShellQuote(c.workerConfig(env)))
	env.Note("  oidcbox provisioner serve --config %s     (as %s)", config, c.User)
	env.Note("  oidcbox pam config --install     (on each login node, once a token was tried)")
	for _, n := range s.notes {
		env.Note("note: %s", n)
	}
}
