//go:build unix

package self

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/testdata/services"
)

// TestKeystoreSSHAgentSlot: the slot is made with a warning, opens the file without a flag, and needs the ssh-agent.
func TestKeystoreSSHAgentSlot(t *testing.T) {
	services.Need(t, "ssh-agent", "ssh-add", "ssh-keygen")
	h := newHome(t)
	pass := h.file("pass", "correct horse\n")
	h.must("create", "--passphrase-file", pass)
	h.fails(cli.NotFound, "SSH_AUTH_SOCK is not set", "slot", "add", "ssh-agent", "--passphrase-file", pass)
	dir, err := os.MkdirTemp("", "ssh") // the path of a socket is short
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	socket, key := filepath.Join(dir, "s"), filepath.Join(dir, "key")
	for _, argv := range [][]string{
		{"ssh-agent", "-a", socket}, {"ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key}, {"ssh-add", "-q", key},
	} {
		cmd := exec.Command(argv[0], argv[1:]...)
		cmd.Env = append(os.Environ(), "SSH_AUTH_SOCK="+socket)
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%v: %v", argv, err)
		}
		if argv[0] == "ssh-agent" {
			var pid int
			_, rest, _ := strings.Cut(string(out), "SSH_AGENT_PID=")
			if _, err := fmt.Sscanf(rest, "%d;", &pid); err != nil {
				t.Fatalf("%q: %v", out, err)
			}
			defer func() { _ = syscall.Kill(pid, syscall.SIGTERM) }()
		}
	}
	h.env["SSH_AUTH_SOCK"] = socket
	h.fails(cli.Usage, "--ssh-key is for", "slot", "add", "keyfile", filepath.Join(h.dir, "k"), "--ssh-key", "x", "--passphrase-file", pass)
	got := h.must("slot", "add", "ssh-agent", "--passphrase-file", pass)
	if !strings.Contains(got.stderr, "every host that this ssh-agent is forwarded to") || !strings.Contains(got.stdout, "ssh-agent") {
		t.Errorf("got %+v", got)
	}
	h.must("check")
	delete(h.env, "SSH_AUTH_SOCK")
	if got := h.run("check"); got.code == 0 {
		t.Error("opened without the ssh-agent")
	}
}
