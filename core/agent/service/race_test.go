package service

import (
	"bytes"
	"sync"
	"testing"

	"github.com/oidcbox/oidcbox/core/agent/login"
)

// meddled are account files that somebody else changes just before we look at them for the n-th time.
type meddled struct {
	Accounts
	mu     sync.Mutex
	left   int
	meddle func()
}

func (m *meddled) arm(n int, meddle func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.left, m.meddle = n, meddle
}

// done reports whether it has happened.
func (m *meddled) done() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.meddle == nil
}

func (m *meddled) Read(name string) (login.File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.left--; m.left == 0 && m.meddle != nil {
		m.meddle()
		m.meddle = nil
	}
	return m.Accounts.Read(name)
}

// TestFileChangesUnderOurHands: what another agent writes between our reading of the file and our writing stays, and is
// gone on with.
func TestFileChangesUnderOurHands(t *testing.T) {
	w, _ := newFileWorld(t)
	m := &meddled{Accounts: w.opts.Accounts}
	w.opts.Accounts = m // before anything looks at it
	w.addFile("a", map[string]any{"type": 9, "password": filePassword})
	w.upToDate("a")
	var theirs []byte
	// Reads: before the refresh, when the file is opened to be written, and just before it is replaced.
	m.arm(3, func() {
		w.writeFile("a", map[string]any{"refresh_token": w.refreshToken()})
		theirs = w.rawFile("a")
	})
	w.force("a")
	for err := w.files.flush(t.Context(), "a"); err != nil || !m.done(); err = w.files.flush(t.Context(), "a") {
		if t.Context().Err() != nil || err != nil {
			t.Fatal(err)
		}
	}
	if got := w.rawFile("a"); !bytes.Equal(got, theirs) {
		t.Fatal("it was written over")
	}
	w.force("a")
	w.upToDate("a")
	if m := w.members("a"); m["unknown_to_us"] != nil {
		t.Error("the file is not theirs with a newer token in it")
	}
}
