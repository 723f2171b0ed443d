package audit

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// logTo begins a log that is written to w, and counts what is lost.
func logTo(t *testing.T, w io.Writer) (*Log, *atomic.Uint64) {
	t.Helper()
	lost := new(atomic.Uint64)
	a, err := Open("stdout", Options{Stdout: w, Lost: func(n uint64) { lost.Add(n) }})
	if err != nil {
		t.Fatal(err)
	}
	return a, lost
}

// record writes a record of one member.
func (a *Log) record(at time.Time, text string) {
	a.Record(at, func(b, stamp []byte) []byte {
		b = append(append(append(b, `{"time":"`...), stamp...), `","text":`...)
		return append(AppendText(b, text), '}')
	})
}

// TestText: what is quoted reads as what it was, and no terminal does anything about it.
func TestText(t *testing.T) {
	for _, s := range []string{"", "plain", "/a b<&>'", "\x00\n\"\\", "\u2028é", "J\u00fcrgen \u009b2J\x7f\u202e\U000e0041\u0085"} {
		b := AppendText([]byte("before "), s)
		line, ok := strings.CutPrefix(string(b), "before ")
		var got string
		if err := json.Unmarshal([]byte(line), &got); !ok || err != nil || got != s {
			t.Errorf("%q is %s, which reads as %q (%v)", s, b, got, err)
		}
		if strings.ContainsAny(line, "\x00\n\u009b\x7f\u202e\U000e0041\u0085\u2028") {
			t.Errorf("%q is %q", s, line)
		}
	}
}

// TestStamp: times are as RFC 3339 has them, whatever second came before.
func TestStamp(t *testing.T) {
	var s stamp
	at := time.Date(2026, 3, 4, 5, 6, 7, 12_345_678, time.FixedZone("east", 3600))
	for range 100 {
		at = at.Add(333_333_333)
		if got, want := string(s.of(at)), at.UTC().Format("2006-01-02T15:04:05.000000Z"); got != want {
			t.Fatalf("%s, want %s", got, want)
		}
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

// TestLog_full_disk: who fills the disk hides what is decided while it is full, and that is counted; not what is
// decided later.
func TestLog_full_disk(t *testing.T) {
	var d disk
	a, lost := logTo(t, &d)
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
	if lost.Load() != 4 {
		t.Errorf("%d counted as lost, want 4", lost.Load())
	}
}

// TestLog_nobody_reads: others go on, what is lost is counted, and the daemon ends.
func TestLog_nobody_reads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reader, writer := io.Pipe()
		a, lost := logTo(t, writer)
		const more = 3
		big := strings.Repeat("x", 1024)
		begin := time.Now()
		for range maxWaiting + 100 + more {
			a.record(begin, big)
			if lost.Load() == more {
				break
			}
		}
		if lost.Load() == 0 || time.Since(begin) > 10*time.Minute {
			t.Errorf("%d were lost, in %v", lost.Load(), time.Since(begin))
		}
		begin = time.Now()
		a.Close()
		if took := time.Since(begin); took > endWait {
			t.Errorf("closing took %v", took)
		}
		reader.Close()
		<-a.ended
	})
}

// TestLog_room: who waits for a slow reader is let go on as soon as something was read, and nothing is lost.
func TestLog_room(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reader, writer := io.Pipe()
		a, lost := logTo(t, writer)
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
			text := strings.Repeat("x", 1024-10) + strconv.Itoa(i)
			a.record(time.Now(), text)
			a.mu.Lock()
			waiting := a.waiting
			a.mu.Unlock()
			if waiting > maxWaiting+2*1024 {
				t.Fatalf("%d bytes wait", waiting)
			}
		}
		a.Close()
		writer.Close()
		<-done
		lines := strings.Split(strings.TrimSuffix(read.String(), "\n"), "\n")
		if len(lines) != records || lost.Load() != 0 {
			t.Errorf("%d of %d lines, %d lost", len(lines), records, lost.Load())
		}
		for i, line := range lines {
			if !strings.Contains(line, "x"+strconv.Itoa(i)+`"`) {
				t.Fatalf("line %d is %s", i, line)
			}
		}
	})
}
