//go:build linux

package agent

import (
	"bufio"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/agent/control"
	"github.com/oidcbox/oidcbox/testdata/services"
)

// TestKeyringOpensTheKeystore: an agent that is given no key uses the slot for the keyring of the session, and starts
// all the same where there is none, without starting a bus.
func TestKeyringOpensTheKeystore(t *testing.T) {
	services.Need(t, "dbus-daemon", "gnome-keyring-daemon")
	h := newHome(t)
	bare := h.env
	h.env = append(h.env[:len(h.env):len(h.env)], "DBUS_SESSION_BUS_ADDRESS="+h.keyring())
	ctl := control.Client{Path: h.path("run/oidcbox/control.sock")}

	a := h.start("agent", "--passphrase-file", "pass")
	h.addKeyringSlot(ctl)
	h.stop(a)

	a = h.start("agent")
	if st, err := ctl.Status(t.Context()); err != nil || st.Keystore != control.KeystoreOpen {
		t.Errorf("with the keyring: %+v, %v", st, err)
	}
	h.stop(a)

	if _, err := os.Stat("/run/user/" + strconv.Itoa(os.Getuid()) + "/bus"); err == nil {
		t.Skip("there is a bus at the usual place")
	}
	h.write("dbus-launch", "#!/bin/sh\ntouch '"+h.path("started")+"'\n")
	if err := os.Chmod(h.path("dbus-launch"), 0o755); err != nil {
		t.Fatal(err)
	}
	h.env = append(bare[:len(bare):len(bare)], "PATH="+h.dir+":"+os.Getenv("PATH"), "DISPLAY=:99")
	h.start("agent")
	if st, err := ctl.Status(t.Context()); err != nil || st.Keystore != control.KeystoreLocked {
		t.Errorf("without a bus: %+v, %v", st, err)
	}
	if _, err := os.Stat(h.path("started")); err == nil {
		t.Error("a bus was started")
	}
}

// keyring starts a bus with an open keyring on it, for the time of the test, and returns the address of the bus.
func (h *home) keyring() string {
	h.t.Helper()
	bus := exec.CommandContext(h.t.Context(), "dbus-daemon", "--session", "--nofork", "--nopidfile", "--print-address")
	bus.Env = h.env
	out, err := bus.StdoutPipe()
	if err == nil {
		err = bus.Start()
	}
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { _ = bus.Wait() }) // the context of the test ends before
	address, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		h.t.Fatal(err)
	}
	address = strings.TrimSpace(address)
	ring := exec.CommandContext(h.t.Context(), "gnome-keyring-daemon", "--unlock", "--foreground", "--components=secrets")
	ring.Env = append(h.env[:len(h.env):len(h.env)], "DBUS_SESSION_BUS_ADDRESS="+address)
	ring.Stdin = strings.NewReader("pw")
	if err := ring.Start(); err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { _ = ring.Wait() })
	return address
}

// addKeyringSlot waits for the keyring to be there.
func (h *home) addKeyringSlot(ctl control.Client) {
	h.t.Helper()
	var err error
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if _, err = ctl.AddSlot(h.t.Context(), control.NewSlot{Kind: "keyring"}); err == nil {
			return
		}
	}
	h.t.Fatal(err)
}

func (h *home) stop(a started) {
	h.t.Helper()
	h.run("agent", "-k")
	for end := time.Now().Add(5 * time.Second); alive(a.pid); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			h.t.Fatal("the agent does not end")
		}
	}
}
