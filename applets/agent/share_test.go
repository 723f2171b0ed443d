package agent

import "testing"

// TestForwards: names as /proc has them, cut to 15 bytes.
func TestForwards(t *testing.T) {
	for name, want := range map[string]bool{
		"ssh": true, "sshd": true, "sshd-session": true, "gsissh": true, "gsisshd": true, "hpnsshd-session": true,
		"dropbear": true, "dbclient": true, "dropbearmulti": true, "socat": true, "systemd-socket-": true,
		"oidc-token": false, "oidcbox": false, "python3": false, "bash": false, "curl": false, "": false,
	} {
		if got := forwards(name); got != want {
			t.Errorf("%q: %v", name, got)
		}
	}
}
