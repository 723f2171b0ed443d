package sshjourney

import "testing"

// TestProgramInHost holds what every journey stands on: the program runs in the host, as root and as somebody without
// rights, under its name for PAM, and the provider beside it gives tokens.
func TestProgramInHost(t *testing.T) {
	j := newJourney(t)
	if o := j.run(j.oidcbox("self", "version")); o.code != 0 {
		t.Error(o)
	}
	if o := j.run(j.as(serveUser, "self", "version")); o.code != 0 {
		t.Error(o)
	}
	if j.token("alice") == "" {
		t.Error("no token")
	}
}
