package sshwrap

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/sshlogin"
	"github.com/oidcbox/oidcbox/core/transport/sock"
)

// Names of the helpers, as roles; the links have "oidcbox-" in front.
const (
	askpassRole  = "ssh-askpass"
	hostKeysRole = "ssh-hostkeys"

	askpassLink  = "oidcbox-" + askpassRole
	hostKeysLink = "oidcbox-" + hostKeysRole
)

// Variables that tell the askpass helper where to ask, and who answers what is not for the wrapper.
const (
	envSocket  = "OIDCBOX_SSH_SOCKET"
	envAskpass = "OIDCBOX_SSH_ASKPASS" // the person's own SSH_ASKPASS
	envRequire = "OIDCBOX_SSH_ASKPASS_REQUIRE"
)

// desk answers the helpers of the ssh processes that one command starts.
type desk struct {
	visits []*visit
	logins int // how many may ask for a password at each host

	mu       sync.Mutex
	answered map[int]bool // by process of ssh
	given    map[*visit]int
	ready    map[*visit]*prepared
	err      error // why a password was not to be had
}

// prepared is a password that is fetched while ssh still finds its way to the host.
type prepared struct {
	done chan struct{}
	text secret.Text
	err  error
}

func newDesk(logins int, visits ...*visit) *desk {
	return &desk{
		visits: visits, logins: logins,
		answered: map[int]bool{}, given: map[*visit]int{}, ready: map[*visit]*prepared{},
	}
}

// prepare fetches the first password of each host.
func (d *desk) prepare(ctx context.Context, wait *sync.WaitGroup) {
	for _, v := range d.visits {
		p := &prepared{done: make(chan struct{})}
		d.ready[v] = p
		wait.Go(func() {
			defer close(p.done)
			p.text, p.err = v.password(ctx)
		})
	}
}

// answer answers one question.
func (d *desk) answer(ctx context.Context, a sshlogin.Asked) sshlogin.Reply {
	if a.Host != "" {
		return d.keysOf(a.Host)
	}
	v := d.whose(a)
	quiet := sshlogin.Reply{Quiet: slices.ContainsFunc(d.visits, func(v *visit) bool { return v.target.batch })}
	if v == nil || !d.take(v, a.SSH) {
		return quiet
	}
	text, err := d.password(ctx, v)
	if err != nil {
		d.mu.Lock()
		d.err = err
		d.mu.Unlock()
		return sshlogin.Reply{Quiet: true} // a person has no better answer
	}
	return sshlogin.Reply{Secret: text}
}

// whose is the visit that a question is about, nil when it is not for us. A prompt without a name can be any host's on
// the way.
func (d *desk) whose(a sshlogin.Asked) *visit {
	user, host, named, ok := a.Asks()
	if !ok {
		return nil
	}
	for _, v := range d.visits {
		same := func(name string) bool { return strings.EqualFold(name, host) }
		switch {
		case named && user == v.user && slices.ContainsFunc(v.target.names(), same):
			return v
		case !named && len(d.visits) == 1 && !v.target.proxied && v.target.release < hostKeysCommand:
			return v
		}
	}
	return nil
}

// take reports whether a process of ssh may have a password: each gets one, so that a second question of the same
// server, for a second factor or because the first answer was wrong, reaches the person.
func (d *desk) take(v *visit, ssh int) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.answered[ssh] || d.given[v] >= d.logins {
		return false
	}
	d.answered[ssh] = true
	d.given[v]++
	return true
}

func (d *desk) password(ctx context.Context, v *visit) (secret.Text, error) {
	d.mu.Lock()
	p := d.ready[v]
	delete(d.ready, v)
	d.mu.Unlock()
	if p == nil {
		return v.password(ctx)
	}
	select {
	case <-p.done:
		return p.text, p.err
	case <-ctx.Done():
		return secret.Text{}, ctx.Err()
	}
}

func (d *desk) keysOf(name string) sshlogin.Reply {
	for _, v := range d.visits {
		if name == sshlogin.KnownHostsName(v.target.host, v.target.alias, v.target.port) {
			return sshlogin.Reply{Keys: v.keys()}
		}
	}
	return sshlogin.Reply{}
}

// close wipes what nobody has asked for.
func (d *desk) close() {
	for _, p := range d.ready {
		<-p.done
		p.text.Wipe()
	}
	for _, v := range d.visits {
		v.held.text.Wipe()
	}
}

// office is the private directory with the socket and the links of the helpers.
type office struct{ dir string }

func (o office) socket() string   { return filepath.Join(o.dir, "s") }
func (o office) askpass() string  { return filepath.Join(o.dir, askpassLink) }
func (o office) hostKeys() string { return filepath.Join(o.dir, hostKeysLink) }
func (o office) close()           { _ = os.RemoveAll(o.dir) }

// openOffice makes the directory. The links lead to this program by its path: what /proc has of it cannot be read by
// others once it is hardened.
func openOffice(env *cli.Env) (office, error) {
	parent, err := sock.RuntimeDir(env.Getenv)
	if err != nil {
		return office{}, err
	}
	exe, err := os.Executable()
	if err != nil {
		return office{}, fmt.Errorf("find this program: %w", err)
	}
	dir, err := os.MkdirTemp(parent, "ssh-") // 0700
	if err != nil {
		return office{}, err
	}
	o := office{dir}
	if err := errors.Join(os.Symlink(exe, o.askpass()), os.Symlink(exe, o.hostKeys())); err != nil {
		o.close()
		return office{}, err
	}
	return o, nil
}

// run runs a program of OpenSSH with the desk beside it, and ends as it ends. options are ssh's -o for host keys, made
// of the place of the helper; they go where put puts them.
func (s *session) run(ctx context.Context, name string, d *desk, put func(keys []string) []string) error {
	defer d.close()
	path, err := program(s.env, name)
	if err != nil {
		return err
	}
	o, err := openOffice(s.env)
	if err != nil {
		return fmt.Errorf("prepare the answers for ssh: %w", err)
	}
	defer o.close()
	ln, err := sock.Listen(o.socket(), sock.ListenOptions{})
	if err != nil {
		return fmt.Errorf("prepare the answers for ssh: %w", err)
	}
	// What ends this process is for ssh to act on.
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	var work sync.WaitGroup
	defer work.Wait()
	defer stop()
	work.Go(func() {
		if err := sshlogin.ServeAsked(ctx, ln, d.answer); err != nil {
			s.warn("%v", err)
		}
	})
	d.prepare(ctx, &work)
	argv, old := put(d.hostKeyOptions(o)), d.release() < askpassForced
	s.say("running %s %s", path, quoted(argv))
	code, err := s.child(&exec.Cmd{
		Path: path, Args: append([]string{name}, argv...), Dir: s.env.Dir, Env: s.sshEnviron(o, old),
		Stdin: s.env.Stdin, Stdout: s.env.Stdout, Stderr: s.env.Stderr,
	}, old)
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.err != nil {
		return d.err
	}
	if code != 0 {
		return cli.PassOn(code)
	}
	return nil
}

// release is that of the ssh that is run.
func (d *desk) release() release {
	r := askpassForced
	for _, v := range d.visits {
		if v.target.release != 0 {
			r = v.target.release
		}
	}
	return r
}

func (d *desk) hostKeyOptions(o office) []string {
	for _, v := range d.visits {
		if len(v.keys()) > 0 {
			return []string{"-o", fmt.Sprintf("KnownHostsCommand=%s %s %%I %%H", sshWord(o.hostKeys()), sshWord(o.socket()))}
		}
	}
	return nil
}

// sshWord is one word of a command in ssh's configuration.
func sshWord(s string) string {
	s = strings.ReplaceAll(s, "%", "%%")
	if strings.ContainsAny(s, " \t'\"\\") {
		return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
	}
	return s
}

// sshEnviron makes the helper ssh's way of asking. old releases have no other switch for that than DISPLAY.
func (s *session) sshEnviron(o office, old bool) []string {
	environ := slices.DeleteFunc(s.childEnviron(), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return slices.Contains([]string{"SSH_ASKPASS", "SSH_ASKPASS_REQUIRE", envSocket, envAskpass, envRequire}, name)
	})
	environ = append(environ, "SSH_ASKPASS="+o.askpass(), envSocket+"="+o.socket())
	if !old {
		environ = append(environ, "SSH_ASKPASS_REQUIRE=force")
	}
	for from, to := range map[string]string{"SSH_ASKPASS": envAskpass, "SSH_ASKPASS_REQUIRE": envRequire} {
		if v := s.env.Getenv(from); v != "" {
			environ = append(environ, to+"="+v)
		}
	}
	if old && s.env.Getenv("DISPLAY") == "" {
		environ = append(environ, "DISPLAY=-") // it has to be there; nothing connects to it
	}
	return environ
}

func quoted(argv []string) string {
	words := make([]string, len(argv))
	for i, a := range argv {
		words[i] = cli.ShellQuote(a)
	}
	return strings.Join(words, " ")
}

// plain runs a program of OpenSSH as it was called, without a login by token.
func (s *session) plain(name string, words []string) error {
	path, err := program(s.env, name)
	if err != nil {
		return err
	}
	code, err := s.child(&exec.Cmd{
		Path: path, Args: append([]string{name}, words...), Dir: s.env.Dir, Env: s.env.Environ(),
		Stdin: s.env.Stdin, Stdout: s.env.Stdout, Stderr: s.env.Stderr,
	}, false)
	if err == nil && code != 0 {
		err = cli.PassOn(code)
	}
	return err
}

// randomHex is a name for a socket on another host that nobody guesses.
func randomHex(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	return hex.EncodeToString(b)
}
