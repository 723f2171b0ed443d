package custody

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/oidcbox/oidcbox/core/oidc/flow"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/transport/httpc"
	"github.com/oidcbox/oidcbox/store"
)

// habit of the provider that the tests stand before.
type rotation int

const (
	strict  rotation = iota // each refresh token works once; a second use ends the family
	grace                   // the one before the newest works too, for a while
	keeping                 // refresh tokens are not replaced
)

// fault is what goes wrong with one request.
type fault int

const (
	none     fault = iota
	lost           // the request was processed, the answer does not arrive
	slowLost       // the same, and it takes until the caller gives up
	before         // the connection could not be made
	err503         // the provider fails, before it did anything
	err500         // the provider fails, after it did everything
	err429         // too many requests
	refusal_       // invalid_grant for no reason
	badScope       // invalid_scope
	garbage        // processed, answered 200 with nonsense that still has the refresh token
)

// op is a provider. It is also a Refresher, and serves a token endpoint.
type op struct {
	mu       sync.Mutex
	rotation rotation
	window   time.Duration // of grace
	now      func() time.Time

	serial  int
	newest  string
	former  string    // the one before
	rotated time.Time // when newest was given out
	used    map[string]bool
	dead    bool // family ended by reuse

	faults  []fault
	entered func() // called as a request arrives, outside the lock
	delay   time.Duration

	calls   int
	reused  int // superseded tokens that were seen
	running int
	widest  int // most requests at one time
	last    time.Time
}

func newOP(r rotation) *op {
	o := &op{rotation: r, window: time.Minute, now: time.Now, used: map[string]bool{}}
	o.newest = o.next()
	return o
}

func (o *op) next() string {
	o.serial++
	return fmt.Sprintf("rt-%d-of-a-secret-family", o.serial)
}

func (o *op) first() secret.Text { return secret.FromString("rt-1-of-a-secret-family") }

// login starts a new family, as a person's new login does.
func (o *op) login() secret.Text {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.dead, o.former = false, ""
	o.newest = o.next()
	return secret.FromString(o.newest)
}

func (o *op) fail(f ...fault) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.faults = append(o.faults, f...)
}

func (o *op) pop() fault {
	if len(o.faults) == 0 {
		return none
	}
	f := o.faults[0]
	o.faults = o.faults[1:]
	return f
}

// exchange is what the token endpoint does: the new refresh token, "" when none comes with the answer.
func (o *op) exchange(rt string) (fresh string, ok bool) {
	switch {
	case o.dead:
		return "", false
	case rt == o.newest && o.rotation == keeping:
		return "", true
	case rt == o.newest:
		o.used[rt] = true
		o.former, o.newest, o.rotated = rt, o.next(), o.now()
		return o.newest, true
	case o.rotation == grace && rt == o.former && o.now().Sub(o.rotated) < o.window:
		// The answer was lost: another newest one. The one that went before is void.
		o.newest = o.next()
		return o.newest, true
	}
	if o.used[rt] {
		o.reused++
		o.dead = true
	}
	return "", false
}

func refusedBy(code string, status int) error {
	return &flow.Error{Op: "refresh", Issuer: "https://op.example", Status: status, Code: code, Description: "so it is"}
}

func cutOff(sent bool) error {
	return &httpc.Error{Method: "POST", URL: "https://op.example/token", Sent: sent, Err: io.ErrUnexpectedEOF}
}

func (o *op) Refresh(ctx context.Context, rt secret.Text, r flow.Request) (flow.Tokens, error) {
	o.mu.Lock()
	o.calls++
	o.running++
	o.widest = max(o.widest, o.running)
	entered, delay, f := o.entered, o.delay, o.pop()
	o.mu.Unlock()
	defer func() { o.mu.Lock(); o.running--; o.mu.Unlock() }()
	if entered != nil {
		entered()
	}
	if delay > 0 {
		select {
		case <-time.After(delay):
		case <-ctx.Done():
			return flow.Tokens{}, ctx.Err()
		}
	}
	switch f {
	case before:
		return flow.Tokens{}, cutOff(false)
	case err503:
		return flow.Tokens{}, refusedBy("", 503)
	case err429:
		return flow.Tokens{}, refusedBy("", 429)
	case refusal_:
		return flow.Tokens{}, refusedBy("invalid_grant", 400)
	case badScope:
		return flow.Tokens{}, refusedBy("invalid_scope", 400)
	}
	o.mu.Lock()
	fresh, ok := o.exchange(rt.Expose())
	o.last = o.now()
	n := o.serial
	o.mu.Unlock()
	if !ok {
		return flow.Tokens{}, refusedBy("invalid_grant", 400)
	}
	switch f {
	case lost:
		return flow.Tokens{}, cutOff(true)
	case slowLost:
		<-ctx.Done()
		return flow.Tokens{}, &httpc.Error{
			Method: "POST", URL: "https://op.example/token", Sent: true,
			Err: os.ErrDeadlineExceeded,
		}
	case err500:
		return flow.Tokens{}, refusedBy("server_error", 500)
	case garbage:
		return flow.Tokens{Refresh: secret.FromString(fresh)},
			&flow.Error{Op: "refresh", Status: 200, Err: flow.ErrAnswer}
	}
	t := flow.Tokens{Access: secret.FromString(fmt.Sprintf("at-%d-of-a-secret-family %v", n, r.Scope)), Type: "Bearer"}
	if fresh != "" {
		t.Refresh = secret.FromString(fresh)
	}
	return t, nil
}

// alive reports whether a login that holds rt can go on.
func (o *op) alive(rt secret.Text) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	s := rt.Expose()
	return !o.dead && (s == o.newest || o.rotation == grace && s == o.former && o.now().Sub(o.rotated) < o.window)
}

func (o *op) seen() (calls, reused, widest int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.calls, o.reused, o.widest
}

func (o *op) newestSerial() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return serialOf(secret.FromString(o.newest))
}

// ServeHTTP is the token endpoint, for the processes of the kill test.
func (o *op) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		http.Error(w, "form", http.StatusBadRequest)
		return
	}
	o.mu.Lock()
	o.calls++
	delay := o.delay
	fresh, ok := o.exchange(r.PostForm.Get("refresh_token"))
	n := o.serial
	o.mu.Unlock()
	time.Sleep(delay) // between processing and answering: here an answer gets lost when the client is killed
	w.Header().Set("Content-Type", "application/json")
	if !ok {
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprint(w, `{"error":"invalid_grant"}`)
		return
	}
	fmt.Fprintf(w, `{"access_token":"at-%d-x","token_type":"Bearer","expires_in":60`, n)
	if fresh != "" {
		fmt.Fprintf(w, `,"refresh_token":"%s"`, fresh)
	}
	fmt.Fprint(w, "}")
}

// process stands for a process that dies at its n-th step: a step is anything that leaves the process. What it does
// after that reaches nobody.
type process struct {
	mu    sync.Mutex
	left  int  // steps to live; 0: for ever
	after bool // the last step still has its effect
	dead  bool
	steps int
}

var errCrashed = errors.New("the process is dead")

// step runs fn unless the process is dead, and dies before or after it when its time has come.
func (p *process) step(fn func() error) error {
	p.mu.Lock()
	p.steps++
	last := p.left == p.steps
	dead := p.dead
	if last && !p.after {
		p.dead, dead = true, true
	}
	p.mu.Unlock()
	if dead {
		return errCrashed
	}
	err := fn()
	p.mu.Lock()
	defer p.mu.Unlock()
	if last {
		p.dead = true
	}
	if p.dead {
		return errCrashed
	}
	return err
}

// mortal is an engine as seen by a process.
type mortal struct {
	store.Engine
	p *process
}

func (m mortal) View(ctx context.Context, fn func(store.Tx) error) error {
	return m.p.step(func() error { return m.Engine.View(ctx, fn) })
}

func (m mortal) Update(ctx context.Context, fn func(store.WTx) error, held ...store.Lease) error {
	held = slices.Clone(held)
	for i, l := range held {
		held[i] = l.(mortalLease).Lease
	}
	return m.p.step(func() error { return m.Engine.Update(ctx, fn, held...) })
}

func (m mortal) Lease(ctx context.Context, name string, ttl time.Duration) (store.Lease, error) {
	var l store.Lease
	err := m.p.step(func() (err error) { l, err = m.Engine.Lease(ctx, name, ttl); return err })
	return mortalLease{l, m.p}, err
}

type mortalLease struct {
	store.Lease
	p *process
}

func (l mortalLease) Renew(ctx context.Context, ttl time.Duration) error {
	return l.p.step(func() error { return l.Lease.Renew(ctx, ttl) })
}

func (l mortalLease) Release(ctx context.Context) error {
	return l.p.step(func() error { return l.Lease.Release(ctx) })
}

// mortalOP is the provider as seen by a process.
type mortalOP struct {
	*op
	p *process
}

func (m mortalOP) Refresh(ctx context.Context, rt secret.Text, r flow.Request) (t flow.Tokens, _ error) {
	err := m.p.step(func() (err error) { t, err = m.op.Refresh(ctx, rt, r); return err })
	if errors.Is(err, errCrashed) {
		t = flow.Tokens{}
	}
	return t, err
}

// broken is an engine whose writes can be made to fail, as with a full quota.
type broken struct {
	store.Engine
	mu      sync.Mutex
	updates error
	room    error
	renews  error
}

func (b *broken) set(updates, room error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.updates, b.room = updates, room
}

func (b *broken) get() (updates, room, renews error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.updates, b.room, b.renews
}

func (b *broken) Update(ctx context.Context, fn func(store.WTx) error, held ...store.Lease) error {
	if err, _, _ := b.get(); err != nil {
		return err
	}
	held = slices.Clone(held)
	for i, l := range held {
		held[i] = l.(*brokenLease).Lease
	}
	return b.Engine.Update(ctx, fn, held...)
}

func (b *broken) Reserve(context.Context, int) error {
	_, err, _ := b.get()
	return err
}

func (b *broken) Lease(ctx context.Context, name string, ttl time.Duration) (store.Lease, error) {
	l, err := b.Engine.Lease(ctx, name, ttl)
	return &brokenLease{l, b}, err
}

type brokenLease struct {
	store.Lease
	b *broken
}

func (l *brokenLease) Renew(ctx context.Context, ttl time.Duration) error {
	if _, _, err := l.b.get(); err != nil {
		return err
	}
	return l.Lease.Renew(ctx, ttl)
}
