package service

import (
	"reflect"
	"testing"
	"time"
	"unsafe"

	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/secret/vault"
)

// TestExpiryBySleep: the monotonic clock stands still while the machine sleeps, the wall clock does not.
func TestExpiryBySleep(t *testing.T) {
	v, err := vault.New(vault.Prefer, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	begin := time.Now()
	for _, c := range []struct {
		name string
		now  time.Time
		want bool
	}{
		{"at_once", begin, true},
		{"both_go_on_past_the_end", begin.Add(2 * time.Hour), false},
		{"asleep_past_the_end", slept(begin, 2*time.Hour), false},
		{"asleep_less_than_that", slept(begin, 30*time.Minute), true},
		{"wall_clock_set_back", slept(begin.Add(2*time.Hour), -2*time.Hour), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			now := begin
			clock := func() time.Time { return now }
			tokens, logins := newCache(v, clock), newRegistry(clock)
			tokens.put(cacheKey{login: "a"}, token{access: secret.FromString("at"), expires: begin.Add(time.Hour)})
			if err := logins.put(loaded{name: "a", expires: begin.Add(time.Hour)}); err != nil {
				t.Fatal(err)
			}
			now = c.now
			got, ok := tokens.get(cacheKey{login: "a"}, 0)
			got.access.Wipe()
			if ok != c.want {
				t.Errorf("cached token served: %v, want %v", ok, c.want)
			}
			if _, ok := logins.get("a"); ok != c.want {
				t.Errorf("login served: %v, want %v", ok, c.want)
			}
			tokens.sweep()
			if left := tokens.len() == 1; left != c.want {
				t.Errorf("token kept by the sweep: %v, want %v", left, c.want)
			}
		})
	}
}

// TestMinValidBySleep: a token with 50 minutes left before two hours of sleep has none after it.
func TestMinValidBySleep(t *testing.T) {
	begin := time.Now()
	if left := remaining(begin.Add(50*time.Minute), slept(begin, 20*time.Minute)); left != 30*time.Minute {
		t.Errorf("%v left after 20 minutes of sleep, want 30m", left)
	}
}

// slept is t after a sleep of d: the wall clock went on, the monotonic one did not. Package time cannot set the two
// apart, and compares by the wall clock as soon as one of two times has no monotonic reading.
func slept(t time.Time, d time.Duration) time.Time {
	t = t.Add(d)
	monotonic, ok := reflect.TypeFor[time.Time]().FieldByName("ext")
	if !ok || monotonic.Type.Kind() != reflect.Int64 {
		panic("time.Time keeps its monotonic reading elsewhere now")
	}
	*(*int64)(unsafe.Add(unsafe.Pointer(&t), monotonic.Offset)) -= int64(d)
	return t
}
