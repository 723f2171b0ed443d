package verifier

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/audit"
	"github.com/oidcbox/oidcbox/core/token/gate"
)

// TestAudit_terminal: a token that nobody believes says what it likes, and an operator looks at it on a terminal.
func TestAudit_terminal(t *testing.T) {
	const hostile = "J\u00fcrgen \u009b2J\x7f\u202e\U000e0041\u0085\u2028"
	var b strings.Builder
	a, _ := auditTo(t, &b)
	recordTo(a, time.Unix(0, 0), &gate.Event{Claimed: &gate.Claimed{Subject: hostile}})
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

// TestAuditRecord: what is written by hand is what the type says, whatever is in it.
func TestAuditRecord_as_its_type_says(t *testing.T) {
	texts := []string{"", "plain", "/a b<&>'", "\x00\n\"\\", "\xff\u2028é", strings.Repeat("x", 300)}
	at := time.Date(2026, 3, 4, 5, 6, 7, 12_345_678, time.FixedZone("east", 3600))
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
		if got := r.appendTo([]byte("before "), []byte(r.Time)); string(got) != "before "+string(audit.Visible(want)) {
			t.Fatalf("got\n%s\nwant\n%s", got, want)
		}
	}
}
