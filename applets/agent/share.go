package agent

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/oidcbox/oidcbox/core/agent/control"
	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/transport/sock"
)

// sharing is the grammar of the commands about shared sockets. Under the original's name these words are programs to
// run, as they are there.
type sharing struct {
	Share   shareCmd   `cmd:"" help:"Make a socket that gives out tokens only, for another host."`
	Shares  sharesCmd  `cmd:"" help:"List the sockets that are shared."`
	Unshare unshareCmd `cmd:"" help:"End a shared socket."`
}

// Choose leaves the words share, shares and unshare to their own grammar. To run programs of these names with an agent,
// put -- before them.
func (c *Cmd) Choose(upstream bool, args []string) cli.Command {
	if !upstream && len(args) > 0 {
		switch args[0] {
		case "share", "shares", "unshare":
			return &sharing{}
		}
	}
	return c
}

// Run is never reached: kong wants one of the sub-commands.
func (*sharing) Run(context.Context, *cli.Env) error { return errors.ErrUnsupported }

type shareCmd struct {
	Socket  string        `placeholder:"PATH" help:"Where the socket is made; by default a new place beside the agent's own."`
	For     time.Duration `placeholder:"DURATION" help:"End it after this time, as 8h; by default it ends with the agent."`
	Confirm bool          `help:"Ask on the agent's own screen before each token."`
	JSON    bool          `name:"json" help:"Print a JSON object."`

	Logins []string `arg:"" optional:"" complete:"logins" help:"Logins it gives out tokens of; by default all that are loaded."`
}

// Run asks the running agent for one more socket and prints its path.
func (c *shareCmd) Run(ctx context.Context, env *cli.Env) error {
	if c.For < 0 || c.For > 0 && c.For < time.Second {
		return cli.Failf(cli.Usage, "--for must be a second at least")
	}
	r := control.ShareRequest{Logins: c.Logins, Socket: c.Socket, Seconds: int64(c.For / time.Second), Confirm: c.Confirm}
	if r.Socket != "" && !filepath.IsAbs(r.Socket) {
		r.Socket = filepath.Join(env.Dir, r.Socket)
	}
	s, err := admin(env).Share(ctx, r)
	if err != nil {
		return shareError(err)
	}
	if c.JSON {
		return printJSON(env, s)
	}
	if len(s.Logins) == 0 {
		env.Note("it gives out tokens of every login that is loaded; name logins to share these alone")
	}
	_, err = fmt.Fprintln(env.Stdout, s.Socket)
	return err
}

type sharesCmd struct {
	JSON bool `name:"json" help:"Print JSON."`
}

// Run lists the shared sockets.
func (c *sharesCmd) Run(ctx context.Context, env *cli.Env) error {
	list, err := admin(env).Shares(ctx)
	if err != nil {
		return shareError(err)
	}
	if c.JSON {
		return printJSON(env, list)
	}
	for _, s := range list {
		if _, err := fmt.Fprintf(env.Stdout, "%s  %s\n", s.Socket, describe(s)); err != nil {
			return err
		}
	}
	return nil
}

// describe says what a socket gives out and for how long.
func describe(s control.Shared) string {
	text := "all that are loaded"
	if len(s.Logins) > 0 {
		text = strings.Join(s.Logins, " ")
	}
	if s.Confirm {
		text += ", asks each time"
	}
	if !s.Until.IsZero() {
		text += ", until " + s.Until.Local().Format("2006-01-02 15:04:05")
	}
	return text
}

type unshareCmd struct {
	All    bool   `help:"End all of them."`
	Socket string `arg:"" optional:"" placeholder:"PATH" help:"The socket to end."`
}

// Run ends a shared socket, or all.
func (c *unshareCmd) Run(ctx context.Context, env *cli.Env) error {
	agent := admin(env)
	switch {
	case c.All == (c.Socket != ""):
		return cli.Failf(cli.Usage, "name a socket, or say --all")
	case !c.All:
		if !filepath.IsAbs(c.Socket) {
			c.Socket = filepath.Join(env.Dir, c.Socket)
		}
		return shareError(agent.Unshare(ctx, c.Socket))
	}
	list, err := agent.Shares(ctx)
	for _, s := range list {
		err = errors.Join(err, agent.Unshare(ctx, s.Socket))
	}
	return shareError(err)
}

func admin(env *cli.Env) control.Client { return control.Client{Path: control.Place(env.Getenv)} }

// shareError says what to do when there is no agent.
func shareError(err error) error {
	if errors.Is(err, control.ErrNoAgent) {
		return cli.Fail(cli.NotFound, err, "start one with: eval $(oidcbox agent)")
	}
	return err
}

func printJSON(env *cli.Env, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("print JSON: %w", err)
	}
	_, err = env.Stdout.Write(append(b, '\n'))
	return err
}

// listenShare makes a socket to share.
func listenShare(env *cli.Env, path string) (net.Listener, error) {
	if path == "" {
		dir, err := sock.RuntimeDir(env.Getenv)
		if err != nil {
			return nil, placeError(err)
		}
		path = filepath.Join(dir, "share-"+strings.ToLower(rand.Text()[:8])+".sock")
	}
	ln, err := sock.Listen(path, sock.ListenOptions{})
	var used *sock.InUseError
	switch {
	case errors.As(err, &used):
		return nil, cli.Fail(cli.Temporary, err, "somebody answers there; choose another path")
	case errors.Is(err, sock.ErrForeign), errors.Is(err, os.ErrPermission):
		return nil, cli.Fail(cli.Denied, err, "choose a directory that is yours alone")
	case errors.Is(err, sock.ErrNotSocket), errors.Is(err, os.ErrNotExist), errors.Is(err, sock.ErrPathTooLong):
		return nil, cli.Fail(cli.Usage, err, "")
	}
	return ln, err
}

// elsewhere reports whether somebody else than the owner, or a program on another host, may be behind a peer: it has
// another uid, or it is a program that forwards sockets. Where the system has processes and does not tell about this one
// the answer is yes.
func elsewhere(p sock.Peer) bool {
	if !sock.Own(p) {
		return true
	}
	name, err := sock.ProgramOf(p)
	switch {
	case errors.Is(err, errors.ErrUnsupported):
		return false
	case err != nil:
		return true
	}
	return forwards(name)
}

// forwards reports whether a program of this name, cut to 15 bytes, carries connections from elsewhere: one of the many
// builds of ssh (gsissh of grid sites and hpnssh have names of their own, with d and -session for the other end), or one
// that joins a socket to another. A program with ssh in its name that does not can still ask for tokens.
func forwards(name string) bool {
	switch name {
	case "dropbear", "dropbearmulti", "dbclient", "plink", "tsh", "teleport",
		"socat", "nc", "ncat", "netcat", "nc.openbsd", "nc.traditional", "systemd-socket-":
		return true
	}
	return strings.Contains(name, "ssh")
}
