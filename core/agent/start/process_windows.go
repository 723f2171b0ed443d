package start

import (
	"os"

	"golang.org/x/sys/windows"
)

func terminate(pid int) error {
	p, err := os.FindProcess(pid)
	if err != nil {
		return err
	}
	return p.Kill()
}

// alive reports whether a process runs.
func alive(pid int) bool {
	h, err := windows.OpenProcess(windows.SYNCHRONIZE, false, uint32(pid))
	if err != nil {
		return false
	}
	defer windows.CloseHandle(h)
	ev, err := windows.WaitForSingleObject(h, 0)
	return err == nil && ev != windows.WAIT_OBJECT_0
}

// processName is unknown: no socket is made by somebody else here.
func processName(int) string { return "" }
