// Package issuer is the role that runs the development provider: core/oidc/issuer on a loopback port, its state in
// memory.
//
// It is no production server. Whoever reaches it signs in as any of its accounts without a password, so it listens on
// loopback only unless told otherwise.
//
// Not a public API.
package issuer

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"time"

	"github.com/oidcbox/oidcbox/core/cli"
	engine "github.com/oidcbox/oidcbox/core/oidc/issuer"
	"github.com/oidcbox/oidcbox/core/token/jose"
	"github.com/oidcbox/oidcbox/core/transport/httpd"
	"github.com/oidcbox/oidcbox/store/memstore"
)

// stopTime is how long requests under way may take after SIGTERM: a container must end within two seconds.
const stopTime = time.Second

// Cmd is the command line.
type Cmd struct {
	Listen         string        `default:"127.0.0.1:0" placeholder:"ADDR" help:"Address and port; port 0 takes any."`
	Issuer         string        `placeholder:"URL" help:"Issuer URL in tokens and discovery; default: that of ADDR."`
	AllowRemote    bool          `help:"Let other machines in: anybody there can sign in as anybody."`
	TLSCert        string        `name:"tls-cert" placeholder:"FILE" help:"PEM certificate chain: serve https."`
	TLSKey         string        `name:"tls-key" placeholder:"FILE" help:"PEM key of --tls-cert."`
	URLFile        string        `name:"url-file" placeholder:"FILE" help:"Holds the issuer URL while it is ready."`
	AutoLogin      string        `placeholder:"USER" help:"Sign USER in and agree without pages."`
	Rotation       string        `default:"strict" enum:"strict,grace,off" help:"Rotation of refresh tokens: ${enum}."`
	GraceWindow    time.Duration `default:"30s" help:"How long a used refresh token is still taken with --rotation grace."`
	Alg            string        `default:"RS256" enum:"RS256,ES256,EdDSA" help:"Algorithm of the signing key: ${enum}."`
	ATTTL          time.Duration `name:"at-ttl" default:"1h" help:"Lifetime of access tokens."`
	RTTTL          time.Duration `name:"rt-ttl" default:"24h" help:"Lifetime of refresh tokens."`
	DeviceInterval time.Duration `default:"5s" help:"Time between polls that devices are told."`
	ClientFile     string        `placeholder:"FILE" help:"YAML: more clients and exchange rules."`
	Verbose        bool          `help:"Log every refusal, too."`
	TestControls   bool          `help:"Serve /_test/: faults, request log, key rotation."`
}

// New returns the command.
func New() cli.Command { return &Cmd{} }

// Run serves until ctx is cancelled.
func (c *Cmd) Run(ctx context.Context, env *cli.Env) error {
	if err := c.checkListen(); err != nil {
		return err
	}
	more, err := c.readClients(env)
	if err != nil {
		return err
	}
	if err := c.checkURLFile(env); err != nil {
		return err
	}
	secured, err := c.readTLS(env)
	if err != nil {
		return err
	}
	ln, err := net.Listen("tcp", c.Listen)
	if err != nil {
		return cli.Fail(cli.No, fmt.Errorf("listen: %w", err), "choose another --listen, or port 0 for a free one")
	}
	if c.Verbose {
		env.Log = cli.NewLog(env.Stderr, slog.LevelDebug)
	}
	o := c.options(env, defaultURL(ln.Addr(), secured))
	more.addTo(&o)
	i, err := engine.New(ctx, o)
	if err != nil {
		_ = ln.Close()
		return cli.Fail(cli.Usage, err, "")
	}
	if err := c.announce(env, i, o); err != nil {
		_ = ln.Close()
		return err
	}
	defer c.removeURLFile(env, i.URL())
	if secured != nil {
		ln = tls.NewListener(ln, secured)
	}
	if err := httpd.Serve(ctx, ln, i, httpd.Options{Log: env.Log, Grace: stopTime}); err != nil {
		return cli.Fail(cli.No, err, "")
	}
	return nil
}

// checkListen refuses an address that others reach, and one that is no issuer URL by itself.
func (c *Cmd) checkListen() error {
	host, _, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return cli.Fail(cli.Usage, fmt.Errorf("--listen %q is not ADDRESS:PORT", c.Listen), "for example 127.0.0.1:15080")
	}
	ip := net.ParseIP(host)
	switch {
	case host == "localhost", ip != nil && ip.IsLoopback():
		return nil
	case !c.AllowRemote:
		return cli.Fail(cli.Usage, fmt.Errorf("--listen %s is not a loopback address", c.Listen),
			"anybody who reaches this provider can sign in as anybody; --allow-remote if that is meant")
	case c.Issuer == "" && (ip == nil || ip.IsUnspecified()):
		return cli.Fail(cli.Usage, errors.New("the issuer URL does not follow from --listen"), "give it with --issuer")
	}
	return nil
}

func (c *Cmd) options(env *cli.Env, url string) engine.Options {
	o := engine.Options{
		URL: c.Issuer, Engine: memstore.NewAt(env.Now), AutoLogin: c.AutoLogin, Rotation: engine.Rotation(c.Rotation),
		GraceWindow: c.GraceWindow, AccessTTL: c.ATTTL, RefreshTTL: c.RTTTL, DeviceInterval: c.DeviceInterval,
		Alg: jose.Alg(c.Alg), TestControls: c.TestControls, Now: env.Now, Log: env.Log,
		Users: engine.SampleUsers(), Clients: engine.SampleClients(), Policy: engine.SamplePolicy(),
	}
	if o.URL == "" {
		o.URL = url
	}
	return o
}

// announce prints what a person needs to try it, then writes the URL for scripts: who sees the file can connect.
func (c *Cmd) announce(env *cli.Env, i *engine.Issuer, o engine.Options) error {
	if c.AllowRemote {
		env.Warn("anybody who reaches %s can sign in as anybody: for development only", c.Listen)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "issuer    %s\n", i.URL())
	for n, u := range o.Users {
		fmt.Fprintf(&b, "%-9s %s\n", label(n, "accounts"), describeUser(u))
	}
	for n, cl := range o.Clients {
		fmt.Fprintf(&b, "%-9s %s\n", label(n, "clients"), describeClient(cl, engine.SampleClients()))
	}
	if _, err := fmt.Fprint(env.Stdout, cli.Printable(b.String())); err != nil {
		return cli.Fail(cli.No, fmt.Errorf("write to standard output: %w", err), "")
	}
	return c.writeURLFile(env, i.URL())
}

func label(n int, text string) string {
	if n > 0 {
		return ""
	}
	return text
}

func describeUser(u engine.User) string {
	switch {
	case u.Refuses:
		return u.Name + " (refuses whatever is asked)"
	case len(u.Groups) == 0:
		return u.Name + " (no groups)"
	}
	return u.Name + " (" + strings.Join(u.Groups, " ") + ")"
}

// describeClient shows the secrets of the samples, which everybody knows, and of no others.
func describeClient(c engine.Client, samples []engine.Client) string {
	if c.Secret.Empty() {
		return c.ID + " (no secret)"
	}
	for _, s := range samples {
		if s.ID == c.ID && s.Secret.Equal(c.Secret) {
			return c.ID + " (secret " + s.Secret.Expose() + ")"
		}
	}
	return c.ID
}

// inDir resolves a path against the working directory of the environment.
func inDir(env *cli.Env, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(env.Dir, path)
}
