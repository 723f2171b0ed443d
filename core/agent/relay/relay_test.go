package relay

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/agent/control"
	"github.com/oidcbox/oidcbox/core/agent/prompt"
	"github.com/oidcbox/oidcbox/core/agent/proto"
	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/transport/sock"
)

// agent asks as many questions as a test wants, and notes what it is told.
type agent struct {
	control.Backend // nil: nothing else is called

	mu       sync.Mutex
	left     int // questions
	names    map[string]bool
	question control.Question
	answers  []string
	over     chan struct{} // closed when the question is taken back
	attends  int
}

func (a *agent) handle(_ context.Context, _ sock.Peer, r proto.Request) proto.Reply {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.names[r.Relay] = true
	if r.Relay == "" || a.left == 0 {
		return proto.Reply{Status: proto.StatusSuccess, AccessToken: secret.FromString("at"), Issuer: "https://op"}
	}
	a.left--
	return proto.Reply{Status: proto.StatusFailure, Error: "ask", Ask: "q1"}
}

func (a *agent) Question(_ context.Context, id string) (control.Question, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if id != "q1" {
		return control.Question{}, cli.Failf(cli.NotFound, "no question %s", id)
	}
	return a.question, nil
}

func (a *agent) Attend(ctx context.Context, _ string) error {
	a.mu.Lock()
	a.attends++
	a.mu.Unlock()
	select {
	case <-a.over:
	case <-ctx.Done():
	}
	return ctx.Err()
}

func (a *agent) Answer(_ context.Context, r control.AnswerRequest) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	text := r.ID + " " + r.Text.Expose()
	if r.Yes {
		text += "yes"
	}
	if r.Cancelled {
		text += "cancelled"
	}
	a.answers = append(a.answers, text)
	return nil
}

// seen is what was noted.
func (a *agent) seen() (answers []string, names map[string]bool, attends int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.answers), maps.Clone(a.names), a.attends
}

// waitAttended returns when somebody looks at the question: else taking it back could not be seen.
func (a *agent) waitAttended() {
	for _, _, n := a.seen(); n == 0; _, _, n = a.seen() {
		time.Sleep(time.Millisecond)
	}
}

// terminal answers as a test says.
type terminal func(ctx context.Context, q prompt.Question) (prompt.Answer, error)

func (f terminal) Ask(ctx context.Context, q prompt.Question) (prompt.Answer, error) {
	return f(ctx, q)
}

// serve serves a at both sockets and returns a Caller.
func serve(t *testing.T, a *agent, ask terminal) (c Caller, said *bytes.Buffer) {
	t.Helper()
	dir, err := os.MkdirTemp("", "rel") // the path of a socket is short
	if err != nil {
		t.Fatal(err)
	}
	a.names, a.over = map[string]bool{}, make(chan struct{})
	if a.question.Kind == "" {
		a.question = control.Question{ID: "q1", Kind: "password", Text: "why", Label: "Pass", Seconds: 60}
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for name, listen := range map[string]func(string) error{
		"a": func(path string) error {
			ln, err := sock.Listen(path, sock.ListenOptions{})
			if err != nil {
				return err
			}
			wg.Go(func() { _ = proto.Serve(ctx, ln, proto.HandlerFunc(a.handle), proto.ServeOptions{}) })
			return nil
		},
		"c": func(path string) error {
			ln, err := sock.Listen(path, sock.ListenOptions{})
			if err != nil {
				return err
			}
			wg.Go(func() { _ = control.Serve(ctx, ln, a, nil) })
			return nil
		},
	} {
		if err := listen(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { cancel(); wg.Wait(); _ = os.RemoveAll(dir) })
	said = &bytes.Buffer{}
	return Caller{
		Agent: proto.Client{Path: filepath.Join(dir, "a")}, Admin: control.Client{Path: filepath.Join(dir, "c")},
		Env: &cli.Env{Stdin: strings.NewReader(""), Stderr: said}, Terminal: ask,
	}, said
}

func call(t *testing.T, c Caller) (proto.Reply, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	return c.Call(ctx, proto.Request{Type: proto.TypeAccessToken, Account: "a"})
}

func typing(words string) terminal {
	return func(context.Context, prompt.Question) (prompt.Answer, error) {
		return prompt.Answer{Text: secret.FromString(words)}, nil
	}
}

func TestNoQuestion(t *testing.T) {
	a := &agent{}
	c, _ := serve(t, a, typing("x"))
	if rep, err := call(t, c); err != nil || rep.AccessToken.Expose() != "at" {
		t.Errorf("%+v, %v", rep, err)
	}
	if _, _, attends := a.seen(); attends != 0 {
		t.Error("looked for a question")
	}
}

// TestQuestions: one after the other, all under one name that nobody can guess.
func TestQuestions(t *testing.T) {
	a := &agent{left: 3}
	c, _ := serve(t, a, typing("geheim"))
	if rep, err := call(t, c); err != nil || rep.AccessToken.Empty() {
		t.Fatalf("%+v, %v", rep, err)
	}
	answers, names, _ := a.seen()
	if got := strings.Join(answers, "|"); got != "q1 geheim|q1 geheim|q1 geheim" {
		t.Errorf("answered %q", got)
	}
	for name := range names {
		if len(name) < 20 || len(names) != 1 {
			t.Errorf("names %v", names)
		}
	}
}

func TestTooManyQuestions(t *testing.T) {
	a := &agent{left: 1000}
	c, _ := serve(t, a, typing("x"))
	_, err := call(t, c)
	if answers, _, _ := a.seen(); err == nil || len(answers) != maxRounds {
		t.Errorf("%v after %d answers", err, len(answers))
	}
}

func TestPersonGivesUp(t *testing.T) {
	a := &agent{left: 1}
	c, _ := serve(t, a, func(context.Context, prompt.Question) (prompt.Answer, error) {
		return prompt.Answer{}, prompt.ErrCancelled
	})
	rep, err := call(t, c)
	answers, _, _ := a.seen()
	if err != nil || rep.Error != proto.TextCancelled || strings.Join(answers, "|") != "q1 cancelled" {
		t.Errorf("%+v, %v, %q", rep, err, answers)
	}
}

// TestQuestionTakenBack: a login that is done in the browser ends the wait at the terminal.
func TestQuestionTakenBack(t *testing.T) {
	a := &agent{left: 1}
	a.question = control.Question{ID: "q1", Kind: "link", Text: "log in", Label: "https://op/device", Seconds: 60}
	c, _ := serve(t, a, func(ctx context.Context, q prompt.Question) (prompt.Answer, error) {
		a.waitAttended()
		if q.Kind != prompt.Link || q.Timeout != time.Minute {
			t.Errorf("question %+v", q)
		}
		close(a.over)
		<-ctx.Done()
		return prompt.Answer{}, ctx.Err()
	})
	rep, err := call(t, c)
	if answers, _, _ := a.seen(); err != nil || rep.AccessToken.Empty() || len(answers) != 0 {
		t.Errorf("%+v, %v, %q", rep, err, answers)
	}
}

// TestOtherAgent: the control socket knows nothing of the question. It is not asked, whatever its text would be; the
// request goes on without.
func TestOtherAgent(t *testing.T) {
	asked := false
	ask := func(context.Context, prompt.Question) (prompt.Answer, error) {
		asked = true
		return prompt.Answer{}, nil
	}
	for name, admin := range map[string]string{"nobody_there": "/nowhere/control.sock", "unknown_kind": ""} {
		t.Run(name, func(t *testing.T) {
			a, other := &agent{left: 1}, &agent{question: control.Question{ID: "q1", Kind: "nonsense"}}
			c, _ := serve(t, a, ask)
			d, _ := serve(t, other, ask)
			if c.Admin = d.Admin; admin != "" {
				c.Admin.Path = admin
			}
			rep, err := call(t, c)
			_, names, _ := a.seen()
			if admin != "" && (err != nil || rep.AccessToken.Empty() || !names[""]) {
				t.Errorf("%+v, %v, %v", rep, err, names)
			}
			if admin == "" && err == nil {
				t.Errorf("a question of no known kind: %+v", rep)
			}
			if answers, _, _ := other.seen(); asked || len(answers) != 0 {
				t.Error("asked all the same")
			}
		})
	}
}

func TestCallerGone(t *testing.T) {
	a := &agent{left: 1}
	ctx, cancel := context.WithCancel(t.Context())
	c, _ := serve(t, a, func(ctx context.Context, _ prompt.Question) (prompt.Answer, error) {
		cancel()
		<-ctx.Done()
		return prompt.Answer{}, ctx.Err()
	})
	if _, err := c.Call(ctx, proto.Request{Type: proto.TypeAccessToken}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
