package desk

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/oidcbox/oidcbox/core/mytoken/rules"
)

// notice tells of something about the mytoken in hand.
func (d *Desk) notice(ctx context.Context, b *bearer, n Notice) {
	if d.o.Notify == nil {
		return
	}
	if n.MOMID == "" {
		n.MOMID, n.Name, n.Expires = b.MOMID, b.Claims.Name, b.Claims.Expires
	}
	n.User = b.User
	d.tell(ctx, n)
}

func (d *Desk) tell(ctx context.Context, n Notice) {
	if d.o.Notify == nil {
		return
	}
	if n.At.IsZero() {
		n.At = d.now()
	}
	d.o.Notify(context.WithoutCancel(ctx), n)
}

// audit tells of a decision; the outcome is read from err.
func (d *Desk) audit(ctx context.Context, e AuditEvent, err error) {
	if d.o.Audit == nil {
		return
	}
	var no *Error
	switch {
	case err == nil:
		e.Outcome = "ok"
	case errors.As(err, &no):
		e.Outcome, e.Reason = no.Code, no.Description
	default:
		e.Outcome = CodeInternal
	}
	e.At = d.now()
	d.o.Audit(context.WithoutCancel(ctx), e)
}

// cut bounds a text that is repeated.
func (d *Desk) cut(s string) string { return cutTo(s, d.o.Limits.Name) }

func cutTo(s string, most int) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	if len(s) <= most {
		return s
	}
	for !utf8.RuneStart(s[most]) {
		most--
	}
	return s[:most]
}

// maxReasons bounds how much of the reasons of a refusal is repeated.
const maxReasons = 1000

// reasons are the faults on one line.
func reasons(faults []rules.Fault) string {
	parts := make([]string, len(faults))
	for i, f := range faults {
		parts[i] = f.String()
	}
	return cutTo(strings.Join(parts, "; "), maxReasons)
}

// addresses remembers where mytokens were used from, so that a new place is noticed. It is a memory of this process in
// front of the histories, and bounded: what falls out of it is read again.
type addresses struct {
	mu  sync.Mutex
	all map[string]map[netip.Addr]struct{} // by mom_id
}

const (
	maxTokensSeen = 20_000
	maxPlaces     = 32 // of one mytoken
	// eventsRead is how far back a history is read for the addresses in it.
	eventsRead = 200
)

func newAddresses() *addresses { return &addresses{all: make(map[string]map[netip.Addr]struct{})} }

// add notes an address and reports whether the mytoken is remembered, and whether the address was there.
func (a *addresses) add(momID string, from netip.Addr) (remembered, known bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	places, ok := a.all[momID]
	if !ok {
		return false, false
	}
	if _, ok := places[from]; ok {
		return true, true
	}
	if len(places) >= maxPlaces {
		for p := range places { // whichever comes first
			delete(places, p)
			break
		}
	}
	places[from] = struct{}{}
	return true, false
}

// learn remembers a mytoken.
func (a *addresses) learn(momID string, places map[netip.Addr]struct{}) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.all) >= maxTokensSeen {
		for id := range a.all { // whichever comes first
			delete(a.all, id)
			break
		}
	}
	a.all[momID] = places
}

// isNew reports whether a mytoken was never used from an address so far, as its history says. It is asked before the
// use is written into that.
func (d *Desk) isNew(ctx context.Context, b *bearer, from Origin) bool {
	if d.o.Notify == nil || !from.Client.IsValid() {
		return false
	}
	client := from.Client.Unmap()
	if remembered, known := d.seen.add(b.MOMID, client); remembered {
		return !known
	}
	events, err := d.o.Ledger.Events(ctx, b.MOMID, eventsRead)
	if err != nil {
		return false
	}
	places := make(map[netip.Addr]struct{})
	for _, e := range events {
		if ip, err := netip.ParseAddr(e.IP); err == nil {
			places[ip.Unmap()] = struct{}{}
		}
	}
	_, known := places[client]
	places[client] = struct{}{}
	d.seen.learn(b.MOMID, places)
	return !known
}
