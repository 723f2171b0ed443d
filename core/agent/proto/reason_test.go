package proto

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/oidcbox/oidcbox/core/transport/sock"
)

func TestReason(t *testing.T) {
	for _, c := range []struct {
		text, help string
		want       Reason
	}{
		{TextNotLoaded, "", ReasonNotFound},
		{TextNotLoaded, "Load it with: oidc-add x", ReasonNotFound},
		{TextNotLoaded, "Unlock the keystore with: oidcbox add --unlock", ReasonLocked},
		{TextNotConfigured, "", ReasonNotFound},
		{TextLocked, "", ReasonLocked},
		{TextForbidden, "", ReasonDenied},
		{"access_denied: the user said no", "", ReasonDenied},
		{"invalid_grant: expired", "", ReasonLogin},
		{"invalid_grant", "", ReasonLogin},
		{"some words", "try oidc-gen x --reauthenticate", ReasonLogin},
		{TextNoRefreshToken, "", ReasonLogin},
		{"Received Http Status Code 503", "", ReasonTemporary},
		{"Received Http Status Code 404", "", ReasonOther},
		{TextBusy + " (20s)", "", ReasonTemporary},
		{TextCannotReach, "", ReasonTemporary},
		{"temporarily_unavailable", "", ReasonTemporary},
		{"invalid_scope: x", "", ReasonOther},
		{"invalid_grants", "", ReasonOther},
	} {
		if got := (&AgentError{Text: c.text, Help: c.help}).Reason(); got != c.want {
			t.Errorf("%s: %d, want %d", c.text, got, c.want)
		}
	}
}

func TestFind(t *testing.T) {
	env := map[string]string{"XDG_RUNTIME_DIR": t.TempDir(), "TMPDIR": t.TempDir()}
	getenv := func(k string) string { return env[k] }
	if _, err := Find(getenv).Call(t.Context(), Request{Type: TypeCheck}); err == nil ||
		err.Error() != "no agent is running: OIDC_SOCK is not set: nobody is listening" {
		t.Errorf("nowhere: %v", err)
	}
	dir, err := sock.RuntimeDir(getenv)
	if err != nil {
		t.Fatal(err)
	}
	serveAt(t, filepath.Join(dir, SockName))
	if r, err := Find(getenv).Call(t.Context(), Request{Type: TypeCheck}); err != nil || r.Err() != nil {
		t.Errorf("at our own place: %v, %v", r.Err(), err)
	}
	foreign := ServiceDir(getenv)
	if err := os.Mkdir(foreign, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(foreign, 0o777); err != nil {
		t.Fatal(err)
	}
	trap, err := net.Listen("unix", filepath.Join(foreign, "oidc-agent.sock"))
	if err != nil {
		t.Fatal(err)
	}
	defer trap.Close()
	if r, err := Find(getenv).Call(t.Context(), Request{Type: TypeCheck}); err != nil || r.Err() != nil {
		t.Errorf("a place open to others in front of ours: %v, %v", r.Err(), err)
	}
	env["XDG_RUNTIME_DIR"] = t.TempDir()
	if _, err := Find(getenv).Call(t.Context(), Request{Type: TypeCheck}); !errors.Is(err, sock.ErrForeign) {
		t.Errorf("only a place open to others: %v, want ErrForeign", err)
	}
	env["TMPDIR"] = "/" + strings.Repeat("long/", 30)
	if _, err := Find(getenv).Call(t.Context(), Request{Type: TypeCheck}); !errors.Is(err, ErrNoAgent) {
		t.Errorf("a place too long to listen at: %v, want ErrNoAgent", err)
	}
	env["OIDC_SOCK"] = "/nowhere/at/all"
	if _, err := Find(getenv).Call(t.Context(), Request{Type: TypeCheck}); err == nil ||
		err.Error() != "no agent is running: socket /nowhere/at/all: nobody is listening" {
		t.Errorf("OIDC_SOCK decides alone: %v", err)
	}
}
