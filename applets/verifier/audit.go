package verifier

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"sync"
	"time"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/token/gate"
	"github.com/oidcbox/oidcbox/core/transport/metrics"
)

const (
	// auditRoom is how many records wait for a slow disk.
	auditRoom = 4096
	// auditWait is how long a decision waits for room; after that its record is lost, and counted.
	auditWait = time.Second
	// auditPause is between two writes: under load a system call for each decision costs more than the decision.
	auditPause = 5 * time.Millisecond
	// auditEnd is how long what waits may take at the end.
	auditEnd = 2 * time.Second
	// maxAuditPath keeps a record on a line that tools read.
	maxAuditPath = 1024
)

// auditRecord is one decision. There is no token in it, and no query: tokens stand there at times. sub, iss, jti and
// kid are there once the token was believed; what others say of themselves is apart from that, in claimed.
type auditRecord struct {
	Time      string `json:"time"`
	Decision  string `json:"decision"` // allow, deny, error
	Status    int    `json:"status"`
	Code      string `json:"error,omitempty"`
	Reason    string `json:"reason,omitempty"`
	Service   string `json:"service,omitempty"`
	Method    string `json:"method,omitempty"`
	Operation string `json:"operation,omitempty"`
	Path      string `json:"path,omitempty"`
	Issuer    string `json:"iss,omitempty"`
	Subject   string `json:"sub,omitempty"`
	ID        string `json:"jti,omitempty"`
	KeyID     string `json:"kid,omitempty"`
	Token     string `json:"tokid,omitempty"`
	Opaque    bool   `json:"opaque,omitempty"`
	// Claimed is what a token that was refused says of itself: nobody believes it, and it may well say why.
	Claimed *gate.Claimed `json:"claimed,omitempty"`
	Micros  int64         `json:"us"`
}

func recordOf(at time.Time, e gate.Event) auditRecord {
	id := e.Outcome.Identity
	r := auditRecord{
		Time: at.UTC().Format("2006-01-02T15:04:05.000000Z"), Decision: "allow", Status: 200,
		Service: e.Request.Service, Method: e.Request.Method, Operation: e.Request.Operation,
		Path:   e.Request.Path[:min(len(e.Request.Path), maxAuditPath)],
		Issuer: id.Issuer, Subject: id.Subject, ID: id.Claims.ID, KeyID: id.KeyID, Token: e.TokenID,
		Opaque: e.Outcome.Opaque, Claimed: e.Claimed, Micros: e.Took.Microseconds(),
	}
	if no := e.Refusal; no != nil {
		r.Decision, r.Status, r.Code, r.Reason = "deny", no.Status, no.Code, no.Reason()
		if no.Status >= 500 {
			r.Decision = "error"
		}
	}
	return r
}

// auditLog writes records, one JSON object a line, in the order in which decisions were made.
type auditLog struct {
	name  string // of the file; "" for a stream or none
	lost  *metrics.Counter
	queue chan []byte // nil: nothing is written
	ended chan struct{}

	mu      sync.Mutex
	out     *bufio.Writer
	pending uint64    // records in out
	stream  io.Writer // nil: it is a file
	file    *os.File
}

// openAudit begins to write to stdout, stderr, none or a file.
func openAudit(env *cli.Env, to string, lost *metrics.Counter) (*auditLog, error) {
	a := &auditLog{lost: lost}
	switch to {
	case "none":
		return a, nil
	case "stdout":
		a.stream = env.Stdout
	case "stderr":
		a.stream = env.Stderr
	default:
		a.name = to
		f, err := openAuditFile(to)
		if err != nil {
			return nil, err
		}
		a.file = f
	}
	a.out = bufio.NewWriterSize(a.under(), 64<<10)
	a.queue, a.ended = make(chan []byte, auditRoom), make(chan struct{})
	go a.write()
	return a, nil
}

func openAuditFile(name string) (*os.File, error) {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the audit: %w", err)
	}
	return f, nil
}

// record writes one decision down. It waits for a slow disk only as long as that stays within reason.
func (a *auditLog) record(at time.Time, e gate.Event) {
	if a.queue == nil {
		return
	}
	b, err := json.Marshal(recordOf(at, e))
	if err != nil { // text and numbers always encode
		a.lost.Add(1)
		return
	}
	b = append(visible(b), '\n')
	select {
	case a.queue <- b:
		return
	default:
	}
	wait := time.NewTimer(auditWait)
	defer wait.Stop()
	select {
	case a.queue <- b:
	case <-wait.C:
		a.lost.Add(1)
	}
}

// visible escapes what is in b, which is JSON, and does something to a terminal instead of being seen there: who looks at
// the audit should not do what a stranger wants.
func visible(b []byte) []byte {
	hidden := func(r rune) bool { return !unicode.IsPrint(r) }
	if bytes.IndexFunc(b, hidden) < 0 {
		return b
	}
	out := make([]byte, 0, len(b)+32)
	for _, r := range string(b) {
		switch {
		case !hidden(r):
			out = utf8.AppendRune(out, r)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			out = fmt.Appendf(out, `\u%04x\u%04x`, high, low)
		default:
			out = fmt.Appendf(out, `\u%04x`, r)
		}
	}
	return out
}

// write empties the queue. What has been decided is written before it waits for more.
func (a *auditLog) write() {
	defer close(a.ended)
	for b := range a.queue {
		last := len(a.queue) == 0
		a.put(b, last)
		if last {
			time.Sleep(auditPause)
		}
	}
}

func (a *auditLog) put(b []byte, flush bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	_, err := a.out.Write(b)
	if a.pending++; a.out.Buffered() <= len(b) {
		a.pending = 1 // those before have been written to make room
	}
	if err == nil && flush {
		if err = a.out.Flush(); err == nil {
			a.pending = 0
		}
	}
	if err != nil {
		a.lost.Add(a.pending)
		a.pending = 0
		a.out.Reset(a.under()) // a writer that has failed once refuses all that follows; a full disk is full for a while
	}
}

func (a *auditLog) under() io.Writer {
	if a.file != nil {
		return a.file
	}
	return a.stream
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
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := a.out.Flush(); err != nil {
		a.lost.Add(a.pending)
	}
	a.pending = 0
	_ = a.file.Close()
	a.file = f
	a.out.Reset(f)
	return nil
}

// Close writes what waits, as long as that does not take too long: nobody may keep a daemon from ending by not reading
// its output. Nothing may be recorded afterwards.
func (a *auditLog) Close() {
	if a.queue == nil {
		return
	}
	close(a.queue)
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
