package service

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/oidcbox/oidcbox/core/agent/login"
	"github.com/oidcbox/oidcbox/core/sorted"
)

// maxLoaded bounds the logins a client can load.
const maxLoaded = 512

// loaded is a login that is served. It holds nothing secret: configuration and tokens stay on the shelf.
type loaded struct {
	name    string
	issuer  string
	subject string // "" where no ID token has said whose login it is
	stored  bool   // on the disk shelf
	// fromFile says that the login on the disk shelf belongs to an account file: see row.FromFile.
	fromFile bool
	expires  time.Time // zero: never
	order    int
	serial   uint64 // of this login among all that were served; 0: put gives one
	// place is held for reading while the refresh token is in use, and for writing while the login moves to another
	// shelf. Every put makes a new one, so that who waited can see that the login is not the same any more.
	place *sync.RWMutex

	confirm    bool // ask the person before each token
	allowIDTok bool // id tokens without asking
}

// registry is the list of logins that are served, by name.
type registry struct {
	now func() time.Time

	mu   sync.Mutex
	rows map[string]loaded
	next int
	last uint64 // serial
}

func newRegistry(now func() time.Time) *registry {
	return &registry{now: now, rows: make(map[string]loaded)}
}

// put adds or replaces a login. A replaced one keeps its place in the order.
func (r *registry) put(l loaded) error {
	_, err := r.add(l)
	return err
}

// add is put, and returns the login as it is served.
func (r *registry) add(l loaded) (loaded, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	old, there := r.rows[l.name]
	if !there && len(r.rows) >= maxLoaded {
		return loaded{}, ErrTooMany
	}
	if l.serial == 0 {
		r.last++
		l.serial = r.last
	}
	l.order, l.place = old.order, new(sync.RWMutex)
	if !there {
		r.next++
		l.order = r.next
	}
	r.rows[l.name] = l
	return l, nil
}

func (r *registry) get(name string) (loaded, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	l, ok := r.rows[name]
	return l, ok && !r.expired(l)
}

func (r *registry) remove(name string) (loaded, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	l, ok := r.rows[name]
	delete(r.rows, name)
	return l, ok && !r.expired(l)
}

// list gives the logins in the order they were loaded.
func (r *registry) list() []loaded {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make([]loaded, 0, len(r.rows))
	for _, l := range r.rows {
		if !r.expired(l) {
			out = append(out, l)
		}
	}
	sorted.By(out, func(a, b loaded) int { return cmp.Compare(a.order, b.order) })
	return out
}

// forIssuer is the login for a request by issuer: the one loaded last.
func (r *registry) forIssuer(issuer string) (loaded, bool) {
	list := r.list()
	for _, l := range slices.Backward(list) {
		if login.SameIssuer(l.issuer, issuer) {
			return l, true
		}
	}
	return loaded{}, false
}

// takeExpired removes and returns the logins whose lifetime is over.
func (r *registry) takeExpired() []loaded {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []loaded
	for name, l := range r.rows {
		if r.expired(l) {
			out = append(out, l)
			delete(r.rows, name)
		}
	}
	return out
}

// takeStored removes and returns the logins of the disk shelf.
func (r *registry) takeStored() []loaded {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []loaded
	for name, l := range r.rows {
		if l.stored {
			out = append(out, l)
			delete(r.rows, name)
		}
	}
	return out
}

func (r *registry) expired(l loaded) bool {
	return !l.expires.IsZero() && remaining(l.expires, r.now()) <= 0
}
