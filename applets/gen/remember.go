package gen

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/oidcbox/oidcbox/core/agent/proto"
	"github.com/oidcbox/oidcbox/core/transport/sock"
)

// A login by the desktop's scheme, or by an address that is copied, ends in another run of this program, which may not
// know OIDC_SOCK. The original writes the path of its socket into the state, where the provider reads it too. Here the
// run that begins leaves a note beside the agent's sockets, under a hash of the state.

const (
	noteSuffix = ".agent"
	noteLife   = time.Hour // longer than any login waits
	maxNote    = 4 << 10
)

func noteName(state string) string {
	sum := sha256.Sum256([]byte(state))
	return "login-" + hex.EncodeToString(sum[:16]) + noteSuffix
}

// rememberAgent leaves the note. Where the agent is at one of the usual places there is nothing to remember.
func (s *session) rememberAgent(state string) {
	path := s.env.Getenv("OIDC_SOCK")
	dir, err := sock.RuntimeDir(s.env.Getenv)
	if path == "" || err != nil {
		return
	}
	sweepNotes(dir, s.env.Now())
	if err := os.WriteFile(filepath.Join(dir, noteName(state)), []byte(s.abs(path)), 0o600); err != nil {
		s.detail("Another run of this program will need OIDC_SOCK=%s: %v", path, err)
	}
}

// sweepNotes removes what logins of long ago have left, pages for the browser included.
func sweepNotes(dir string, now time.Time) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		ours := strings.HasPrefix(e.Name(), "login-") &&
			(strings.HasSuffix(e.Name(), noteSuffix) || strings.HasSuffix(e.Name(), pageSuffix))
		if info, err := e.Info(); ours && err == nil && now.Sub(info.ModTime()) > noteLife {
			_ = os.Remove(filepath.Join(dir, e.Name()))
		}
	}
}

// agentOf finds the agent that waits for a state: by the note, else by a state of the original's form when nothing else
// leads to an agent. It stays with the usual one otherwise. Who may be at the socket is checked when it is used.
func (s *session) agentOf(state string) {
	dir, err := sock.RuntimeDir(s.env.Getenv)
	if err != nil {
		return
	}
	note := filepath.Join(dir, noteName(state))
	b, err := readSmall(note)
	path := string(b)
	if err == nil {
		_ = os.Remove(note)
	} else if s.env.Getenv("OIDC_SOCK") == "" {
		path = socketIn(state)
	}
	if filepath.IsAbs(path) && len(path) < maxNote {
		s.agent = proto.Client{Path: path}
	}
}

// socketIn reads the path of the agent's socket that versions 4 and 5 of the original write into a state, "" for none.
func socketIn(state string) string {
	part := strings.Split(state, ":")
	if len(part) != 4 || part[3] == "" {
		return ""
	}
	b, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(part[3], "="))
	if err != nil || strings.ContainsRune(string(b), 0) {
		return ""
	}
	return string(b)
}

// stateOf is the state in the address that the browser was sent to.
func stateOf(uri string) string {
	u, err := url.Parse(uri)
	if err != nil {
		return ""
	}
	return u.Query().Get("state")
}
