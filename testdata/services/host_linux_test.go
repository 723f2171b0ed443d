package services

import (
	"os"
	"strings"
	"testing"
)

// TestHost shows that a host is one: a user of it logs in through its sshd and PAM, and the machine has no trace of it.
func TestHost(t *testing.T) {
	h := NewHost(t)
	uid := h.AddUser("hostalice", "wonder land 7")
	if uid < h.FirstUID || uid > h.LastUID {
		t.Errorf("uid %d is not in %d to %d", uid, h.FirstUID, h.LastUID)
	}
	s := h.StartSSHD(SSHDOptions{})
	t.Run("password_logs_in", func(t *testing.T) {
		out, err := s.Client(SSHLogin{User: "hostalice", Answers: []string{"wonder land 7"}, Command: []string{"id", "-un"}}).Output()
		if err != nil || strings.TrimSpace(string(out)) != "hostalice" {
			t.Errorf("got %q, %v", out, err)
		}
	})
	t.Run("wrong_password_is_in_the_log_of_the_host", func(t *testing.T) {
		from := len(h.Log())
		if err := s.Client(SSHLogin{User: "hostalice", Answers: []string{"wrong"}, Command: []string{"true"}}).Run(); err == nil {
			t.Error("it was let in")
		}
		h.AwaitLog(from, "authentication failure")
	})
	t.Run("key_logs_in", func(t *testing.T) {
		key, public := SSHKey(t)
		h.Write("/home/hostalice/.ssh/authorized_keys", public+"\n", 0o644)
		out, err := s.Client(SSHLogin{User: "hostalice", Key: key, Methods: "publickey", Command: []string{"exit 5"}}).CombinedOutput()
		if code := exitCode(err); code != 5 {
			t.Errorf("exit code %d: %s", code, out)
		}
	})
	t.Run("machine_has_no_trace", func(t *testing.T) {
		b, err := os.ReadFile("/etc/passwd")
		if err != nil || strings.Contains(string(b), "hostalice") {
			t.Errorf("passwd of the machine has the user: %v", err)
		}
		if _, err := os.Stat("/home/hostalice"); err == nil {
			t.Error("and its home")
		}
	})
}

func exitCode(err error) int {
	if e, ok := err.(interface{ ExitCode() int }); ok {
		return e.ExitCode()
	}
	return -1
}
