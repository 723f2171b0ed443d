package token

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/oidcbox/oidcbox/core/agent/control"
	"github.com/oidcbox/oidcbox/core/agent/proto"
	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/token/bearer"
	"github.com/oidcbox/oidcbox/core/transport/sock"
)

// usualFile as the value of --watch is the file of --store.
const usualFile = "default"

// watch keeps a file fresh until it is told to stop, or until only a person can help.
func (c *Cmd) watch(ctx context.Context, env *cli.Env) error {
	path := c.Watch
	if path == usualFile {
		var err error
		if path, err = c.place(env); err != nil {
			return err
		}
		c.noteHidden(env, path)
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join(env.Dir, path)
	}
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	w := bearer.Watch{
		Path: path, Share: c.RenewAt, Now: env.Now, Ended: needsPerson,
		Get:   func(ctx context.Context, valid time.Duration) (bearer.Fresh, error) { return c.fresh(ctx, env, valid) },
		Event: func(e bearer.Event) { c.tell(env, path, e) },
	}
	renew, done := renewSignal()
	defer done()
	w.Renew = renew
	return w.Run(ctx)
}

// fresh is one token for the file.
func (c *Cmd) fresh(ctx context.Context, env *cli.Env, valid time.Duration) (bearer.Fresh, error) {
	minValid := renewal(valid)
	if c.Time != nil {
		minValid = max(minValid, *c.Time)
	}
	r, err := c.obtain(ctx, env, minValid)
	if err == nil {
		err = c.judge(env, r)
	}
	if err == nil && r.value.Empty() {
		err = errNoToken
	}
	if err != nil {
		r.value.Wipe()
		return bearer.Fresh{}, err
	}
	return bearer.Fresh{Token: r.value, Expires: r.expiry()}, nil
}

// needsPerson reports whether trying again is of no use by itself: the login has ended or is gone, or somebody said no.
// That no agent runs may change with the next minute, and what has no code is of this machine: a full disk.
func needsPerson(err error) bool {
	var e *cli.Error
	switch {
	case !errors.As(err, &e), e.Code == cli.Temporary:
		return false
	case errors.Is(err, proto.ErrNoAgent), errors.Is(err, control.ErrNoAgent):
		return false
	}
	return true
}

// event is what --watch --json prints, one line for each.
type event struct {
	Event   string `json:"event"`
	File    string `json:"file"`
	Expires int64  `json:"expires_at,omitempty"`
	Next    int64  `json:"next,omitempty"`
	Error   string `json:"error,omitempty"`
}

// tell says what happened: to a program, to the service manager, and to a person what needs one.
func (c *Cmd) tell(env *cli.Env, path string, e bearer.Event) {
	out := event{Event: e.Kind, File: path}
	if !e.Expires.IsZero() {
		out.Expires = e.Expires.Unix()
	}
	if !e.Next.IsZero() {
		out.Next = e.Next.Unix()
	}
	if e.Err != nil {
		out.Error = e.Err.Error()
	}
	if c.JSON {
		// Nobody who could be told is there when this fails, and the file matters more.
		_ = printJSON(env.Stdout, out)
	} else {
		tellPerson(env, path, e)
	}
	notify(env, e)
}

func tellPerson(env *cli.Env, path string, e bearer.Event) {
	until := "its end, which the provider did not say"
	if !e.Expires.IsZero() {
		until = e.Expires.Format(time.RFC3339)
	}
	switch e.Kind {
	case bearer.EventStored:
		env.Note("token in %s, valid until %s; renewed at %s", path, until, e.Next.Format(time.RFC3339))
	case bearer.EventFailed:
		env.Warn("no new token, trying again at %s: %v", e.Next.Format(time.RFC3339), e.Err)
	case bearer.EventEnded:
		env.Warn("only you can help; the token in %s is valid until %s: %v", path, until, e.Err)
	case bearer.EventExpired:
		env.Warn("the token in %s has expired and was removed", path)
	case bearer.EventStopped:
		env.Note("stopped; the token in %s is valid until %s", path, until)
	}
}

// notify tells systemd, where it started us as a service of type notify.
func notify(env *cli.Env, e bearer.Event) {
	state := "STATUS=" + e.Kind
	switch e.Kind {
	case bearer.EventStored:
		state = "READY=1\n" + state + ", renewed at " + e.Next.Format(time.RFC3339)
	case bearer.EventStopped:
		state = "STOPPING=1\n" + state
	}
	if err := sock.Notify(env.Getenv, state); err != nil {
		env.Warn("%v", err)
	}
}
