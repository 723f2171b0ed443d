package sshwrap

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/sshlogin"
)

// configCmd is "ssh config".
type configCmd struct {
	options
	Keep time.Duration `default:"10m" placeholder:"DURATION" help:"How long a connection that nobody uses is kept."`
	Host string        `arg:"" help:"The host, as it will be typed."`
}

// Run prints the lines. Nothing is asked and nothing is sent.
func (c *configCmd) Run(_ context.Context, env *cli.Env) error {
	if err := c.check(); err != nil {
		return err
	}
	if c.Token != "" {
		return cli.Fail(cli.Usage, errors.New("a token does not belong into a configuration file"),
			"name a login with --oidc")
	}
	place, err := sshlogin.ParseHost(c.Host, "ssh")
	if err != nil || strings.ContainsAny(c.Host, "*?!,@/#%") || place.Host != c.Host {
		return cli.Failf(cli.Usage, "%q cannot be the name of a host in ssh's configuration", c.Host)
	}
	if c.Keep < time.Second || c.Keep > 30*24*time.Hour {
		return cli.Failf(cli.Usage, "--keep is from 1s to 720h")
	}
	exe, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	sum := sha256.Sum256([]byte(c.Host))
	path := "~/.ssh/oidcbox-%L-" + hex.EncodeToString(sum[:4])
	words := slices.Concat([]string{exe, "ssh-match", "--control-path", path, "--keep", c.Keep.String()}, c.named(env),
		[]string{"--", c.Host})
	_, err = fmt.Fprintf(env.Stdout, "# %s: a login by token, made when there is none and kept for %s.\n"+
		"# These lines belong in front of others about that host.\n"+
		"Match originalhost %s exec %s\n    ControlPath %s\n    ControlMaster no\n\nMatch all\n",
		c.Host, c.Keep, c.Host, matchWord(words), path)
	return err
}

// named are our options that say which token, for the helper.
func (o *options) named(env *cli.Env) []string {
	var out []string
	for _, opt := range []struct{ name, value string }{
		{"oidc", o.OIDC}, {"issuer", o.Issuer}, {"scope", o.Scope}, {"aud", o.Aud}, {"mc-endpoint", o.Endpoint},
	} {
		if opt.value != "" {
			out = append(out, "--"+opt.name+"="+opt.value)
		}
	}
	for _, opt := range []struct{ name, value string }{{"MT-file", o.MTFile}, {"ca-file", o.CAFile}} {
		if opt.value != "" {
			out = append(out, "--"+opt.name+"="+within(env.Dir, opt.value))
		}
	}
	if o.MTEnv != "" {
		out = append(out, "--MT-env="+o.MTEnv)
	}
	for _, opt := range []struct {
		name string
		set  bool
	}{{"insecure", o.Insecure}, {"forward-agent", o.ForwardAgent}} {
		if opt.set {
			out = append(out, "--"+opt.name)
		}
	}
	return out
}

// matchWord is a command for Match exec: words for a shell, in double quotes for ssh, "%" doubled but in front of the L
// that ssh is to replace.
func matchWord(words []string) string {
	out := make([]string, len(words))
	for i, w := range words {
		w = strings.ReplaceAll(w, "%", "%%")
		if rest, ok := strings.CutPrefix(w, "~/"); ok {
			out[i] = "~/" + cli.ShellQuote(strings.ReplaceAll(rest, "%%L", "%L"))
			continue
		}
		out[i] = cli.ShellQuote(w)
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(strings.Join(out, " ")) + `"`
}

// matchCmd is what Match exec runs.
type matchCmd struct {
	options
	ControlPath string        `required:"" placeholder:"PATH" help:"Socket of the connection that is kept."`
	Keep        time.Duration `default:"10m" placeholder:"DURATION" help:"How long it is kept when nobody uses it."`
	Host        string        `arg:"" help:"As it was typed."`
}

// NewMatch returns the hidden role behind the lines of "ssh config".
func NewMatch() cli.Command { return &matchCmd{} }

// Run makes sure that there is a connection to the host, logged in by token. Without one it ends with 1: the lines do
// not match then, and ssh goes on as if they were not there.
func (c *matchCmd) Run(ctx context.Context, env *cli.Env) error {
	typed := askedBy()
	if env.Getenv(guard) != "" || typed.printed {
		return cli.Exit(cli.No)
	}
	path := within(env.Dir, c.ControlPath)
	if typed == (call{}) && alive(path) {
		return nil
	}
	w := wrapped{options: c.options}
	return w.within(env, func(s *session) error { return s.keepConnection(ctx, c, typed, path) })
}

// alive reports whether an ssh answers at a control socket.
func alive(path string) bool {
	conn, err := net.DialTimeout("unix", path, 2*time.Second)
	if err != nil {
		return false
	}
	_ = conn.Close()
	return true
}

// keepConnection starts the ssh that other ones of the same host use.
func (s *session) keepConnection(ctx context.Context, c *matchCmd, typed call, path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	v, err := s.visit(ctx, nil, c.Host)
	if err != nil {
		return err
	}
	if typed.elsewhere(v) {
		v.held.text.Wipe()
		s.warn("no login by token: with it you are %s at port %s of %s; for another port: oidcbox ssh", v.user, v.target.port, c.Host)
		return cli.Exit(cli.No)
	}
	if alive(path) {
		v.held.text.Wipe()
		return nil
	}
	err = s.run(ctx, "ssh", newDesk(1, v), func(keys []string) []string {
		return slices.Concat([]string{
			"-l", v.user, "-N", "-f", "-T",
			"-o", "ControlMaster=yes", "-o", "ControlPath=" + strings.ReplaceAll(path, "%", "%%"),
			"-o", fmt.Sprintf("ControlPersist=%d", int(c.Keep/time.Second)),
		}, s.forwarding(v), v.mustOptions(), keys, loginOptions(), []string{"--", c.Host})
	})
	var coded *cli.Error
	if errors.As(err, &coded) && coded.Err == nil && alive(path) {
		return nil // somebody else has made one at the same time
	}
	return err
}
