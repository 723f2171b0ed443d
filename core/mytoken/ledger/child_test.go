package ledger

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/mytoken/mint"
	"github.com/oidcbox/oidcbox/core/mytoken/rules"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/secret/vault"
	"github.com/oidcbox/oidcbox/core/token/jose"
	"github.com/oidcbox/oidcbox/store"
	"github.com/oidcbox/oidcbox/store/boltstore"
	"github.com/oidcbox/oidcbox/store/pgstore"
	"github.com/oidcbox/oidcbox/store/sealed"
)

// The test binary plays the other server processes: a child is told by its environment what to do.
const childVar = "OIDCBOX_LEDGER_CHILD"

func TestMain(m *testing.M) {
	if text := os.Getenv(childVar); text != "" {
		var c task
		err := json.Unmarshal([]byte(text), &c)
		if err == nil {
			err = c.run(context.Background())
		}
		if err != nil {
			say("fault", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	code := m.Run()
	if cluster.pg != nil {
		cluster.pg.Remove()
	}
	os.Exit(code)
}

// task is what another process does with a store. It says what it did in lines on standard output.
type task struct {
	Do     string // use, subs, take, rotate, mix, live
	Bolt   string // path of a file, or
	URL    string // a database
	Schema string
	Key    string   // that signs
	Texts  []string // mytokens or codes
	Sides  int      // that work at once; 0 is 8
	Rounds int      // of mix
	Sweeps bool     // so does mix; one that is killed in the middle keeps others waiting for a minute
}

// process is a child that runs.
type process struct {
	cmd   *exec.Cmd
	lines <-chan string // closed when it has ended
}

// start runs a task in a process of its own. A fault of the child is one of the test.
func (c task) start(t testing.TB, key *jose.PrivateKey) *process {
	t.Helper()
	signer, err := key.MarshalPrivate()
	if err != nil {
		t.Fatal(err)
	}
	c.Key = signer.Expose()
	text, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childVar+"="+string(text))
	cmd.Stderr = t.Output()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := make(chan string, 1<<16) // never full: a child is not to wait for its reader
	go func() {
		defer close(lines)
		for s := bufio.NewScanner(out); s.Scan(); {
			if strings.HasPrefix(s.Text(), "fault") {
				t.Error(s.Text())
			}
			lines <- s.Text()
		}
		_ = cmd.Wait()
	}()
	p := &process{cmd: cmd, lines: lines}
	t.Cleanup(func() {
		p.kill()
		for range lines { //nolint:revive // until it has ended
		}
	})
	return p
}

func (p *process) kill() { _ = p.cmd.Process.Kill() }

// say writes one line in one piece: lines of several goroutines do not mix.
func say(words ...any) { _, _ = os.Stdout.WriteString(fmt.Sprintln(words...)) }

func (c task) open(ctx context.Context) (store.Engine, error) {
	if c.Bolt != "" {
		return boltstore.Open(ctx, c.Bolt, boltstore.Options{Role: "mytoken-server", Timeout: 10 * time.Second})
	}
	return pgstore.Open(ctx, func() (string, error) { return c.URL, nil }, patient(c.Schema))
}

// server is what a child works with.
type server struct {
	*Ledger
	minter *mint.Minter
	op     *op
	c      task
}

func (c task) run(ctx context.Context) error {
	eng, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = eng.Close() }()
	v, err := vault.New(vault.Prefer, nil)
	if err != nil {
		return err
	}
	defer v.Close()
	sealer, err := v.Sealer(secret.New(make([]byte, 32)))
	if err != nil {
		return err
	}
	key, err := jose.ParsePrivateKey([]byte(c.Key))
	if err != nil {
		return err
	}
	m, err := mint.New(issuer, key)
	if err != nil {
		return err
	}
	check := mint.NewChecker(issuer, jose.NewKeySet(key.Public())).Genuine
	s := &server{minter: m, op: &op{during: func() { say("call") }}, c: c}
	s.Ledger = New(sealed.New(eng, sealer), Options{Minter: m, Verify: check, Window: 10 * time.Minute})
	do := map[string]func(context.Context, int) error{
		"use": s.use, "subs": s.subs, "take": s.take, "rotate": s.rotate, "mix": s.mix, "live": s.live,
	}[c.Do]
	if do == nil {
		return errors.New("unknown task " + c.Do)
	}
	return errors.Join(s.sides(ctx, do), s.Close(ctx))
}

func (s *server) sides(ctx context.Context, do func(context.Context, int) error) error {
	n := s.c.Sides
	if n == 0 {
		n = 8
	}
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { errs[i] = do(ctx, i) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

func (s *server) text(i int) secret.Text { return secret.FromString(s.c.Texts[i%len(s.c.Texts)]) }

// use uses a mytoken until there is nothing left, and says "got" for each access token.
func (s *server) use(ctx context.Context, side int) error {
	_, err := s.useUp(ctx, s.text(side))
	return err
}

func (s *server) useUp(ctx context.Context, jwt secret.Text) (n int, err error) {
	for ; ; n++ {
		_, _, err := access(ctx, s.Ledger, s.op, jwt)
		switch {
		case errors.Is(err, rules.ErrRestricted):
			return n, nil
		case err != nil:
			return n, err
		}
		say("got")
	}
}

// subs makes sub-tokens for three uses, or for what is left, and uses them, until there comes one for none.
func (s *server) subs(ctx context.Context, side int) error {
	for {
		child, _, err := sub(ctx, s.Ledger, s.minter, s.text(side), limit(3))
		if errors.Is(err, rules.ErrUsedUp) {
			continue // somebody was faster
		}
		if err != nil {
			return err
		}
		if n, err := s.useUp(ctx, child); n == 0 || err != nil {
			return err
		}
	}
}

// take takes all codes, beginning somewhere, and says "got" and which for each.
func (s *server) take(ctx context.Context, side int) error {
	for i := range s.c.Texts {
		i = (i + side*len(s.c.Texts)/8) % len(s.c.Texts)
		got, err := s.TakeCode(ctx, PollingCode, s.text(i))
		if errors.Is(err, ErrUnknown) {
			continue
		}
		if err != nil {
			return err
		}
		say("got", i, string(got.Data))
	}
	return nil
}

// rotate uses each mytoken once and says "got", which, and what replaced it.
func (s *server) rotate(ctx context.Context, _ int) error {
	for i := range s.c.Texts {
		_, n, err := access(ctx, s.Ledger, s.op, s.text(i))
		if err != nil {
			return err
		}
		if n == nil {
			return errors.New("it was not replaced")
		}
		say("got", i, n.JWT.Expose())
	}
	return nil
}

// mix does all that a server does with mytokens of one person that others end at the same time.
func (s *server) mix(ctx context.Context, side int) error {
	for i := range s.c.Rounds {
		err := s.one(ctx, side+i)
		for _, fine := range []error{
			nil, ErrUnknown, ErrRevoked, ErrNoLogin, ErrErased, rules.ErrRestricted, rules.ErrUsedUp, rules.ErrNothingLeft,
			mint.ErrExpired,
		} {
			if errors.Is(err, fine) {
				err = nil
			}
		}
		if err != nil {
			return fmt.Errorf("step %d of side %d: %w", i, side, err)
		}
		say("got")
	}
	return nil
}

func (s *server) one(ctx context.Context, n int) error {
	jwt := s.text(n)
	switch n % 9 {
	case 0:
		_, err := s.login(ctx)
		return err
	case 1, 2:
		_, _, err := access(ctx, s.Ledger, s.op, jwt)
		return err
	case 3, 4:
		child, t, err := sub(ctx, s.Ledger, s.minter, jwt, limit(2))
		if err != nil {
			return err
		}
		_, _, err = access(ctx, s.Ledger, s.op, child)
		if err == nil {
			_, err = s.Revoke(ctx, t.MOMID, true, "in the mix")
		}
		return err
	case 5:
		t, err := s.login(ctx)
		if err == nil {
			_, err = s.Revoke(ctx, t.MOMID, false, "in the mix")
		}
		return err
	case 6:
		return s.code(ctx, jwt)
	case 7:
		if !s.c.Sweeps {
			return nil
		}
		_, err := s.Sweep(ctx)
		return err
	}
	return s.ChangeSetting(ctx, UserID(provider, "alice"), "email", func(old json.RawMessage) (json.RawMessage, error) {
		return json.RawMessage(fmt.Sprintf("%d", len(old))), nil
	})
}

func (s *server) login(ctx context.Context) (Token, error) {
	jwt, c, err := s.minter.Issue(order(s.now(), limit(5), nil))
	if err != nil {
		return Token{}, err
	}
	return s.Begin(ctx, Login{Refresh: secret.FromString(firstRT)}, Grant{JWT: jwt, Claims: c})
}

// code makes a code that goes with a mytoken, changes what is under it, and takes it half of the times.
func (s *server) code(ctx context.Context, owner secret.Text) error {
	p, err := s.Present(ctx, owner, origin())
	if err != nil {
		return err
	}
	defer p.Close()
	c, err := s.MakeCode(ctx, NewCode{Kind: ShortToken, Owner: p.MOMID, Data: []byte("x")})
	if err != nil {
		return err
	}
	if err := s.PutCode(ctx, c.Handle, []byte("y"), secret.Text{}); err != nil || c.Text.Expose()[0] < 'a' {
		return err
	}
	got, err := s.TakeCode(ctx, ShortToken, c.Text)
	if err == nil && string(got.Data) != "y" {
		return errors.New("what was put under a code is not there")
	}
	return err
}
