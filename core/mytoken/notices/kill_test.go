package notices

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"mime"
	netmail "net/mail"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/mytoken/ledger"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/secret/vault"
	"github.com/oidcbox/oidcbox/core/transport/mail"
	"github.com/oidcbox/oidcbox/store"
	"github.com/oidcbox/oidcbox/store/pgstore"
	"github.com/oidcbox/oidcbox/store/sealed"
	"github.com/oidcbox/oidcbox/testdata/services"
)

const childVar = "OIDCBOX_NOTICES_CHILD"

func TestMain(m *testing.M) {
	if text := os.Getenv(childVar); text != "" {
		if err := child(text); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// task is what a process of the test is to be: a server that sends what is due at a time.
type task struct {
	URL   string
	Port  int
	Ahead time.Duration // of its clock
	Fleet fleet
}

// fleet are many mytokens of alice that end at the same time.
type fleet struct {
	Count            int
	Created, Expires time.Time
}

func (f fleet) Find(_ context.Context, momID string) (ledger.Token, error) {
	all, _ := f.List(context.Background(), "alice")
	for _, t := range all {
		if t.MOMID == momID {
			return t, nil
		}
	}
	return ledger.Token{}, ledger.ErrUnknown
}

func (f fleet) List(context.Context, string) (all []ledger.Token, err error) {
	for i := range f.Count {
		all = append(all, ledger.Token{
			MOMID: fmt.Sprintf("mom-%03d", i), Name: fmt.Sprintf("job %03d", i), User: "alice", Condition: ledger.Live,
			Created: f.Created, Expires: f.Expires,
		})
	}
	return all, nil
}

func (f fleet) User(_ context.Context, id string) (ledger.User, error) {
	return ledger.User{ID: id, Issuer: "https://op.example.org", Subject: "a"}, nil
}

// open makes Notices on a database, as each of the processes has it.
func (c task) open(ctx context.Context, count func(string)) (*Notices, store.Engine, error) {
	v, err := vault.New(vault.Prefer, nil)
	if err != nil {
		return nil, nil, err
	}
	sealer, err := v.Sealer(secret.New(make([]byte, 32)))
	if err != nil {
		return nil, nil, err
	}
	pg, err := pgstore.Open(ctx, func() (string, error) { return c.URL, nil }, pgstore.Options{Role: "mytoken-server"})
	if err != nil {
		return nil, nil, err
	}
	from, err := mail.ParseAddress("mytoken@example.org")
	if err != nil {
		return nil, nil, err
	}
	m, err := mail.New(mail.Config{Host: "127.0.0.1", Port: c.Port, Security: mail.Loopback, From: from})
	if err != nil {
		return nil, nil, err
	}
	eng := sealed.New(pg, sealer)
	n, err := New(Options{
		Issuer: issuer, Engine: eng, Tokens: c.Fleet, From: from, Count: count, Lease: 2 * time.Second, Every: time.Millisecond,
		Enter:  (&bed{}).letIn,
		Open:   func(ctx context.Context) (Session, error) { return m.Open(ctx) },
		Now:    func() time.Time { return time.Now().Add(c.Ahead) },
		Limits: Limits{PerDay: 10_000},
	})
	return n, eng, err
}

// child is a server that says what becomes of its mails, until it is killed.
func child(text string) error {
	var c task
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	n, _, err := c.open(ctx, func(outcome string) { fmt.Println(outcome) })
	if err != nil {
		return err
	}
	go func() { // a test that ends takes it along
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	n.Run(ctx)
	return nil
}

// process is a child that runs.
type process struct {
	cmd *exec.Cmd
	in  io.Closer
}

// said is what a child said, from which of them.
type said struct {
	from *process
	line string
}

func (c task) start(t *testing.T, all chan<- said) *process {
	t.Helper()
	text, err := json.Marshal(c)
	must(t, err)
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childVar+"="+string(text))
	cmd.Stderr = t.Output()
	in, err := cmd.StdinPipe()
	must(t, err)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	p := &process{cmd, in}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			all <- said{p, lines.Text()}
		}
		_ = cmd.Wait() // it was killed, or ended by its input
	}()
	t.Cleanup(func() {
		_ = in.Close()
		<-done
	})
	return p
}

// Three servers on one database announce the ends of many mytokens, and the one that sends is killed in the middle,
// again and again: nothing is announced twice, and nothing is missing but what a killed server had in hand.
func TestKilledSender(t *testing.T) {
	server, pg := services.SMTP(t), services.PostgreSQL(t)
	c := task{URL: pg.URL(""), Port: server.PlainPort, Fleet: fleet{Count: 40, Created: time.Now().Truncate(time.Second)}}
	c.Fleet.Expires = c.Fleet.Created.Add(100 * day)
	n, eng, err := c.open(t.Context(), func(string) {})
	must(t, err)
	must(t, n.Learn(t.Context(), "alice", "alice@example.net", true))
	_, err = n.subscribe(t.Context(), "alice", subscription{classes: []string{"expiration"}, wide: true})
	must(t, err)
	kills, unknown := 0, 0
	all := make(chan said, 1<<16) // never full: a child is not to wait for its reader
	for _, before := range []time.Duration{30 * day, 14 * day, 7 * day} {
		c.Ahead = 100*day - before + time.Hour
		var running []*process
		for range 3 {
			running = append(running, c.start(t, all))
		}
		k, u := killSenders(t, eng, running, all, c.Fleet.Count)
		kills, unknown = kills+k, unknown+u
		for _, p := range running {
			_ = p.in.Close()
		}
	}
	server.Settled()
	got := make(map[string]int)
	for _, m := range server.Mails() {
		got[subjectOf(t, m)]++
	}
	for _, in := range []string{"in 30 days", "in 14 days", "in 7 days"} {
		for i := range c.Fleet.Count {
			subject := fmt.Sprintf("Mytoken 'job %03d' expires %s", i, in)
			if got[subject] > 1 {
				t.Errorf("%d times: %s", got[subject], subject)
			}
			delete(got, subject)
		}
	}
	missing := 3*c.Fleet.Count - len(server.Mails())
	if len(got) != 0 || missing > kills || kills < 3 {
		t.Errorf("%d missing, %d killed, unexpected: %v", missing, kills, got)
	}
	t.Logf("%d mails, %d servers killed while sending, %d outcomes unknown, %d of them not delivered",
		len(server.Mails()), kills, unknown, missing)
}

// killSenders kills the process that sends, at two random moments, and returns when all is said.
func killSenders(t *testing.T, eng store.Engine, running []*process, all <-chan said, count int) (kills, unknown int) {
	t.Helper()
	next := 1 + rand.IntN(count/3)
	settled := 0
	deadline := time.After(2 * time.Minute)
	for {
		select {
		case s := <-all:
			settled++
			if s.line == "unknown" {
				unknown++
			}
			if settled >= next && kills < 2 {
				must(t, s.from.cmd.Process.Kill())
				kills++
				next = settled + 1 + rand.IntN(count/3)
			}
		case <-time.After(300 * time.Millisecond):
			if waitingMails(t, eng) == 0 && settled > count/2 {
				return kills, unknown
			}
		case <-deadline:
			t.Fatalf("%d of %d mails after two minutes", settled, count)
		}
	}
}

func waitingMails(t *testing.T, eng store.Engine) (n int) {
	t.Helper()
	must(t, eng.View(t.Context(), func(tx store.Tx) error {
		n = 0
		return scan(tx, func([]string, *outRecord) error {
			n++
			return nil
		}, kindOut)
	}))
	return n
}

func subjectOf(t *testing.T, raw []byte) string {
	t.Helper()
	m, err := netmail.ReadMessage(bytes.NewReader(raw))
	must(t, err)
	s, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject"))
	must(t, err)
	return strings.TrimSpace(s)
}
