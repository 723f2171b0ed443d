package sshapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/oidcbox/oidcbox/core/mytoken/desk"
)

// Exit statuses of commands.
const (
	exitOK        = 0
	exitRefused   = 1
	exitUsage     = 2
	exitTemporary = 5
)

// farewell is how long a client may take to hang up after the answer.
const farewell = 2 * time.Second

// maxAsked bounds what a client may ask of a session before its command: OpenSSH asks for a handful of variables.
const maxAsked = 64

// session serves the one session of a connection: its first command, and nothing else.
func (l *link) session(ctx context.Context, channel ssh.Channel, requests <-chan *ssh.Request, begun func()) {
	defer channel.Close() //nolint:errcheck // the client may be gone
	asked := 0
	for r := range requests {
		line, ok := commandOf(r)
		if !ok {
			if asked++; asked > maxAsked {
				_ = l.conn.Close()
			}
			_ = r.Reply(false, nil) // env, pty-req, subsystem, x11-req, auth-agent-req@openssh.com, ...
			continue
		}
		begun()
		_ = r.Reply(true, nil)
		l.work.Go(func() { refuseAll(requests) })
		status := l.run(ctx, channel, line)
		_, _ = channel.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{uint32(status)}))
		_ = channel.Close()
		l.hangUp()
		return
	}
}

// refuseAll answers what else is asked of a session.
func refuseAll(requests <-chan *ssh.Request) {
	for r := range requests {
		_ = r.Reply(false, nil)
	}
}

// hangUp lets the client go first: what was written has arrived then.
func (l *link) hangUp() {
	t := time.AfterFunc(farewell, func() { _ = l.conn.Close() })
	defer t.Stop()
	_ = l.conn.Wait()
}

// commandOf is the command of a request. Who asks for a shell gets the help for an empty command.
func commandOf(r *ssh.Request) (line string, ok bool) {
	switch r.Type {
	case "shell":
		return "", true
	case "exec":
		var m struct{ Command string }
		if ssh.Unmarshal(r.Payload, &m) != nil {
			return "", true
		}
		return m.Command, true
	}
	return "", false
}

// run does a command and returns its exit status.
func (l *link) run(ctx context.Context, channel ssh.Channel, line string) int {
	start := l.s.o.Now()
	// The command is seen through when the server ends, for as long as there is time.
	server := ctx
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), l.s.o.Limits.Total)
	defer cancel()
	defer context.AfterFunc(server, func() {
		_ = l.raw.SetDeadline(time.Now().Add(l.s.o.Limits.Grace))
		t := time.AfterFunc(l.s.o.Limits.Grace, cancel)
		context.AfterFunc(ctx, func() { t.Stop() })
	})()
	c, err := parse(line, l.s.o.Limits.Command)
	var out []byte
	if err == nil {
		out, err = l.answer(ctx, c)
	}
	defer clear(out)
	action := c.action
	if errors.Is(err, errUsage) {
		action = "unknown"
	}
	if err == nil {
		_, err = channel.Write(out)
		l.s.o.Seen(ctx, action, "ok", l.s.o.Now().Sub(start))
		if err != nil {
			return exitRefused
		}
		return exitOK
	}
	text, code, status := l.said(ctx, err)
	_, _ = io.WriteString(channel.Stderr(), text+"\n")
	l.s.o.Seen(ctx, action, code, l.s.o.Now().Sub(start))
	return status
}

// said is what a client is told of an error, in the form "error: description".
func (l *link) said(ctx context.Context, err error) (text, code string, status int) {
	var no *desk.Error
	switch {
	case errors.Is(err, errUsage):
		return desk.CodeRequest + ": " + err.Error() + "\n" + usage, desk.CodeRequest, exitUsage
	case errors.As(err, &no):
		if text = no.Code; no.Description != "" {
			text += ": " + plain(no.Description)
		}
		status = exitRefused
		if no.Status >= 500 || no.Status == 429 {
			status = exitTemporary
		}
		return text, no.Code, status
	}
	l.s.o.Log.ErrorContext(ctx, "an ssh command failed", "err", err)
	return desk.CodeInternal, desk.CodeInternal, exitTemporary
}

// answer has the API do what a command asks for.
func (l *link) answer(ctx context.Context, c command) (out []byte, err error) {
	u, err := l.s.o.Keys.SSHEnter(ctx, l.user, l.fingerprint)
	if err != nil {
		return nil, err
	}
	defer u.Wipe()
	got, err := l.call(ctx, c, u.Mytoken)
	defer got.wipe()
	// Whatever the answer is: a mytoken that was replaced is kept first.
	kept := l.s.o.Keys.SSHLeave(ctx, u, got.update)
	if err = errors.Join(err, kept); err != nil {
		return nil, err
	}
	return got.print(c)
}

// print is what goes to standard output: a token by itself, and everything else as JSON on one line.
func (a answer) print(c command) ([]byte, error) {
	if len(a.members) == 0 {
		return []byte("OK\n"), nil
	}
	bare := ""
	switch c.action {
	case actionAT:
		bare = "access_token"
	case actionMT:
		if bare = "mytoken"; len(a.members[bare]) == 0 {
			bare = "transfer_code"
		}
	}
	if bare == "" {
		b, err := json.Marshal(a.members)
		if err != nil {
			return nil, fmt.Errorf("write an answer: %w", err)
		}
		return append(b, '\n'), nil
	}
	var token string
	if err := json.Unmarshal(a.members[bare], &token); err != nil || token == "" {
		return nil, fmt.Errorf("write an answer: there is no %s in it", bare)
	}
	return append([]byte(token), '\n'), nil
}
