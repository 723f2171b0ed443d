package approval

import (
	"context"
	"crypto/x509"
	"errors"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/account/provision"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/transport/mail"
	"github.com/oidcbox/oidcbox/store"
	"github.com/oidcbox/oidcbox/testdata/services"
)

func TestSend(t *testing.T) {
	t.Run("server_down_then_up", func(t *testing.T) {
		b := newBed(t)
		b.post.down = true
		b.desk.ask("alice", "1")
		b.turn()
		b.turn()
		if n := b.outbox(); n != 3 {
			t.Fatalf("%d mails wait", n)
		}
		b.post.down = false
		b.turn() // it is left alone for a while
		if len(b.post.mails) != 0 {
			t.Error("tried again at once")
		}
		b.now = b.now.Add(time.Hour)
		b.turn()
		if len(b.post.mails) != 3 || b.outbox() != 0 {
			t.Errorf("%d sent, %d wait", len(b.post.mails), b.outbox())
		}
	})
	t.Run("one_recipient_refused_for_good", func(t *testing.T) {
		b := newBed(t)
		b.post.fail = func(m mail.Message) error {
			if m.To.String() == admin {
				return &mail.Error{Stage: "recipient", Code: 550, Permanent: true}
			}
			return nil
		}
		b.desk.ask("alice", "1")
		b.turn()
		if len(b.post.mails) != 2 || b.outbox() != 0 {
			t.Errorf("%d sent, %d wait", len(b.post.mails), b.outbox())
		}
	})
	t.Run("one_recipient_refused_for_now", func(t *testing.T) {
		b := newBed(t)
		times := 0
		b.post.fail = func(m mail.Message) error {
			if m.To.String() != admin {
				return nil
			}
			if times++; times > 2 {
				return nil
			}
			return &mail.Error{Stage: "recipient", Code: 451}
		}
		b.desk.ask("alice", "1")
		for range 4 {
			b.turn()
			b.now = b.now.Add(10 * time.Minute)
		}
		if len(b.post.mails) != 3 || b.outbox() != 0 {
			t.Errorf("%d sent, %d wait", len(b.post.mails), b.outbox())
		}
	})
	t.Run("given_up_after_two_days", func(t *testing.T) {
		b := newBed(t)
		b.post.down = true
		b.desk.ask("alice", "1")
		b.turn()
		must(t, b.engine.View(t.Context(), func(tx store.Tx) error {
			n := 0
			for r, err := range tx.Scan(table(), store.Key{kindMail}) {
				if err != nil || !r.Expires.Equal(b.now.Add(keepTrying)) {
					t.Errorf("%v, kept until %v", err, r.Expires)
				}
				n++
			}
			if n != 3 {
				t.Errorf("%d mails wait", n)
			}
			return nil
		}))
	})
	t.Run("no_mail_server", func(t *testing.T) {
		b := newBed(t, func(o *Options) { o.Open = nil })
		b.desk.ask("alice", "1")
		b.turn()
		if b.outbox() != 0 {
			t.Error("mails are kept that nobody sends")
		}
		if err := b.Test(t.Context()); !errors.Is(err, ErrOptions) {
			t.Errorf("test mail: %v", err)
		}
		b.Office.o.Open = b.post.open // the administrator has configured one
		b.turn()
		b.wantMails(admin, asksFor("alice"))
	})
	t.Run("test_mail", func(t *testing.T) {
		b := newBed(t)
		must(t, b.Test(t.Context()))
		b.turn()
		b.wantMails(admin, "login.example.org: test of mails to administrators")
		b.wantMails(second, "login.example.org: test of mails to administrators")
	})
	t.Run("broken_connection_same_mail", func(t *testing.T) {
		b := newBed(t)
		var ids []string
		b.post.fail = func(m mail.Message) error {
			if ids = append(ids, m.ID); len(ids) == 1 {
				return &mail.Error{Stage: "message", Unknown: true, Err: context.DeadlineExceeded}
			}
			return nil
		}
		b.desk.ask("alice", "1")
		b.turn()
		b.now = b.now.Add(time.Hour)
		b.turn()
		if len(ids) != 4 || ids[0] != ids[1] && ids[0] != ids[2] && ids[0] != ids[3] {
			t.Errorf("Message-IDs %q", ids)
		}
	})
}

// TestRun has two processes on one store: what is asked for while they run is told once.
func TestRun(t *testing.T) {
	b := newBed(t, func(o *Options) { o.Every, o.Now = 5*time.Millisecond, time.Now })
	other, err := New(b.Office.o)
	must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	for _, o := range []*Office{b.Office, other} {
		wg.Go(func() { o.Run(ctx) })
	}
	for _, sub := range []string{"alice", "bob", "carol"} {
		b.Notify(provision.Event{Kind: provision.Submitted, Request: b.desk.ask(sub, "1")})
	}
	sent := func() int { b.post.mu.Lock(); defer b.post.mu.Unlock(); return len(b.post.mails) }
	for deadline := time.Now().Add(20 * time.Second); sent() < 9; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d mails", sent())
		}
	}
	time.Sleep(50 * time.Millisecond) // for one too many
	if n := sent(); n != 9 {
		t.Errorf("%d mails, want 9", n)
	}
}

// TestMailServer sends to a real mail server, with STARTTLS and a login.
func TestMailServer(t *testing.T) {
	server := services.SMTP(t)
	ca, err := os.ReadFile(server.CAFile)
	must(t, err)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	mailer, err := mail.New(mail.Config{
		Host: "localhost", Port: server.Port, Roots: roots, User: server.User, Password: secret.FromString(server.Password),
		From: address(t, "ssh@example.org"), FromName: "login.example.org",
	})
	must(t, err)
	b := newBed(t, func(o *Options) {
		o.Open = func(ctx context.Context) (Session, error) { return mailer.Open(ctx) }
	})
	b.desk.ask("alice", "1", func(r *provision.Request) {
		r.Person.Name = "Zoë\r\nBcc: thief@example.net\r\n\r\n.\r\nQUIT"
	})
	b.turn()
	mails := server.WaitMails(3)
	var links []string
	for _, raw := range mails {
		text := unquoted(string(raw))
		head, _, _ := strings.Cut(string(raw), "\n\n")
		if strings.Contains(head, "thief") && !strings.Contains(head, "Subject:") || strings.Contains(strings.ToLower(head), "\nbcc:") {
			t.Errorf("headers:\n%s", head)
		}
		if !strings.Contains(head, "Auto-Submitted: auto-generated") {
			t.Errorf("headers:\n%s", head)
		}
		for word := range strings.FieldsSeq(text) {
			if l, ok := strings.CutPrefix(word, "https://login.example.org/login/decide/"); ok {
				links = append(links, l)
			}
		}
	}
	if len(links) != 2 {
		t.Fatalf("%d links in the mails\n%s", len(links), mails)
	}
	if _, err := b.Decide(t.Context(), links[0], true, netip.Addr{}); err != nil {
		t.Errorf("the link of the mail: %v", err)
	}
	b.turn()
	server.WaitMails(4)
}

// unquoted undoes quoted-printable as far as links need it.
func unquoted(s string) string {
	return strings.NewReplacer("=\r\n", "", "=\n", "", "=3D", "=").Replace(s)
}
