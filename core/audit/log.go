package audit

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"
	"time"
)

const (
	// maxWaiting is how many bytes of records wait for a slow disk.
	maxWaiting = 2 << 20
	// roomWait is how long a caller waits for room; after that its record is lost, and counted.
	roomWait = time.Second
	// writePause is between two writes: under load a system call for each record costs more than what it tells of.
	writePause = 5 * time.Millisecond
	// maxPiece is how much is written at once, or one record.
	maxPiece = 64 << 10
	// endWait is how long what waits may take at the end.
	endWait = 2 * time.Second
)

// Log writes records, one JSON object a line, in the order in which they came. Use Open.
type Log struct {
	name  string // of the file; "" for a stream or none
	lost  func(records uint64)
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

// Options of a Log.
type Options struct {
	Stdout, Stderr io.Writer
	// Lost is told how many records could not be written. nil: nobody is.
	Lost func(records uint64)
}

// Streams are what Open takes beside the name of a file.
func Streams() []string { return []string{"stdout", "stderr", "none"} }

// Open begins to write to stdout, stderr, none or a file, which is made with mode 0600. Call Close at the end.
func Open(to string, o Options) (*Log, error) {
	a := &Log{lost: o.Lost}
	if a.lost == nil {
		a.lost = func(uint64) {}
	}
	switch to {
	case "none":
		return a, nil
	case "stdout":
		a.out = o.Stdout
	case "stderr":
		a.out = o.Stderr
	default:
		a.name = to
		f, err := openFile(to)
		if err != nil {
			return nil, err
		}
		a.file, a.out = f, f
	}
	a.wake, a.ended = make(chan struct{}, 1), make(chan struct{})
	go a.write()
	return a, nil
}

// openFile does not wait, as opening a pipe that nobody reads would for ever, with every reload and the end of the
// daemon behind it.
func openFile(name string) (*os.File, error) {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_APPEND|os.O_CREATE|syscall.O_NONBLOCK, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the audit: %w", err)
	}
	return f, nil
}

// Record writes one record down: appendTo appends it to b, an object of JSON on one line without its end; stamp is the time
// of it, at, in quotable form. It waits for a slow disk only as long as that stays within reason.
func (a *Log) Record(at time.Time, appendTo func(b, stamp []byte) []byte) {
	if a.wake == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.waiting >= maxWaiting && !a.room() {
		a.lost(1)
		return
	}
	before := len(a.pending)
	a.pending = append(appendTo(a.pending, a.stamp.of(at)), '\n')
	a.waiting += len(a.pending) - before
	if before == 0 {
		select {
		case a.wake <- struct{}{}:
		default: // it will look again anyhow
		}
	}
}

// room waits until something was written, with a.mu, which it lets go of meanwhile. It reports whether there is room.
func (a *Log) room() bool {
	wait := time.NewTimer(roomWait)
	defer wait.Stop()
	for a.waiting >= maxWaiting {
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
func (a *Log) write() {
	defer close(a.ended)
	var spare []byte
	for range a.wake {
		spare = a.drain(spare)
		time.Sleep(writePause)
	}
	a.drain(spare)
}

// drain writes until nothing is left. The two buffers change places: room is one to be filled, the last one comes back.
func (a *Log) drain(room []byte) []byte {
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
	if len(lines) <= maxPiece {
		return len(lines)
	}
	if n := bytes.LastIndexByte(lines[:maxPiece], '\n') + 1; n > 0 {
		return n
	}
	return bytes.IndexByte(lines, '\n') + 1
}

// put writes lines, and makes room for as many.
func (a *Log) put(lines []byte) {
	a.writing.Lock()
	n, err := a.out.Write(lines)
	a.writing.Unlock()
	if err != nil { // a full disk is full for a while: what follows is tried again
		a.lost(uint64(bytes.Count(lines[n:], []byte{'\n'})))
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.waiting -= len(lines)
	if a.freed != nil {
		close(a.freed)
		a.freed = nil
	}
}

// Reopen goes on in a new file when the old one was moved away.
func (a *Log) Reopen() error {
	if a.name == "" {
		return nil
	}
	f, err := openFile(a.name)
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
func (a *Log) Close() {
	if a.wake == nil {
		return
	}
	close(a.wake)
	wait := time.NewTimer(endWait)
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
