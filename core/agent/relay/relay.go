// Package relay asks the person at the terminal of a client what the agent wants to know: a passphrase, a yes, a
// login in a browser. The agent itself has left its terminal long ago; the one who waits sits at the client's.
//
// A request that can be relayed carries a name that nobody can guess. The agent answers it with the name of a
// question. The question itself, and the answer to it, go over the control socket, which is never forwarded: so the
// far end of a forwarded connection cannot answer what the person should, and a socket that only pretends to be the
// agent's cannot ask for a passphrase. Then the request is repeated, until there is an answer.
//
// It does not decide what is asked (core/agent/service does) and it does not draw the question (core/agent/prompt
// does).
//
// Not a public API.
package relay

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/oidcbox/oidcbox/core/agent/control"
	"github.com/oidcbox/oidcbox/core/agent/prompt"
	"github.com/oidcbox/oidcbox/core/agent/proto"
	"github.com/oidcbox/oidcbox/core/agent/start"
	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/cli/term"
)

const (
	// maxRounds bounds the questions of one request. Three passwords, a yes and a login are what can come together.
	maxRounds = 16
	// fetchTime bounds a call of the control socket that waits for nobody.
	fetchTime = 10 * time.Second
)

// Caller asks an agent for a command that a person has started.
type Caller struct {
	Agent proto.Client
	Admin control.Client
	Env   *cli.Env
	// Terminal asks; nil is the controlling terminal.
	Terminal prompt.Asker
}

// For is a Caller for the agent that the environment leads to.
func For(env *cli.Env) Caller {
	return Caller{Agent: proto.FindFor(env), Admin: control.Client{Path: control.Place(env.Getenv)}, Env: env}
}

// Call is proto.Client.Call, with questions of the agent answered on the way where the command is at a terminal. When
// the person gives up, the answer is a failure with proto.TextCancelled. Where nobody answers, an agent is started if
// one is wanted (package start).
func (c Caller) Call(ctx context.Context, req proto.Request) (proto.Reply, error) {
	rep, err := c.call(ctx, req)
	if start.Instead(ctx, c.Env, err) {
		return c.call(ctx, req)
	}
	return rep, err
}

func (c Caller) call(ctx context.Context, req proto.Request) (proto.Reply, error) {
	if !c.atTerminal() {
		return c.Agent.Call(ctx, req)
	}
	req.Relay = rand.Text()
	for range maxRounds {
		rep, err := c.Agent.Call(ctx, req)
		if err != nil || rep.Ask == "" {
			return rep, err
		}
		rep.Wipe()
		switch err := c.answer(ctx, rep.Ask); {
		case errors.Is(err, errElsewhere):
			// The agent is not the one at our control socket: it has to ask by its own means, or to do without.
			req.Relay = ""
			return c.Agent.Call(ctx, req)
		case errors.Is(err, prompt.ErrCancelled):
			return proto.Failure(proto.TextCancelled, ""), nil
		case err != nil:
			return proto.Reply{}, err
		}
	}
	return proto.Reply{}, fmt.Errorf("ask agent: it had more than %d questions", maxRounds)
}

// atTerminal reports whether somebody could be asked, by what costs nothing: most requests bring no question. A job in
// the background is not, for the terminal would stop it.
func (c Caller) atTerminal() bool {
	if c.Terminal != nil {
		return true
	}
	in, ok := c.Env.Stdin.(*os.File)
	return ok && cli.IsTerminal(c.Env.Stderr) && term.InFront(in)
}

// errElsewhere: the question is not at the control socket.
var errElsewhere = errors.New("the question belongs to another agent")

// answer fetches a question, asks it, and hands the answer over. nil says that the request can be repeated, also when
// the question was taken back meanwhile.
func (c Caller) answer(ctx context.Context, id string) error {
	q, err := c.fetch(ctx, id)
	if err != nil {
		return err
	}
	asking, cancel := context.WithCancel(ctx)
	defer cancel()
	attending, leave := context.WithCancel(ctx)
	over := make(chan struct{})
	go func() {
		defer close(over)
		_ = c.Admin.Attend(attending, id) // however it ends, nobody waits for the answer any more
		cancel()
	}()
	defer func() { leave(); <-over }()
	a, err := c.terminal().Ask(asking, q)
	defer a.Text.Wipe()
	reply := control.AnswerRequest{ID: id, Text: a.Text, Yes: a.Yes, Chosen: a.Chosen}
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("ask the person: %w", ctx.Err())
	case asking.Err() != nil: // the agent has taken it back: the login is done, or the time is over
		return nil
	case errors.Is(err, prompt.ErrTimeout):
		return nil // the agent thinks the same
	case err != nil:
		reply.Cancelled = true
	}
	sending, done := context.WithTimeout(ctx, fetchTime)
	defer done()
	if sent := c.Admin.Answer(sending, reply); sent != nil && err == nil {
		c.Env.Warn("the answer came too late: %v", sent)
	}
	if err != nil && !errors.Is(err, prompt.ErrCancelled) {
		return fmt.Errorf("ask the person: %w", err)
	}
	return err
}

func (c Caller) terminal() prompt.Asker {
	if c.Terminal != nil {
		return c.Terminal
	}
	getenv := c.Env.Getenv
	return prompt.Terminal{
		NoColour: getenv("NO_COLOR") != "" || getenv("OIDC_AGENT_NOCOLOR") != "", Dumb: getenv("TERM") == "dumb",
	}
}

// fetch reads the question from the control socket, never from the answer to the request: only our own agent may have
// one.
func (c Caller) fetch(ctx context.Context, id string) (prompt.Question, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTime)
	defer cancel()
	q, err := c.Admin.Question(ctx, id)
	if err != nil {
		return prompt.Question{}, fmt.Errorf("%w: %w", errElsewhere, err)
	}
	if !prompt.Kind(q.Kind).Known() {
		return prompt.Question{}, fmt.Errorf("the agent asks a question of the unknown kind %q", q.Kind)
	}
	return prompt.Question{
		Kind: prompt.Kind(q.Kind), Title: q.Title, Text: q.Text, Label: q.Label, Choices: q.Choices, Default: q.Default,
		Retry: q.Retry, Timeout: time.Duration(max(q.Seconds, 1)) * time.Second,
	}, nil
}
