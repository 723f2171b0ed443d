package sshwrap

import (
	"context"
	"net"
	"path/filepath"
	"slices"
	"strings"

	"github.com/oidcbox/oidcbox/core/agent/proto"
	"github.com/oidcbox/oidcbox/core/sshlogin"
)

// Options of ssh that are set for every login by token. Those the person gives come first and win.
func loginOptions() []string {
	return []string{
		// A host that wants a key and the token offers the key's method alone at first.
		"-o", "PreferredAuthentications=keyboard-interactive,publickey",
		"-o", "KbdInteractiveAuthentication=yes",
		// A wrong answer is not repeated: sshd punishes an address for it.
		"-o", "NumberOfPasswordPrompts=1",
	}
}

// ssh runs ssh. Calls that log in nowhere are handed on as they are.
func (s *session) ssh(ctx context.Context, words []string) error {
	p := sshlogin.SSH()
	line, err := p.Split(words)
	if err != nil {
		return err
	}
	options := p.Options(line)
	if len(line.Operands) == 0 || p.Has(options, "GQVO") {
		return s.plain("ssh", words)
	}
	place, err := sshlogin.ParseHost(line.Operands[0], "ssh")
	if err != nil {
		return err
	}
	v, err := s.visit(ctx, options, line.Operands[0])
	if err != nil {
		return err
	}
	if user := p.Value(options, 'l'); user != "" {
		place.User = user
	}
	if err := s.wanted(v, place.User); err != nil {
		v.held.text.Wipe()
		return err
	}
	forward := s.forwarding(v)
	if s.DryRun {
		return s.dryRun(ctx, v, "ssh", slices.Concat(forward, []string{"-l", v.user}, words))
	}
	return s.run(ctx, "ssh", newDesk(1, v), func(keys []string) []string {
		return slices.Concat([]string{"-l", v.user}, forward, v.mustOptions(), keys, line.Before, loginOptions(),
			dashes(line), line.Operands, line.After)
	})
}

func dashes(l sshlogin.Line) []string {
	if l.Dashes {
		return []string{"--"}
	}
	return nil
}

// mustOptions are set whatever configuration or person say: in batch mode ssh would not ask for the token either. That
// nobody is asked anything else is the helper's then.
func (v *visit) mustOptions() []string {
	if v.target.batch {
		return []string{"-o", "BatchMode=no"}
	}
	return nil
}

// forwarding brings the agent's socket to the host: under our own names when it is asked for, since whoever is root
// there can get tokens as long as the connection lasts; under the original's whenever there is an agent, as it does.
func (s *session) forwarding(v *visit) []string {
	sock := s.env.Getenv("OIDC_SOCK")
	if !s.ForwardAgent && (!s.compat || sock == "") {
		return nil
	}
	if c := proto.Find(s.env.Getenv); s.ForwardAgent && c.Path != "" {
		sock = c.Path
	}
	if !filepath.IsAbs(sock) || strings.ContainsAny(sock, ": \t") {
		s.warn("there is no agent to forward")
		return nil
	}
	remote := "/tmp/oidc-agent-" + randomHex(8)
	out := []string{"-R", remote + ":" + sock}
	if s.ForwardAgent || s.SetRemoteEnv {
		// The first SetEnv counts alone: what the configuration has is set again.
		values := []string{`"OIDC_SOCK=` + remote + `"`}
		for _, e := range v.target.setEnv {
			if !strings.HasPrefix(e, "OIDC_SOCK=") {
				values = append(values, sshWord(e))
			}
		}
		out = append(out, "-o", "SetEnv="+strings.Join(values, " "))
	}
	return out
}

// sftp runs sftp.
func (s *session) sftp(ctx context.Context, words []string) error {
	p := sshlogin.SFTP()
	line, err := p.Split(words)
	if err != nil {
		return err
	}
	if len(line.Operands) == 0 || p.Has(line.Before, "D") {
		return s.plain("sftp", words)
	}
	place, err := sshlogin.ParseHost(line.Operands[0], "sftp")
	if err != nil {
		return err
	}
	v, err := s.visit(ctx, placeOptions(place, p, line.Before), place.Host)
	if err != nil {
		return err
	}
	if err := s.wanted(v, place.User); err != nil {
		v.held.text.Wipe()
		return err
	}
	if s.DryRun {
		return s.dryRun(ctx, v, "sftp", slices.Concat([]string{"-o", "User=" + v.user}, words))
	}
	return s.run(ctx, "sftp", newDesk(1, v), func(keys []string) []string {
		return slices.Concat([]string{"-o", "User=" + v.user}, v.mustOptions(), keys, line.Before, loginOptions(),
			dashes(line), line.Operands)
	})
}

// maxConnections bounds the passwords of one scp: it makes a connection for each remote file.
const maxConnections = 256

// scp runs scp. Operands with a user in them are the person's own affair, as those of this machine are; each other host
// gets the user that the token is there.
func (s *session) scp(ctx context.Context, words []string) error {
	p := sshlogin.SCP()
	line, err := p.Split(words)
	if err != nil {
		return err
	}
	operands := slices.Clone(line.Operands)
	hosts := map[string]*visit{}
	var visits []*visit
	for i, word := range operands {
		place, err := sshlogin.ParseOperand(word)
		if err != nil {
			return err
		}
		if place.Host == "" || place.User != "" {
			continue
		}
		key := net.JoinHostPort(place.Host, place.Port)
		v := hosts[key]
		if v == nil {
			if v, err = s.visit(ctx, placeOptions(place, p, line.Before), place.Host); err != nil {
				return err
			}
			hosts[key], visits = v, append(visits, v)
		}
		operands[i] = place.As(v.user)
	}
	if len(visits) == 0 {
		return s.plain("scp", words)
	}
	if len(visits) == 1 && s.DryRun {
		return s.dryRun(ctx, visits[0], "scp", slices.Concat([]string{"-o", "User=" + visits[0].user}, words))
	}
	if s.DryRun {
		return s.dryRunAll(ctx, visits, slices.Concat(line.Before, dashes(line), operands))
	}
	return s.run(ctx, "scp", newDesk(maxConnections, visits...), func(keys []string) []string {
		return slices.Concat(visits[0].mustOptions(), keys, line.Before, loginOptions(), dashes(line), operands)
	})
}

// placeOptions are those of a copying program that ssh understands as well, for asking it what they mean. Only options
// with a value are: -F, -o, -J, -i, -c, and the port, which has another letter.
func placeOptions(place sshlogin.Place, p sshlogin.Program, options []string) []string {
	var out []string
	if place.Port != "" {
		out = append(out, "-p", place.Port)
	}
	for _, o := range p.Values(options) {
		switch o.Letter {
		case 'F', 'o', 'J', 'i', 'c':
			out = append(out, "-"+string(o.Letter), o.Value)
		case 'P':
			out = append(out, "-p", o.Value)
		}
	}
	return out
}
