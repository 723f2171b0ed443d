package sshwrap

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/sshlogin"
)

// resolveTime bounds "ssh -G": it may run what a configuration has behind Match exec.
const resolveTime = 30 * time.Second

// target is a host as ssh's configuration has it.
type target struct {
	typed       string
	host        string // that ssh connects to
	port        string
	alias       string // HostKeyAlias
	batch       bool   // nobody is to be asked
	proxied     bool   // another ssh is on the way
	keysCommand bool   // there is a KnownHostsCommand already
	knownHosts  []string
	setEnv      []string
	release     release
}

// release is one of OpenSSH, "9.2" as 902; 0 unknown.
type release int

const (
	askpassForced   release = 804 // SSH_ASKPASS_REQUIRE
	hostKeysCommand release = 805 // KnownHostsCommand, and "(user@host)" in front of prompts
)

// resolve asks ssh what it makes of a destination. options are ssh's own.
func (s *session) resolve(ctx context.Context, options []string, destination string) (target, error) {
	path, err := program(s.env, "ssh")
	if err != nil {
		return target{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, resolveTime)
	defer cancel()
	found := make(chan release, 1)
	go func() { found <- s.releaseOf(ctx, path) }()
	out, said := &limited{left: maxConfig}, &limited{left: maxConfig}
	cmd := exec.CommandContext(ctx, path, append(append([]string{"-G"}, options...), "--", destination)...)
	cmd.Env, cmd.Dir, cmd.Stdout, cmd.Stderr = s.childEnviron(), s.env.Dir, out, said
	cmd.WaitDelay = time.Second
	err = cmd.Run()
	v := <-found
	var ended *exec.ExitError
	if errors.As(err, &ended) {
		return target{}, cli.Fail(cli.Usage, fmt.Errorf("ssh: %s", strings.TrimSpace(said.text.String())), "")
	}
	if err != nil {
		return target{}, fmt.Errorf("ask ssh for its configuration of %s: %w", destination, err)
	}
	t := parseConfig(out.text.String(), s.env.Getenv("HOME"))
	t.typed, t.release = destination, v
	if t.host == "" {
		return target{}, fmt.Errorf("ask ssh for its configuration of %s: it names no host", destination)
	}
	return t, nil
}

// parseConfig reads what "ssh -G" prints: a keyword in lower case and its value on each line.
func parseConfig(text, home string) target {
	var t target
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(strings.TrimRight(line, "\r\n"), " ")
		switch key {
		case "hostname":
			t.host = strings.ToLower(value)
		case "port":
			t.port = value
		case "hostkeyalias":
			t.alias = value
		case "batchmode":
			t.batch = value == "yes"
		case "proxyjump", "proxycommand":
			t.proxied = t.proxied || value != "none"
		case "knownhostscommand":
			t.keysCommand = value != "none"
		case "userknownhostsfile", "globalknownhostsfile":
			for file := range strings.FieldsSeq(value) {
				if rest, ok := strings.CutPrefix(file, "~/"); ok {
					file = filepath.Join(home, rest)
				}
				t.knownHosts = append(t.knownHosts, file)
			}
		case "setenv":
			t.setEnv = append(t.setEnv, value)
		}
	}
	return t
}

// releaseOf asks ssh which one it is.
func (s *session) releaseOf(ctx context.Context, path string) release {
	cmd := exec.CommandContext(ctx, path, "-V")
	cmd.Env, cmd.WaitDelay = s.childEnviron(), time.Second
	out := &limited{left: maxConfig}
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Run(); err != nil {
		return 0
	}
	return parseRelease(out.text.String())
}

// maxConfig bounds what ssh says of itself and of its configuration.
const maxConfig = 256 << 10

// limited keeps what fits, and takes the rest as if it did.
type limited struct {
	text bytes.Buffer
	left int
}

func (l *limited) Write(p []byte) (int, error) {
	n := min(len(p), l.left)
	l.left -= n
	l.text.Write(p[:n])
	return len(p), nil
}

// parseRelease reads "OpenSSH_9.2p1 Debian-2, ...". "OpenSSH_for_Windows_9.5p1" is one as well.
func parseRelease(text string) release {
	rest, ok := strings.CutPrefix(text, "OpenSSH_")
	if !ok {
		return 0
	}
	rest = strings.TrimPrefix(rest, "for_Windows_")
	major, rest, _ := strings.Cut(rest, ".")
	end := strings.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' })
	if end < 0 {
		end = len(rest)
	}
	a, errA := strconv.Atoi(major)
	b, errB := strconv.Atoi(rest[:end])
	if errA != nil || errB != nil || a > 99 || b > 99 {
		return 0
	}
	return release(a*100 + b)
}

// known reports whether the files of person and system say anything of the host's key, or cannot be read: then they
// decide, as they do without this program.
func (t target) known() bool {
	name := sshlogin.KnownHostsName(t.host, t.alias, t.port)
	for _, file := range t.knownHosts {
		if file == os.DevNull || file == "none" { // how people say that there is none
			continue
		}
		if unclear(file) {
			return true
		}
		b, err := readSome(file, maxKnownHosts)
		if err == nil && sshlogin.KnownHost(b, name) || err != nil && !errors.Is(err, fs.ErrNotExist) {
			return true
		}
	}
	return false
}

const maxKnownHosts = 16 << 20

// unclear reports a name of which ssh does not say what file it is: half of one with a blank in it, since "ssh -G" quotes
// nothing, a home of somebody else, or what old releases put in its place later.
func unclear(file string) bool {
	relative := !filepath.IsAbs(file) && !strings.HasPrefix(file, "__PROGRAMDATA__") // Windows
	return relative || strings.Contains(file, "%") || strings.Contains(file, "${")
}

// readSome reads a regular file. One that is too large is no file that was read: an entry may stand behind the limit.
func readSome(path string, limit int64) ([]byte, error) {
	fi, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !fi.Mode().IsRegular() || fi.Size() > limit {
		return nil, fmt.Errorf("read %s: not a file of that kind", path)
	}
	return os.ReadFile(path)
}

// names are what "(user@host)" of a prompt may have for the host.
func (t target) names() []string {
	if t.alias != "" {
		return []string{t.alias, t.host}
	}
	return []string{t.host}
}

// guard is set for everything that is started here: the helper behind Match exec does nothing then, so that ssh does
// not call itself for ever.
const guard = "OIDCBOX_SSH"

// childEnviron is the environment of ssh and of what it starts: without tokens.
func (s *session) childEnviron(more ...string) []string {
	return append(s.env.ChildEnviron(tokenVariables()...), append([]string{guard + "=1"}, more...)...)
}
