package boltstore

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// maxRecord bounds what is read of a holder or lock record.
const maxRecord = 4 << 10

// process names one process for as long as its machine runs. A process number alone is used again soon.
type process struct {
	Host  string `json:"host"`  // one boot of one machine, and the pid name space; empty when unknown
	PID   int    `json:"pid"`   //
	Start uint64 `json:"start"` // in ticks since the boot; 0 when unknown
}

func ownProcess() process {
	pid := os.Getpid()
	return process{Host: hostID(), PID: pid, Start: startTime(pid)}
}

// dead reports whether p has certainly ended. Of other machines nothing is certain.
func (p process) dead(self process) bool {
	if p.Host == "" || p.Host != self.Host || p.PID <= 0 {
		return false
	}
	start := startTime(p.PID)
	return !processExists(p.PID) || (p.Start != 0 && start != 0 && start != p.Start)
}

// holderRecord lies beside a file that is in use, as PATH.holder. It is only for the message that others get.
type holderRecord struct {
	process
	Name string `json:"name"`
}

func (p process) record(name string) holderRecord { return holderRecord{process: p, Name: name} }

func (r holderRecord) String() string {
	name := r.Name
	if name == "" {
		name = "a process"
	}
	return fmt.Sprintf("%s (pid %d)", name, r.PID)
}

func holderPath(path string) string { return path + ".holder" }

func writeHolder(path string, r holderRecord) error {
	b, err := json.Marshal(r)
	if err != nil {
		return err
	}
	tmp := holderPath(path) + "." + randomName()
	if err := os.WriteFile(tmp, b, 0o600); err != nil {
		return errors.Join(err, ignoreAbsent(os.Remove(tmp)))
	}
	return os.Rename(tmp, holderPath(path))
}

// readHolder returns who holds path, "" when that is not known or the record is of a process that has ended.
func readHolder(path string) string {
	b, err := readBounded(holderPath(path))
	if err != nil {
		return ""
	}
	var r holderRecord
	if json.Unmarshal(b, &r) != nil || r.PID <= 0 || r.dead(ownProcess()) {
		return ""
	}
	return r.String()
}

// removeHolder removes the record if it is ours.
func removeHolder(path string, self process) {
	b, err := readBounded(holderPath(path))
	if err != nil {
		return
	}
	var r holderRecord
	if json.Unmarshal(b, &r) == nil && r.process == self {
		_ = os.Remove(holderPath(path))
	}
}

func readBounded(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	return io.ReadAll(io.LimitReader(f, maxRecord))
}

func ignoreAbsent(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// randomName returns 16 hexadecimal digits.
func randomName() string {
	b := make([]byte, 8)
	_, _ = rand.Read(b) // never fails
	return hex.EncodeToString(b)
}
