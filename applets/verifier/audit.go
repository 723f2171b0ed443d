package verifier

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/token/gate"
	"github.com/oidcbox/oidcbox/core/transport/metrics"
)

const (
	// auditRoom is how many bytes of records wait for a slow disk.
	auditRoom = 2 << 20
	// auditWait is how long a decision waits for room; after that its record is lost, and counted.
	auditWait = time.Second
	// auditPause is between two writes: under load a system call for each decision costs more than the decision.
	auditPause = 5 * time.Millisecond
	// auditPiece is how much is written at once, or one record.
	auditPiece = 64 << 10
	// auditEnd is how long what waits may take at the end.
	auditEnd = 2 * time.Second
	// maxAuditPath keeps a record on a line that tools read.
	maxAuditPath = 1024
)

// auditLog writes records, one JSON object a line, in the order in which decisions were made.
type auditLog struct {
	name  string // of the file; "" for a stream or none
	lost  *metrics.Counter
	wake  chan struct{} // nil: nothing is written
	ended chan struct{}

	mu      sync.Mutex
	pending []byte        // lines that the writer has not taken yet
	waiting int           // bytes of lines that are not written, those the writer has included
	freed   chan struct{} // closed when there is room again; nil: nobody waits
	stamp   stamp

	writing sync.Mutex // guards what follows, held while something is written
	out     io.Writer
	file    *os.File // out, when it is one of ours
}

// openAudit begins to write to stdout, stderr, none or a file.
func openAudit(env *cli.Env, to string, lost *metrics.Counter) (*auditLog, error) {
	a := &auditLog{lost: lost}
	switch to {
	case "none":
		return a, nil
	case "stdout":
		a.out = env.Stdout
	case "stderr":
		a.out = env.Stderr
	default:
		a.name = to
		f, err := openAuditFile(to)
		if err != nil {
			return nil, err
		}
		a.file, a.out = f, f
	}
	a.wake, a.ended = make(chan struct{}, 1), make(chan struct{})
	go a.write()
	return a, nil
}

// openAuditFile does not wait, as opening a pipe that nobody reads would for ever, with every reload and the end of the
// daemon behind it.
func openAuditFile(name string) (*os.File, error) {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_APPEND|os.O_CREATE|syscall.O_NONBLOCK, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the audit: %w", err)
	}
	return f, nil
}

// record writes one decision down. It waits for a slow disk only as long as that stays within reason.
func (a *auditLog) record(at time.Time, e *gate.Event) {
	if a.wake == nil {
		return
	}
	r := recordOf(e)
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.waiting >= auditRoom && !a.room() {
		a.lost.Add(1)
		return
	}
	before := len(a.pending)
	a.pending = append(r.appendTo(a.pending, a.stamp.of(at)), '\n')
	a.waiting += len(a.pending) - before
	if before == 0 {
		select {
		case a.wake <- struct{}{}:
		default: // it will look again anyhow
		}
	}
}

// room waits until something was written, with a.mu, which it lets go of meanwhile. It reports whether there is room.
func (a *auditLog) room() bool {
	wait := time.NewTimer(auditWait)
	defer wait.Stop()
	for a.waiting >= auditRoom {
		if a.freed == nil {
			a.freed = make(chan struct{})
		}
		freed, late := a.freed, false
		a.mu.Unlock()
		select {
		case <-freed:
		case <-wait.C:
			late = true
		}
		a.mu.Lock()
		if late {
			return false
		}
	}
	return true
}

// write writes all there is, and looks again after a pause, until Close.
func (a *auditLog) write() {
	defer close(a.ended)
	var spare []byte
	for range a.wake {
		spare = a.drain(spare)
		time.Sleep(auditPause)
	}
	a.drain(spare)
}

// drain writes until nothing is left. The two buffers change places: room is one to be filled, the last one comes back.
func (a *auditLog) drain(room []byte) []byte {
	for {
		a.mu.Lock()
		lines := a.pending
		a.pending = room[:0]
		a.mu.Unlock()
		room = lines
		if len(lines) == 0 {
			return room
		}
		for len(lines) > 0 {
			n := piece(lines)
			a.put(lines[:n])
			lines = lines[n:]
		}
	}
}

// piece returns how many bytes of lines are written at once: whole lines, one at least.
func piece(lines []byte) int {
	if len(lines) <= auditPiece {
		return len(lines)
	}
	if n := bytes.LastIndexByte(lines[:auditPiece], '\n') + 1; n > 0 {
		return n
	}
	return bytes.IndexByte(lines, '\n') + 1
}

// put writes lines, and makes room for as many.
func (a *auditLog) put(lines []byte) {
	a.writing.Lock()
	n, err := a.out.Write(lines)
	a.writing.Unlock()
	if err != nil { // a full disk is full for a while: what follows is tried again
		a.lost.Add(uint64(bytes.Count(lines[n:], []byte{'\n'})))
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.waiting -= len(lines)
	if a.freed != nil {
		close(a.freed)
		a.freed = nil
	}
}

// reopen goes on in a new file when the old one was moved away.
func (a *auditLog) reopen() error {
	if a.name == "" {
		return nil
	}
	f, err := openAuditFile(a.name)
	if err != nil {
		return err
	}
	a.writing.Lock()
	defer a.writing.Unlock()
	_ = a.file.Close()
	a.file, a.out = f, f
	return nil
}

// Close writes what waits, as long as that does not take too long: nobody may keep a daemon from ending by not reading
// its output. Nothing may be recorded afterwards.
func (a *auditLog) Close() {
	if a.wake == nil {
		return
	}
	close(a.wake)
	wait := time.NewTimer(auditEnd)
	defer wait.Stop()
	select {
	case <-a.ended:
	case <-wait.C:
		return
	}
	if a.file != nil {
		_ = a.file.Close()
	}
}
