//go:build unix

package applets

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/testdata/services"
)

// manyClients asks a mytoken server from many sides at once.
type manyClients struct {
	url  string
	http *http.Client
}

func newManyClients(t *testing.T, url string) *manyClients {
	t.Helper()
	tr := &http.Transport{MaxIdleConnsPerHost: 256}
	t.Cleanup(tr.CloseIdleConnections)
	return &manyClients{url, &http.Client{Transport: tr, Timeout: time.Minute}}
}

// post sends an object and reads the answer. An error says that nobody knows what became of the request.
func (c *manyClients) post(path string, in any) (status int, out map[string]any, err error) {
	body, err := json.Marshal(in)
	if err != nil {
		return 0, nil, err
	}
	resp, err := c.http.Post(c.url+path, "application/json", bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, nil, err
	}
	if err := json.Unmarshal(text, &out); err != nil {
		return resp.StatusCode, nil, nil //nolint:nilerr // an answer of the proxy
	}
	return resp.StatusCode, out, nil
}

// access asks for one access token: got, refused because the clause is used up, or neither.
func (c *manyClients) access(mytoken string) (got, over bool, err error) {
	status, a, err := c.post("/api/v0/token/access", map[string]string{"grant_type": "mytoken", "mytoken": mytoken})
	switch at, _ := a["access_token"].(string); {
	case err != nil:
		return false, false, err
	case status == http.StatusOK && at != "":
		return true, false, nil
	case status == http.StatusForbidden && a["error"] == "usage_restricted":
		return false, true, nil
	}
	return false, false, fmt.Errorf("status %d: %v", status, a)
}

// limited makes a mytoken for k access tokens from another.
func (c *manyClients) limited(t *testing.T, parent string, k int) string {
	t.Helper()
	status, a, err := c.post("/api/v0/token/my", map[string]any{
		"grant_type": "mytoken", "mytoken": parent, "capabilities": []string{"AT", "tokeninfo"},
		"restrictions": []map[string]int{{"usages_AT": k}},
	})
	mt, _ := a["mytoken"].(string)
	if err != nil || status != http.StatusOK || mt == "" {
		t.Fatalf("a mytoken for %d uses: %d, %v, %v", k, status, a, err)
	}
	return mt
}

// used is how often the server has on record that a mytoken was used.
func (c *manyClients) used(t *testing.T, mytoken string) int {
	t.Helper()
	status, a, err := c.post("/api/v0/tokeninfo", map[string]string{"action": "introspect", "mytoken": mytoken})
	for until := time.Now().Add(time.Minute); status == http.StatusBadGateway && time.Now().Before(until); {
		time.Sleep(20 * time.Millisecond) // nginx has not noticed yet that a server is back
		status, a, err = c.post("/api/v0/tokeninfo", map[string]string{"action": "introspect", "mytoken": mytoken})
	}
	if err != nil || status != http.StatusOK {
		t.Fatalf("introspect: %d, %v, %v", status, a, err)
	}
	token, _ := a["token"].(map[string]any)
	clauses, _ := token["restrictions"].([]any)
	if len(clauses) != 1 {
		t.Fatalf("introspect: %v", a)
	}
	clause, _ := clauses[0].(map[string]any)
	n, _ := clause["usages_AT_done"].(float64)
	return int(n)
}

// drain asks from several sides until each was refused, and calls each for every access token. Requests that came to
// nothing are passed over, for two minutes.
func (c *manyClients) drain(t *testing.T, mytoken string, sides int, each func(n int)) (got int) {
	t.Helper()
	var (
		wg sync.WaitGroup
		n  atomic.Int64
	)
	until := time.Now().Add(2 * time.Minute)
	for range sides {
		wg.Go(func() {
			for {
				ok, over, err := c.access(mytoken)
				switch {
				case over:
					return
				case ok:
					each(int(n.Add(1)))
				case time.Now().After(until):
					t.Errorf("it goes on without an end: %v", err)
					return
				default:
					time.Sleep(10 * time.Millisecond)
				}
			}
		})
	}
	wg.Wait()
	return int(n.Load())
}

// unlimited lifts the bound of requests of one address, which all are here.
func (s *mytokenSite) unlimited(t *testing.T) {
	t.Helper()
	b, err := os.ReadFile(s.path("server.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	s.write("server.yaml", strings.Replace(string(b), "{polling_interval: 1s", "{address: none, polling_interval: 1s", 1))
	s.kill(t)
	s.serve(t)
}

func (s *mytokenSite) kill(t *testing.T) {
	t.Helper()
	if err := s.server.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = s.server.Wait()
}

// Of 200 requests at once with a mytoken for 1, 3 and 50 access tokens exactly as many get one.
func TestMytokenServerAtOnce(t *testing.T) {
	s := newMytokenSite(t, "")
	s.unlimited(t)
	parent := s.login()
	c := newManyClients(t, s.url)
	for _, k := range []int{1, 3, 50} {
		mt := c.limited(t, parent, k)
		var (
			wg                  sync.WaitGroup
			got, over, anything atomic.Int64
		)
		for range 200 {
			wg.Go(func() {
				ok, refused, err := c.access(mt)
				switch {
				case ok:
					got.Add(1)
				case refused:
					over.Add(1)
				default:
					anything.Add(1)
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if got.Load() != int64(k) || over.Load() != int64(200-k) || c.used(t, mt) != k {
			t.Errorf("limit %d: %d access tokens, %d refusals, %d others, %d on record", k, got.Load(), over.Load(),
				anything.Load(), c.used(t, mt))
		}
	}
}

// TestKillMytokenServer kills the server at random moments while many use a mytoken with a limit: never more access
// tokens than that, however often it is killed, and none that is not on record.
func TestKillMytokenServer(t *testing.T) {
	// A server that dies with an answer of a strict provider in hand has lost that login, whoever restarts it.
	s := newMytokenSite(t, "", "--rotation", "grace")
	s.unlimited(t)
	parent := s.login()
	const k = 40
	short := 0
	for range killRounds(t) {
		c := newManyClients(t, s.url)
		mt := c.limited(t, parent, k)
		after := 1 + mathrand.IntN(k-1)
		got := c.drain(t, mt, 16, func(n int) {
			if n != after {
				return
			}
			s.kill(t)
			if on := s.restarted(t, c, mt); on < n {
				t.Errorf("%d access tokens were handed out, %d are on record", n, on)
			}
		})
		if got > k || c.used(t, mt) < got {
			t.Errorf("%d access tokens of %d, %d on record", got, k, c.used(t, mt))
		}
		if got < k {
			short++ // some were under way
		}
	}
	t.Logf("%d rounds, %d with uses under way", killRounds(t), short)
}

func (s *mytokenSite) restarted(t *testing.T, c *manyClients, mytoken string) int {
	t.Helper()
	s.serve(t)
	return c.used(t, mytoken)
}

// mytokenCluster is three servers on one PostgreSQL behind nginx.
type mytokenCluster struct {
	*mytokenSite
	servers   []*exec.Cmd
	addresses []string
}

func newMytokenCluster(t *testing.T) *mytokenCluster {
	t.Helper()
	if _, err := exec.LookPath("nginx"); err != nil {
		services.Missing(t, "nginx is not installed")
	}
	pg := services.PostgreSQL(t)
	s := &mytokenCluster{mytokenSite: &mytokenSite{house: bareHouse(t)}}
	front := freeAddress(t)
	s.url = "http://" + front
	s.startProvider("--rotation", "off") // else the others wait for the turn of the one that is killed
	s.write("database-url", pg.URL("")+"\n")
	if err := os.Chmod(s.path("database-url"), 0o600); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		s.addresses = append(s.addresses, freeAddress(t))
		s.write(serverFile(i), s.configuration(i))
	}
	s.must("mytoken-server", "setup", "--yes", "--state-only", "--config", serverFile(0))
	for i := range 3 {
		s.servers = append(s.servers, nil)
		s.serveOne(t, i)
	}
	s.nginx(t, front)
	return s
}

func serverFile(i int) string { return fmt.Sprintf("server-%d.yaml", i) }

func (s *mytokenCluster) configuration(i int) string {
	return fmt.Sprintf(`version: 1
issuer: %s
listen: %s
control: control-%d.sock
proxies: [127.0.0.1]
operator: {name: The Institute, contact: us@example.org}
state:
  postgres: {url_file: database-url, schema: shared}
  key_file: state/key
  locked_memory: prefer
keys: {dir: state/keys}
providers:
  op: {issuer: %s, client_id: mytoken, client_secret_file: op-secret}
limits: {address: none, polling_interval: 1s}
audit: none
`, s.url, s.addresses[i], i, s.issuer)
}

func (s *mytokenCluster) serveOne(t *testing.T, i int) {
	t.Helper()
	s.servers[i] = s.background(fmt.Sprintf("server-%d-%s", i, rand.Text()), "mytoken-server", "serve", "--config", serverFile(i))
	answers(t, "tcp", s.addresses[i])
	one := *s.mytokenSite
	one.url = "http://" + s.addresses[i]
	one.isReady(t)
}

// nginx passes requests on in turn. One that was sent to a server that dies is not sent again: it is no GET. A server that
// failed is tried again after a second, since here they come back at once.
func (s *mytokenCluster) nginx(t *testing.T, front string) {
	t.Helper()
	user := ""
	if os.Geteuid() == 0 {
		user = "user root;\n"
	}
	temp := ""
	for _, kind := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		temp += fmt.Sprintf("%s_temp_path %s;\n", kind, s.path(kind))
	}
	const again = " max_fails=1 fail_timeout=1s;\n"
	s.write("nginx.conf", user+"daemon off;\nerror_log stderr crit;\npid "+s.path("pid")+";\nevents {}\nhttp {\naccess_log off;\n"+
		temp+"upstream mytoken {\n  server "+strings.Join(s.addresses, again+"  server ")+again+"  keepalive 64;\n}\n"+
		"server {\n  listen "+front+";\n  location / {\n    proxy_pass http://mytoken;\n    proxy_http_version 1.1;\n"+
		"    proxy_set_header Connection \"\";\n    proxy_set_header Host $http_host;\n"+
		"    proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;\n    proxy_set_header X-Forwarded-Proto $scheme;\n  }\n}\n}\n")
	cmd := exec.Command("nginx", "-e", "stderr", "-p", s.dir, "-c", s.path("nginx.conf"))
	cmd.Env = s.environ()
	cmd.Stderr = t.Output()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt) // a killed nginx leaves its workers behind
		_ = cmd.Wait()
	})
	answers(t, "tcp", front)
}

// Three servers behind nginx, one of which is killed under load and comes back: no limit is exceeded, no access token that
// was handed out is missing on record, and a mytoken that one has made or ended is so for all.
func TestMytokenServersBehindNginx(t *testing.T) {
	s := newMytokenCluster(t)
	parent := s.login()
	c := newManyClients(t, s.url)
	const k = 60
	for round := range max(killRounds(t)/3, 2) {
		victim := round % 3
		mt := c.limited(t, parent, k)
		after := 1 + mathrand.IntN(k-1)
		got := c.drain(t, mt, 24, func(n int) {
			if n != after {
				return
			}
			if err := s.servers[victim].Process.Kill(); err != nil {
				t.Error(err)
			}
			_ = s.servers[victim].Wait()
		})
		if on := c.used(t, mt); got > k || on < got {
			t.Errorf("%d access tokens of %d, %d on record", got, k, on)
		}
		s.serveOne(t, victim)
	}
	for _, k := range []int{1, 3, 50} {
		mt := c.limited(t, parent, k)
		if got := c.drain(t, mt, 200, func(int) {}); got != k {
			t.Errorf("limit %d: %d access tokens", k, got)
		}
	}
	s.endedForAll(t, c, parent)
}

func (s *mytokenCluster) endedForAll(t *testing.T, c *manyClients, parent string) {
	t.Helper()
	status, a, err := c.post("/api/v0/token/revoke", map[string]any{"token": parent, "recursive": true})
	if err != nil || status/100 != 2 {
		t.Fatalf("revoke: %d, %v, %v", status, a, err)
	}
	for _, address := range s.addresses {
		one := newManyClients(t, "http://"+address)
		if got, over, err := one.access(parent); got || over || err == nil || !strings.Contains(err.Error(), "invalid_token") {
			t.Errorf("%s gives for a mytoken that was ended at another: %v, %v, %v", address, got, over, err)
		}
	}
}

// The data of a service that is in use moves from its file to PostgreSQL: mytokens go on where they were, uses are counted
// on, and the key of the state opens the new place.
func TestMytokenServerMoves(t *testing.T) {
	pg := services.PostgreSQL(t)
	s := newMytokenSite(t, "")
	c := newManyClients(t, s.url)
	parent := s.login()
	mt := c.limited(t, parent, 3)
	if got, _, err := c.access(mt); !got {
		t.Fatal(err)
	}
	s.write("database-url", pg.URL("")+"\n")
	if err := os.Chmod(s.path("database-url"), 0o600); err != nil {
		t.Fatal(err)
	}
	move := []string{"mytoken-server", "copy", "--json", "--from", "bbolt:server/state.keys", "--to", "postgres:database-url#moved"}
	if o := s.run(move...); o.code == 0 {
		t.Errorf("while the server runs: %+v", o)
	}
	s.kill(t)
	if o := s.must(move...); !strings.Contains(o, `"sha256"`) {
		t.Errorf("copy says %s", o)
	}
	b, err := os.ReadFile(s.path("server.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	file := regexp.MustCompile(`(?m)^  file: .*$`)
	if !file.Match(b) {
		t.Fatalf("no file of the state in\n%s", b)
	}
	s.write("server.yaml", file.ReplaceAllString(string(b), "  postgres: {url_file: database-url, schema: moved}"))
	s.serve(t)
	if n := c.used(t, mt); n != 1 {
		t.Errorf("%d uses after the move, 1 before", n)
	}
	if got := c.drain(t, mt, 8, func(int) {}); got != 2 {
		t.Errorf("%d uses were left of 3 after one", got)
	}
	if o := s.client(parent, "AT"); o.code != 0 {
		t.Errorf("AT: %+v", o)
	}
}
