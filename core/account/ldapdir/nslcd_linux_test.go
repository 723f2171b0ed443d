package ldapdir_test

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/account/backend"
	"github.com/oidcbox/oidcbox/testdata/services"
)

// TestHostSees: a host with nslcd shows the account to getent and id, and its shadow entry to PAM.
func TestHostSees(t *testing.T) {
	h := services.NewHost(t)
	d := services.Slapd(t)
	h.NSLCD(d)
	dir := open(t, options(d))
	w := wanted(t, "a/b:c", "alice")
	w.Groups = []string{"atlas"}
	w.Person = backend.Person{Full: "Al:ice\nroot:x:0:0"}
	done, err := dir.Deploy(t.Context(), w)
	if err != nil {
		t.Fatal(err)
	}
	uid := strconv.Itoa(int(done.Account.UID))
	want := "alice:x:" + uid + ":" + strconv.Itoa(int(done.Account.GID)) + ":" + w.ID + ":/home/alice:/bin/bash\n"
	if got := await(h, want, "getent", "passwd", "alice"); got != want {
		t.Errorf("getent passwd: %q, want %q", got, want)
	}
	if got := h.Run("id", "-Gn", "alice"); got != "fed atlas\n" {
		t.Errorf("id: %q", got)
	}
	if err := dir.Suspend(t.Context(), backend.Ref{ID: w.ID, Name: "alice"}, false); err != nil {
		t.Fatal(err)
	}
	expired := func(line string) bool { f := strings.Split(line, ":"); return len(f) == 9 && f[7] == "1" }
	if got := h.Run("getent", "shadow", "alice"); !expired(got) {
		t.Errorf("getent shadow: %q", got)
	}
}

// await runs a command of the host until it prints want: nslcd remembers for a moment what was not there.
func await(h *services.Host, want, name string, args ...string) string {
	var got string
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		out, _ := h.Command(name, args...).Output()
		if got = string(out); got == want {
			return got
		}
	}
	return got
}
