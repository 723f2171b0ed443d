package sock

import (
	"errors"
	"fmt"
	"os"
	"strings"
)

// ProgramOf returns the name of the program that made a connection, cut to 15 bytes as the kernel has it. It is what
// the program calls itself: good for telling a person's own programs apart, and no proof of anything about a stranger's.
// The error is errors.ErrUnsupported where there is no /proc; any other means that the process has ended or cannot be
// seen from here.
func ProgramOf(p Peer) (string, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", p.PID))
	if err == nil && p.PID > 0 {
		return strings.TrimSuffix(string(b), "\n"), nil
	}
	if _, none := os.Stat("/proc/self/comm"); none != nil {
		return "", errors.ErrUnsupported
	}
	return "", fmt.Errorf("look at process %d: %w", p.PID, ErrNoPeer)
}
