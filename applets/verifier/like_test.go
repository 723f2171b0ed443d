package verifier

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/cli"
)

// TestLikeTheDaemon: a token is judged by a configuration of the daemon, which asks as it would.
func TestLikeTheDaemon(t *testing.T) {
	a, b := newAsking(t), newAsking(t)
	a.write(t, "verifier.yaml", fmt.Appendf(nil, `
version: 1
listen: [{unix: /nonexistent/verifier.sock}]
audiences: [%q]
issuers:
  %s: {check: introspection, client: {id: rs, secret_file: secret}, opaque: true}
  %s: {check: introspection, client: {id: rs, secret_file: secret}, opaque: true, prefixes: [b-]}
policy: {version: 1, require: ANYONE}
services:
  disk: {hosts: [disk.example.org], proxy: nginx, audiences: [disk]}
`, audience, a.issuer, b.issuer))
	active := func(w *asking) { w.introspection = w.active("") }
	inactive := func(w *asking) { w.introspection = `{"active":false}` }
	good := a.token(t, time.Hour)
	for _, c := range []struct {
		name, token string
		a, b        func(*asking)
		args        []string
		code        int
		stdout      string
		stderr      string
		asked       [2]int32
	}{
		{"signed_and_active", good, active, active, nil, cli.OK, "accepted: alice at " + a.issuer, "", [2]int32{1, 0}},
		{"signed_and_revoked", good, inactive, active, nil, cli.No, "", "not active", [2]int32{1, 0}},
		{"for_another_service", good, active, active, []string{"--service", "disk"}, cli.No, "", "another audience", [2]int32{}},
		{"opaque_of_the_second", "opaque-1", inactive, active, nil, cli.OK, "accepted: alice at " + b.issuer + ", opaque", "", [2]int32{1, 1}},
		{"opaque_of_two", "opaque-1", active, active, nil, cli.No, "", "several issuers", [2]int32{1, 1}},
		{"opaque_with_a_prefix", "b-1", active, active, nil, cli.OK, "accepted: alice at " + b.issuer, "", [2]int32{0, 1}},
		{"opaque_with_a_hint", "opaque-1", active, active, []string{"--issuer", a.issuer}, cli.OK, "accepted: alice at " + a.issuer, "", [2]int32{1, 0}},
		{"hint_of_a_stranger", "opaque-1", active, active, []string{"--issuer", "https://evil.example"}, cli.No, "", "not trusted with opaque tokens", [2]int32{}},
		{"no_such_service", good, active, active, []string{"--service", "tape"}, cli.Usage, "", "services are: disk", [2]int32{}},
		{"audience_of_our_own", good, active, active, []string{"--audience", "x"}, cli.Usage, "", "do not go together", [2]int32{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.a(a)
			c.b(b)
			before := [2]int32{a.asked.Load(), b.asked.Load()}
			code, stdout, stderr := a.run(c.token, append([]string{"token", "--config", "verifier.yaml"}, c.args...)...)
			if code != c.code || !strings.HasPrefix(stdout, c.stdout) || !strings.Contains(stderr, c.stderr) || code != 0 && stdout != "" {
				t.Errorf("%d, %q, %q; want %d, %q, %q", code, stdout, stderr, c.code, c.stdout, c.stderr)
			}
			if got := [2]int32{a.asked.Load() - before[0], b.asked.Load() - before[1]}; got != c.asked {
				t.Errorf("asked %v, want %v", got, c.asked)
			}
		})
	}
	for name, args := range map[string][]string{
		"service_alone": {"token", "--service", "disk"},
	} {
		t.Run(name, func(t *testing.T) {
			if code, _, stderr := a.run(good, args...); code != cli.Usage {
				t.Errorf("%d, %q", code, stderr)
			}
		})
	}
	t.Run("no_configuration", func(t *testing.T) {
		if code, _, stderr := a.run(good, "token", "--config", "absent.yaml"); code != cli.NotFound {
			t.Errorf("%d, %q", code, stderr)
		}
	})
}
