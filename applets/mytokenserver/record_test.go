package mytokenserver

import (
	"encoding/json"
	"net/netip"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/oidcbox/oidcbox/core/audit"
	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/daemon/keep"
	"github.com/oidcbox/oidcbox/core/mytoken/desk"
	"github.com/oidcbox/oidcbox/core/mytoken/ledger"
)

// TestRecord: what strangers say of themselves stands in the audit, on one line, and does nothing to a terminal.
func TestRecord(t *testing.T) {
	const hostile = "evil\n{\"action\":\"forged\"} \x1b]0;title\x07 \u009b2J \u202e \U000e0041 \xff"
	var b strings.Builder
	d := &server{}
	d.numbers = newNumbers(d)
	var err error
	if d.audit, err = audit.Open("stdout", audit.Options{Stdout: &b}); err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	d.record(t.Context(), desk.AuditEvent{
		Action: "begin", Outcome: "invalid_request", Reason: strings.Repeat(hostile, 50), At: at,
		From: ledger.Origin{Client: netip.MustParseAddr("192.0.2.1"), UserAgent: hostile},
	})
	d.record(t.Context(), desk.AuditEvent{Action: "access", Outcome: "ok", User: "u", MOMID: "m", At: at})
	d.audit.Close()
	lines := strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
	if len(lines) != 2 || strings.ContainsAny(b.String(), "\x1b\x07\u009b\u202e\U000e0041") ||
		!utf8.ValidString(b.String()) {
		t.Fatalf("%d lines: %q", len(lines), b.String())
	}
	var first, second auditRecord
	if err := json.Unmarshal([]byte(lines[0]), &first); err != nil || len(first.Reason) > maxAuditText+8 ||
		first.Address != "192.0.2.1" || !strings.HasPrefix(first.Agent, "evil\n{") || first.Time != "2026-03-04T05:06:07.000000Z" {
		t.Errorf("%v %+v", err, first)
	}
	if err := json.Unmarshal([]byte(lines[1]), &second); err != nil || second.User != "u" || second.Token != "m" {
		t.Errorf("%v %+v", err, second)
	}
	if n := d.numbers.decisions.With("begin", "invalid_request").Value(); n != 1 {
		t.Errorf("%d counted", n)
	}
}

// TestTable: names of mytokens are texts of strangers, and a list of them is looked at on a terminal.
func TestTable(t *testing.T) {
	var b strings.Builder
	err := table(&b, []string{"NAME"}, 1, func(int) []string { return []string{"a\tb\nc\x1b[2J\u202e"} })
	if err != nil || strings.ContainsAny(b.String(), "\x1b\u202e") || strings.Count(b.String(), "\n") != 2 {
		t.Errorf("%v %q", err, b.String())
	}
}

// TestUnlocks: what opens the state is a file of one's own, or a credential.
func TestUnlocks(t *testing.T) {
	env := &cli.Env{Getenv: func(string) string { return "" }}
	if _, err := (keep.Place{Credential: "x"}).Unlocks(env.Getenv); err == nil {
		t.Error("a credential without systemd")
	}
	env.Getenv = func(string) string { return "/run/credentials/x" }
	if c, err := (keep.Place{Credential: "x"}).Unlocks(env.Getenv); err != nil || c.None() {
		t.Errorf("a credential: %v", err)
	}
	if c, err := (keep.Place{KeyFile: "/k"}).Unlocks(env.Getenv); err != nil || c.None() {
		t.Errorf("a key file: %v", err)
	}
}
