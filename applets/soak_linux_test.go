package applets

import (
	"context"
	"fmt"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/agent/proto"
	"github.com/oidcbox/oidcbox/core/oidc/issuer"
	"github.com/oidcbox/oidcbox/core/oidc/issuer/issuertest"
	"github.com/oidcbox/oidcbox/core/secret"
)

const (
	soakGrace    = time.Minute // what the provider allows a used refresh token
	soakMemory   = 8 << 10     // KiB that the working set may move by
	soakPeak     = 256 << 10   // KiB; a lock derives a key with 64 MiB
	soakFiles    = 8
	soakCached   = 500 * time.Millisecond // of processors that others use as well; the original needs seconds
	soakCallTime = 75 * time.Second
)

// TestSoak keeps one agent busy for four seconds, or as long as OIDCBOX_SOAK says, while its provider rotates refresh
// tokens, fails in all ways that providers do and restarts, clients fall silent, and the agent is locked and unlocked
// and its logins come and go. No login is lost that a provider with a grace period keeps, nothing fails while the
// provider is well, and neither memory nor descriptors grow.
func TestSoak(t *testing.T) {
	length := 4 * time.Second
	if s := os.Getenv("OIDCBOX_SOAK"); s != "" {
		var err error
		if length, err = time.ParseDuration(s); err != nil {
			t.Fatalf("OIDCBOX_SOAK: %v", err)
		}
	}
	s := newSoak(t)
	warm := s.run(length / 6)
	s.forget()
	load := s.run(length)
	s.everyLoginLives()
	t.Logf("%v of load\n%s", length, s.report(warm, load))
	if load.most > soakPeak || load.files-warm.files > soakFiles {
		t.Errorf("the agent takes %d KiB; descriptors grew from %d to %d", load.most, warm.files, load.files)
	}
	if length < time.Minute { // too short for the collector to come to rest, and too few for a percentile
		return
	}
	if load.least-warm.least > soakMemory || length >= 10*time.Minute && load.most-warm.most > 3*soakMemory {
		t.Errorf("the agent grows: least %d to %d KiB, most %d to %d", warm.least, load.least, warm.most, load.most)
	}
	// Four seconds beside other tests say nothing about time.
	if length >= 10*time.Minute && quantile(s.took, 0.99) > soakCached {
		t.Errorf("cached tokens take %v at the 99th percentile", quantile(s.took, 0.99))
	}
}

// soak is an agent with logins and a provider in this process, which keeps its state when it restarts.
type soak struct {
	t      *testing.T
	h      *house
	op     *issuertest.Server
	pid    int
	logins []string
	config secret.Text // of a login that is added and removed over the protocol

	epoch atomic.Int64 // odd while the agent is locked; each lock adds two
	heal  sync.Mutex   // one person logs in again at a time

	mu     sync.Mutex
	counts map[string]int
	took   []time.Duration // cached tokens
	calm   bool            // the provider is well, and has been for a while
}

func newSoak(t *testing.T) *soak {
	t.Helper()
	op := issuertest.Start(t, func(o *issuer.Options) { o.Rotation, o.GraceWindow = issuer.Grace, soakGrace })
	s := &soak{t: t, h: bareHouse(t), op: op, counts: map[string]int{}}
	s.h.issuer = op.URL
	s.h.startAgent()
	s.pid = s.h.agent.Process.Pid
	for _, name := range []string{"a", "b", "c", "d", "e", "f"} {
		s.h.gen(name)
		s.logins = append(s.logins, name)
	}
	s.h.gen("guest") // loaded and unloaded all the time
	s.config = s.passing()
	return s
}

// passing makes the account JSON of a login whose refresh token stays: it can be added again and again.
func (s *soak) passing() secret.Text {
	s.t.Helper()
	const redirect = "http://127.0.0.1/cb"
	q := url.Values{
		"client_id": {"web-norotate"}, "redirect_uri": {redirect}, "response_type": {"code"},
		"scope": {"openid offline_access"},
	}
	back, err := url.Parse(s.op.Login(s.op.URL+"/authorize?"+q.Encode(), "alice"))
	if err != nil {
		s.t.Fatal(err)
	}
	a := s.op.Token("web-norotate", "web-secret", url.Values{
		"grant_type": {"authorization_code"}, "code": {back.Query().Get("code")}, "redirect_uri": {redirect},
	})
	rt, _ := a.Body["refresh_token"].(string)
	if rt == "" {
		s.t.Fatalf("no refresh token: %v", a.Body["error"])
	}
	return secret.FromString(fmt.Sprintf(`{"name":"passing","issuer_url":%q,"client_id":"web-norotate",`+
		`"client_secret":"web-secret","refresh_token":%q,"scope":"openid offline_access"}`, s.op.URL, rt))
}

// size is what an agent takes.
type size struct {
	least, most int64 // KiB resident: nearly the least of the last half (between two locks), and the most of all
	files       int
}

// run loads the agent for a while, with faults, and returns its size when all is quiet again.
func (s *soak) run(length time.Duration) size {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), length)
	defer cancel()
	var wg sync.WaitGroup
	for i, act := range s.actors() {
		wg.Go(func() { act(ctx, i) })
	}
	var seen []int64
	wg.Go(func() {
		for pause(ctx, length/100) {
			seen = append(seen, residentKiB(s.t, s.pid))
		}
	})
	s.misfortunes(ctx, length)
	wg.Wait()
	s.setCalm(false)
	now := size{files: s.settledFiles()}
	if len(seen) > 0 {
		now.most = slices.Max(seen)
		last := seen[len(seen)/2:]
		slices.Sort(last)
		now.least = last[len(last)/10]
	}
	return now
}

// settledFiles waits for connections to end that the load left behind.
func (s *soak) settledFiles() int {
	least := descriptors(s.t, s.pid)
	for range 20 {
		time.Sleep(50 * time.Millisecond)
		least = min(least, descriptors(s.t, s.pid))
	}
	return least
}

// everyLoginLives asks for a new token of each login once the provider is well.
func (s *soak) everyLoginLives() {
	s.t.Helper()
	s.op.ClearFaults()
	for _, name := range append(slices.Clone(s.logins), "guest") {
		_ = s.h.run("add", name) // guest may be unloaded
		err := refresh(s.h, name)
		if err != nil && s.logInAgain(name) {
			err = refresh(s.h, name)
		}
		if err != nil {
			s.t.Errorf("login %s is lost: %v", name, err)
		}
	}
}

// logInAgain is the person whom the agent tells that a login has ended: oidcbox add asks the provider once more. It
// reports whether the login lives.
func (s *soak) logInAgain(name string) bool {
	s.heal.Lock()
	defer s.heal.Unlock()
	o := s.h.run("add", name)
	s.count("logins tried again by hand")
	return o.code == 0
}

func (s *soak) count(what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts[what]++
}

func (s *soak) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts, s.took = map[string]int{}, nil
}

func (s *soak) setCalm(calm bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calm = calm
}

// moment is what was the case when a request began.
type moment struct {
	calm  bool
	epoch int64
}

func (s *soak) now() moment {
	s.mu.Lock()
	defer s.mu.Unlock()
	return moment{s.calm, s.epoch.Load()}
}

// calm reports whether the provider was well from m until now, and the agent unlocked.
func (s *soak) calmSince(m moment) bool {
	now := s.now()
	return m.calm && now.calm && m.epoch%2 == 0 && m.epoch == now.epoch
}

// lockedSince reports whether the agent was locked at some time from m until now.
func (s *soak) lockedSince(m moment) bool { return m.epoch%2 == 1 || m.epoch != s.epoch.Load() }

// report is a table for people; docs/measured.md has the one of a long run.
func (s *soak) report(warm, load size) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var b strings.Builder
	for _, what := range slices.Sorted(maps.Keys(s.counts)) {
		fmt.Fprintf(&b, "%8d  %s\n", s.counts[what], what)
	}
	if len(s.took) > 0 {
		fmt.Fprintf(&b, "cached tokens: median %v, 99 %% within %v, all within %v\n",
			quantile(s.took, 0.5), quantile(s.took, 0.99), quantile(s.took, 1))
	}
	fmt.Fprintf(&b, "memory between locks %d KiB, before %d; at most %d KiB, before %d; descriptors %d, before %d\n",
		load.least, warm.least, load.most, warm.most, load.files, warm.files)
	return b.String()
}

// call asks the agent within the time that a provider may take, and leaves the judgement to the caller.
func (s *soak) call(plain bool, req proto.Request) error {
	c := proto.Client{Path: s.h.socket(), Plain: plain, Timeout: soakCallTime}
	r, err := c.Call(context.Background(), req)
	if err != nil {
		return err
	}
	defer r.Wipe()
	return r.Err()
}

func descriptors(t *testing.T, pid int) int {
	t.Helper()
	// The directory belongs to root: the agent cannot be traced. Where it cannot be read there is nothing to compare.
	list, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	return len(list)
}

// pause waits and reports whether there is time left.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
