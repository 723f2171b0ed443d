package start

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/oidcbox/oidcbox/core/agent/proto"
	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/transport/sock"
)

// Running is an agent that answers.
type Running struct {
	Socket string
	PID    int // 0 unknown
}

// Place is where one agent of a person is found again: the socket of oidc-agent-service, which clients of version 5 try
// without being told, and a file with the pid beside it.
type Place struct {
	Dir, Socket, PIDFile string
}

// ServicePlace is that of oidc-agent-service of version 5, ${TMPDIR:-/tmp}/oidc-agent-service-<uid>.
func ServicePlace(getenv func(string) string) Place {
	dir := proto.ServiceDir(getenv)
	return Place{
		Dir: dir, Socket: filepath.Join(dir, "oidc-agent.sock"), PIDFile: filepath.Join(dir, "oidc-agent.pid"),
	}
}

// At returns the agent at a socket, if one answers there. The pid is 0 where nobody says it.
func At(ctx context.Context, path string) (Running, bool) {
	pid, ok := answering(ctx, path)
	return Running{Socket: path, PID: pid}, ok
}

// Find returns the agent at the place, if one answers there.
func (p Place) Find(ctx context.Context) (Running, bool) {
	r, ok := At(ctx, p.Socket)
	if n := readPID(p.PIDFile); ok && r.PID == 0 && n > 1 && alive(n) {
		r.PID = n
	}
	return r, ok
}

// answering looks for an agent at a socket. The pid is the one the agent gives, else that of whoever made the socket,
// else 0. Where systemd made it, that is no agent.
func answering(ctx context.Context, path string) (pid int, ok bool) {
	c, err := sock.Dial(ctx, path)
	if err != nil {
		return 0, false
	}
	peer, peerErr := sock.PeerOf(c)
	_ = c.Close()
	if st, err := askStatus(ctx, path); err == nil && st.PID > 1 {
		return st.PID, true
	}
	if peerErr != nil || peer.PID <= 1 || strings.HasPrefix(processName(int(peer.PID)), "systemd") {
		return 0, true
	}
	return int(peer.PID), true
}

// status is what an agent says of itself; the original gives no pid, and its options as one text.
type status struct {
	Line      string   `json:"command_line_options"`
	Arguments []string `json:"arguments"`
	PID       int      `json:"pid"`
}

// askTime is for an answer that needs nobody else.
const askTime = 5 * time.Second

func askStatus(ctx context.Context, path string) (status, error) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	rep, err := proto.Client{Path: path}.Call(ctx, proto.Request{Type: proto.TypeStatusJSON})
	if err == nil {
		err = rep.Err()
	}
	if err != nil {
		return status{}, fmt.Errorf("ask the agent for its state: %w", err)
	}
	var st status
	if err := rep.Info.Into(&st); err != nil {
		return status{}, fmt.Errorf("read the agent's state: %w", err)
	}
	return st, nil
}

// Use returns the agent at the place. Where there is none, it takes one that listens at our well-known socket, because
// a second one could not open the keystore; else it starts one. Of several that do so at once one starts it.
func (p Place) Use(ctx context.Context, env *cli.Env, prog Program) (r Running, started bool, err error) {
	unlock, err := p.lock(ctx)
	if err != nil {
		return Running{}, false, err
	}
	defer unlock()
	if r, ok := p.Find(ctx); ok {
		return r, false, nil
	}
	p.removeDead()
	common := filepath.Join(sock.RuntimePath(env.Getenv), proto.SockName)
	if pid, ok := answering(ctx, common); ok && prog.Path == "" {
		if err := os.Symlink(common, p.Socket); err != nil {
			return Running{}, false, fmt.Errorf("link to the agent's socket: %w", err)
		}
		return Running{Socket: p.Socket, PID: pid}, false, p.writePID(pid)
	}
	prog.Options = append(slices.Clone(prog.Options), "--socket-path="+p.Socket)
	if prog.Path == "" {
		prog.Options = append(prog.Options, wellKnown)
	}
	if r, err = prog.Start(ctx, env); err != nil {
		return Running{}, false, err
	}
	r.Socket = p.Socket
	return r, true, p.writePID(r.PID)
}

// removeDead removes what a dead agent has left. A link in place of the socket is ours, or one of version 4.
func (p Place) removeDead() {
	if fi, err := os.Lstat(p.Socket); err == nil && fi.Mode()&(fs.ModeSocket|fs.ModeSymlink) != 0 {
		_ = os.Remove(p.Socket)
	}
	_ = os.Remove(p.PIDFile)
}

// wellKnown makes an agent of ours serve the well-known socket as well, when it is free.
const wellKnown = "--well-known"

// lock makes the directory and waits for others who start or stop an agent there.
func (p Place) lock(ctx context.Context) (unlock func(), err error) {
	ctx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	for {
		// The original makes it readable for everybody; it is ours, and nobody else can have put anything in.
		if fi, err := os.Lstat(p.Dir); err == nil && fi.IsDir() && fi.Mode().Perm()&0o022 == 0 {
			_ = os.Chmod(p.Dir, 0o700)
		}
		if err := sock.MakePrivate(p.Dir); err != nil {
			return nil, placeError(err)
		}
		unlock, err := lock(ctx, filepath.Join(p.Dir, lockFile))
		if !errors.Is(err, fs.ErrNotExist) { // the directory was removed by somebody who stopped an agent
			return unlock, err
		}
	}
}

func placeError(err error) error {
	if errors.Is(err, sock.ErrForeign) {
		return cli.Fail(cli.Denied, err, "remove it, or set TMPDIR to a directory that is yours alone")
	}
	return err
}

func (p Place) writePID(pid int) error {
	if err := os.WriteFile(p.PIDFile, fmt.Appendln(nil, pid), 0o600); err != nil {
		return fmt.Errorf("write pid file: %w", err)
	}
	return nil
}

// Stop ends the agent at the place and removes what belongs to it. ok is false when there is none.
func (p Place) Stop(ctx context.Context) (r Running, ok bool, err error) {
	if _, err := os.Lstat(p.Dir); errors.Is(err, fs.ErrNotExist) {
		return Running{}, false, nil
	}
	unlock, err := p.lock(ctx)
	if err != nil {
		return Running{}, false, err
	}
	defer unlock()
	if r, ok = p.Find(ctx); ok {
		if err := r.End(ctx); err != nil {
			return r, true, err
		}
	}
	p.clear()
	return r, ok, nil
}

// clear removes our files, and the directory when nothing else is in it.
func (p Place) clear() {
	for _, path := range []string{p.Socket, p.PIDFile, filepath.Join(p.Dir, lockFile)} {
		_ = os.Remove(path)
	}
	_ = os.Remove(p.Dir)
}

// endTime is how long an agent may take to end: one of ours waits for the answer to a refresh.
const endTime = 13 * time.Second

// errNoPID is for an agent that answers and of which nobody knows the process.
var errNoPID = errors.New("the pid of the agent is not known")

// End tells an agent to end and waits until it has.
func (r Running) End(ctx context.Context) error {
	if r.PID <= 1 {
		return errNoPID
	}
	if err := terminate(r.PID); err != nil {
		return fmt.Errorf("end process %d: %w", r.PID, err)
	}
	ctx, cancel := context.WithTimeout(ctx, endTime)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for alive(r.PID) {
		select {
		case <-ctx.Done():
			return fmt.Errorf("process %d does not end: %w", r.PID, ctx.Err())
		case <-tick.C:
		}
	}
	return nil
}

// readPID reads a pid file; 0 for none.
func readPID(path string) int {
	b, err := os.ReadFile(path)
	if err != nil || len(b) > 32 {
		return 0
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		return 0
	}
	return n
}

// Arguments are the options a running agent was started with, less those that Use adds.
func (p Place) Arguments(ctx context.Context) ([]string, error) {
	st, err := askStatus(ctx, p.Socket)
	if err != nil {
		return nil, err
	}
	if st.Arguments == nil { // an agent of the original
		st.Arguments = strings.Fields(st.Line)
	}
	return slices.DeleteFunc(st.Arguments, func(a string) bool {
		return a == wellKnown || a == "--json" || a == "--socket-path="+p.Socket
	}), nil
}
