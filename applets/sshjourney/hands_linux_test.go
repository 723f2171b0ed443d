package sshjourney

import (
	"crypto/sha512"
	"encoding/hex"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func sha512Hex(s string) string {
	sum := sha512.Sum512([]byte(s))
	return hex.EncodeToString(sum[:])
}

// key makes a key pair, lets it log in as a user of the host, and returns the file of the private one.
func (s *site) key(t *testing.T, name string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "key")
	if said, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", file).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	public, err := os.ReadFile(file + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	s.Run("install", "-d", "-o", name, "-m", "0700", "/home/"+name+"/.ssh")
	s.Write("/home/"+name+"/.ssh/authorized_keys", string(public), 0o644)
	return file
}

// officer runs a command of "provisioner admin" that has to work.
func (s *site) officer(t *testing.T, args ...string) string {
	t.Helper()
	o := s.admin(args...)
	if o.code != 0 {
		t.Fatalf("admin %q: %s", args, o)
	}
	return o.out
}

// compat is the password that clients of motley-cue compute of their token.
func (s *site) compat(t *testing.T, user string) string {
	t.Helper()
	token := s.at(user)
	a := s.get("/user/generate_otp", token)
	if a.status != http.StatusOK || !strings.Contains(a.body, `"successful":true`) {
		t.Fatal(a)
	}
	return sha512Hex(token)
}
