//go:build unix

package applets

import (
	"strconv"
	"strings"
	"testing"

	"github.com/oidcbox/oidcbox/core/token/forward"
)

// TestVerifierIssuers_the_day_a_key_is_stolen: the issuer has new keys, and the daemon is told.
func TestVerifierIssuers_the_day_a_key_is_stolen(t *testing.T) {
	g := newGuarded(t, "keys: {dir: keys}\ncontrol: control.sock\n")
	issuers := func(code int, args ...string) string {
		t.Helper()
		o := g.run(append([]string{"verifier", "issuers", "--config", "verifier.yaml"}, args...)...)
		if o.code != code {
			t.Errorf("issuers %v: code %d, want %d\n%s%s", args, o.code, code, o.out, o.errOut)
		}
		return o.out + o.errOut
	}
	try := func(what, token string, want int) {
		t.Helper()
		resp := g.ask(token, "GET", "/f")
		if got := resp.Header.Get(forward.StatusHeader); got != strconv.Itoa(want) { // nginx would make 500 of a 503
			t.Errorf("%s: status %s, want %d", what, got, want)
		}
	}
	stolen := g.token("")
	try("before", stolen, 200)

	g.op.Restart(false) // it forgot its keys, the stolen one too
	try("nobody has told the daemon", stolen, 200)
	issuers(0, "drop", g.op.URL)
	try("by the stolen key", stolen, 401)
	fresh := g.token("")
	try("by the new key", fresh, 200)

	g.op.Stop()
	if out := issuers(5, "drop", g.op.URL); !strings.Contains(out, "the old keys are dropped") {
		t.Error(out)
	}
	try("no keys, and the issuer is down", fresh, 503)
	issuers(1)
	g.op.Restart(true)
	issuers(0, "refresh", g.op.URL)
	try("it is back", fresh, 200)
	if out := issuers(0, "--json"); !strings.Contains(out, g.op.URL) || strings.Contains(out, "last_error") {
		t.Error(out)
	}
}

// TestVerifierToken_in_a_loop: processes that come and go share what one of them has fetched.
func TestVerifierToken_in_a_loop(t *testing.T) {
	g := newGuarded(t, "")
	g.write("token", g.token(""))
	g.op.ClearRequests()
	check := func() output {
		return g.run("verifier", "token", "--issuer", g.op.URL, "--audience", apiAudience, "--token-file", "token",
			"--keys-dir", "keys")
	}
	for range 5 {
		if o := check(); o.code != 0 {
			t.Fatalf("%+v", o)
		}
	}
	fetched := 0
	for _, r := range g.op.Requests() {
		if strings.Contains(r.Path, "jwks") && r.Agent != "oidcbox-verifier" { // the daemon beside it fetches for itself
			fetched++
		}
	}
	if fetched != 1 {
		t.Errorf("%d fetches: %v", fetched, g.op.Requests())
	}
	g.op.Stop()
	if o := check(); o.code != 0 {
		t.Errorf("the issuer is down: %+v", o)
	}
}
