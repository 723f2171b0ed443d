package custody

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/store"
)

const (
	// saveTries are made at once when the store says that others were in the way.
	saveTries = 4
	// Between later attempts the wait doubles from the first to the last of these.
	firstRetry = time.Second
	lastRetry  = time.Minute
)

// unsaved is a refresh token that is newer than what the store has. Only this process knows it.
type unsaved struct {
	sending // the call it came from; hash and stored name the token in the store
	token   secret.Text
}

// save makes a new refresh token durable. When that fails the token stays in memory and saving goes on in the
// background, because the access token that came with it is good and the old refresh token is not any more.
func (k *Keeper) save(ctx context.Context, l *login, s sending, fresh secret.Text) {
	err := k.saveOnce(ctx, l, s, fresh)
	changed := !fresh.Empty() && hashOf(fresh) != s.hash
	switch {
	case err == nil:
		k.setUnsaved(l, nil)
		if changed {
			k.opts.Log.DebugContext(ctx, "refresh token replaced", "login", l.id, "old", s.hash.id(), "tokid", fresh.ID())
		}
	case errors.Is(err, ErrUnknownLogin):
		k.setUnsaved(l, nil)
		k.opts.Log.InfoContext(ctx, "refresh token dropped: its login was removed meanwhile", "login", l.id)
	case !changed:
		k.opts.Log.WarnContext(ctx, "the state of a login was not saved", "login", l.id, "err", err)
	default:
		k.opts.Log.ErrorContext(ctx, "a new refresh token could not be saved and is in memory only; still trying",
			"login", l.id, "tokid", fresh.ID(), "err", err)
		k.keepTrying(ctx, l, &unsaved{sending: s, token: fresh.Clone()})
	}
}

func (k *Keeper) saveOnce(ctx context.Context, l *login, s sending, fresh secret.Text) error {
	ctx, cancel := context.WithTimeout(ctx, k.opts.Wait)
	defer cancel()
	edit := func(r *record) error { r.answered(s, fresh, k.opts.Now()); return nil }
	held := l.leases()
	var err error
	for range saveTries {
		err = k.change(ctx, l.id, edit, held...)
		switch {
		case errors.Is(err, store.ErrFenced):
			// Another node took over. The rules of the record settle which token is current; none is dropped.
			held = nil
		case errors.Is(err, store.ErrConflict), errors.Is(err, store.ErrUnknown):
		default:
			return err
		}
	}
	return err
}

// newest returns the token in memory that is newer than rec, if there is one.
func (k *Keeper) newest(l *login, rec *record) *unsaved {
	k.mu.Lock()
	defer k.mu.Unlock()
	if l == nil || l.unsaved == nil || l.unsaved.family != rec.Family {
		return nil
	}
	return l.unsaved
}

// newestOf is newest for those who take no part in a refresh.
func (k *Keeper) newestOf(id string, rec *record) *unsaved {
	k.mu.Lock()
	l := k.logins[id]
	k.mu.Unlock()
	return k.newest(l, rec)
}

// Unsaved reports whether a refresh token of the login id is in the memory of this process only. It does not look at the
// store, where a newer login may have made that one void: State does.
func (k *Keeper) Unsaved(id string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	l := k.logins[id]
	return l != nil && l.unsaved != nil
}

// setUnsaved replaces the token in memory. The old one is wiped by garbage collection only: others may be copying it.
func (k *Keeper) setUnsaved(l *login, u *unsaved) {
	k.mu.Lock()
	defer k.mu.Unlock()
	l.unsaved = u
}

func (k *Keeper) forgetUnsaved(l *login, s sending) {
	if s.hash != s.stored {
		k.setUnsaved(l, nil)
	}
}

// saveAgain tries once more to save the token in memory, and reports whether there is none left.
func (k *Keeper) saveAgain(ctx context.Context, l *login) bool {
	k.mu.Lock()
	u := l.unsaved
	k.mu.Unlock()
	if u == nil {
		return true
	}
	err := k.saveOnce(ctx, l, u.sending, u.token)
	if err != nil && !errors.Is(err, ErrUnknownLogin) {
		return false
	}
	k.opts.Log.InfoContext(ctx, "a refresh token that was in memory only is saved", "login", l.id, "tokid", u.token.ID())
	k.setUnsaved(l, nil)
	return true
}

// keepTrying holds u in memory and sees to it that one goroutine tries to save it until Close.
func (k *Keeper) keepTrying(ctx context.Context, l *login, u *unsaved) {
	k.mu.Lock()
	running := l.unsaved != nil
	l.unsaved = u
	if !running {
		l.users++ // here, not in the goroutine: the caller's own use may end before that runs
	}
	k.mu.Unlock()
	if running {
		return
	}
	k.wg.Go(func() {
		defer k.exit(l)
		for pause := firstRetry; ; pause = min(2*pause, lastRetry) {
			last := !k.pause(pause)
			if k.tryInTurn(ctx, l, last) || last {
				return
			}
		}
	})
}

func (k *Keeper) pause(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-k.stop:
		return false
	}
}

// tryInTurn saves between refreshes, not beside one, and reports whether nothing is left to save. The last time it
// lets other processes go on either way.
func (k *Keeper) tryInTurn(ctx context.Context, l *login, last bool) bool {
	ctx, cancel := context.WithTimeout(ctx, k.opts.Wait+maxTries*k.opts.Timeout)
	defer cancel()
	if l.turn.Acquire(ctx, all) != nil {
		if last {
			k.giveUp(ctx, l)
		}
		return false
	}
	defer l.turn.Release(all)
	saved := k.saveAgain(ctx, l)
	if !saved && last {
		k.giveUp(ctx, l)
	}
	k.dropHold(ctx, l)
	return saved
}

// giveUp notes for Close that the token in memory is lost.
func (k *Keeper) giveUp(ctx context.Context, l *login) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if l.unsaved == nil {
		return
	}
	k.opts.Log.ErrorContext(ctx, "a new refresh token could not be saved until the end", "login", l.id,
		"tokid", l.unsaved.token.ID())
	k.notSaved = append(k.notSaved, fmt.Errorf("%s: %w", l.id, ErrNotSaved))
	l.unsaved = nil
}

// Close waits for the requests in flight, whose answers must be saved, and makes a last attempt to save what could
// not be saved so far. Refreshes that wait for their turn fail with ErrClosed. The error wraps ErrNotSaved when a
// refresh token is lost, or is that of ctx when it ended first.
func (k *Keeper) Close(ctx context.Context) error {
	k.mu.Lock()
	if !k.closed {
		k.closed = true
		close(k.stop)
	}
	k.mu.Unlock()
	idle := make(chan struct{})
	go func() { k.wg.Wait(); close(idle) }()
	select {
	case <-idle:
	case <-ctx.Done():
		return fmt.Errorf("wait for refreshes in flight: %w", context.Cause(ctx))
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	return errors.Join(k.notSaved...)
}
