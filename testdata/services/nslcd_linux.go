package services

import (
	"os"
	"os/user"
	"strconv"
	"strings"
	"time"
)

// NSLCD makes the host see the users and groups of a directory beside its own, by nslcd and libnss-ldapd: getent, id,
// sshd and PAM find them. It runs until the test ends.
func (h *Host) NSLCD(d *Directory) {
	h.tb.Helper()
	if _, err := os.Stat("/usr/sbin/nslcd"); err != nil {
		Missing(h.tb, "program nslcd is not installed")
	}
	runs, err := user.Lookup("nslcd")
	h.check(err)
	uid, err := strconv.Atoi(runs.Uid)
	h.check(err)
	gid, err := strconv.Atoi(runs.Gid)
	h.check(err)
	var lines []string
	for line := range strings.Lines(h.Read("/etc/nsswitch.conf")) {
		switch word, _, _ := strings.Cut(line, ":"); word {
		case "passwd", "group", "shadow":
			continue
		}
		lines = append(lines, line)
	}
	h.Write("/etc/nsswitch.conf", strings.Join(lines, "")+"passwd: files ldap\ngroup: files ldap\nshadow: files ldap\n", 0o644)
	h.Write("/etc/nslcd.conf", "uid nslcd\ngid nslcd\nuri "+d.URL+"\nbase "+LDAPBase+"\nbinddn "+LDAPReader+
		"\nbindpw "+LDAPReaderPassword+"\nbase passwd "+LDAPPeople+"\nbase shadow "+LDAPPeople+"\nbase group "+LDAPGroups+
		"\nbind_timelimit 3\ntimelimit 3\nreconnect_retrytime 1\nreconnect_sleeptime 1\n", 0o640)
	h.check(os.Chown(h.File("/etc/nslcd.conf"), 0, gid))
	h.check(os.MkdirAll(h.File("/run/nslcd"), 0o755))
	h.check(os.Chown(h.File("/run/nslcd"), uid, gid))
	h.Background("nslcd", h.Command("/usr/sbin/nslcd", "-n"))
	for deadline := time.Now().Add(slapdStart); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if h.UID("olduser") > 0 {
			return
		}
	}
	h.tb.Fatal("nslcd does not show the users of the directory")
}
