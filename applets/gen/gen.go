package gen

import (
	"context"
	"errors"
	"time"

	"github.com/oidcbox/oidcbox/core/cli"
)

// Cmd is the command line.
type Cmd struct {
	Name string `arg:"" optional:"" help:"Short name of the login." complete:"logins"`

	Accounts       bool   `short:"l" help:"List the configured logins."`
	Print          string `short:"p" placeholder:"NAME|FILE" help:"Print a login, decrypted."`
	Reauthenticate bool   `help:"Log in again with an existing login."`
	Rename         string `placeholder:"NEW" help:"Give a login another short name."`
	Update         string `short:"u" placeholder:"NAME|FILE" help:"Encrypt an account file anew, in today's format; one that is not encrypted, too."`
	Delete         bool   `short:"d" help:"Revoke the refresh token and remove the login."`

	File         string   `short:"f" placeholder:"FILE" help:"Take the client from this JSON file."`
	Manual       bool     `short:"m" help:"Use a client that was registered by hand."`
	Pub          bool     `help:"Use a public client."`
	NoSave       bool     `help:"Load the login into the agent and save it nowhere."`
	Issuer       string   `aliases:"iss" placeholder:"URL" help:"The provider."`
	Scope        []string `sep:"none" placeholder:"SCOPES" help:"Scopes, blank separated; max for all the client may have. Repeatable."`
	ScopeMax     bool     `aliases:"scope-all" help:"All scopes the client may have."`
	DefaultScope []string `sep:"none" placeholder:"SCOPES" help:"What tokens have when nothing is asked for: fewer than the login. Repeatable."`
	ClientID     string   `name:"client-id" placeholder:"ID" help:"Client that was registered by hand."`
	ClientSecret string   `placeholder:"SECRET" help:"Its secret; visible to other processes, prefer --client-secret-file."`
	SecretFile   string   `name:"client-secret-file" placeholder:"FILE" help:"Read the client's secret from the first line of a file."`
	SecretEnv    string   `name:"client-secret-env" placeholder:"VAR" help:"Read the client's secret from a variable."`
	RedirectURI  []string `name:"redirect-uri" aliases:"redirect-url" sep:"none" placeholder:"URI" help:"Where the browser comes back to. Repeatable."`
	Port         []int    `placeholder:"PORT" help:"Short for --redirect-uri http://localhost:PORT. Repeatable."`
	OAuth2       bool     `name:"oauth2" aliases:"oauth" help:"The provider has no OpenID Connect."`
	Audience     string   `name:"aud" aliases:"audience" placeholder:"AUDIENCES" help:"Whom tokens are for."`
	CNID         string   `name:"cnid" aliases:"client-name-identifier" placeholder:"TEXT" help:"Part of the client's name instead of the host name."`
	CertPath     string   `name:"cp" aliases:"cert-path,cert-file" placeholder:"FILE" help:"Certificates to trust instead of the system's."`
	DeviceURL    string   `name:"dae" aliases:"device-authorization-endpoint" placeholder:"URL" help:"Device endpoint instead of the provider's."`
	ConfigURL    string   `name:"config-endpoint" aliases:"configuration-endpoint,discovery-endpoint" placeholder:"URL" help:"Discovery document, when not at the usual place."`

	MytokenURL     string `name:"mytoken-url" aliases:"mytoken-issuer" optvalue:"-" placeholder:"URL" help:"Get a mytoken from this server, or from the usual one."`
	MytokenProfile string `name:"mytoken-profile" aliases:"mytoken" placeholder:"PROFILE" help:"Which mytoken to get: a name or a JSON object."`

	Flow        []string `short:"w" enum:"code,device,password,refresh,mt_oidc" placeholder:"FLOW" help:"code, device, password, refresh or mt_oidc. Repeatable."`
	RT          string   `name:"rt" aliases:"refresh-token" placeholder:"TOKEN" help:"Use this refresh token; visible to other processes, prefer --rt-file."`
	RTEnv       string   `name:"rt-env" aliases:"refresh-token-env" optvalue:"OIDC_REFRESH_TOKEN" placeholder:"VAR" help:"Use the refresh token in a variable."`
	RTFile      string   `name:"rt-file" placeholder:"FILE" help:"Use the refresh token in a file, - for standard input."`
	AT          string   `name:"at" aliases:"access-token" placeholder:"TOKEN" help:"Access token for the registration; visible to other processes, prefer --at-file."`
	ATFile      string   `name:"at-file" placeholder:"FILE" help:"Read the access token for the registration from a file."`
	OPUser      string   `name:"op-username" placeholder:"NAME" help:"User for the password flow."`
	OPPass      string   `name:"op-password" placeholder:"PASSWORD" help:"Password for the password flow; visible to other processes, prefer --op-password-file."`
	OPPassFile  string   `name:"op-password-file" placeholder:"FILE" help:"Read the password for the password flow from a file."`
	OnlyAT      bool     `name:"only-at" help:"Print an access token and store nothing."`
	NoURLCall   bool     `name:"no-url-call" help:"Do not open a browser."`
	NoWebserver bool     `help:"Do not listen for the browser; it is sent to an address that you copy."`
	NoScheme    bool     `help:"Do not use the redirect URI scheme of desktops."`
	Exchange    string   `name:"codeExchange" aliases:"code-exchange" placeholder:"URI" help:"Finish a login with the address the browser was sent to."`
	State       string   `placeholder:"STATE" help:"Fetch a login that was finished in the browser."`

	PassphraseFile string `placeholder:"FILE" help:"Unlock or make the keystore with the first line of this file."`
	PwFile         string `name:"pw-file" placeholder:"FILE" help:"Also write an account file, encrypted with the first line of this file."`
	PwEnv          string `name:"pw-env" optvalue:"OIDC_ENCRYPTION_PW" placeholder:"VAR" help:"Also write an account file, encrypted with the value of a variable."`
	PwCmd          string `name:"pw-cmd" placeholder:"COMMAND" help:"Also write an account file, encrypted with what this prints; no shell."`
	PwGPG          string `name:"pw-gpg" aliases:"pw-pgp,gpg,pgp" placeholder:"KEY" help:"Also write an account file, encrypted by gpg for this key."`
	PwPrompt       string `name:"pw-prompt" enum:"cli,gui," default:"" placeholder:"HOW" help:"Ask for passwords at the terminal (cli) or in a window (gui)."`
	Prompt         string `enum:"cli,gui,none," default:"" placeholder:"HOW" help:"Ask at the terminal (cli), in a window (gui) or not at all (none): a missing value is an error then."`
	ConfirmDefault bool   `xor:"confirm" help:"Take the default of yes-no questions."`
	ConfirmYes     bool   `xor:"confirm" help:"Answer yes-no questions with yes."`
	ConfirmNo      bool   `xor:"confirm" help:"Answer yes-no questions with no."`
	Verbose        bool   `short:"v" help:"Say more."`
	Debug          bool   `short:"g" help:"The same; the agent has a log of its own."`
	Seccomp        bool   `hidden:""`
}

// wait is how long a person may take for a login in a browser.
const wait = 10 * time.Minute

// New returns the command.
func New() cli.Command { return &Cmd{} }

// Run does what the options ask for; without any it sets up a new login.
func (c *Cmd) Run(ctx context.Context, env *cli.Env) error {
	s := newSession(c, env)
	err := s.run(ctx)
	if errors.Is(err, errLater) {
		return nil
	}
	return err
}

func (s *session) run(ctx context.Context) error {
	switch c := s.cmd; {
	case c.Accounts:
		return s.list(ctx)
	case c.Print != "":
		return s.print(ctx)
	case c.Rename != "":
		return s.rename(ctx)
	case c.Update != "":
		return s.update(ctx)
	case c.Delete:
		return s.delete(ctx)
	case c.Exchange != "":
		return s.codeExchange(ctx)
	case c.State != "":
		return s.fetchState(ctx)
	}
	s.ensure(ctx)
	if s.cmd.Reauthenticate {
		return s.reauthenticate(ctx)
	}
	return s.create(ctx)
}

// errLater says that the person goes on elsewhere: this program has done its part.
var errLater = errors.New("the login is finished in another program")
