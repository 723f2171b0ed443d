package mytokenserver

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"net/url"
	"os"
	"strings"

	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/cli/setup"
)

// setupCmd makes a new server. What is not given as a flag is asked for on a terminal.
type setupCmd struct {
	configFlag
	Issuer           string `placeholder:"URL" help:"Address of the server as clients have it: https://mytoken.example.org."`
	Listen           string `placeholder:"ADDR" help:"Where it listens: 127.0.0.1:8000, or unix:PATH."`
	Operator         string `placeholder:"NAME" help:"Who runs it, for its pages."`
	Contact          string `placeholder:"ADDR" help:"Mail address of who runs it."`
	StateDir         string `default:"/var/lib/oidcbox-mytoken" placeholder:"DIR" help:"Where state and keys go (${default})."`
	Provider         string `placeholder:"NAME" help:"Short name of the first provider."`
	ProviderIssuer   string `placeholder:"URL" help:"Its issuer."`
	ClientID         string `placeholder:"ID" help:"As the server is registered there."`
	ClientSecretFile string `placeholder:"FILE" help:"File with the client secret; it is copied. None: a public client."`
	SSH              string `name:"ssh" placeholder:"ADDR" help:"Also an ssh server, for keys in the place of mytokens, there: [::]:2222."`
	Guests           bool   `help:"Let everybody in as a guest, to try the server out."`
	StateOnly        bool   `help:"Make only keys and state, by a configuration that is there."`
	Yes              bool   `help:"Ask nothing: what is missing is an error."`
}

// Run writes what is not there, and overwrites nothing.
func (c *setupCmd) Run(ctx context.Context, env *cli.Env) error {
	file := within(env, c.Config)
	if !c.StateOnly {
		if _, err := os.Lstat(file); !errors.Is(err, fs.ErrNotExist) {
			return cli.Fail(cli.No, fmt.Errorf("setup: there is a configuration already: %s", file),
				"--state-only makes keys and state by it; --config names another file")
		}
		if err := c.complete(ctx, env); err != nil {
			return err
		}
		text := c.configuration(env)
		// What is wrong with the answers is said before anything is written.
		if _, err := parseSettings(file, []byte(text)); err != nil && !onlyMissingSecret(err) {
			return configError(err)
		}
		if err := c.write(env, file, text); err != nil {
			return writeError(err)
		}
	}
	s, err := readSettings(file)
	if err != nil {
		return configError(err)
	}
	if err := makeAll(ctx, env, s); err != nil {
		return err
	}
	c.next(env, s)
	return nil
}

// writeError adds what to do where the place is another's; a full disk or a name that is taken speaks for itself.
func writeError(err error) error {
	hint := ""
	if errors.Is(err, fs.ErrPermission) {
		hint = "run it as root, or as the user of the server with --config and --state-dir of its own"
	}
	return cli.Fail(cli.No, fmt.Errorf("setup: %w", err), hint)
}

// onlyMissingSecret reports whether all that is wrong is that the copy of the client secret is not there yet.
func onlyMissingSecret(err error) bool {
	for _, f := range faultsOf(err) {
		if !strings.HasSuffix(f.Key, ".client_secret_file") {
			return false
		}
	}
	return faultsOf(err) != nil
}

func (c *setupCmd) questions(env *cli.Env) []setup.Question {
	is := func(s string) func() string { return func() string { return s } }
	return []setup.Question{
		{
			To: &c.Issuer, Flag: "issuer", Text: "Address of the server as clients will have it (https://mytoken.example.org)",
			Wrong: wrongIssuer,
		},
		{
			To: &c.Listen, Flag: "listen", Text: "Where it listens, behind a reverse proxy",
			Without: is("127.0.0.1:8000"), Wrong: wrongPlace,
		},
		{
			To: &c.Operator, Flag: "operator", Text: "Who runs it, for its pages",
		},
		{
			To: &c.Contact, Flag: "contact", Text: "Mail address of who runs it",
		},
		{
			To: &c.ProviderIssuer, Flag: "provider-issuer", Text: "Issuer of the first OpenID provider",
			Wrong: wrongIssuer, Skip: c.Guests,
		},
		{
			To: &c.Provider, Flag: "provider", Text: "Short name of that provider",
			Without: func() string { return nameOf(c.ProviderIssuer) }, Wrong: wrongName, Skip: c.Guests,
		},
		{
			To: &c.ClientID, Flag: "client-id", Text: "Client id of the server there",
			Skip: c.Guests,
		},
		{
			To: &c.ClientSecretFile, Flag: "client-secret-file", Text: "File with the client secret there",
			Without: is(noFile), Wrong: c.wrongFile(env), Skip: c.Guests,
		},
	}
}

// noFile is the answer that there is no client secret.
const noFile = "none"

// complete asks for what no flag says.
func (c *setupCmd) complete(ctx context.Context, env *cli.Env) error {
	if err := setup.Complete(ctx, c.questions(env), c.Yes); err != nil {
		return err
	}
	if c.ClientSecretFile == noFile {
		c.ClientSecretFile = ""
	}
	return nil
}

// wrongIssuer says what an address of the server, or of a provider, has to be; nothing when it is.
func wrongIssuer(s string) string {
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		return "it begins with https://"
	case u.Scheme == "http" && !onThisMachine(u.Hostname()):
		return "https, but on this machine"
	}
	return ""
}

// wrongPlace says what a place to listen at has to be; nothing when it is.
func wrongPlace(s string) string {
	if _, err := netip.ParseAddrPort(s); err == nil || strings.HasPrefix(s, "unix:") || s == "systemd" {
		return ""
	}
	return "a numeric address and a port: 127.0.0.1:8000, [::1]:8000, or unix:PATH"
}

// wrongName says what a short name may be made of; nothing when it is.
func wrongName(s string) string {
	if strings.ContainsAny(s, ":/ \\") {
		return "letters, digits and -, such as egi"
	}
	return ""
}

// wrongFile says what is in the way of reading a file; nothing when it is there.
func (c *setupCmd) wrongFile(env *cli.Env) func(string) string {
	return func(name string) string {
		info, err := os.Stat(within(env, name))
		switch {
		case name == noFile || err == nil && info.Mode().IsRegular():
			return ""
		case err == nil:
			return "that is no file"
		}
		return "that cannot be read; " + noFile + ": a public client"
	}
}

// nameOf proposes a short name for a provider: the part of its host that people know it by.
func nameOf(issuer string) string {
	u, err := url.Parse(issuer)
	if err != nil || u.Hostname() == "" {
		return "provider"
	}
	parts := strings.Split(u.Hostname(), ".")
	if onThisMachine(u.Hostname()) || len(parts) < 2 {
		return "provider"
	}
	return parts[len(parts)-2]
}
