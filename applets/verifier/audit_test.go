package verifier

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oidcbox/oidcbox/core/token/gate"
	"github.com/oidcbox/oidcbox/core/token/policy"
)

// TestAudit_terminal: a token that nobody believes says what it likes, and an operator looks at it on a terminal.
func TestAudit_terminal(t *testing.T) {
	const hostile = "J\u00fcrgen \u009b2J\x7f\u202e\U000e0041\u0085\u2028"
	var b strings.Builder
	a, _ := auditTo(t, &b)
	a.record(time.Unix(0, 0), &gate.Event{Claimed: &gate.Claimed{Subject: hostile}})
	a.Close()
	line := strings.TrimSuffix(b.String(), "\n")
	if strings.ContainsAny(line, "\u009b\x7f\u202e\U000e0041\u0085\u2028") || !strings.Contains(line, "J\u00fcrgen") {
		t.Errorf("the line is %q", line)
	}
	var r auditRecord
	if err := json.Unmarshal([]byte(line), &r); err != nil || r.Claimed == nil || r.Claimed.Subject != hostile {
		t.Errorf("it reads as %+v (%v)", r.Claimed, err)
	}
}

// disk is full for a while.
type disk struct {
	full bool
	strings.Builder
}

func (d *disk) Write(b []byte) (int, error) {
	if d.full {
		return 0, errors.New("no space left on device")
	}
	return d.Builder.Write(b)
}

// TestAudit_full_disk: who fills the disk hides what is decided while it is full, and that is counted; not what is
// decided later.
func TestAudit_full_disk(t *testing.T) {
	var d disk
	a, lost := auditTo(t, &d)
	say := func(n int, service string) {
		for range n {
			a.put(fmt.Appendf(nil, "{%q: 1}\n", service))
		}
		a.put([]byte("{}\n"))
	}
	say(3, "before")
	d.full = true
	say(3, "meanwhile")
	d.full = false
	say(3, "after")
	a.Close()
	for service, want := range map[string]int{"before": 3, "meanwhile": 0, "after": 3} {
		if got := strings.Count(d.String(), service); got != want {
			t.Errorf("%s: %d records, want %d", service, got, want)
		}
	}
	if lost.Value() != 4 {
		t.Errorf("%d counted as lost, want 4", lost.Value())
	}
}

// TestAuditRecord: what is written by hand is what the type says, whatever is in it.
func TestAuditRecord_as_its_type_says(t *testing.T) {
	texts := []string{"", "plain", "/a b<&>'", "\x00\n\"\\", "\xff\u2028é", strings.Repeat("x", 300)}
	at := time.Date(2026, 3, 4, 5, 6, 7, 12_345_678, time.FixedZone("east", 3600))
	var s stamp
	for i := range 200 {
		text := func(n int) string { return texts[(i+n*7)%len(texts)] }
		at = at.Add(333_333_333)
		r := auditRecord{
			Time: at.UTC().Format("2006-01-02T15:04:05.000000Z"), Decision: "deny", Status: 400 + i, Code: text(1),
			Reason: text(2), Service: text(3), Method: text(4), Operation: text(5), Path: text(6), Issuer: text(7),
			Subject: text(8), ID: text(9), KeyID: text(10), Token: text(11), Opaque: i%2 == 0, Micros: int64(i - 1),
		}
		if i%3 == 0 {
			r.Claimed = &gate.Claimed{Issuer: text(12), Audience: []string{text(13)}}
		}
		want, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		if got := r.appendTo([]byte("before "), s.of(at)); string(got) != "before "+string(visible(want)) {
			t.Fatalf("got\n%s\nwant\n%s", got, want)
		}
	}
}

// TestAudit_room: who waits for a slow reader is let go on as soon as something was read, and nothing is lost.
func TestAudit_room(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reader, writer := io.Pipe()
		a, lost := auditTo(t, writer)
		const records = 5000
		var read strings.Builder
		done := make(chan struct{})
		go func() {
			defer close(done)
			piece := make([]byte, 10_000)
			for {
				time.Sleep(time.Millisecond)
				n, err := reader.Read(piece)
				read.Write(piece[:n])
				if err != nil {
					return
				}
			}
		}()
		for i := range records {
			path := strings.Repeat("x", maxAuditPath-10) + strconv.Itoa(i)
			a.record(time.Now(), &gate.Event{Request: policy.Request{Path: path}})
			a.mu.Lock()
			waiting := a.waiting
			a.mu.Unlock()
			if waiting > auditRoom+2*maxAuditPath {
				t.Fatalf("%d bytes wait", waiting)
			}
		}
		a.Close()
		writer.Close()
		<-done
		lines := strings.Split(strings.TrimSuffix(read.String(), "\n"), "\n")
		if len(lines) != records || lost.Value() != 0 {
			t.Errorf("%d of %d lines, %d lost", len(lines), records, lost.Value())
		}
		for i, line := range lines {
			if !strings.Contains(line, "x"+strconv.Itoa(i)+`"`) {
				t.Fatalf("line %d is %s", i, line)
			}
		}
	})
}
