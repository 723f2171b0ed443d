package applets

import (
	"strings"
	"sync"
	"testing"
)

// TestRekeyInAgent: the keystore gets a new data key while the agent has it open and refresh tokens rotate. Nothing is
// lost, and it opens with the same passphrase afterwards.
func TestRekeyInAgent(t *testing.T) {
	h := newHouse(t, "--rotation", "strict")
	h.startAgent()
	h.gen("a")
	stop := make(chan struct{})
	var wg sync.WaitGroup
	var lost error
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			if lost = refresh(h, "a"); lost != nil {
				return
			}
		}
	})
	o := h.run("self", "keystore", "rekey", "--passphrase-file", h.path("passphrase"))
	close(stop)
	wg.Wait()
	if o.code != 0 || !strings.Contains(o.errOut, "has a new data key") {
		t.Errorf("rekey: %+v", o)
	}
	if lost != nil {
		t.Errorf("a refresh beside it: %v", lost)
	}
	if o := h.run("self", "keystore", "rekey", "--passphrase-file", h.path("agent.log")); o.code == 0 {
		t.Error("a wrong passphrase was taken")
	}
	h.endAgent()
	h.startAgent()
	if err := refresh(h, "a"); err != nil {
		t.Errorf("after a restart: %v", err)
	}
}
