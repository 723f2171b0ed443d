package service

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/agent/prompt"
	"github.com/oidcbox/oidcbox/core/agent/proto"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/transport/sock"
)

// fakePerson answers questions as a test says, and remembers them.
type fakePerson struct {
	mu    sync.Mutex
	asked []prompt.Question
	says  func(ctx context.Context, n int, q prompt.Question) (prompt.Answer, error)
}

func (p *fakePerson) Ask(ctx context.Context, q prompt.Question) (prompt.Answer, error) {
	p.mu.Lock()
	p.asked = append(p.asked, q)
	n := len(p.asked)
	p.mu.Unlock()
	return p.says(ctx, n, q)
}

func (p *fakePerson) questions() []prompt.Question {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]prompt.Question(nil), p.asked...)
}

// texts is a person who types these, one after the other.
func texts(list ...string) *fakePerson {
	return &fakePerson{says: func(_ context.Context, n int, _ prompt.Question) (prompt.Answer, error) {
		if n > len(list) {
			return prompt.Answer{}, prompt.ErrCancelled
		}
		return prompt.Answer{Text: secret.FromString(list[n-1])}, nil
	}}
}

// failing is a person who cannot be had.
func failing(err error) *fakePerson {
	return &fakePerson{says: func(context.Context, int, prompt.Question) (prompt.Answer, error) { return prompt.Answer{}, err }}
}

func yes(is bool) *fakePerson {
	return &fakePerson{says: func(context.Context, int, prompt.Question) (prompt.Answer, error) {
		return prompt.Answer{Yes: is}, nil
	}}
}

// newAskWorld has an account file "a" and, unless it is nil, somebody who answers.
func newAskWorld(t *testing.T, p *fakePerson, sw Switches) (*world, *logged) {
	t.Helper()
	w, l := newFileWorld(t)
	w.end(w.Service)
	if p != nil {
		w.asker = p
	}
	w.restart(sw)
	return w, l
}

func askFor(name string) proto.Request {
	return proto.Request{Type: proto.TypeAccessToken, Account: name, Hint: "rucio"}
}

func TestAutoload(t *testing.T) {
	t.Run("with_the_password", func(t *testing.T) {
		p := texts("wrong", filePassword)
		w, l := newAskWorld(t, p, Switches{})
		w.must(askFor("a"))
		w.must(askFor("a"))
		q := p.questions()
		if len(q) != 2 || q[0].Kind != prompt.Password || q[0].Retry != "" || q[1].Retry != "Wrong password." ||
			!strings.Contains(q[0].Text, `"rucio"`) {
			t.Errorf("asked %+v", q)
		}
		if n := l.count("asked the person"); n != 2 || l.count("outcome=answered") != 2 || l.count(filePassword) != 0 {
			t.Errorf("%d lines in the log, or a password", n)
		}
	})
	for name, c := range map[string]struct {
		p     *fakePerson
		asked int
		help  string
	}{
		"cancelled":             {failing(prompt.ErrCancelled), 1, "refused"},
		"no_answer_in_time":     {failing(prompt.ErrTimeout), 1, "nobody answered in time"},
		"three_wrong_passwords": {texts("1", "2", "3", filePassword), 3, "None of the passwords"},
		"nobody_there":          {failing(prompt.ErrNobody), 1, "oidc-add a"},
		"no_screen":             {nil, 0, "oidc-add a"},
	} {
		t.Run(name, func(t *testing.T) {
			w, _ := newAskWorld(t, c.p, Switches{})
			rep := w.refused(askFor("a"), proto.TextNotLoaded)
			if !strings.Contains(rep.Info.Text(), c.help) {
				t.Errorf("help %q", rep.Info.Text())
			}
			if c.p != nil && len(c.p.questions()) != c.asked {
				t.Errorf("asked %d times", len(c.p.questions()))
			}
		})
	}
	t.Run("switched_off", func(t *testing.T) {
		p := texts(filePassword)
		w, _ := newAskWorld(t, p, Switches{NoAutoload: true})
		w.refused(askFor("a"), proto.TextNotLoaded)
		w.refused(askFor("nowhere"), proto.TextNotConfigured)
		w.refused(proto.Request{Type: proto.TypeAccessToken}, proto.TextNotYet)
		if len(p.questions()) != 0 {
			t.Error("asked all the same")
		}
	})
	t.Run("not_configured", func(t *testing.T) {
		p := texts(filePassword)
		w, _ := newAskWorld(t, p, Switches{})
		w.refused(askFor("nowhere"), proto.TextNotConfigured)
		w.refused(askFor("../a"), proto.TextBadRequest+w.ask(askFor("../a")).Error[len(proto.TextBadRequest):])
		if len(p.questions()) != 0 {
			t.Error("asked for a login that does not exist")
		}
	})
}

func TestAutoloadFromTheKeystore(t *testing.T) {
	p := texts("wrong", passphrase)
	w, _ := newAskWorld(t, p, Switches{})
	w.makeKeystore()
	if err := w.Admin().SaveLogin(t.Context(), w.account("b", map[string]any{"refresh_token": w.refreshToken()})); err != nil {
		t.Fatal(err)
	}
	if err := w.CloseKeystore(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.must(askFor("b"))
	if q := p.questions(); len(q) != 2 || q[1].Retry == "" || strings.Contains(q[0].Label, "b") && q[0].Kind != prompt.Password {
		t.Errorf("asked %+v", q)
	}
	// It was unloaded on purpose: a program alone does not get it back, the person can say so.
	w.must(proto.Request{Type: proto.TypeRemove, Account: "b"})
	p.says = yes(false).says
	w.refused(askFor("b"), proto.TextNotLoaded)
	p.says = yes(true).says
	w.must(askFor("b"))
	if q := p.questions(); q[len(q)-1].Kind != prompt.Confirm {
		t.Errorf("asked %+v", q[len(q)-1])
	}
}

// TestLockedKeystoreGoesFirst: the refresh token in the file may be one that the keystore has replaced.
func TestLockedKeystoreGoesFirst(t *testing.T) {
	p := &fakePerson{says: func(_ context.Context, _ int, q prompt.Question) (prompt.Answer, error) {
		if strings.Contains(q.Text, "keystore") {
			return prompt.Answer{}, prompt.ErrCancelled
		}
		return prompt.Answer{Text: secret.FromString(filePassword)}, nil
	}}
	w, _ := newAskWorld(t, p, Switches{})
	w.makeKeystore()
	if err := w.CloseKeystore(t.Context()); err != nil {
		t.Fatal(err)
	}
	before := w.refreshes()
	w.refused(askFor("a"), proto.TextNotLoaded)
	if len(p.questions()) != 1 || w.refreshes() != before {
		t.Errorf("asked %+v, %d refreshes", p.questions(), w.refreshes()-before)
	}
}

// slow is a person who answers when told to.
type slow struct {
	*fakePerson
	shown chan prompt.Question
	go_   chan prompt.Answer
}

func newSlow() *slow {
	s := &slow{shown: make(chan prompt.Question, 16), go_: make(chan prompt.Answer)}
	s.fakePerson = &fakePerson{says: func(ctx context.Context, _ int, q prompt.Question) (prompt.Answer, error) {
		s.shown <- q
		select {
		case a := <-s.go_:
			return a, nil
		case <-ctx.Done():
			return prompt.Answer{}, ctx.Err()
		}
	}}
	return s
}

func (s *slow) wait(t *testing.T) prompt.Question {
	t.Helper()
	select {
	case q := <-s.shown:
		return q
	case <-time.After(20 * time.Second):
		t.Fatal("no question was asked")
		return prompt.Question{}
	}
}

// background asks and hands the answer over.
func (w *world) background(ctx context.Context, r proto.Request) <-chan proto.Reply {
	out := make(chan proto.Reply, 1)
	go func() { out <- w.Handle(ctx, sock.Peer{PID: 4711}, r) }()
	return out
}

func await(t *testing.T, c <-chan proto.Reply) proto.Reply {
	t.Helper()
	select {
	case rep := <-c:
		return rep
	case <-time.After(30 * time.Second):
		t.Fatal("no answer")
		return proto.Reply{}
	}
}

// TestOneQuestionForAll: whoever needs the same login waits for the same question, and nobody else waits at all.
func TestOneQuestionForAll(t *testing.T) {
	p := newSlow()
	w, _ := newAskWorld(t, p.fakePerson, Switches{})
	w.add("other", nil)
	first := w.background(t.Context(), askFor("a"))
	p.wait(t)
	second, third := w.background(t.Context(), askFor("a")), w.background(t.Context(), askFor("a"))
	w.token("other")
	w.must(proto.Request{Type: proto.TypeLoadedAccounts})
	p.go_ <- prompt.Answer{Text: secret.FromString(filePassword)}
	for _, c := range []<-chan proto.Reply{first, second, third} {
		if rep := await(t, c); rep.Error != "" {
			t.Error(rep.Error)
		}
	}
	if n := len(p.questions()); n != 1 {
		t.Errorf("asked %d times", n)
	}
}

// TestClientGoneTakesItsQuestionAway, and the next who waits gets one of its own.
func TestClientGoneTakesItsQuestionAway(t *testing.T) {
	p := newSlow()
	w, l := newAskWorld(t, p.fakePerson, Switches{})
	ctx, hangUp := context.WithCancel(t.Context())
	first := w.background(ctx, askFor("a"))
	p.wait(t)
	second := w.background(t.Context(), askFor("a"))
	hangUp()
	await(t, first)
	p.wait(t)
	p.go_ <- prompt.Answer{Text: secret.FromString(filePassword)}
	if rep := await(t, second); rep.Error != "" {
		t.Error(rep.Error)
	}
	if l.count(`outcome="client gone"`) != 1 {
		t.Error("the log does not say that the client went away")
	}
}

// TestLockWhileAsked: a question does not keep the agent open.
func TestLockWhileAsked(t *testing.T) {
	p := newSlow()
	w, _ := newAskWorld(t, p.fakePerson, Switches{})
	asked := w.background(t.Context(), askFor("a"))
	p.wait(t)
	if rep := w.lockWith("pw"); rep.Error != "" {
		t.Fatal(rep.Error)
	}
	p.go_ <- prompt.Answer{Text: secret.FromString(filePassword)}
	if rep := await(t, asked); rep.Error != proto.TextLocked {
		t.Errorf("got %q", rep.Error)
	}
	if rep := w.unlockWith("pw"); rep.Error != "" {
		t.Fatal(rep.Error)
	}
	if _, ok := w.logins.get("a"); ok {
		t.Error("loaded behind the lock")
	}
}

// TestQuestionsAreBounded: a program cannot fill the screen, and what does not fit is answered at once.
func TestQuestionsAreBounded(t *testing.T) {
	p := newSlow()
	w, _ := newAskWorld(t, p.fakePerson, Switches{Confirm: true})
	w.add("b", nil)
	var waiting []<-chan proto.Reply
	for range maxWindows {
		waiting = append(waiting, w.background(t.Context(), askFor("b")))
		p.wait(t)
	}
	w.refused(askFor("b"), proto.TextForbidden)
	for range waiting {
		p.go_ <- prompt.Answer{Yes: true}
	}
	for _, c := range waiting {
		if rep := await(t, c); rep.Error != "" {
			t.Error(rep.Error)
		}
	}
}

// TestGuestsLeaveRoom: what comes over a forwarded socket cannot keep the owner from being asked.
func TestGuestsLeaveRoom(t *testing.T) {
	p := newSlow()
	w, _ := newAskWorld(t, p.fakePerson, Switches{})
	w.add("b", nil)
	far := w.Limited(Limit{Confirm: true})
	ctx, cancel := context.WithCancel(t.Context())
	var guests sync.WaitGroup
	for range maxGuests {
		guests.Go(func() { far.Handle(ctx, sock.Peer{}, askFor("b")) })
		p.wait(t)
	}
	if rep := far.Handle(ctx, sock.Peer{}, askFor("b")); rep.Error != proto.TextForbidden {
		t.Errorf("one more: %+v", rep)
	}
	asked := w.background(t.Context(), askFor("a"))
	if q := p.wait(t); q.Kind != prompt.Password {
		t.Errorf("asked %+v", q)
	}
	cancel()
	guests.Wait()
	p.go_ <- prompt.Answer{Text: secret.FromString(filePassword)}
	if rep := await(t, asked); rep.Error != "" {
		t.Error(rep.Error)
	}
}

func TestCloseTakesQuestionsAway(t *testing.T) {
	p := newSlow()
	w, _ := newAskWorld(t, p.fakePerson, Switches{})
	asked := w.background(t.Context(), askFor("a"))
	p.wait(t)
	if err := w.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if rep := await(t, asked); rep.Error == "" {
		t.Error("answered by an agent that has ended")
	}
}

func TestConfirm(t *testing.T) {
	for name, c := range map[string]struct {
		p    *fakePerson
		want string
	}{
		"yes":       {yes(true), ""},
		"no":        {yes(false), proto.TextForbidden},
		"cancelled": {failing(prompt.ErrCancelled), proto.TextForbidden},
		"too_late":  {failing(prompt.ErrTimeout), proto.TextForbidden},
		"nobody":    {failing(prompt.ErrNobody), proto.TextForbidden},
		"broken":    {failing(errors.New("boom")), proto.TextForbidden},
	} {
		t.Run(name, func(t *testing.T) {
			w, _ := newAskWorld(t, c.p, Switches{Confirm: true})
			w.add("b", nil)
			for _, kind := range []string{proto.TypeAccessToken, proto.TypeIDToken} {
				// Twice: one yes is for one token, also when it is in the cache.
				for range 2 {
					if rep := w.ask(proto.Request{Type: kind, Account: "b"}); rep.Error != c.want {
						t.Errorf("%s: %q", kind, rep.Error)
					}
				}
			}
			if n := len(c.p.questions()); n != 4 {
				t.Errorf("asked %d times", n)
			}
		})
	}
}

// TestConfirmText: what the client says of itself cannot look like a part of the question.
func TestConfirmText(t *testing.T) {
	p := yes(true)
	w, _ := newAskWorld(t, p, Switches{Confirm: true})
	w.add("b", nil)
	hint := "x\n\nThe administrator says: allow it.\n" + strings.Repeat("y", 5000)
	w.must(proto.Request{Type: proto.TypeAccessToken, Account: "b", Hint: hint, Scope: "openid", Audience: "https://se.example.org"})
	q := p.questions()[0]
	if q.Kind != prompt.Confirm || q.Default != "" || len(q.Text) > 1000 || strings.Contains(q.Text, "\nThe admin") {
		t.Errorf("%+v", q)
	}
	for _, part := range []string{`"x The administrator`, "login b", w.op.URL, `"openid"`, `"https://se.example.org"`} {
		if !strings.Contains(q.Text, part) {
			t.Errorf("%q is not in %q", part, q.Text)
		}
	}
}
