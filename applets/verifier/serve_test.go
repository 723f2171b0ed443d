package verifier

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/audit"
	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/config"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/token/gate"
	"github.com/oidcbox/oidcbox/core/token/jose"
	"github.com/oidcbox/oidcbox/core/token/policy"
	"github.com/oidcbox/oidcbox/core/token/verify"
	"github.com/oidcbox/oidcbox/core/transport/metrics"
)

// daemonOf makes a daemon of a configuration whose only listener is a Unix socket, in this process, and a token it takes.
func daemonOf(t *testing.T, more string) (d *server, token string) {
	t.Helper()
	dir := t.TempDir()
	key, err := jose.GenerateKey(jose.ES256, "k")
	if err != nil {
		t.Fatal(err)
	}
	keys, err := jose.NewKeySet(key.Public()).MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, "verifier.yaml")
	text := `version: 1
listen: unix:v.sock
audiences: a
issuers: {"https://op.example.org": {keys_file: keys.json}}
policy: {require: ANYONE}
services: {api: {proxy: nginx}}
control: off
audit: none
` + more
	for file, content := range map[string]string{"keys.json": string(keys), "verifier.yaml": text} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s, err := readSettings(name)
	if err != nil {
		t.Fatal(err)
	}
	env := &cli.Env{
		Stdout: io.Discard, Stderr: io.Discard, Getenv: func(string) string { return "" }, Now: time.Now, Dir: dir,
		Log: slog.New(slog.DiscardHandler),
	}
	if d, err = newServer(env, name, s); err != nil {
		t.Fatal(err)
	}
	now := time.Now().Unix()
	payload := fmt.Appendf(nil, `{"iss":"https://op.example.org","sub":"alice","aud":"a","exp":%d,"iat":%d}`, now+3600, now)
	signed, err := key.Sign("jwt", payload)
	if err != nil {
		t.Fatal(err)
	}
	return d, signed.Expose()
}

// asNginx is what nginx asks.
func asNginx(token string) *http.Request {
	r := httptest.NewRequest("GET", "/forward/nginx", nil)
	for name, value := range map[string]string{
		"X-Original-Method": "GET", "X-Original-URI": "/f", "X-Original-Host": "h", "Authorization": "Bearer " + token,
	} {
		r.Header.Set(name, value)
	}
	return r
}

// TestReload_under_load: every question is answered by one configuration, whole, while others come and go; the race
// detector looks on.
func TestReload_under_load(t *testing.T) {
	d, token := daemonOf(t, "")
	defer d.close()
	var stop atomic.Bool
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for !stop.Load() {
				w := httptest.NewRecorder()
				front{d: d, unix: true}.ServeHTTP(w, asNginx(token))
				if w.Code != http.StatusOK {
					t.Errorf("answered %d", w.Code)
					return
				}
				w = httptest.NewRecorder()
				front{d: d, unix: true}.ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
			}
		})
	}
	for range 20 {
		d.reload()
	}
	stop.Store(true)
	wg.Wait()
	if n := d.numbers.reloads.With("ok").Value(); n != 21 {
		t.Errorf("%d configurations were taken over, want 21", n)
	}
}

// TestReload_says_what_waits: what cannot change without a restart is said, and goes on as it was.
func TestReload_says_what_waits(t *testing.T) {
	d, _ := daemonOf(t, "limits: {connections: 10}\n")
	defer d.close()
	s := d.started
	s.limits.connections, s.control, s.dpop.nonces = 11, "elsewhere", true
	var got []string
	for _, n := range d.restartNeeded(&s) {
		got = append(got, n.Key)
	}
	if strings.Join(got, " ") != "control dpop limits" {
		t.Errorf("said %v", got)
	}
	if same := d.restartNeeded(&d.started); len(same) != 0 {
		t.Errorf("nothing has changed, and said is %v", same)
	}
}

func TestGuard(t *testing.T) {
	r := settingsReader{config.NewReader("f"), &settings{}}
	top := r.Fields(r.Document([]byte("proxies: {trusted: [10.1.0.0/16, 192.0.2.7, '2001:db8::/32']}")), "proxies")
	r.proxies(top["proxies"])
	byAddress := newGuard(r.s.proxies)
	both := newGuard(proxies{trusted: r.s.proxies.trusted, header: "x-secret", secret: secret.FromString("0123456789abcdef")})
	for _, c := range []struct {
		from          string
		secrets       []string
		byAddress, by bool
	}{
		{"10.1.2.3:1", nil, true, false},
		{"10.1.2.3:1", []string{"0123456789abcdef"}, true, true},
		{"10.1.2.3:1", []string{"0123456789abcdee"}, true, false},
		{"10.1.2.3:1", []string{""}, true, false},
		{"10.1.2.3:1", []string{"0123456789abcdef", "x"}, true, false},
		{"10.2.0.1:1", []string{"0123456789abcdef"}, false, false},
		{"192.0.2.7:1", nil, true, false},
		{"192.0.2.8:1", nil, false, false},
		{"[::ffff:10.1.2.3]:1", nil, true, false},
		{"[2001:db8::1]:1", nil, true, false},
		{"[2001:db9::1]:1", nil, false, false},
		{"127.0.0.1:1", nil, true, false},
		{"[::1]:1", []string{"0123456789abcdef"}, true, true},
		{"[fe80::1%eth0]:1", nil, false, false},
		{"@", nil, false, false},
		{"", []string{"0123456789abcdef"}, false, false},
	} {
		ask := func() *http.Request {
			q := httptest.NewRequest("GET", "/", nil)
			q.RemoteAddr = c.from
			q.Header["X-Secret"] = c.secrets
			return q
		}
		if err := byAddress.check(ask()); (err == nil) != c.byAddress {
			t.Errorf("%s: %v, want %v", c.from, err, c.byAddress)
		}
		q := ask()
		if err := both.check(q); (err == nil) != c.by {
			t.Errorf("%s with %q: %v, want %v", c.from, c.secrets, err, c.by)
		} else if err == nil && q.Header["X-Secret"] != nil {
			t.Error("the secret goes on with the request")
		}
	}
}

// TestLimits_cache: the cache is as large as the configuration says, from the start on and over a reload.
func TestLimits_cache(t *testing.T) {
	for text, want := range map[string]int{"": verify.DefaultCacheBytes, "limits: {cache: 1MiB}\n": 1 << 20} {
		d, _ := daemonOf(t, text)
		t.Cleanup(d.close)
		if got := d.live.Current().gate.Cache().Stats().Limit; got != want {
			t.Errorf("%q: %d bytes, want %d", text, got, want)
		}
	}
	d, _ := daemonOf(t, "limits: {cache: 1MiB}\n")
	t.Cleanup(d.close)
	s := d.started
	s.limits.cache = 2 << 20
	next, err := d.build(&s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(next.gate.Close)
	if next.gate.Cache() != d.live.Current().gate.Cache() {
		t.Error("what was verified is forgotten")
	}
	if got := d.restartNeeded(&s); len(got) != 1 || got[0].Key != "limits" {
		t.Errorf("a restart is needed for %v", got)
	}
}

// auditTo begins an audit that is written to w.
func auditTo(t *testing.T, w io.Writer) (*audit.Log, *metrics.Counter) {
	t.Helper()
	lost := (&metrics.Set{}).Counter("lost", "")
	a, err := audit.Open("stdout", audit.Options{Stdout: w, Lost: lost.Add})
	if err != nil {
		t.Fatal(err)
	}
	return a, lost
}

// TestAudit_lines: what was decided before Close is written, each on a line of its own, whatever a stranger put in.
func TestAudit_lines(t *testing.T) {
	var b strings.Builder
	a, lost := auditTo(t, &b)
	for i := range 1000 {
		recordTo(a, time.Unix(0, 0), &gate.Event{
			Request: policy.Request{Method: "GET\n{}", Path: fmt.Sprint("/\u2028\x00\xff\"", i)},
			Refusal: &gate.Refusal{Status: 503, Err: context.DeadlineExceeded},
		})
	}
	a.Close()
	lines := strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
	if len(lines) != 1000 || lost.Value() != 0 {
		t.Fatalf("%d lines, %d lost", len(lines), lost.Value())
	}
	for i, line := range lines {
		var r auditRecord
		if err := json.Unmarshal([]byte(line), &r); err != nil || r.Decision != "error" || !strings.HasSuffix(r.Path, fmt.Sprint(i)) {
			t.Fatalf("line %d is %s (%v)", i, line, err)
		}
	}
}
