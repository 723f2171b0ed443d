package mytoken

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/oidcbox/oidcbox/core/agent/control"
	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/mytoken"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/token/bearer"
)

type atCmd struct {
	root *Cmd
	source
	Scope    []string `short:"s" aliases:"scopes" sep:"none" placeholder:"SCOPE" help:"Scope of the access token; may be repeated."`
	Audience []string `name:"aud" aliases:"audience" sep:"none" placeholder:"AUD" help:"Audience of the access token; may be repeated."`
	Out      string   `short:"o" placeholder:"FILE" help:"Put it into a file that only you can read."`
	Watch    string   `placeholder:"FILE" help:"Keep a file with an access token fresh until told to stop."`
	Comment  string   `arg:"" optional:"" help:"Kept by the server in the history of the mytoken."`
}

// Run prints an access token.
func (c *atCmd) Run(ctx context.Context, env *cli.Env) error {
	return c.root.run(env, func(s *session) error {
		if c.Out != "" && c.Watch != "" {
			return cli.Failf(cli.Usage, "--out and --watch exclude each other")
		}
		h, err := s.held(ctx, c.source)
		if err != nil {
			return err
		}
		defer h.wipe()
		if c.Watch != "" {
			return c.watch(ctx, s, h)
		}
		a, err := c.obtain(ctx, s, h, 0)
		defer a.Wipe()
		if err != nil {
			return err
		}
		return c.print(s, a, h)
	})
}

// obtain gets one access token. That of a stored mytoken comes from the agent, which renews and replaces it for all
// programs together.
func (c *atCmd) obtain(ctx context.Context, s *session, h *held, valid time.Duration) (mytoken.Access, error) {
	if h.name != "" && c.Comment == "" {
		return c.fromAgent(ctx, s, h, valid)
	}
	cl, err := s.client(ctx, h)
	if err != nil {
		return mytoken.Access{}, err
	}
	return ask(ctx, s, h, func(mt secret.Text) (mytoken.Access, *mytoken.Issued, error) {
		a, err := cl.AccessToken(ctx, mt, mytoken.AccessRequest{Scope: c.Scope, Audience: c.Audience, Comment: c.Comment})
		return a, a.Update, err
	})
}

// leastValid is how long an access token that the agent has at hand should still live.
const leastValid = time.Minute

func (c *atCmd) fromAgent(ctx context.Context, s *session, h *held, valid time.Duration) (mytoken.Access, error) {
	t, err := s.admin.Token(ctx, control.TokenRequest{
		Login: h.name, Scope: joined(c.Scope), Audience: joined(c.Audience), Hint: "mytoken",
		MinValid: int64(max(valid, leastValid) / time.Second),
	})
	if err != nil {
		return mytoken.Access{}, fmt.Errorf("access token for the mytoken %s: %w", h.name, err)
	}
	return mytoken.Access{Token: t.Access, Type: "Bearer", Expires: t.Expires, Scope: t.Scope}, nil
}

// accessJSON is an access token as JSON.
type accessJSON struct {
	Token    string   `json:"access_token"`
	Type     string   `json:"token_type"`
	Expires  int64    `json:"expires_at,omitempty"`
	Scope    string   `json:"scope,omitempty"`
	Audience []string `json:"audience,omitempty"`
	Update   string   `json:"updated_mytoken,omitempty"`
}

func (c *atCmd) print(s *session, a mytoken.Access, h *held) error {
	if c.Out != "" || !s.cmd.JSON {
		return s.put(a.Token, c.Out)
	}
	return s.printJSON(accessJSON{
		Token: a.Token.Expose(), Type: a.Type, Expires: unix(a.Expires), Scope: a.Scope, Audience: a.Audience,
		Update: h.latest.Expose(),
	})
}

// watch keeps a file fresh. A mytoken that is replaced on the way goes back to where it was before the access token is
// used; one that has no such place lives in this process.
func (c *atCmd) watch(ctx context.Context, s *session, h *held) error {
	path := within(s.env, c.Watch)
	s.unlock()
	s.unlock = func() {}
	w := bearer.Watch{
		Path: path, Now: s.env.Now, Ended: ended,
		Get: func(ctx context.Context, valid time.Duration) (bearer.Fresh, error) {
			unlock, err := s.reread(ctx, h)
			if err != nil {
				return bearer.Fresh{}, err
			}
			defer unlock()
			a, err := c.obtain(ctx, s, h, valid)
			if err != nil {
				a.Wipe()
				return bearer.Fresh{}, explain(err)
			}
			return bearer.Fresh{Token: a.Token, Expires: a.Expires}, nil
		},
		Event: func(e bearer.Event) { s.tell(path, e) },
	}
	return w.Run(ctx)
}

// reread takes the mytoken of a file as it is now, until unlock is called: another program may have used and replaced
// it.
func (s *session) reread(ctx context.Context, h *held) (unlock func(), err error) {
	if h.path == "" {
		return func() {}, nil
	}
	if unlock, err = mytoken.LockFile(ctx, s.env.Getenv, h.path); err != nil {
		return unlock, err
	}
	t, err := bearer.ReadFile(h.path)
	if err != nil || t.Empty() {
		unlock()
		return unlock, fmt.Errorf("read the mytoken file: %w", errors.Join(err, errIfEmpty(t)))
	}
	h.text.Wipe()
	h.text = t
	return unlock, nil
}

func errIfEmpty(t secret.Text) error {
	if t.Empty() {
		return errors.New("it is empty")
	}
	return nil
}

// ended reports that trying again does not help without a person.
func ended(err error) bool {
	var coded *cli.Error
	return errors.As(err, &coded) && coded.Code != cli.Temporary && !errors.Is(err, control.ErrNoAgent)
}

// eventJSON is what --watch --json prints, one line for each.
type eventJSON struct {
	Event   string `json:"event"`
	File    string `json:"file"`
	Expires int64  `json:"expires_at,omitempty"`
	Next    int64  `json:"next,omitempty"`
	Error   string `json:"error,omitempty"`
}

func (s *session) tell(path string, e bearer.Event) {
	if s.cmd.JSON {
		out := eventJSON{Event: e.Kind, File: path, Expires: unix(e.Expires), Next: unix(e.Next)}
		if e.Err != nil {
			out.Error = e.Err.Error()
		}
		_ = s.printLine(out) // nobody who could be told is there when this fails, and the file matters more
		return
	}
	switch e.Kind {
	case bearer.EventStored:
		s.env.Note("access token in %s, valid until %s; renewed at %s", path, timeText(e.Expires, "its end"),
			timeText(e.Next, "never"))
	case bearer.EventFailed:
		s.env.Warn("no new access token, trying again at %s: %v", timeText(e.Next, "once"), e.Err)
	case bearer.EventEnded:
		s.env.Warn("only you can help; the access token in %s is valid until %s: %v", path,
			timeText(e.Expires, "its end"), e.Err)
	case bearer.EventExpired:
		s.env.Warn("the access token in %s has expired and was removed", path)
	case bearer.EventStopped:
		s.env.Note("stopped; the access token in %s is valid until %s", path, timeText(e.Expires, "its end"))
	}
}
