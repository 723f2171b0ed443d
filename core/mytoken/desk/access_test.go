package desk_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/mytoken/desk"
	"github.com/oidcbox/oidcbox/core/mytoken/ledger"
	"github.com/oidcbox/oidcbox/core/mytoken/rules"
	"github.com/oidcbox/oidcbox/core/mytoken/upstream"
	"github.com/oidcbox/oidcbox/core/oidc/custody"
	"github.com/oidcbox/oidcbox/core/oidc/flow"
	"github.com/oidcbox/oidcbox/core/oidc/issuer"
	"github.com/oidcbox/oidcbox/core/secret"
)

// fake stands between the desk and the real provider.
type fake struct {
	desk.Provider
	calls   atomic.Int64
	refresh func(ctx context.Context, rt secret.Text, r flow.Request) (flow.Tokens, error)
	check   func(rules.Candidate, flow.Tokens) (rules.Granted, error)
	ask     func(rules.Candidate) (flow.Request, error)
}

func (f *fake) Refresh(ctx context.Context, rt secret.Text, r flow.Request) (flow.Tokens, error) {
	n := f.calls.Add(1)
	if f.refresh != nil {
		return f.refresh(ctx, rt, r)
	}
	return flow.Tokens{Access: secret.FromString(fmt.Sprintf("access-token-%d", n)), Type: "Bearer"}, nil
}

func (f *fake) Check(c rules.Candidate, t flow.Tokens) (rules.Granted, error) {
	if f.check != nil {
		return f.check(c, t)
	}
	return rules.Granted{}, nil
}

func (f *fake) Ask(c rules.Candidate) (flow.Request, error) {
	if f.ask != nil {
		return f.ask(c)
	}
	return f.Provider.Ask(c)
}

type fakes struct {
	desk.Upstream
	f *fake
}

func (u fakes) Provider(issuer string) (desk.Provider, bool) {
	p, ok := u.Upstream.Provider(issuer)
	if u.f.Provider == nil {
		u.f.Provider = p
	}
	return u.f, ok
}

// faked is a bed whose refreshes go to f.
func faked(t testing.TB, f *fake, s setup) *bed {
	more := s.desk
	s.desk = func(o *desk.Options) {
		o.Upstream = fakes{o.Upstream, f}
		if more != nil {
			more(o)
		}
	}
	s.up = func(c *upstream.Config) { c.Habit = custody.HabitKeeps }
	b := newBed(t, s)
	if _, ok := b.o.Upstream.Provider(b.op.URL); !ok {
		t.Fatal("no provider")
	}
	return b
}

func limited(n int64) map[string]any {
	return map[string]any{
		"restrictions": []map[string]any{{"usages_AT": n}}, "capabilities": []string{"AT", "create_mytoken"},
	}
}

func TestAccessCountsExactly(t *testing.T) {
	for _, limit := range []int64{1, 3, 50} {
		t.Run(fmt.Sprintf("200 at once on %d", limit), func(t *testing.T) {
			f := &fake{}
			b := faked(t, f, setup{})
			i := b.login(limited(limit))
			desks := []*desk.Desk{b.Desk, b.another(), b.another()}
			var given, refusals atomic.Int64
			var wg sync.WaitGroup
			for n := range 200 {
				wg.Go(func() {
					a, err := desks[n%3].Access(t.Context(), desk.AccessRequest{}, b.caller(i))
					switch {
					case err == nil && !a.Token.Empty():
						given.Add(1)
					case errors.As(err, new(*desk.Error)):
						refusals.Add(1)
					default:
						t.Error(err)
					}
				})
			}
			wg.Wait()
			if given.Load() != limit || refusals.Load() != 200-limit {
				t.Errorf("%d access tokens and %d refusals", given.Load(), refusals.Load())
			}
			if f.calls.Load() > limit {
				t.Errorf("the provider was called %d times", f.calls.Load())
			}
		})
	}
}

// A process that dies between reserving and settling never gives more than the limit: its uses are lost.
func TestAccessCrash(t *testing.T) {
	for round := range 8 {
		rng := rand.New(rand.NewPCG(uint64(round), 7))
		var dead, given atomic.Int64
		hang := make(chan struct{})
		f := &fake{}
		f.refresh = func(ctx context.Context, _ secret.Text, _ flow.Request) (flow.Tokens, error) {
			if dead.Load() > 0 {
				<-hang // the process is gone: nothing that follows happens
				return flow.Tokens{}, errors.New("gone")
			}
			return flow.Tokens{Access: secret.FromString("at"), Type: "Bearer"}, nil
		}
		b := faked(t, f, setup{ledger: ledger.Options{Hold: time.Minute}})
		i := b.login(limited(10))
		for range rng.IntN(6) {
			if _, err := b.access(i, desk.AccessRequest{}); err == nil {
				given.Add(1)
			}
		}
		dead.Store(1)
		var wg sync.WaitGroup
		for range 1 + rng.IntN(4) {
			wg.Go(func() { _, _ = b.access(i, desk.AccessRequest{}) })
		}
		for f.calls.Load() == given.Load() {
			time.Sleep(time.Millisecond)
		}
		// Another process goes on, on the same state; the first one never comes back.
		g := &fake{Provider: f.Provider}
		o := b.o
		o.Ledger, o.Upstream = ledger.New(b.eng, b.ledgerOptions), fakes{b.o.Upstream.(fakes).Upstream, g}
		alive, err := desk.New(o)
		if err != nil {
			t.Fatal(err)
		}
		b.clock.move(2 * time.Minute)
		for range 20 {
			if _, err := alive.Access(t.Context(), desk.AccessRequest{}, b.caller(i)); err == nil {
				given.Add(1)
			}
		}
		token := b.find(i.MOMID)
		if n := given.Load() + token.Unknown; n > 10 || given.Load() == 10 || token.Unknown == 0 {
			t.Errorf("round %d: %d given, %d unknown", round, given.Load(), token.Unknown)
		}
		close(hang)
		wg.Wait()
		if err := o.Ledger.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

// left is how many uses of a mytoken took place, and of how many nobody knows.
func left(t *testing.T, b *bed, i *desk.Issued) (used, lost int64) {
	t.Helper()
	token := b.find(i.MOMID)
	for _, c := range token.Counters {
		used += c.Used
		if c.Held != 0 {
			t.Error("a use is still reserved")
		}
	}
	return used, token.Unknown
}

func TestAccessFailsClosed(t *testing.T) {
	t.Run("more than was asked for", func(t *testing.T) {
		f := &fake{check: func(rules.Candidate, flow.Tokens) (rules.Granted, error) {
			return rules.Granted{}, &rules.ExcessError{Scope: "storage.modify:/"}
		}}
		b := faked(t, f, setup{})
		i := b.login(limited(3))
		a, err := b.access(i, desk.AccessRequest{})
		refused(t, err, desk.StatusProvider, desk.CodeOIDC)
		if !a.Token.Empty() {
			t.Error("it was handed out")
		}
		if used, lost := left(t, b, i); used != 0 || lost != 1 {
			t.Errorf("%d used, %d lost", used, lost)
		}
	})
	t.Run("what cannot be asked for is given back", func(t *testing.T) {
		f := &fake{ask: func(rules.Candidate) (flow.Request, error) { return flow.Request{}, flow.ErrAudience }}
		b := faked(t, f, setup{})
		i := b.login(limited(3))
		_, err := b.access(i, desk.AccessRequest{})
		refused(t, err, http.StatusBadRequest, desk.CodeRequest)
		if used, lost := left(t, b, i); used != 0 || lost != 0 || f.calls.Load() != 0 {
			t.Errorf("%d used, %d lost", used, lost)
		}
	})
}

func TestAccessRefusedByProvider(t *testing.T) {
	t.Run("the provider refuses", func(t *testing.T) {
		f := &fake{refresh: func(context.Context, secret.Text, flow.Request) (flow.Tokens, error) {
			return flow.Tokens{}, &flow.Error{Op: "refresh", Status: 400, Code: "invalid_scope", Description: "no"}
		}}
		b := faked(t, f, setup{})
		i := b.login(limited(3))
		_, err := b.access(i, desk.AccessRequest{})
		if no := refused(t, err, 400, desk.CodeOIDC); no.Description != "invalid_scope: no" {
			t.Errorf("%q", no.Description)
		}
		if used, lost := left(t, b, i); used != 0 || lost != 1 {
			t.Errorf("%d used, %d lost", used, lost)
		}
	})
	t.Run("an access token that is none", func(t *testing.T) {
		f := &fake{refresh: func(context.Context, secret.Text, flow.Request) (flow.Tokens, error) {
			return flow.Tokens{}, nil
		}}
		b := faked(t, f, setup{})
		i := b.login(limited(3))
		_, err := b.access(i, desk.AccessRequest{})
		refused(t, err, desk.StatusProvider, desk.CodeOIDC)
	})
}

func TestAccessWhileThingsHappen(t *testing.T) {
	t.Run("revoked while the provider answers", func(t *testing.T) {
		f := &fake{}
		b := faked(t, f, setup{})
		i := b.login(limited(3))
		f.refresh = func(ctx context.Context, _ secret.Text, _ flow.Request) (flow.Tokens, error) {
			if _, err := b.ledger.Revoke(ctx, i.MOMID, true, "stolen"); err != nil {
				t.Error(err)
			}
			return flow.Tokens{Access: secret.FromString("too-late"), Type: "Bearer"}, nil
		}
		a, err := b.access(i, desk.AccessRequest{})
		refused(t, err, http.StatusUnauthorized, desk.CodeToken)
		if !a.Token.Empty() {
			t.Error("it was handed out")
		}
	})
	t.Run("the client goes away", func(t *testing.T) {
		f := &fake{}
		b := faked(t, f, setup{})
		i := b.login(limited(3))
		ctx, gone := context.WithCancel(t.Context())
		f.refresh = func(inner context.Context, _ secret.Text, _ flow.Request) (flow.Tokens, error) {
			gone()
			time.Sleep(20 * time.Millisecond) // for whoever would stop waiting now
			if inner.Err() != nil {
				return flow.Tokens{}, inner.Err()
			}
			return flow.Tokens{Access: secret.FromString("seen-through"), Type: "Bearer"}, nil
		}
		if _, err := b.Access(ctx, desk.AccessRequest{}, b.caller(i)); err != nil {
			t.Fatal(err)
		}
		if used, lost := left(t, b, i); used != 1 || lost != 0 {
			t.Errorf("%d used, %d lost", used, lost)
		}
	})
	t.Run("a provider that is down", func(t *testing.T) {
		b := newBed(t, setup{})
		i := b.login(limited(3))
		b.op.Stop()
		_, err := b.access(i, desk.AccessRequest{})
		refused(t, err, http.StatusInternalServerError, desk.CodeInternal)
	})
}

func TestAccessRefuses(t *testing.T) {
	b := newBed(t, setup{})
	i := b.login(map[string]any{"capabilities": []string{"tokeninfo"}})
	ok := b.login(nil)
	for name, c := range map[string]struct {
		r      desk.AccessRequest
		mt     secret.Text
		status int
		code   string
	}{
		"no capability":   {mt: i.Token, status: 403, code: desk.CodeCapabilities},
		"no mytoken":      {status: 401, code: desk.CodeToken},
		"a short text":    {mt: secret.FromString("short"), status: 400, code: desk.CodeRequest},
		"a long text":     {mt: secret.FromString(strings.Repeat("x", 20_000)), status: 400, code: desk.CodeRequest},
		"unknown":         {mt: secret.FromString(strings.Repeat("x", 64)), status: 401, code: desk.CodeToken},
		"a JWT of nobody": {mt: secret.FromString(strings.Repeat("x", 64) + ".y.z"), status: 401, code: desk.CodeToken},
		"forged": {
			mt: secret.FromString(ok.Token.Expose()[:ok.Token.Len()-4] + "AAAA"), status: 401, code: desk.CodeToken,
		},
		"another provider": {
			r: desk.AccessRequest{Issuer: "https://other.example.org"}, mt: ok.Token, status: 400, code: desk.CodeRequest,
		},
		"a long scope": {
			r: desk.AccessRequest{Scope: []string{strings.Repeat("s", 600)}}, mt: ok.Token, status: 400, code: desk.CodeRequest,
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := b.Access(t.Context(), c.r, desk.Caller{Mytoken: c.mt, Origin: home()})
			no := refused(t, err, c.status, c.code)
			if !c.mt.Empty() && strings.Contains(fmt.Sprint(err, no.Err), c.mt.Expose()) {
				t.Error("the mytoken is in the error")
			}
		})
	}
	if !slices.Contains(b.heard(), desk.ClassCapabilities) {
		t.Errorf("notices %q", b.heard())
	}
}

func TestNewAddress(t *testing.T) {
	b := newBed(t, setup{})
	i := b.login(nil)
	use := func(d *desk.Desk, o desk.Origin) {
		t.Helper()
		if _, err := d.Access(t.Context(), desk.AccessRequest{}, desk.Caller{Mytoken: i.Token, Origin: o}); err != nil {
			t.Fatal(err)
		}
	}
	places := func() int {
		n := 0
		for _, c := range b.heard() {
			if c == desk.ClassIPs {
				n++
			}
		}
		return n
	}
	use(b.Desk, home())
	if places() != 0 {
		t.Error("where it was made is no new place")
	}
	use(b.Desk, from("198.51.100.7"))
	use(b.Desk, from("198.51.100.7"))
	use(b.another(), from("198.51.100.7"))
	if places() != 1 {
		t.Errorf("%d notices of one new place", places())
	}
}

func TestRotation(t *testing.T) {
	rotating := map[string]any{
		"rotation": map[string]any{"on_AT": true, "auto_revoke": true}, "capabilities": []string{"AT", "create_mytoken"},
	}
	t.Run("a lost answer, and reuse", func(t *testing.T) {
		b := newBed(t, setup{})
		i := b.login(rotating)
		a, err := b.access(i, desk.AccessRequest{})
		if err != nil || a.Update == nil || a.Update.Kind != "token" {
			t.Fatalf("%+v %v", a.Update, err)
		}
		again, err := b.access(i, desk.AccessRequest{})
		if err != nil || again.Update == nil || !again.Update.Token.Equal(a.Update.Token) {
			t.Fatalf("the answer was lost, and with it the mytoken: %v", err)
		}
		b.clock.move(time.Minute)
		_, err = b.access(i, desk.AccessRequest{})
		refused(t, err, http.StatusUnauthorized, desk.CodeToken)
		for range 2 {
			_, err = b.access(a.Update, desk.AccessRequest{})
			refused(t, err, http.StatusUnauthorized, desk.CodeToken)
		}
		if n := len(slices.DeleteFunc(b.heard(), func(c string) bool { return c != desk.ClassRevoked })); n != 1 {
			t.Errorf("the person is told %d times", n)
		}
	})
	t.Run("many at once get the same new one", func(t *testing.T) {
		b := faked(t, &fake{}, setup{})
		i := b.login(rotating)
		var mu sync.Mutex
		seen := map[string]bool{}
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				a, err := b.access(i, desk.AccessRequest{})
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				defer mu.Unlock()
				seen[a.Update.Token.Expose()] = true
			})
		}
		wg.Wait()
		if len(seen) != 1 {
			t.Errorf("%d new mytokens", len(seen))
		}
	})
}

func TestRefreshTokenOfProviderRotates(t *testing.T) {
	b := newBed(t, setup{op: []func(*issuer.Options){func(o *issuer.Options) { o.Rotation = issuer.Strict }}})
	i := b.login(nil)
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			ctx, gone := context.WithTimeout(t.Context(), time.Duration(rand.IntN(20))*time.Millisecond)
			defer gone()
			_, _ = b.Access(ctx, desk.AccessRequest{}, b.caller(i))
		})
	}
	wg.Wait()
	if _, err := b.access(i, desk.AccessRequest{}); err != nil {
		t.Errorf("clients that went away cost the login: %v", err)
	}
}
