package service

import (
	"context"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/agent/control"
	"github.com/oidcbox/oidcbox/core/agent/prompt"
	"github.com/oidcbox/oidcbox/core/agent/proto"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/transport/sock"
)

const relayName = "0123456789abcdef"

func relayedFor(name string) proto.Request {
	r := askFor(name)
	r.Relay = relayName
	return r
}

// attend looks at a question as a client does, until the test ends or leave is called.
func (w *world) attend(id string) (leave func()) {
	w.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	gone := make(chan struct{})
	go func() { defer close(gone); _ = w.Admin().Attend(ctx, id) }()
	leave = func() { cancel(); <-gone }
	w.t.Cleanup(leave)
	return leave
}

func (w *world) reply(a control.AnswerRequest) {
	w.t.Helper()
	if err := w.Admin().Answer(context.Background(), a); err != nil {
		w.t.Fatal(err)
	}
}

// asked asserts that a request was answered with a question.
func (w *world) asked(r proto.Request) control.Question {
	w.t.Helper()
	rep := w.ask(r)
	if rep.Ask == "" || rep.Error == "" {
		w.t.Fatalf("no question: %+v", rep)
	}
	q, err := w.Admin().Question(context.Background(), rep.Ask)
	if err != nil {
		w.t.Fatal(err)
	}
	return q
}

// TestRelay is one request from the first question to the token: a mistyped password, the right one, and the token.
func TestRelay(t *testing.T) {
	screen := texts("nobody looks at the screen")
	w, l := newAskWorld(t, screen, Switches{Confirm: true})
	for _, typed := range []string{"wrong", filePassword} {
		q := w.asked(relayedFor("a"))
		if q.Kind != string(prompt.Password) || q.Seconds < 60 || (q.Retry == "") != (typed == "wrong") {
			t.Errorf("question %+v", q)
		}
		w.attend(q.ID)
		w.reply(control.AnswerRequest{ID: q.ID, Text: secret.FromString(typed)})
		if err := w.Admin().Answer(t.Context(), control.AnswerRequest{ID: q.ID}); err == nil {
			t.Error("answered twice")
		}
	}
	q := w.asked(relayedFor("a"))
	if q.Kind != string(prompt.Confirm) {
		t.Errorf("question %+v", q)
	}
	w.attend(q.ID)
	w.reply(control.AnswerRequest{ID: q.ID, Yes: true})
	rep := w.must(relayedFor("a"))
	if rep.AccessToken.Empty() {
		t.Error("no token")
	}
	if len(screen.questions()) != 0 {
		t.Error("asked on the screen as well")
	}
	if l.count("the client's terminal") != 3 || l.count(filePassword) != 0 {
		t.Error("the log does not say who was asked")
	}
	w.settled()
}

// settled asserts that nothing of a conversation stays.
func (w *world) settled() {
	w.t.Helper()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		w.talks.mu.Lock()
		talks := len(w.talks.rows)
		w.talks.mu.Unlock()
		w.desk.mu.Lock()
		posted, runs := len(w.desk.posted), len(w.desk.runs)
		w.desk.mu.Unlock()
		if talks+posted+runs == 0 {
			return
		}
		if time.Now().After(end) {
			w.t.Fatalf("%d conversations, %d questions, %d shared ones are left", talks, posted, runs)
		}
	}
}

// TestRelayNeedsTheControlSocket: the far end of a forwarded connection can name its request as it likes, and cannot
// answer. Nobody waits for it, and then the answer is no.
func TestRelayNeedsTheControlSocket(t *testing.T) {
	w, _ := newAskWorld(t, nil, Switches{Confirm: true})
	w.desk.attend = 50 * time.Millisecond
	w.add("b", nil)
	if rep := w.ask(relayedFor("b")); rep.Ask == "" {
		t.Fatalf("no question: %+v", rep)
	}
	w.refused(relayedFor("b"), proto.TextForbidden)
	w.refused(askFor("b"), proto.TextForbidden)
	w.settled()
}

// TestRelayIsBoundToItsRequest: a yes for one thing is no yes for another.
func TestRelayIsBoundToItsRequest(t *testing.T) {
	w, _ := newAskWorld(t, nil, Switches{Confirm: true})
	w.add("b", nil)
	q := w.asked(relayedFor("b"))
	w.attend(q.ID)
	w.reply(control.AnswerRequest{ID: q.ID, Yes: true})
	other := relayedFor("b")
	other.Scope = "storage.modify:/"
	if rep := w.ask(other); rep.Error == "" || rep.Ask != "" {
		t.Errorf("went on with another request: %+v", rep)
	}
	if rep := w.Handle(t.Context(), sock.Peer{UID: 4242}, relayedFor("b")); rep.Error == "" || rep.Ask != "" {
		t.Errorf("went on for another user: %+v", rep)
	}
	w.must(relayedFor("b"))
	if rep := w.ask(relayedFor("b")); rep.Ask == "" {
		t.Errorf("the same yes for two tokens: %+v", rep)
	}
}

// TestTerminalGone: when the terminal closes, the question goes to the next who waits.
func TestTerminalGone(t *testing.T) {
	w, _ := newAskWorld(t, nil, Switches{})
	q := w.asked(relayedFor("a"))
	leave := w.attend(q.ID)
	second := relayedFor("a")
	second.Relay = "another"
	waiting := w.background(t.Context(), second)
	leave()
	rep := await(t, waiting)
	if rep.Ask == "" || rep.Ask == q.ID {
		t.Fatalf("no question of its own: %+v", rep)
	}
	if _, err := w.Admin().Question(t.Context(), q.ID); err == nil {
		t.Error("the question of the closed terminal is still there")
	}
	w.attend(rep.Ask)
	w.reply(control.AnswerRequest{ID: rep.Ask, Text: secret.FromString(filePassword)})
	w.must(second)
	// The first comes back and finds the login loaded, or its conversation over.
	w.refused(relayedFor("a"), proto.TextNotLoaded)
	w.must(relayedFor("a"))
}

// TestRelayIsBounded: names made up one after the other do not fill the agent, and take no place from clients without.
func TestRelayIsBounded(t *testing.T) {
	w, _ := newAskWorld(t, nil, Switches{Confirm: true})
	w.add("b", nil)
	questions := 0
	for n := range maxPosted + 4 {
		r := relayedFor("b")
		r.Relay += string(rune('a' + n))
		if rep := w.ask(r); rep.Ask != "" {
			questions++
		}
	}
	if questions != maxPosted {
		t.Errorf("%d questions wait, want %d", questions, maxPosted)
	}
	w.must(proto.Request{Type: proto.TypeCheck})
	w.must(proto.Request{Type: proto.TypeLoadedAccounts})
}

// TestRelayOnlyForTokens: a request that cannot need a person is answered as ever.
func TestRelayOnlyForTokens(t *testing.T) {
	w, _ := newAskWorld(t, nil, Switches{})
	r := proto.Request{Type: proto.TypeLoadedAccounts, Relay: relayName}
	w.must(r)
	w.add("b", nil)
	w.must(relayedFor("b"))
	w.settled()
}
