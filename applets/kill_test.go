package applets

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/agent/proto"
)

// killRounds is how often the agent is killed; .ci/run asks for 200 in all.
func killRounds(t *testing.T) int {
	s := os.Getenv("OIDCBOX_KILL_ROUNDS")
	if s == "" {
		return 3
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 {
		t.Fatalf("OIDCBOX_KILL_ROUNDS=%s is no number of rounds", s)
	}
	return n
}

// TestKillAgent kills the agent with SIGKILL while refresh tokens rotate. With a provider that grants a grace period no
// login may be lost, ever. With a strict one a login dies only when the kill fell between the provider's answer and our
// reading it; how often that is, is reported: with pauses between the refreshes, and back to back as the worst case.
func TestKillAgent(t *testing.T) {
	rounds := killRounds(t)
	for _, c := range []struct {
		name, rotation string
		pause          time.Duration
		rounds         int
		mayLose        bool
	}{
		{"grace, back to back", "grace", 0, rounds, false},
		{"strict, with pauses", "strict", 50 * time.Millisecond, max(1, rounds/4), true},
		{"strict, back to back", "strict", 0, max(1, rounds/4), true},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHouse(t, "--rotation", c.rotation)
			h.startAgent()
			h.gen("a")
			h.gen("b")
			lost := 0
			for range c.rounds {
				hammerAndKill(h, c.pause)
				h.startAgent()
				for _, name := range []string{"a", "b"} {
					err := refresh(h, name)
					switch {
					case err == nil:
					case needsLogin(err) && c.mayLose:
						lost++
						h.gen(name)
					default:
						t.Fatalf("login %s after a kill: %v", name, err)
					}
				}
			}
			t.Logf("%d kills, 2 logins: %d forced new logins (%.1f %%)", c.rounds, lost, 50*float64(lost)/float64(c.rounds))
		})
	}
}

// hammerAndKill forces refreshes of both logins until the agent is killed at a random moment.
func hammerAndKill(h *house, pause time.Duration) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for _, name := range []string{"a", "b"} {
		wg.Go(func() {
			for ctx.Err() == nil {
				_ = refresh(h, name) // the kill makes it fail
				time.Sleep(pause)
			}
		})
	}
	time.Sleep(time.Duration(5+rand.IntN(120)) * time.Millisecond)
	h.killAgent()
	cancel()
	wg.Wait()
}

func refresh(h *house, name string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	r, err := proto.Client{Path: h.socket()}.Call(ctx, proto.Request{
		Type: proto.TypeAccessToken, Account: name, MinValid: proto.ForceNew,
	})
	if err != nil {
		return err
	}
	defer r.Wipe()
	return r.Err()
}

func needsLogin(err error) bool {
	var agentErr *proto.AgentError
	return errors.As(err, &agentErr) && strings.Contains(agentErr.Help, "--reauthenticate")
}
