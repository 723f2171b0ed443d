package verifier

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/token/gate"
)

// TestAudit_terminal: a token that nobody believes says what it likes, and an operator looks at it on a terminal.
func TestAudit_terminal(t *testing.T) {
	const hostile = "J\u00fcrgen \u009b2J\x7f\u202e\U000e0041\u0085\u2028"
	var b strings.Builder
	a, _ := auditTo(t, &b)
	a.record(time.Unix(0, 0), gate.Event{Claimed: &gate.Claimed{Subject: hostile}})
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
			e := gate.Event{}
			e.Request.Service = service
			a.put(append(must(json.Marshal(recordOf(time.Unix(0, 0), e))), '\n'), false)
		}
		a.put([]byte("{}\n"), true)
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

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
