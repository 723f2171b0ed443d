package ledger

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/oidcbox/oidcbox/core/oidc/custody"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/store/sealed"
)

// closing bounds what a request does for a login whose last user it was.
const closing = 30 * time.Second

// keeping is the keeper of one login's refresh token, and the key it works with, while requests need it.
type keeping struct {
	*custody.Keeper
	key   secret.Text
	login string
	calls atomic.Int64 // to the provider, that it can have seen
	users int          // guarded by Ledger.mu
}

func (l *Ledger) newKeeping(login string, key secret.Text) *keeping {
	k := &keeping{key: key.Clone(), login: login, users: 1}
	k.Keeper = custody.New(sealed.New(l.eng, loginSealer{k.key}), l.o.Custody)
	return k
}

func (k *keeping) close(ctx context.Context) error {
	defer k.key.Wipe()
	return k.Keeper.Close(ctx)
}

// keeper returns the keeper of a login; one for all requests under way, so that what custody promises holds among them.
func (l *Ledger) keeper(login string, key secret.Text) (*keeping, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, ErrClosed
	}
	if k, ok := l.keepers[login]; ok {
		k.users++
		return k, nil
	}
	k := l.newKeeping(login, key)
	l.keepers[login] = k
	return k, nil
}

// release ends a keeper with its last user, unless it has a refresh token that could not be saved: that would be lost
// with it, so it stays and goes on trying. The context of the request may be over by now.
func (l *Ledger) release(ctx context.Context, k *keeping) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closing)
	defer cancel()
	keep := k.needed(ctx)
	l.mu.Lock()
	k.users--
	last := k.users == 0 && !keep && l.keepers[k.login] == k
	if last {
		delete(l.keepers, k.login)
	}
	l.mu.Unlock()
	if !last {
		return
	}
	if err := k.close(ctx); err != nil {
		l.o.Log.ErrorContext(ctx, "a refresh token is lost", "login", k.login, "err", err)
	}
}

// needed reports whether a keeper knows something that the store does not.
func (k *keeping) needed(ctx context.Context) bool {
	if !k.Unsaved(k.login) { // as nearly always: no look at the store
		return false
	}
	s, err := k.State(ctx, k.login)
	if errors.Is(err, custody.ErrUnknownLogin) {
		return false
	}
	return err != nil || s.Unsaved
}

// idle ends the keepers that were kept for an unsaved refresh token and need not be any more.
func (l *Ledger) idle(ctx context.Context) {
	l.mu.Lock()
	var waiting []*keeping
	for _, k := range l.keepers {
		if k.users == 0 {
			k.users++
			waiting = append(waiting, k)
		}
	}
	l.mu.Unlock()
	for _, k := range waiting {
		l.release(ctx, k)
	}
}

// forgotten is forget for one that is gone already, mostly: it looks before it writes.
func (l *Ledger) forgotten(ctx context.Context, login string) error {
	k := custody.New(sealed.New(l.eng, loginSealer{}), l.o.Custody)
	_, err := k.State(ctx, login)
	if err = errors.Join(err, k.Close(ctx)); errors.Is(err, custody.ErrUnknownLogin) {
		return nil
	}
	return l.forget(ctx, login)
}

// forget removes the refresh token of a login, which takes no key.
func (l *Ledger) forget(ctx context.Context, login string) error {
	k := custody.New(sealed.New(l.eng, loginSealer{}), l.o.Custody)
	if err := errors.Join(k.Forget(ctx, login), k.Close(ctx)); err != nil {
		return fmt.Errorf("remove a refresh token: %w", err)
	}
	return nil
}
