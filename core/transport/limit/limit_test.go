package limit

import (
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

func TestTake(t *testing.T) {
	c := &clock{time.Unix(1_800_000_000, 0)}
	l := New(Options{Events: 3, Per: 30 * time.Second, Now: c.now})
	for i := range 3 {
		if _, ok := l.Take("a"); !ok {
			t.Fatalf("event %d of 3 was refused", i+1)
		}
	}
	retry, ok := l.Take("a")
	if ok || retry != 10*time.Second {
		t.Errorf("the fourth: %v, %v; want refused for 10s", retry, ok)
	}
	if _, ok := l.Take("b"); !ok {
		t.Error("another key pays for the first")
	}
	for range 100 { // what is refused costs nothing
		l.Take("a")
	}
	c.at = c.at.Add(9 * time.Second)
	if retry, ok := l.Take("a"); ok || retry != time.Second {
		t.Errorf("after 9s: %v, %v; want refused for 1s", retry, ok)
	}
	c.at = c.at.Add(time.Second)
	if _, ok := l.Take("a"); !ok {
		t.Error("refused although the time named has passed")
	}
	c.at = c.at.Add(time.Hour)
	n := 0
	for range 10 {
		if _, ok := l.Take("a"); ok {
			n++
		}
	}
	if n != 3 {
		t.Errorf("after a long pause %d at once, want the burst of 3", n)
	}
}

func TestFull(t *testing.T) {
	c := &clock{time.Unix(1_800_000_000, 0)}
	l := New(Options{Events: 2, Per: 20 * time.Second, Now: c.now})
	for range 100 {
		if _, full := l.Full("a"); full {
			t.Fatal("asking counts")
		}
	}
	if l.Len() != 0 {
		t.Error("asking takes memory")
	}
	l.Take("a")
	if _, full := l.Full("a"); full {
		t.Error("full after one of two")
	}
	l.Take("a")
	if retry, full := l.Full("a"); !full || retry != 10*time.Second {
		t.Errorf("after two: %v, %v; want full for 10s", retry, full)
	}
	c.at = c.at.Add(10 * time.Second)
	if _, full := l.Full("a"); full {
		t.Error("full although the time named has passed")
	}
	if _, full := (*Limiter)(nil).Full("a"); full {
		t.Error("full without a limit")
	}
}

func TestKeysAreBounded(t *testing.T) {
	c := &clock{time.Unix(1_800_000_000, 0)}
	l := New(Options{Events: 1, Per: time.Hour, Keys: 100, Now: c.now})
	l.Take("kept")
	for i := range 5000 {
		l.Take(fmt.Sprint(i))
		if _, ok := l.Take("kept"); ok {
			t.Fatal("a key in use was forgotten for new ones")
		}
	}
	if l.Len() != 100 || len(l.buckets) != 100 {
		t.Errorf("%d keys, %d buckets remembered; want 100", l.Len(), len(l.buckets))
	}
}

func TestNoLimit(t *testing.T) {
	for _, l := range []*Limiter{nil, New(Options{}), New(Options{Events: 5}), New(Options{Per: time.Hour})} {
		for range 100 {
			if _, ok := l.Take("a"); !ok {
				t.Fatal("refused without a limit")
			}
		}
		if l.Len() != 0 {
			t.Error("something was remembered")
		}
	}
}

func TestTakeIsExactSideBySide(t *testing.T) {
	c := &clock{time.Unix(1_800_000_000, 0)}
	l := New(Options{Events: 50, Per: time.Hour, Now: c.now})
	var n atomic.Int64
	var wg sync.WaitGroup
	for range 200 {
		wg.Go(func() {
			if _, ok := l.Take("a"); ok {
				n.Add(1)
			}
		})
	}
	wg.Wait()
	if n.Load() != 50 {
		t.Errorf("%d of 200 taken, want 50", n.Load())
	}
}

func TestAddress(t *testing.T) {
	for in, want := range map[string]string{
		"192.0.2.1":                 "192.0.2.1",
		"::ffff:192.0.2.1":          "192.0.2.1",
		"2001:db8:1:2:3:4:5:6":      "2001:db8:1:2::/64",
		"2001:db8:1:2:ffff::1":      "2001:db8:1:2::/64",
		"fe80::1%eth0":              "fe80::/64",
		"2001:db8:1:3::1":           "2001:db8:1:3::/64",
		"0.0.0.0":                   "0.0.0.0",
		"::ffff:255.255.255.255%xx": "255.255.255.255",
	} {
		a, err := netip.ParseAddr(in)
		if err != nil {
			a = netip.MustParseAddr("::ffff:255.255.255.255")
		}
		if got := Address(a); got != want {
			t.Errorf("Address(%s) = %s, want %s", in, got, want)
		}
	}
	if Address(netip.Addr{}) == "" {
		t.Error("no address has no key: all of those have to share one")
	}
}
