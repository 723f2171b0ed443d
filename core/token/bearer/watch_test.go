package bearer

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oidcbox/oidcbox/core/secret"
)

var (
	errAway = errors.New("provider is away")
	errOver = errors.New("login has ended")
)

// source gives tokens of an hour, or fails.
type source struct {
	t     *testing.T
	path  string
	mu    sync.Mutex
	fails error
	valid []time.Duration // what was asked for, call by call
	said  []string
}

// fail makes it fail from now on; nil ends that.
func (s *source) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fails = err
}

// asked is what it was asked for.
func (s *source) asked() []time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.valid)
}

// words is what the watch said.
func (s *source) words() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.said, " ")
}

func (s *source) hear(e Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.said = append(s.said, e.Kind)
}

func newSource(t *testing.T) *source {
	return &source{t: t, path: filepath.Join(t.TempDir(), "token")}
}

func (s *source) get(_ context.Context, valid time.Duration) (Fresh, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.valid = append(s.valid, valid)
	if s.fails != nil {
		return Fresh{}, s.fails
	}
	return Fresh{
		Token: secret.FromString(fmt.Sprintf("token%d", len(s.valid))), Expires: time.Now().Add(time.Hour),
	}, nil
}

func (s *source) watch() Watch {
	return Watch{
		Path: s.path, Get: s.get, Ended: func(err error) bool { return errors.Is(err, errOver) },
		Event: s.hear,
	}
}

func (s *source) holds() string {
	b, err := os.ReadFile(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		return ""
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return strings.TrimSpace(string(b))
}

// start runs the watch in the background; stop ends it and returns its error.
func (s *source) start(w Watch) (stop func() error) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	synctest.Wait()
	return func() error { cancel(); return <-done }
}

func after(d time.Duration) { time.Sleep(d); synctest.Wait() }

func TestWatchRenews(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource(t)
		stop := s.start(s.watch())
		if s.holds() != "token1" || s.asked()[0] != time.Minute {
			t.Errorf("holds %q after asking for %v", s.holds(), s.asked())
		}
		after(37 * time.Minute) // two thirds of an hour, less 5 % and more
		if s.holds() != "token1" {
			t.Errorf("holds %q too soon", s.holds())
		}
		after(6 * time.Minute)
		if s.holds() != "token2" {
			t.Errorf("holds %q", s.holds())
		}
		// One that lives longer than what is in the file, so that a token somebody else got will do.
		if v := s.asked()[1]; v < 16*time.Minute || v > 24*time.Minute {
			t.Errorf("asked for %v", v)
		}
		if err := stop(); err != nil || s.holds() != "token2" {
			t.Errorf("stopped with %v, holds %q", err, s.holds())
		}
		if got := s.words(); got != "stored stored stopped" {
			t.Error(got)
		}
	})
}

// TestWatchOutage: attempts come ever more slowly, several within what is left; the dead token goes; the loop does not.
func TestWatchOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource(t)
		stop := s.start(s.watch())
		s.fail(errAway)
		after(59 * time.Minute)
		if s.holds() != "token1" {
			t.Errorf("a valid token is gone: %q", s.holds())
		}
		if n := len(s.asked()); n < 15 || n > 35 {
			t.Errorf("%d attempts before the end", n)
		}
		after(90 * time.Second)
		if s.holds() != "" {
			t.Error("a dead token is there")
		}
		calls := len(s.asked())
		after(time.Hour)
		if n := len(s.asked()) - calls; n < 50 || n > 70 {
			t.Errorf("%d attempts in an hour", n)
		}
		s.fail(nil)
		after(70 * time.Second)
		if !strings.HasPrefix(s.holds(), "token") {
			t.Error("not renewed when the provider was back")
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
		if said := s.words(); strings.Count(said, EventExpired) != 1 || !strings.HasSuffix(said, "stored stopped") {
			t.Error(said)
		}
	})
}

// TestWatchEnd: the last token stays while it is valid, then the loop ends.
func TestWatchEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource(t)
		done := make(chan error, 1)
		go func() { done <- s.watch().Run(t.Context()) }()
		synctest.Wait()
		s.fail(errOver)
		after(59 * time.Minute)
		if s.holds() == "" {
			t.Error("a valid token is gone")
		}
		after(2 * time.Minute)
		if err := <-done; !errors.Is(err, ErrEnded) || !errors.Is(err, errOver) || s.holds() != "" {
			t.Errorf("ended with %v, holds %q", err, s.holds())
		}
		if said := s.words(); strings.Count(said, EventEnded) != 1 || !strings.Contains(said, EventExpired) {
			t.Error(said)
		}
	})
}

// TestWatchLoginAgain: a person who logs in again in time is noticed.
func TestWatchLoginAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource(t)
		stop := s.start(s.watch())
		s.fail(errOver)
		after(50 * time.Minute)
		s.fail(nil)
		after(2 * time.Minute)
		if s.holds() == "token1" || s.holds() == "" {
			t.Errorf("holds %q", s.holds())
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

func TestWatchNoFirstToken(t *testing.T) {
	s := newSource(t)
	s.fail(errAway)
	if err := s.watch().Run(t.Context()); !errors.Is(err, errAway) || len(s.asked()) != 1 || s.words() != "" {
		t.Errorf("%v after %d attempts, said %v", err, len(s.asked()), s.words())
	}
	s.fail(nil)
	s.path = filepath.Join(s.path, "no", "such", "directory")
	if err := s.watch().Run(t.Context()); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

func TestWatchUnknownLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource(t)
		w := s.watch()
		w.Get = func(ctx context.Context, valid time.Duration) (Fresh, error) {
			f, err := s.get(ctx, valid)
			f.Expires = time.Time{}
			return f, err
		}
		done := make(chan error, 1)
		go func() { done <- w.Run(t.Context()) }()
		after(25 * time.Minute)
		if s.holds() != "token3" {
			t.Errorf("holds %q", s.holds())
		}
		s.fail(errOver)
		after(10 * time.Minute)
		// Nobody knows whether it is dead: it stays.
		if err := <-done; !errors.Is(err, ErrEnded) || s.holds() != "token3" {
			t.Errorf("%v, holds %q", err, s.holds())
		}
	})
}

func TestWatchRenewNow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource(t)
		w, now := s.watch(), make(chan struct{}, 1)
		w.Renew = now
		stop := s.start(w)
		now <- struct{}{}
		synctest.Wait()
		if s.holds() != "token2" {
			t.Errorf("holds %q", s.holds())
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

// TestWatchSuspended: the wall clock jumps while timers stand still.
func TestWatchSuspended(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource(t)
		w, slept := s.watch(), atomic.Int64{}
		w.Now = func() time.Time { return time.Now().Add(time.Duration(slept.Load())) }
		stop := s.start(w)
		slept.Store(int64(50 * time.Minute))
		after(nap + time.Second)
		if s.holds() != "token2" {
			t.Errorf("holds %q", s.holds())
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}
