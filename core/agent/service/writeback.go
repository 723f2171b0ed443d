package service

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"time"

	"github.com/oidcbox/oidcbox/core/agent/login"
)

// Bounds of writing rotated refresh tokens back into account files.
const (
	// writeEvery keeps a login that is refreshed all the time from deriving a key of 64 MiB all the time.
	writeEvery = 5 * time.Second
	// writeTries is how often a file that changes under our hands is read again.
	writeTries = 3
	// writeLimit bounds the work on one file.
	writeLimit = 30 * time.Second
)

// fileWriter keeps account files up to date: when the provider has replaced the refresh token of a login that has an
// account file, the new one goes into the file as soon as a password for it is at hand. It works in the background; no
// answer waits for it and nobody is asked. Several rotations in a row make one writing.
//
// # Two agents beside each other
//
// The original's agent may hold the same login and write the same file, and it never reads a file again. So:
//
//  1. A file is changed only when the refresh token in it is one that ours has replaced. One that we have never seen
//     was put there by somebody else: another agent that rotated, or a person who logged in again. It stays.
//  2. Only that one member changes, and only in the configuration of the same client at the same issuer.
//  3. The file is read again just before it is replaced; when it has changed meanwhile everything begins anew. What
//     remains is the moment between that look and the rename. Whoever loses in it is found out by rule 4.
//  4. Before a refresh we look whether the file is still the one we read or wrote. When it is not, and a password is at
//     hand, a token in it that we have never seen is taken over before anything is sent: a provider that detects reuse
//     would otherwise end the login for both. A token that ours has replaced means that our writing was undone; it is
//     made again. The same look is taken, whatever the file, when the provider refuses our token.
//  5. A file is written whole or not at all, and with the password, or for the keys, that it had.
type fileWriter struct {
	s *Service

	every time.Duration // least time between two writings of one file
	turn  chan struct{} // holds one while somebody works on a file
	wake  chan struct{} // something is due

	mu   sync.Mutex
	rows map[string]*fileRow
}

// fileRow is what is known of the account file of one login.
type fileRow struct {
	sum     [32]byte // of the file as it was last read or written by us; zero: never
	token   string   // ID of the refresh token that was in it then; "" where it could not be opened
	since   time.Time
	proven  bool // it was seen to hold what the client handed over
	foreign bool // it holds what is not ours to change

	heard  int  // how often there was news: another refresh token of ours, perhaps a password
	dirty  bool // our refresh token is newer
	stuck  bool // dirty, and writing failed: wait for something to change
	warned bool
	next   time.Time // not written before
}

func newFileWriter(s *Service) *fileWriter {
	return &fileWriter{
		s: s, every: writeEvery, turn: make(chan struct{}, 1), wake: make(chan struct{}, 1), rows: make(map[string]*fileRow),
	}
}

// run writes what is due until stop is closed. What is left then is for flushAll.
func (w *fileWriter) run(stop <-chan struct{}) {
	ctx, done := w.s.untilStop()
	defer done()
	for {
		name, wait := w.due()
		if name != "" {
			w.background(ctx, name)
			continue
		}
		if !w.sleep(stop, wait) {
			return
		}
	}
}

// sleep waits until somebody calls or the time is over, 0 is no time; false when stop was closed.
func (w *fileWriter) sleep(stop <-chan struct{}, wait time.Duration) bool {
	var later <-chan time.Time
	if wait > 0 {
		t := time.NewTimer(wait)
		defer t.Stop()
		later = t.C
	}
	select {
	case <-stop:
		return false
	case <-w.wake:
	case <-later:
	}
	return true
}

func (w *fileWriter) background(ctx context.Context, name string) {
	if w.s.gate.enter() != nil {
		w.block(name) // locked: the keys are away until unlock calls again
		return
	}
	defer w.s.gate.leave()
	if err := w.s.keepFileLogin(ctx, name); err != nil {
		w.s.opts.Log.WarnContext(ctx, "login from an account file is not kept in the keystore", "login", name, "err", err)
	}
	_ = w.flush(ctx, name) // it has been logged
}

// due is a login whose file is to be written now, or how long to wait for one; 0 is until somebody calls.
func (w *fileWriter) due() (name string, wait time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for name, r := range w.rows {
		if !r.dirty || r.stuck {
			continue
		}
		left := time.Until(r.next)
		if left <= 0 {
			return name, 0
		}
		if wait == 0 || left < wait {
			wait = left
		}
	}
	return "", wait
}

func (w *fileWriter) call() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

func (w *fileWriter) edit(name string, fn func(*fileRow)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	r, ok := w.rows[name]
	if !ok {
		r = &fileRow{}
		w.rows[name] = r
	}
	fn(r)
}

func (w *fileWriter) row(name string) fileRow {
	w.mu.Lock()
	defer w.mu.Unlock()
	if r, ok := w.rows[name]; ok {
		return *r
	}
	return fileRow{}
}

func (w *fileWriter) block(name string) { w.edit(name, func(r *fileRow) { r.stuck = true }) }

// loaded notes that a client has read the file of a login and handed over what was in it; current is the refresh token
// that we go on with. Call it when the entry for the password is there.
func (w *fileWriter) loaded(ctx context.Context, cfg login.Config, current string) {
	name := cfg.Name
	if !w.s.hasAccount(name) {
		return
	}
	f, err := w.s.opts.Accounts.Read(name)
	given := cfg.RefreshToken.ID()
	proven := err == nil && f.Format == login.PGP && w.holds(ctx, name, given)
	w.edit(name, func(r *fileRow) {
		*r = fileRow{since: time.Now(), warned: r.warned, proven: proven, heard: r.heard + 1}
		if err == nil {
			r.sum, r.token = f.Sum(), given
		}
		r.dirty = given != current
	})
	w.call()
}

// holds reports whether the account file of a name is seen to hold this refresh token. Of an OpenPGP message it can be
// seen now, when the client has just had it opened and gpg's agent remembers; later it often cannot.
func (w *fileWriter) holds(ctx context.Context, name, token string) bool {
	o, err := w.open(ctx, name)
	if err != nil {
		return false
	}
	defer o.wipe()
	return o.cfg.RefreshToken.ID() == token
}

// rotated notes that the refresh token of a login is now the one with this ID.
func (w *fileWriter) rotated(name, current string) {
	if !w.s.hasAccount(name) {
		return
	}
	w.edit(name, func(r *fileRow) {
		r.heard++
		r.dirty, r.stuck = r.token != current && !r.foreign, false
	})
	w.call()
}

// again lets what failed be tried once more: a password may be at hand now.
func (w *fileWriter) again() {
	w.mu.Lock()
	for _, r := range w.rows {
		r.heard++
		r.stuck = false
	}
	w.mu.Unlock()
	w.call()
}

// current reports whether the account file of a login is known to hold the refresh token with this ID.
func (w *fileWriter) current(name, token string) bool {
	r := w.row(name)
	return token != "" && r.token == token && !r.dirty
}

// forget drops what is known of a file.
func (w *fileWriter) forget(name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.rows, name)
}

// flushAll writes everything that is not up to date, at the end and before the agent is locked.
func (w *fileWriter) flushAll(ctx context.Context) error {
	w.mu.Lock()
	var names []string
	for name, r := range w.rows {
		if r.dirty {
			names = append(names, name)
		}
	}
	w.mu.Unlock()
	var faults []error
	for _, name := range names {
		faults = append(faults, w.flush(ctx, name))
	}
	return errors.Join(faults...)
}

// flush writes the file of a login if it is not up to date. Nothing to write, and no password, are no errors.
func (w *fileWriter) flush(ctx context.Context, name string) error {
	if !w.row(name).dirty {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, writeLimit)
	defer cancel()
	select {
	case w.turn <- struct{}{}:
		defer func() { <-w.turn }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if !w.row(name).dirty {
		return nil // somebody else has done it
	}
	var err error
	heard := w.row(name).heard
	for range writeTries {
		if err = w.write(ctx, name); !errors.Is(err, errFileChanged) {
			break
		}
	}
	w.edit(name, func(r *fileRow) {
		r.next, r.stuck = time.Now().Add(w.every), r.dirty && err != nil && r.heard == heard
	})
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errNoPassword):
		w.warn(ctx, name)
		return nil
	}
	w.s.opts.Log.WarnContext(ctx, "account file not brought up to date", "login", name, "err", err)
	return err
}

// warn says once that a file stays behind.
func (w *fileWriter) warn(ctx context.Context, name string) {
	w.s.noteBehind(ctx, name, w.row(name).token)
	first := false
	w.edit(name, func(r *fileRow) { first, r.warned = !r.warned, true })
	if !first {
		return
	}
	kept := "in memory only: it ends with the agent"
	if l, ok := w.s.logins.get(name); ok && l.stored {
		kept = "in the keystore"
	}
	w.s.opts.Log.WarnContext(ctx, "the provider has replaced the refresh token, and no password for the account file is "+
		"at hand to write the new one into it", "login", name, "kept", kept)
}

var (
	// errFileChanged says that a file was changed while it was worked on.
	errFileChanged = errors.New("account file was changed by somebody else meanwhile")
	// errOtherLogin says that the account file of this name is for another client or issuer.
	errOtherLogin = errors.New("account file is for another login")
)

// write brings one file up to date, by the rules of fileWriter. The caller has the turn.
func (w *fileWriter) write(ctx context.Context, name string) error {
	heard := w.row(name).heard
	sh, cfg, err := w.login(ctx, name)
	if err != nil {
		return err
	}
	defer cfg.Wipe()
	o, err := w.open(ctx, name)
	if errors.Is(err, errNoPassword) {
		o, err = w.asGiven(ctx, sh, name, err)
	}
	if errors.Is(err, fs.ErrNotExist) && !errors.Is(err, errNoPassword) { // a file with the password may be missing too
		w.forget(name) // removed, or renamed: it is not ours to bring back
		return nil
	}
	if err != nil {
		return err
	}
	defer o.wipe()
	o.heard = heard
	what, err := judge(ctx, sh, cfg, o.cfg)
	switch {
	case err != nil:
		return err
	case o.given:
		return w.replace(ctx, sh, name, o)
	case what == sameToken:
		w.settle(name, o.file.Sum(), o.cfg.RefreshToken.ID(), heard)
		return nil
	case what == newToken:
		w.leave(name, [32]byte{}) // the next refresh takes it over
		return nil
	case what == otherLogin:
		w.leave(name, o.file.Sum())
		return errOtherLogin
	}
	return w.replace(ctx, sh, name, o)
}

// settle notes that a file holds our refresh token, as it was when heard was read: what was heard since is still to be
// written. At no moment does the row say otherwise, because flush believes it.
func (w *fileWriter) settle(name string, sum [32]byte, token string, heard int) {
	w.edit(name, func(r *fileRow) {
		r.sum, r.token, r.foreign, r.dirty = sum, token, false, r.heard != heard
	})
}

// leave notes that a file holds what is not ours to change.
func (w *fileWriter) leave(name string, sum [32]byte) {
	w.edit(name, func(r *fileRow) {
		r.sum, r.token, r.foreign, r.proven, r.dirty = sum, "", true, false, false
	})
}

// replace puts the current refresh token into an open file.
func (w *fileWriter) replace(ctx context.Context, sh *shelf, name string, o opened) error {
	rt, err := sh.keeper.Token(ctx, name)
	if err != nil {
		return err
	}
	defer rt.Wipe()
	file, err := o.with(ctx, rt)
	if err != nil {
		return fmt.Errorf("write account %s: %w", name, err)
	}
	now, err := w.s.opts.Accounts.Read(name)
	if err != nil || now.Sum() != o.file.Sum() {
		return fmt.Errorf("%w: %w", errFileChanged, err)
	}
	if err := w.s.opts.Accounts.Write(name, file); err != nil {
		return err
	}
	written, err := login.ParseFile(file)
	if err != nil {
		return err
	}
	w.settle(name, written.Sum(), rt.ID(), o.heard)
	w.s.opts.Log.InfoContext(ctx, "new refresh token written into the account file", "login", name, "tokid", rt.ID())
	return nil
}

// login is what we have of a login, wherever it is. One that was in memory is still there when it has just been unloaded.
func (w *fileWriter) login(ctx context.Context, name string) (*shelf, login.Config, error) {
	if _, served := w.s.logins.get(name); !served {
		if cfg, _, err := w.s.memory().config(ctx, name); err == nil {
			return w.s.memory(), cfg, nil
		}
	}
	sh, err := w.s.holder(ctx, name)
	if err != nil {
		return nil, login.Config{}, err
	}
	cfg, _, err := sh.config(ctx, name)
	return sh, cfg, err
}

// giveUp waits until nobody works on the file of a login and forgets it: nothing is written into it from then on, so
// that a client can remove it without seeing it come back.
func (w *fileWriter) giveUp(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, writeLimit)
	defer cancel()
	select {
	case w.turn <- struct{}{}:
		defer func() { <-w.turn }()
	case <-ctx.Done():
		return fmt.Errorf("wait for the account file of %s: %w", name, context.Cause(ctx))
	}
	w.forget(name)
	return nil
}

// behind reports whether the account file of a login has a refresh token that was replaced.
func (w *fileWriter) behind(name string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	r, ok := w.rows[name]
	return ok && r.dirty
}
