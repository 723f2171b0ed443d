package login

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/transport/sock"
)

// served serves h to us, and trust is whom Ask has to trust for it.
func served(t *testing.T, h Handler, o ServeOptions) (path string, trust func(uint32) bool) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "login.sock")
	ln, err := sock.Listen(path, sock.ListenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	me := uint32(os.Geteuid())
	if o.Allow == nil {
		o.Allow = func(p sock.Peer) bool { return p.UID == me }
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- Serve(ctx, ln, h, o) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return path, func(uid uint32) bool { return uid == me || uid == 0 }
}

func yes(context.Context, sock.Peer, Question) Answer { return Answer{Allowed: true, ID: "a@b"} }

func question() Question {
	return Question{Phase: Auth, User: "alice", Secret: secret.FromString(`to"ken\x`), Remote: "::1", Via: "sshd"}
}

func TestAsk(t *testing.T) {
	t.Run("question_arrives_whole_and_so_does_the_answer", func(t *testing.T) {
		path, trust := served(t, func(_ context.Context, p sock.Peer, q Question) Answer {
			if q.Phase != Auth || q.User != "alice" || q.Secret.Expose() != `to"ken\x` || q.Remote != "::1" || q.Via != "sshd" {
				t.Errorf("got %+v", q)
			}
			if p.UID != uint32(os.Geteuid()) {
				t.Errorf("asked by uid %d", p.UID)
			}
			return Answer{Allowed: true, State: "deployed", ID: "sub@iss", Reason: "one-time password"}
		}, ServeOptions{})
		a, err := Ask(t.Context(), path, question(), AskOptions{Trust: trust})
		if want := (Answer{true, "deployed", "sub@iss", "one-time password"}); err != nil || a != want {
			t.Errorf("got %+v, %v", a, err)
		}
	})
	t.Run("account_phase_has_no_secret", func(t *testing.T) {
		path, trust := served(t, yes, ServeOptions{})
		a, err := Ask(t.Context(), path, Question{Phase: Account, User: "alice"}, AskOptions{Trust: trust})
		if err != nil || !a.Allowed {
			t.Errorf("got %+v, %v", a, err)
		}
	})
	t.Run("largest_secret_goes_through", func(t *testing.T) {
		path, trust := served(t, func(_ context.Context, _ sock.Peer, q Question) Answer {
			return Answer{Allowed: q.Secret.Len() == MaxSecret, ID: "a@b"}
		}, ServeOptions{})
		q := question()
		q.Secret = secret.FromString(strings.Repeat(`"`, MaxSecret))
		if a, err := Ask(t.Context(), path, q, AskOptions{Trust: trust}); err != nil || !a.Allowed {
			t.Errorf("got %+v, %v", a, err)
		}
	})
}

func TestAskRefuses(t *testing.T) {
	refused := func(t *testing.T, path string, q Question, trust func(uint32) bool, want error) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		a, err := Ask(ctx, path, q, AskOptions{Trust: trust})
		if !errors.Is(err, want) || a != (Answer{}) {
			t.Errorf("got %+v, %v; want %v", a, err, want)
		}
	}
	all := func(uint32) bool { return true }
	t.Run("nobody_listens", func(t *testing.T) {
		refused(t, filepath.Join(t.TempDir(), "no.sock"), question(), all, ErrNobody)
	})
	t.Run("socket_of_somebody_else_gets_nothing", func(t *testing.T) {
		path, _ := served(t, func(context.Context, sock.Peer, Question) Answer {
			t.Error("it was asked")
			return Answer{}
		}, ServeOptions{})
		refused(t, path, question(), func(uint32) bool { return false }, ErrForeign)
	})
	t.Run("only_root_is_trusted_by_default", func(t *testing.T) {
		if os.Geteuid() == 0 {
			t.Skip("we are root")
		}
		path, _ := served(t, yes, ServeOptions{})
		refused(t, path, question(), nil, ErrForeign)
	})
	t.Run("directory_where_others_write", func(t *testing.T) {
		path, trust := served(t, yes, ServeOptions{})
		if err := os.Chmod(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		refused(t, path, question(), trust, ErrForeign)
	})
	t.Run("file_that_is_no_socket", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		refused(t, path, question(), all, ErrForeign)
	})
	t.Run("server_that_says_nothing", func(t *testing.T) {
		path, trust := served(t, func(ctx context.Context, _ sock.Peer, _ Question) Answer {
			<-ctx.Done()
			return Answer{Allowed: true, ID: "a@b"}
		}, ServeOptions{Time: time.Second})
		refused(t, path, question(), trust, ErrLate)
	})
	for name, answer := range map[string]string{
		"empty": "", "no_line_end": `{"allowed":true,"id":"a@b"}`, "no_object": "true\n", "yes_for_nobody": `{"allowed":true}` + "\n",
		"unknown_member": `{"allowed":true,"id":"a@b","root":true}` + "\n", "two_answers": `{"allowed":true,"id":"a"}{}` + "\n",
		"endless": strings.Repeat(" ", maxAnswer+1),
	} {
		t.Run("answer_is_"+name, func(t *testing.T) {
			path, trust := raw(t, answer)
			refused(t, path, question(), trust, ErrAnswer)
		})
	}
	for name, spoil := range map[string]func(*Question){
		"phase": func(q *Question) { q.Phase = "session" }, "no_secret": func(q *Question) { q.Secret = secret.Text{} },
		"secret_in_account_phase": func(q *Question) { q.Phase = Account },
		"secret_with_blank":       func(q *Question) { q.Secret = secret.FromString("a b") },
		"secret_with_nul":         func(q *Question) { q.Secret = secret.FromString("ab\x00") },
		"long_secret":             func(q *Question) { q.Secret = secret.FromString(strings.Repeat("x", MaxSecret+1)) },
		"no_user":                 func(q *Question) { q.User = "" }, "user_with_line": func(q *Question) { q.User = "a\nb" },
		"long_host": func(q *Question) { q.Remote = strings.Repeat("h", maxText+1) },
	} {
		t.Run("question_with_bad_"+name, func(t *testing.T) {
			path, trust := served(t, yes, ServeOptions{})
			q := question()
			spoil(&q)
			refused(t, path, q, trust, ErrQuestion)
		})
	}
}

// raw is a server that answers whatever with text, and stays silent behind it.
func raw(t *testing.T, text string) (path string, trust func(uint32) bool) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "raw.sock")
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			if _, err := readQuestion(c); err == nil {
				_, _ = io.WriteString(c, text)
			}
			c.Close()
		}
	}()
	t.Cleanup(func() {
		ln.Close()
		<-done
	})
	return path, func(uint32) bool { return true }
}

func TestServe(t *testing.T) {
	t.Run("others_get_no_answer", func(t *testing.T) {
		path, trust := served(t, func(context.Context, sock.Peer, Question) Answer {
			t.Error("the handler was called")
			return Answer{}
		}, ServeOptions{Allow: func(sock.Peer) bool { return false }})
		if a, err := Ask(t.Context(), path, question(), AskOptions{Trust: trust}); err == nil || a.Allowed {
			t.Errorf("got %+v, %v", a, err)
		}
	})
	t.Run("late_yes_is_a_no", func(t *testing.T) {
		path, trust := served(t, func(ctx context.Context, _ sock.Peer, _ Question) Answer {
			<-ctx.Done()
			return Answer{Allowed: true, ID: "a@b"}
		}, ServeOptions{Time: 20 * time.Millisecond})
		if a, err := Ask(t.Context(), path, question(), AskOptions{Trust: trust}); err == nil && a.Allowed {
			t.Errorf("got %+v", a)
		}
	})
	t.Run("many_at_once", func(t *testing.T) {
		path, trust := served(t, yes, ServeOptions{Parallel: 2})
		errs := make(chan error)
		for range 50 {
			go func() {
				_, err := Ask(t.Context(), path, question(), AskOptions{Trust: trust})
				errs <- err
			}()
		}
		for range 50 {
			if err := <-errs; err != nil {
				t.Error(err)
			}
		}
	})
	t.Run("silent_client_does_not_hold_the_others", func(t *testing.T) {
		path, trust := served(t, yes, ServeOptions{Parallel: 1, Time: 50 * time.Millisecond})
		c, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if a, err := Ask(t.Context(), path, question(), AskOptions{Trust: trust}); err != nil || !a.Allowed {
			t.Errorf("got %+v, %v", a, err)
		}
	})
}

func TestErrorsDoNotShowTheSecret(t *testing.T) {
	for _, line := range []string{
		`{"phase":"auth","user":"alice","secret":"hunter22hunter22" x}`, `{"phase":"auth","user":"alice","secret":hunter22hunter22}`,
		`{"phase":"auth","user":"","secret":"hunter22hunter22"}`, `{"phase":"auth","hunter22hunter22":1}`,
	} {
		if _, err := readQuestion(strings.NewReader(line + "\n")); err == nil || strings.Contains(err.Error(), "hunter22") {
			t.Errorf("%s: %v", line, err)
		}
	}
}

func FuzzQuestion(f *testing.F) {
	f.Add([]byte(`{"phase":"auth","user":"alice","secret":"a\"b\\c","remote":"::1","service":"sshd"}` + "\n"))
	f.Add([]byte(`{"phase":"account","user":"alice"}` + "\n"))
	f.Add([]byte(`{"phase":"auth","user":"a","secret":"\u0041"}` + "\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		q, err := readQuestion(iotest.OneByteReader(bytes.NewReader(b)))
		if err != nil {
			return
		}
		var again bytes.Buffer
		if err := q.write(&again); err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
		back, err := readQuestion(&again)
		if err != nil || !back.Secret.Equal(q.Secret) || back.User != q.User || back.Phase != q.Phase || back.Remote != q.Remote {
			t.Fatalf("%q came back as %+v, %v", b, back, err)
		}
	})
}

func FuzzAnswer(f *testing.F) {
	f.Add([]byte(`{"allowed":true,"state":"deployed","id":"a@b","reason":"x"}` + "\n"))
	f.Add([]byte(`{}` + "\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := readAnswer(bytes.NewReader(b))
		if err != nil && a != (Answer{}) || a.Allowed && a.ID == "" {
			t.Fatalf("%q: %+v, %v", b, a, err)
		}
	})
}
