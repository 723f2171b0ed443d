package custody

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/oidc/flow"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/store"
)

// talkative is a Refresher that goes on talking to the network after it has read the answer, as one that fetches the
// keys for an ID token does.
type talkative struct {
	*op
	after func(fresh secret.Text)
}

func (r talkative) Refresh(ctx context.Context, rt secret.Text, q flow.Request) (flow.Tokens, error) {
	t, err := r.op.Refresh(ctx, rt, q)
	if err == nil && !t.Refresh.Empty() {
		q.Keep(t.Refresh)
		r.after(t.Refresh)
	}
	return t, err
}

// A new refresh token is durable before its Refresher does anything else that takes time: the process may be killed
// then.
func TestDurableBeforeTheRest(t *testing.T) {
	for name, habit := range map[string]Habit{"one_at_a_time": HabitUnknown, "side_by_side": HabitKeeps} {
		t.Run(name, func(t *testing.T) {
			in(t, func(t *testing.T) {
				b := newBed(t, strict)
				if err := b.SetHabit(t.Context(), id, habit); err != nil {
					t.Fatal(err)
				}
				looked := 0
				r := talkative{b.op, func(fresh secret.Text) {
					looked++
					other := b.node() // what another process finds in the store
					kept, err := other.Token(t.Context(), id)
					if err != nil || !kept.Equal(fresh) {
						t.Errorf("kept is %s, the new token is %s, %v", kept.ID(), fresh.ID(), err)
					}
				}}
				if _, err := b.Refresh(t.Context(), id, r, flow.Request{}); err != nil {
					t.Fatal(err)
				}
				if looked != 1 {
					t.Fatalf("looked %d times", looked)
				}
				if g := b.state().Generation; g != 2 {
					t.Errorf("generation %d, want 2: saved once", g)
				}
				b.mustRefresh()
				b.alive()
			})
		})
	}
}

// What is shared about a login goes away with its last user, also when the token in memory is saved by a refresh before
// the goroutine that was to save it gets to run.
func TestLoginsGoAway(t *testing.T) {
	in(t, func(t *testing.T) {
		b := newBed(t, strict)
		for range 100 {
			l := b.enter(id)
			b.keepTrying(t.Context(), l, &unsaved{token: secret.FromString("newer")})
			b.setUnsaved(l, nil)
			b.exit(l)
		}
		time.Sleep(time.Hour)
		b.mu.Lock()
		defer b.mu.Unlock()
		if n := len(b.logins); n != 0 {
			t.Errorf("%d logins are left", n)
		}
	})
}

// A record that cannot be read does not hide the other logins: theirs may be pending.
func TestListBesideDamage(t *testing.T) {
	in(t, func(t *testing.T) {
		b := newBed(t, strict)
		err := b.eng.Update(t.Context(), func(tx store.WTx) error {
			return tx.Put(table(), store.Record{Key: store.Key{"a-login-of-tomorrow"}, Value: []byte{recordVersion + 1}})
		})
		if err != nil {
			t.Fatal(err)
		}
		list, err := b.List(t.Context())
		if err == nil || !strings.Contains(err.Error(), "a-login-of-tomorrow") {
			t.Errorf("error %v", err)
		}
		if len(list) != 1 || list[0].ID != id {
			t.Errorf("list %+v", list)
		}
	})
}
