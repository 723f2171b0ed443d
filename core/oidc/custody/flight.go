package custody

import (
	"context"
	"fmt"

	"golang.org/x/sync/semaphore"

	"github.com/oidcbox/oidcbox/core/oidc/flow"
	"github.com/oidcbox/oidcbox/core/secret"
)

// flightKey names what callers share: the same login and the same request.
type flightKey struct {
	id      string
	request hash
}

// flight is one refresh, run by a goroutine of the keeper for all callers who ask for the same. It ends when it ends:
// a caller who leaves takes nothing away, because the provider's answer must be read and saved in any case.
type flight struct {
	flightKey
	bare bool
	r    Refresher
	req  flow.Request

	gone chan struct{} // closed when the last caller left
	done chan struct{} // closed when tokens and err are set

	// guarded by Keeper.mu
	waiting int
	tokens  flow.Tokens
	err     error
}

// all is the weight of a refresh that excludes others of the same login in this process.
const all = 1 << 30

// login is what a process shares about one login while something happens to it.
type login struct {
	id   string
	turn *semaphore.Weighted // all: alone; 1: side by side

	// guarded by turn (all)
	hold *hold

	// guarded by Keeper.mu
	users    int
	unsaved  *unsaved
	settling bool
}

// Refresh sends the current refresh token of the login id through r and returns the tokens of the answer, without the
// refresh token: that stays here, and is durable before Refresh returns. Callers who ask for the same at the same time
// share one answer. When ctx ends, Refresh returns, but a request that was sent is seen through.
//
// The error wraps ErrLoginAgain when the provider wants a new login; that is remembered, and later calls fail in the
// same way without asking the provider, until Put or TryAgain. A refusal of a narrowed request holds for that request
// only, until another one is refused as well. ErrBusy, and what flow.Temporary reports, may be better later.
func (k *Keeper) Refresh(ctx context.Context, id string, r Refresher, req flow.Request) (flow.Tokens, error) {
	if err := checkID(id); err != nil {
		return flow.Tokens{}, err
	}
	if err := ctx.Err(); err != nil {
		return flow.Tokens{}, fmt.Errorf("refresh %s: %w", id, err)
	}
	f, err := k.board(ctx, id, r, req)
	if err != nil {
		return flow.Tokens{}, fmt.Errorf("refresh %s: %w", id, err)
	}
	select {
	case <-f.done:
	case <-ctx.Done():
	}
	t, err := k.leave(ctx, f)
	if err != nil {
		return flow.Tokens{}, fmt.Errorf("refresh %s: %w", id, err)
	}
	return t, nil
}

func (k *Keeper) board(ctx context.Context, id string, r Refresher, req flow.Request) (*flight, error) {
	request, bare := requestHash(req)
	key := flightKey{id, request}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closed {
		return nil, ErrClosed
	}
	if f, ok := k.flights[key]; ok {
		f.waiting++
		return f, nil
	}
	f := &flight{
		flightKey: key, bare: bare, r: r, req: req, waiting: 1,
		gone: make(chan struct{}), done: make(chan struct{}),
	}
	k.flights[key] = f
	ctx = context.WithoutCancel(ctx)
	k.wg.Go(func() { k.fly(ctx, f) })
	return f, nil
}

func (k *Keeper) fly(ctx context.Context, f *flight) {
	l := k.enter(f.id)
	tokens, err := k.run(ctx, f, l)
	k.exit(l)

	tokens.Refresh.Wipe()
	tokens.Refresh = secret.Text{}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.flights[f.flightKey] == f {
		delete(k.flights, f.flightKey)
	}
	f.tokens, f.err = tokens, err
	if f.waiting == 0 {
		wipe(f.tokens)
	}
	close(f.done)
}

// leave takes a copy of the flight's result, if it has ended, and signs the caller off.
func (k *Keeper) leave(ctx context.Context, f *flight) (flow.Tokens, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	f.waiting--
	select {
	case <-f.done:
		t := f.tokens
		t.Access, t.ID = f.tokens.Access.Clone(), f.tokens.ID.Clone()
		if f.waiting == 0 {
			wipe(f.tokens)
		}
		return t, f.err
	default:
	}
	if f.waiting == 0 {
		close(f.gone)
		if k.flights[f.flightKey] == f {
			delete(k.flights, f.flightKey)
		}
	}
	return flow.Tokens{}, context.Cause(ctx)
}

// detach lets later callers start anew: what is in flight belongs to a login that was replaced or forgotten.
func (k *Keeper) detach(id string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for key := range k.flights {
		if key.id == id {
			delete(k.flights, key)
		}
	}
}

func (k *Keeper) enter(id string) *login {
	k.mu.Lock()
	defer k.mu.Unlock()
	l, ok := k.logins[id]
	if !ok {
		l = &login{id: id, turn: semaphore.NewWeighted(all)}
		k.logins[id] = l
	}
	l.users++
	return l
}

func (k *Keeper) exit(l *login) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if l.users--; l.users == 0 && l.unsaved == nil {
		delete(k.logins, l.id)
	}
}

// wait returns a context that ends after Options.Wait, when the flight's last caller left, and when the keeper closes:
// for all that happens before anything is sent.
func (k *Keeper) wait(ctx context.Context, f *flight) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(ctx, k.opts.Wait)
	ctx, end := context.WithCancelCause(ctx)
	watching := make(chan struct{})
	go func() {
		defer close(watching)
		select {
		case <-f.gone:
			end(errAbandoned)
		case <-k.stop:
			end(ErrClosed)
		case <-ctx.Done():
		}
	}()
	return ctx, func() { cancel(); <-watching; end(nil) }
}

func wipe(t flow.Tokens) {
	t.Access.Wipe()
	t.Refresh.Wipe()
	t.ID.Wipe()
}
