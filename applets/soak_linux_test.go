package applets

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/agent/proto"
)

// TestSoak keeps an agent busy with cached tokens, refreshes that rotate and silent clients, for two seconds or as long
// as OIDCBOX_SOAK says: every request is answered, and neither memory nor descriptors grow.
func TestSoak(t *testing.T) {
	length := 2 * time.Second
	if s := os.Getenv("OIDCBOX_SOAK"); s != "" {
		var err error
		if length, err = time.ParseDuration(s); err != nil {
			t.Fatalf("OIDCBOX_SOAK: %v", err)
		}
	}
	h := newHouse(t, "--rotation", "strict")
	h.startAgent()
	h.gen("a")
	h.gen("b")
	soak(t, h, length/2) // to its working size
	pid := h.agent.Process.Pid
	kib, files := residentKiB(t, pid), descriptors(t, pid)
	requests := soak(t, h, length)
	grownKiB, grownFiles := residentKiB(t, pid)-kib, descriptors(t, pid)-files
	t.Logf("%d requests in %v: memory %+d KiB of %d, descriptors %+d of %d", requests, length, grownKiB, kib, grownFiles, files)
	if grownKiB > 8<<10 || grownFiles > 8 {
		t.Error("the agent grows")
	}
}

// soak asks for cached and for fresh tokens until the time is up and returns how many were given.
func soak(t *testing.T, h *house, length time.Duration) int {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), length)
	defer cancel()
	var (
		wg sync.WaitGroup
		mu sync.Mutex
		n  int
	)
	for i := range 6 {
		req := proto.Request{Type: proto.TypeAccessToken, Account: []string{"a", "b"}[i%2]}
		if i < 2 {
			req.MinValid = proto.ForceNew
		}
		wg.Go(func() {
			for ctx.Err() == nil {
				r, err := proto.Client{Path: h.socket()}.Call(context.WithoutCancel(ctx), req)
				if err == nil {
					err = r.Err()
				}
				r.Wipe()
				if err != nil {
					t.Errorf("login %s: %v", req.Account, err)
					return
				}
				mu.Lock()
				n++
				mu.Unlock()
				time.Sleep(2 * time.Millisecond)
			}
		})
	}
	wg.Wait()
	return n
}

func descriptors(t *testing.T, pid int) int {
	t.Helper()
	// The directory belongs to root: the agent cannot be traced. Where it cannot be read there is nothing to compare.
	list, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	return len(list)
}
