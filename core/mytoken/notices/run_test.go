package notices

import (
	"context"
	"testing"

	"github.com/oidcbox/oidcbox/core/mytoken/desk"
)

// A server that is stopped writes down what it was told before it ends.
func TestStopped(t *testing.T) {
	b := newBed(t)
	b.verified("alice", "alice@example.org")
	b.mt("alice", "m1", 0)
	_, err := b.subscribe(t.Context(), "alice", subscription{classes: []string{"security", desk.ClassAccess}, wide: true})
	must(t, err)
	for _, class := range []string{desk.ClassIPs, desk.ClassAccess, desk.ClassRevoked} {
		b.Notice(t.Context(), desk.Notice{User: "alice", MOMID: "m1", Class: class, At: b.clock.now()})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	b.Run(ctx)
	if got := b.sends(); len(got) != 2 {
		t.Errorf("%v", subjects(got))
	}
	b.clock.move(b.o.Digest)
	if got := b.sends(); len(got) != 1 {
		t.Errorf("the sum: %v", subjects(got))
	}
}
