package boltstore

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/store"
	"github.com/oidcbox/oidcbox/store/sealed"
)

// crashRounds is how often the crash test kills a writer.
func crashRounds(t *testing.T) int {
	t.Helper()
	s := os.Getenv("OIDCBOX_CRASH_ROUNDS")
	if s == "" {
		return 5
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 {
		t.Fatalf("OIDCBOX_CRASH_ROUNDS is %q, want a number above 0", s)
	}
	return n
}

// A child commits numbered records until it is killed: what it had acknowledged is there, without a hole, and opens.
func TestCrash(t *testing.T) {
	t.Run("local", func(t *testing.T) { crash(t, false, false) })
	t.Run("local_sealed", func(t *testing.T) { crash(t, false, true) })
	t.Run("network_sealed", func(t *testing.T) { crash(t, true, true) })
}

const crashWriters = 4

func crash(t *testing.T, remote, seal bool) {
	c := child{Do: "commit", Sealed: seal, N: crashWriters, CacheDir: newCache(t)}
	var known [crashWriters]int // records of each writer
	unheard, begin := 0, time.Now()
	for round := range crashRounds(t) {
		if round%25 == 0 { // the check reads everything
			c.Path = tempPath(t)
			clear(known[:])
		}
		if remote {
			c.Home = filepath.Dir(c.Path)
		}
		c.killSomewhere(t, &known)
		e := mustOpen(t, c.Path, c.options())
		if err := e.Check(t.Context()); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		var s store.Engine = e
		if seal {
			s = sealed.New(e, fixedKeys())
		}
		for w, n := range known {
			known[w] = checkNumbers(t, s, strconv.Itoa(w), n)
			unheard += known[w] - n
		}
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%v, %d changes were durable when their writer was killed before it heard of it",
		time.Since(begin).Round(time.Millisecond), unheard)
}

// killSomewhere runs the child until some time after its first acknowledgement and notes the last of each writer.
func (c child) killSomewhere(t *testing.T, acked *[crashWriters]int) {
	t.Helper()
	cmd, out := c.start(t)
	said := lines(out)
	note := func(line string) {
		var w, n int
		if _, err := fmt.Sscanf(line, "ok %d %d", &w, &n); err != nil {
			t.Fatalf("child says %q", line)
		}
		acked[w] = n
	}
	first, ok := <-said
	if !ok {
		t.Fatal("child says nothing")
	}
	note(first)
	kill := time.After(rand.N(50 * time.Millisecond))
	for said != nil {
		select {
		case line, ok := <-said:
			if !ok {
				said = nil
				break
			}
			if strings.Count(line, " ") == 2 { // the last line may be cut off
				note(line)
			}
		case <-kill:
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	_ = cmd.Wait()
}

// checkNumbers wants the records 1 to n of a writer, and at most one more: it may be durable without an answer. It
// returns how many there are.
func checkNumbers(t *testing.T, s store.Engine, writer string, n int) int {
	t.Helper()
	err := s.View(t.Context(), func(tx store.Tx) error {
		for i := 1; i <= n; i++ {
			r, err := tx.Get(numbers, store.Key{writer, fmt.Sprintf("%08d", i)})
			if err != nil {
				return fmt.Errorf("writer %s lost record %d of %d: %w", writer, i, n, err)
			}
			if want := strconv.Itoa(i) + filler; string(r.Value) != want {
				return fmt.Errorf("writer %s: record %d is %q", writer, i, r.Value)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	got := highest(t.Context(), s, writer)
	if got > n+1 {
		t.Fatalf("writer %s has %d records, acknowledged %d", writer, got, n)
	}
	return got
}
