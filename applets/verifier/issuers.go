package verifier

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"path/filepath"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/oidc/provider"
	"github.com/oidcbox/oidcbox/core/transport/httpc"
	"github.com/oidcbox/oidcbox/core/transport/sock"
)

type issuersCmd struct {
	place

	List    issuersListCmd    `cmd:"" default:"withargs" help:"Show the trusted issuers and how fresh their keys are."`
	Refresh issuersRefreshCmd `cmd:"" help:"Fetch the keys of an issuer now; the old ones stay if that fails."`
	Drop    issuersDropCmd    `cmd:"" help:"Forget the keys of an issuer at once (one was stolen) and fetch them anew."`
}

// link lets the commands see the options, which may stand before and behind their names.
func (c *issuersCmd) link() {
	c.List.place, c.Refresh.place, c.Drop.place = &c.place, &c.place, &c.place
}

// defaultConfig is the configuration of a daemon that was not told another one.
const defaultConfig = "/etc/oidcbox/verifier.yaml"

// place says whose keys are meant.
type place struct {
	Config  string `default:"/etc/oidcbox/verifier.yaml" placeholder:"FILE" help:"Configuration of the daemon; default: /etc/oidcbox/verifier.yaml."`
	Control string `placeholder:"SOCKET" help:"Control socket of the daemon, whatever its configuration says."`
	KeysDir string `placeholder:"DIR" help:"Work on this directory of keys, for when no daemon uses it."`
	CAFile  string `name:"ca-file" placeholder:"FILE" help:"With --keys-dir: certificates to trust instead of the system's."`
}

// controlPath is where a daemon's control socket is unless its configuration names another place.
func controlPath(env *cli.Env) string {
	return filepath.Join(sock.RuntimePath(env.Getenv), "verifier.sock")
}

// open returns the keys that the options name, and what to do with them afterwards: those of the daemon, and if none
// runs, those in its directory. more are issuers to trust beside those that a directory has.
func (p *place) open(ctx context.Context, env *cli.Env, more ...string) (keyring, func(), error) {
	switch {
	case p.Control != "" && p.KeysDir != "":
		return nil, nil, cli.Fail(cli.Usage, errors.New("--control and --keys-dir do not go together"),
			"a daemon that runs has to be asked: it does not look into its directory again")
	case p.Control != "":
		return daemonKeys{path: within(env, p.Control)}, func() {}, nil
	case p.KeysDir != "":
		d := keysIn{dir: within(env, p.KeysDir), more: trustedOf(more)}
		if p.CAFile != "" {
			d.caFile = within(env, p.CAFile)
		}
		return d.open(env)
	}
	s, err := p.configured(env)
	if err != nil {
		return nil, nil, err
	}
	running := daemonKeys{path: controlPath(env)}
	switch {
	case s.control == controlOff && s.keysDir == "":
		return nil, nil, cli.Fail(cli.NotFound, fmt.Errorf("%s has control: off and no keys: dir", p.Config),
			"without either there is nobody to ask and nothing to look at")
	case s.control != "":
		running.path = s.control
	}
	if s.keysDir == "" || s.control != controlOff && running.runs(ctx) {
		return running, func() {}, nil
	}
	env.Warn("no daemon listens for orders: this is about %s alone", s.keysDir)
	return keysIn{dir: s.keysDir, caFile: s.caFile, lifetimes: s.lifetimes, more: s.gate.Trusted()}.open(env)
}

// configured reads the configuration. One that has faults by now is no reason not to obey: the daemon may run by what it
// was before.
func (p *place) configured(env *cli.Env) (*settings, error) {
	s, err := readSettings(within(env, p.Config))
	switch {
	case err == nil:
		return s, nil
	case faultsOf(err) != nil:
		env.Warn("%s has faults, so this is about the daemon at the default place; --control names another", p.Config)
	case p.Config != defaultConfig:
		return nil, cli.Fail(cli.NotFound, err, "")
	}
	return &settings{}, nil
}

// keysIn is a directory of keys without a daemon.
type keysIn struct {
	dir, caFile string
	lifetimes   provider.Lifetimes
	more        []provider.Trusted // beside the issuers of which it has keys
}

func (d keysIn) open(env *cli.Env) (keyring, func(), error) {
	dir, err := openKeysDir(env, d.dir)
	if err != nil {
		return nil, nil, err
	}
	hc, err := httpc.New(httpc.Options{CAFile: d.caFile, Getenv: env.Getenv})
	if err != nil {
		return nil, nil, cli.Fail(cli.Usage, err, "")
	}
	known, err := dir.Issuers()
	if err != nil {
		return nil, nil, cli.Fail(cli.No, err, "")
	}
	keys := provider.NewKeys(hc, provider.KeysOptions{
		Dir: dir, Lifetimes: d.lifetimes, Now: env.Now, Log: slog.New(warnings{env}),
	})
	keys.Trust(append(trustedOf(known), d.more...)) // of an issuer that is there twice, the configured one counts
	return ownKeys{keys, env.Now}, func() { keys.Close(); hc.CloseIdle() }, nil
}

func trustedOf(issuers []string) []provider.Trusted {
	list := make([]provider.Trusted, 0, len(issuers))
	for _, iss := range issuers {
		list = append(list, provider.Trusted{Issuer: iss})
	}
	return list
}

func openKeysDir(env *cli.Env, name string) (*provider.Dir, error) {
	dir, err := provider.OpenDir(within(env, name), env.Now)
	if errors.Is(err, sock.ErrForeign) {
		return nil, cli.Fail(cli.Denied, err,
			"who can write there decides which tokens are right: it has to be yours alone, mode 0700")
	}
	if err != nil {
		return nil, cli.Fail(cli.No, err, "")
	}
	return dir, nil
}

type issuersListCmd struct {
	*place `kong:"-"`

	JSON bool `name:"json" help:"Print the list as JSON, with the ids of the keys."`
}

// Run exits with 0, with 1 when an issuer has no keys that can be used, and with 3 when no daemon runs.
func (c *issuersListCmd) Run(ctx context.Context, env *cli.Env) error {
	keys, done, err := c.open(ctx, env)
	if err != nil {
		return err
	}
	defer done()
	list, err := keys.Status(ctx)
	if err != nil {
		return orderFailed(err)
	}
	if c.JSON {
		err = printJSON(env.Stdout, issuersAnswer{list})
	} else {
		err = printIssuers(env.Stdout, list, env.Now())
	}
	if err == nil && slices.ContainsFunc(list, func(v issuerView) bool { return v.Keys == 0 }) {
		return cli.Exit(cli.No)
	}
	return err
}

func printIssuers(w io.Writer, list []issuerView, now time.Time) error {
	if len(list) == 0 {
		_, err := fmt.Fprintln(w, "no issuers")
		return err
	}
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(tw, "ISSUER\tKEYS\tAGE\tREFRESH\tEXPIRES") // errors of tw come out of Flush
	faults := ""                                                   // too long for a column
	for _, v := range list {
		age, expires := "-", "-"
		if !v.Fetched.IsZero() {
			age, expires = short(now.Sub(v.Fetched)), until(v.Expires, now)
		}
		if v.Error != "" {
			faults += fmt.Sprintf("\n%s failed %s ago: %s\n", printableCell(v.Issuer), short(now.Sub(v.ErrorAt)),
				printableCell(v.Error))
		}
		_, _ = fmt.Fprintf(tw, "%s\t%d\t%s\t%s\t%s\n", printableCell(v.Issuer), v.Keys, age, until(v.NextTry, now), expires)
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	_, err := io.WriteString(w, faults)
	return err
}

// printableCell is s without what would end a cell or a line of the table.
func printableCell(s string) string { return cli.Printable(oneLine(s)) }

func until(at, now time.Time) string {
	switch {
	case at.IsZero():
		return "-"
	case at.After(now):
		return "in " + short(at.Sub(now))
	}
	return short(now.Sub(at)) + " ago"
}

// short is a duration to two units: 47h30m, 5m10s, 8s.
func short(d time.Duration) string {
	d = max(d, 0)
	switch {
	case d >= time.Hour:
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	case d >= time.Minute:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	}
	return fmt.Sprintf("%ds", int(d.Seconds()))
}

type issuersRefreshCmd struct {
	*place `kong:"-"`

	Issuer string `arg:"" help:"The issuer, as it is configured."`
}

// Run exits with 0, 3 when the daemon does not trust the issuer or does not run, and 5 when the issuer cannot be
// reached. A directory takes up an issuer that it has nothing of yet.
func (c *issuersRefreshCmd) Run(ctx context.Context, env *cli.Env) error {
	if err := provider.CheckIssuer(c.Issuer); err != nil {
		return cli.Fail(cli.Usage, err, "")
	}
	keys, done, err := c.open(ctx, env, c.Issuer)
	if err != nil {
		return err
	}
	defer done()
	if err := keys.Refresh(ctx, c.Issuer); err != nil {
		return orderFailed(err)
	}
	_, err = fmt.Fprintln(env.Stdout, "refreshed")
	return err
}

type issuersDropCmd struct {
	*place `kong:"-"`

	Issuer string `arg:"" help:"The issuer, as it is configured."`
}

// Run exits as refresh does; with 5 the keys are dropped, and new ones could not be had yet.
func (c *issuersDropCmd) Run(ctx context.Context, env *cli.Env) error {
	keys, done, err := c.open(ctx, env)
	if err != nil {
		return err
	}
	defer done()
	if c.KeysDir != "" {
		env.Note("a daemon that runs keeps keys of its own: drop them there too, with --control")
	}
	err = keys.Drop(ctx, c.Issuer)
	if err == nil {
		_, err = fmt.Fprintln(env.Stdout, "dropped and fetched anew")
		return err
	}
	var coded *cli.Error
	if err = orderFailed(err); errors.As(err, &coded) && coded.Code == cli.Temporary {
		return cli.Fail(cli.Temporary, fmt.Errorf("the old keys are dropped, new ones could not be had: %w", err),
			"until the issuer answers, none of its tokens is accepted")
	}
	return err
}

// orderFailed chooses the exit code.
func orderFailed(err error) error {
	var said *daemonError
	_ = errors.As(err, &said)
	switch {
	case errors.Is(err, sock.ErrNobody):
		return cli.Fail(cli.NotFound, err,
			"name its socket with --control, its configuration with --config, or a directory with --keys-dir")
	case errors.Is(err, sock.ErrForeign), errors.Is(err, fs.ErrPermission):
		return cli.Fail(cli.Denied, err, "the daemon listens to its own user only: run this as that user")
	case errors.Is(err, provider.ErrNotKept), said != nil && said.code == codeNotKept:
		return cli.Fail(cli.NotFound, err,
			"the issuer has to be given exactly as it is configured; see: verifier issuers")
	case errors.Is(err, provider.ErrNotForgotten):
		return cli.Fail(cli.No, err, "remove the files of the directory yourself")
	case errors.Is(err, provider.ErrUnavailable), said != nil && said.code == codeUnavailable:
		return cli.Fail(cli.Temporary, err, "")
	}
	return cli.Fail(cli.No, err, "")
}
