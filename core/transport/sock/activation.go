package sock

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
)

// Activated is one socket that systemd opened for us.
type Activated struct {
	Name     string // FileDescriptorName= of the socket unit, by default the unit's name
	Listener net.Listener
}

// maxActivated bounds what LISTEN_FDS may claim.
const maxActivated = 64

// Activation returns the sockets handed over by systemd (sd_listen_fds(3)), in the unit's order: none when the
// variables are absent or meant for another process. pid is our own. It may be called once per process: the descriptors
// belong to the listeners afterwards.
func Activation(getenv func(string) string, pid int) ([]Activated, error) {
	const firstFD = 3
	if getenv("LISTEN_PID") != strconv.Itoa(pid) {
		return nil, nil
	}
	n, err := strconv.Atoi(getenv("LISTEN_FDS"))
	if err != nil || n < 0 || n > maxActivated {
		return nil, fmt.Errorf("socket activation: LISTEN_FDS=%q is no sensible number", getenv("LISTEN_FDS"))
	}
	names := strings.Split(getenv("LISTEN_FDNAMES"), ":")
	var out []Activated
	for i := range n {
		a := Activated{Name: "unknown"}
		if i < len(names) && names[i] != "" {
			a.Name = names[i]
		}
		f := os.NewFile(uintptr(firstFD+i), a.Name)
		// FileListener duplicates the descriptor, close-on-exec; the original is closed here.
		a.Listener, err = net.FileListener(f)
		_ = f.Close()
		if err != nil {
			for _, o := range out {
				_ = o.Listener.Close()
			}
			return nil, fmt.Errorf("socket activation: descriptor %d (%s): %w", firstFD+i, a.Name, err)
		}
		out = append(out, a)
	}
	return out, nil
}
