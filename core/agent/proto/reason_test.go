package proto

import (
	"path/filepath"
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
	env["OIDC_SOCK"] = "/nowhere/at/all"
	if _, err := Find(getenv).Call(t.Context(), Request{Type: TypeCheck}); err == nil ||
		err.Error() != "no agent is running: socket /nowhere/at/all: nobody is listening" {
		t.Errorf("OIDC_SOCK decides alone: %v", err)
	}
}
