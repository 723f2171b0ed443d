package boltstore

import (
	"errors"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// hostID names this boot of this machine and our pid name space: only there a process number means anything.
func hostID() string {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	space, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(boot)) + " " + space
}

// startTime returns when pid began, 0 when there is no such process. It works for processes of any user.
func startTime(pid int) uint64 {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0
	}
	// The name in parentheses may hold anything; the start is the 20th field after it.
	_, rest, ok := strings.Cut(string(b[strings.LastIndexByte(string(b), ')')+1:]), " ")
	fields := strings.Fields(rest)
	if !ok || len(fields) < 20 {
		return 0
	}
	start, err := strconv.ParseUint(fields[19], 10, 64)
	if err != nil {
		return 0
	}
	return start
}

// processExists counts a zombie as ended: it holds no file.
func processExists(pid int) bool {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err == nil {
		after := strings.TrimSpace(string(b[strings.LastIndexByte(string(b), ')')+1:]))
		return !strings.HasPrefix(after, "Z") && !strings.HasPrefix(after, "X")
	}
	return !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH)
}
