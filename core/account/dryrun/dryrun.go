// Package dryrun is an account system that changes nothing: it says what would be done and remembers it, so that a
// configuration can be tried with real logins, and a program tested without accounts.
//
// What it is told is forgotten with the process. It is no simulation of a particular system: it ends no sessions, knows
// no NSS beyond what Options hand in, and never fails for a reason of its own.
//
// Standards: none.
//
// Not a public API.
package dryrun

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/oidcbox/oidcbox/core/account/backend"
	"github.com/oidcbox/oidcbox/core/account/names"
)

// maxAccounts bounds what is remembered.
const maxAccounts = 100_000

// Options are what New needs. The zero value works.
type Options struct {
	Limits names.Limits
	// Real is asked for accounts and names that were not made here, and is never told to change anything. It may be nil.
	Real backend.System
	// Would is told what would have been done: one line without anything that a terminal may not see. It may be nil.
	Would func(ctx context.Context, what string)
	// Shells are shown in accounts; a tier that has none is nologin.
	Shells map[backend.Tier]string
}

// System remembers what it would have done. It is safe for concurrent use.
type System struct {
	opt Options

	mu       sync.Mutex
	accounts map[string]*entry // by identity
	owners   map[string]string // every name that was ever given, and the identity it was given to
	groups   map[string]uint32
	uids     map[uint32]string // likewise
	nextUID  uint32
	nextGID  uint32
}

// entry is an account, and what comes back when it was undeployed.
type entry struct {
	backend.Account
	keys []backend.Key
	tier backend.Tier
	gone bool
}

var _ backend.System = (*System)(nil)

// New returns a system without accounts.
func New(o Options) *System {
	first := func(low uint32) uint32 { return max(cmp.Or(low, 1000), names.HardFloor) }
	return &System{
		opt: o, accounts: map[string]*entry{}, owners: map[string]string{}, uids: map[uint32]string{},
		groups: map[string]uint32{}, nextUID: first(o.Limits.MinUID), nextGID: first(o.Limits.MinGID),
	}
}

func (s *System) would(ctx context.Context, format string, args ...any) {
	if s.opt.Would != nil {
		s.opt.Would(ctx, fmt.Sprintf(format, args...))
	}
}

// Find looks an account up here, and then in the real system.
func (s *System) Find(ctx context.Context, id string) (backend.Account, error) {
	s.mu.Lock()
	e := s.accounts[id]
	if e != nil {
		defer s.mu.Unlock()
		if e.gone {
			return backend.Account{}, backend.ErrNoAccount
		}
		return e.copied(), nil
	}
	s.mu.Unlock()
	if s.opt.Real == nil {
		return backend.Account{}, backend.ErrNoAccount
	}
	return s.opt.Real.Find(ctx, id)
}

func (e *entry) copied() backend.Account {
	a := e.Account
	a.Groups = slices.Clone(a.Groups)
	return a
}

// Holder says who has a name, here or in the real system.
func (s *System) Holder(ctx context.Context, name string) (backend.Holder, error) {
	s.mu.Lock()
	id, given := s.owners[name]
	_, group := s.groups[name]
	s.mu.Unlock()
	switch {
	case given:
		return backend.Holder{Taken: true, ID: id}, nil
	case group:
		return backend.Holder{Taken: true}, nil
	case s.opt.Real != nil:
		return s.opt.Real.Holder(ctx, name)
	}
	return backend.Holder{}, nil
}

// Deploy remembers the account. What the real system has under that identity is taken over as it is.
func (s *System) Deploy(ctx context.Context, w backend.Wanted) (backend.Done, error) {
	if err := s.check(w); err != nil {
		return backend.Done{}, err
	}
	real, err := s.adopt(ctx, w)
	if err != nil {
		return backend.Done{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	e, done, err := s.account(w, real)
	if err != nil {
		return backend.Done{}, err
	}
	wanted := s.wantedGroups(w, e.Primary)
	done.Added, done.Removed = missing(wanted, e.Groups), missing(e.Groups, wanted)
	e.Groups = wanted
	if w.Keys != nil {
		e.keys = slices.Clone(w.Keys)
	}
	if w.Tier != e.tier {
		s.shell(e, w.Tier)
	}
	done.Account, done.Keys = e.copied(), slices.Clone(e.keys)
	s.would(ctx, "deploy %s for %s: created %t, groups %q, keys %d", e.Name, e.ID, done.Created, e.Groups, len(e.keys))
	return done, nil
}

func (s *System) check(w backend.Wanted) error {
	if _, _, err := names.Decode(w.ID); err != nil {
		return fmt.Errorf("deploy: %w: %w", backend.ErrRefused, err)
	}
	if err := s.opt.Limits.CheckName(w.Name); err != nil {
		return fmt.Errorf("deploy %q: %w: %w", w.Name, backend.ErrRefused, err)
	}
	for _, g := range w.Groups {
		if err := s.opt.Limits.CheckName(g); err != nil {
			return fmt.Errorf("deploy group %q: %w: %w", g, backend.ErrRefused, err)
		}
	}
	if err := names.Check(w.Primary); err != nil {
		return fmt.Errorf("deploy primary group %q: %w: %w", w.Primary, backend.ErrRefused, err)
	}
	return nil
}

// adopt asks the real system, if there is one, for the account and whether the name is free; nil when there is none.
func (s *System) adopt(ctx context.Context, w backend.Wanted) (*backend.Account, error) {
	a, err := s.Find(ctx, w.ID)
	if err == nil {
		return &a, nil
	}
	if s.opt.Real == nil {
		return nil, nil //nolint:nilnil // no account is no error
	}
	h, err := s.opt.Real.Holder(ctx, w.Name)
	if err != nil {
		return nil, fmt.Errorf("ask who has %s: %w", w.Name, err)
	}
	if h.Taken && h.ID != w.ID {
		return nil, fmt.Errorf("deploy %s: %w", w.Name, backend.ErrTaken)
	}
	return nil, nil //nolint:nilnil // likewise
}

// account returns the entry of an identity, made when there is none. The caller holds the lock.
func (s *System) account(w backend.Wanted, real *backend.Account) (*entry, backend.Done, error) {
	if e := s.accounts[w.ID]; e != nil {
		created := e.gone
		e.gone = false
		return e, backend.Done{Created: created}, nil
	}
	if real != nil {
		e := &entry{Account: *real, tier: w.Tier}
		s.keep(e)
		return e, backend.Done{}, nil
	}
	if owner, taken := s.owners[w.Name]; taken && owner != w.ID {
		return nil, backend.Done{}, fmt.Errorf("deploy %s: %w", w.Name, backend.ErrTaken)
	}
	if _, group := s.groups[w.Name]; group && w.Name != w.Primary {
		return nil, backend.Done{}, fmt.Errorf("deploy %s, which is a group: %w", w.Name, backend.ErrTaken)
	}
	if len(s.accounts) >= maxAccounts {
		return nil, backend.Done{}, fmt.Errorf("deploy %s: %w: too many accounts for a trial", w.Name, backend.ErrRefused)
	}
	uid, err := s.number(w)
	if err != nil {
		return nil, backend.Done{}, fmt.Errorf("deploy %s: %w", w.Name, err)
	}
	e := &entry{Account: backend.Account{
		ID: w.ID, Name: w.Name, UID: uid, GID: s.group(w.Primary), Home: "/home/" + w.Name, Primary: w.Primary,
	}}
	s.keep(e)
	return e, backend.Done{Created: true}, nil
}

func (s *System) keep(e *entry) {
	s.accounts[e.ID], s.owners[e.Name], s.uids[e.UID] = e, e.ID, e.ID
}

func (s *System) number(w backend.Wanted) (uint32, error) {
	if w.UID != 0 {
		if owner, taken := s.uids[w.UID]; taken && owner != w.ID {
			return 0, fmt.Errorf("uid %d: %w", w.UID, backend.ErrTaken)
		}
		if err := s.opt.Limits.CheckUID(w.UID); err != nil {
			return 0, fmt.Errorf("uid %d: %w: %w", w.UID, backend.ErrRefused, err)
		}
		return w.UID, nil
	}
	for {
		uid := s.nextUID
		if err := s.opt.Limits.CheckUID(uid); err != nil {
			return 0, fmt.Errorf("uid %d: %w: %w", uid, backend.ErrRefused, err)
		}
		s.nextUID++
		if _, taken := s.uids[uid]; !taken {
			return uid, nil
		}
	}
}

func (s *System) group(name string) uint32 {
	if _, made := s.groups[name]; !made {
		s.groups[name] = s.nextGID
		s.nextGID++
	}
	return s.groups[name]
}

func (s *System) wantedGroups(w backend.Wanted, primary string) []string {
	var list []string
	for _, g := range w.Groups {
		if g == primary {
			continue
		}
		s.group(g)
		list = append(list, g)
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// missing is what of want is not in have.
func missing(want, have []string) []string {
	var out []string
	for _, g := range want {
		if !slices.Contains(have, g) {
			out = append(out, g)
		}
	}
	return out
}

func (s *System) shell(e *entry, t backend.Tier) {
	e.tier = t
	e.Shell = s.opt.Shells[t]
	e.NoLogin = e.Shell == "" && (t != backend.Full || len(s.opt.Shells) > 0)
	switch {
	case e.NoLogin:
		e.Shell = "/usr/sbin/nologin"
	case e.Shell == "":
		e.Shell = "/bin/sh"
	}
}

// SetTier changes the shell that is shown.
func (s *System) SetTier(ctx context.Context, r backend.Ref, t backend.Tier) error {
	return s.change(ctx, r, "set tier "+string(t), func(e *entry) { s.shell(e, t) })
}

// Suspend sets the mark; there are no sessions to end.
func (s *System) Suspend(ctx context.Context, r backend.Ref, kill bool) error {
	what := "suspend"
	if kill {
		what += " and end sessions"
	}
	return s.change(ctx, r, what, func(e *entry) { e.Suspended = true })
}

// Resume takes the mark away.
func (s *System) Resume(ctx context.Context, r backend.Ref) error {
	return s.change(ctx, r, "resume", func(e *entry) { e.Suspended = false })
}

// Undeploy forgets keys and groups; name and uid stay with the identity.
func (s *System) Undeploy(ctx context.Context, r backend.Ref) error {
	return s.change(ctx, r, "undeploy", func(e *entry) {
		e.gone, e.keys, e.Groups, e.Suspended = true, nil, nil, false
	})
}

func (s *System) change(ctx context.Context, r backend.Ref, what string, change func(*entry)) error {
	real, err := s.Find(ctx, r.ID)
	if err != nil {
		return fmt.Errorf("%s %q: %w", what, r.Name, err)
	}
	if real.Name != r.Name {
		return fmt.Errorf("%s %q: %w", what, r.Name, backend.ErrMismatch)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.accounts[r.ID]
	if e == nil {
		e = &entry{Account: real}
		s.keep(e)
	}
	change(e)
	s.would(ctx, "%s %s of %s", what, e.Name, e.ID)
	return nil
}

// All gives the accounts of here, then those of the real system that were not changed here.
func (s *System) All(ctx context.Context, each func(backend.Account) error) error {
	s.mu.Lock()
	known := maps.Clone(s.accounts)
	var list []backend.Account
	for _, e := range known {
		if !e.gone {
			list = append(list, e.copied())
		}
	}
	s.mu.Unlock()
	for _, a := range list {
		if err := each(a); err != nil {
			return err
		}
	}
	if s.opt.Real == nil {
		return ctx.Err()
	}
	return s.opt.Real.All(ctx, func(a backend.Account) error {
		if known[a.ID] != nil {
			return nil
		}
		return each(a)
	})
}

// Trust says what the real system says; what is remembered here nobody else can change.
func (s *System) Trust(ctx context.Context) error {
	if s.opt.Real == nil {
		return nil
	}
	return s.opt.Real.Trust(ctx)
}
