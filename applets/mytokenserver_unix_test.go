//go:build unix

package applets

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// mytokenSite is a provider and a mytoken server, made by "mytoken-server setup", as processes.
type mytokenSite struct {
	*house
	url    string // of the server
	server *exec.Cmd
}

// newMytokenSite sets a site up and starts it. more is appended to the configuration that setup has written.
func newMytokenSite(t *testing.T, more string, provider ...string) *mytokenSite {
	t.Helper()
	s := &mytokenSite{house: bareHouse(t)}
	address := freeAddress(t)
	s.url = "http://" + address
	s.startProvider(provider...)
	s.must("mytoken-server", "setup", "--yes", "--config", "server.yaml", "--state-dir", "server", "--issuer", s.url,
		"--listen", address, "--operator", "The Institute", "--contact", "us@example.org", "--provider", "op",
		"--provider-issuer", s.issuer, "--client-id", "mytoken", "--client-secret-file", "op-secret")
	s.appendTo("server.yaml", "limits: {polling_interval: 1s}\n"+more)
	s.must("mytoken-server", "check", "--config", "server.yaml", "--offline")
	s.serve(t)
	return s
}

func (s *mytokenSite) startProvider(options ...string) {
	s.tb.Helper()
	s.write("op-secret", "a-secret-of-the-server-there\n")
	s.write("clients.yaml", fmt.Sprintf(`clients:
- id: mytoken
  secret_file: op-secret
  redirect_uris: ["%s/redirect"]
  grants: [authorization_code, refresh_token, "urn:ietf:params:oauth:grant-type:device_code"]
  scope: openid profile email offline_access storage.read:/ storage.create:/ compute.create compute.read
`, s.url))
	s.background("issuer", append([]string{
		"issuer", "--url-file", "issuer.url", "--auto-login", "alice", "--client-file", "clients.yaml",
	}, options...)...)
	s.issuer = strings.TrimSpace(s.await(s.path("issuer.url")))
}

func (s *mytokenSite) appendTo(file, text string) {
	s.tb.Helper()
	f, err := os.OpenFile(s.path(file), os.O_APPEND|os.O_WRONLY, 0)
	if err == nil {
		_, err = f.WriteString(text)
		err = cmpErr(err, f.Close())
	}
	if err != nil {
		s.tb.Fatal(err)
	}
}

func cmpErr(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

// serve starts the server and waits until it answers.
func (s *mytokenSite) serve(t *testing.T) {
	t.Helper()
	s.server = s.background("server", "mytoken-server", "serve", "--config", "server.yaml")
	answers(t, "tcp", strings.TrimPrefix(s.url, "http://"))
	s.isReady(t)
}

// isReady waits until the server has found its provider.
func (s *mytokenSite) isReady(t *testing.T) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if _, body := s.get(t, "/ready"); strings.Contains(body, `"status":"ready"`) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the provider was not found")
		}
	}
}

func (s *mytokenSite) get(t *testing.T, path string) (int, string) {
	t.Helper()
	resp, err := http.Get(s.url + path)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

// login gets a mytoken by the polling flow: the client as a process, the consent page by a form of JSON, the provider by
// following it. terms replace what was asked for; nil: as asked.
func (s *mytokenSite) login(args ...string) string {
	s.tb.Helper()
	return s.follow(args, append([]string{"mytoken", "MT", "--url", s.url, "--oidc", "-i", s.issuer}, args...)...)
}

// follow runs a command that sends a person to the consent page, and agrees to what args ask for there.
func (s *mytokenSite) follow(args []string, command ...string) string {
	s.tb.Helper()
	cmd := exec.Command(s.bin, command...)
	cmd.Env, cmd.Dir = s.environ(), s.dir
	var out bytes.Buffer
	cmd.Stdout = &out
	pipe, err := cmd.StderrPipe()
	if err != nil {
		s.tb.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		s.tb.Fatal(err)
	}
	end := time.AfterFunc(60*time.Second, func() { _ = cmd.Process.Kill() })
	defer end.Stop()
	var said strings.Builder
	link := regexp.MustCompile(regexp.QuoteMeta(s.url) + `/c/\S+`)
	for lines := bufio.NewScanner(pipe); lines.Scan(); {
		fmt.Fprintln(&said, lines.Text())
		if u := link.FindString(lines.Text()); u != "" {
			s.consent(u, args)
		}
	}
	if err := cmd.Wait(); err != nil {
		s.tb.Fatalf("%q: %v\n%s", command, err, said.String())
	}
	return strings.TrimSpace(out.String())
}

// consent agrees to what is asked at a consent page, as a browser with a script does.
func (s *mytokenSite) consent(page string, args []string) {
	s.tb.Helper()
	terms := map[string]any{"oidc_issuer": s.issuer, "capabilities": []string{"AT", "tokeninfo", "create_mytoken"}}
	var capabilities []string
	for i, a := range args {
		switch a {
		case "--restrictions":
			terms["restrictions"] = json.RawMessage(args[i+1])
		case "--capability":
			capabilities = append(capabilities, args[i+1])
		}
	}
	if capabilities != nil {
		terms["capabilities"] = capabilities
	}
	body, err := json.Marshal(terms)
	if err != nil {
		s.tb.Fatal(err)
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		s.tb.Fatal(err)
	}
	c := &http.Client{Jar: jar, Timeout: 30 * time.Second, Transport: trusting()}
	resp, err := c.Post(page, "application/json", bytes.NewReader(body))
	if err != nil {
		s.tb.Fatal(err)
	}
	defer resp.Body.Close()
	var to struct {
		URI string `json:"authorization_uri"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&to); err != nil || resp.StatusCode != 278 {
		s.tb.Fatalf("consent: %s, %v", resp.Status, err)
	}
	landed, err := c.Get(to.URI)
	if err != nil {
		s.tb.Fatal(err)
	}
	defer landed.Body.Close()
	if landed.StatusCode != http.StatusOK {
		b, _ := io.ReadAll(landed.Body)
		s.tb.Fatalf("login: %s at %s\n%s", landed.Status, landed.Request.URL.Path, b)
	}
}

// client runs the client with a mytoken that nobody else sees.
func (s *mytokenSite) client(mytoken string, args ...string) output {
	s.tb.Helper()
	s.env = append(s.env, "TEST_MT="+mytoken)
	defer func() { s.env = s.env[:len(s.env)-1] }()
	return s.run(append(append([]string{"mytoken"}, args...), "--url", s.url, "--MT-env", "TEST_MT")...)
}

// TestMytokenServer: from nothing to an access token with processes alone: provider, setup, server, client.
func TestMytokenServer(t *testing.T) {
	s := newMytokenSite(t, "")
	mt := s.login("--capability", "AT", "--capability", "tokeninfo", "--capability", "create_mytoken", "-n", "job")
	if strings.Count(mt, ".") != 2 {
		t.Fatalf("the mytoken is %q", mt)
	}
	at := s.client(mt, "AT")
	if at.code != 0 || strings.Count(at.out, ".") != 2 {
		t.Fatalf("AT: %+v", at)
	}
	if o := s.client(mt, "info", "introspect"); o.code != 0 || !strings.Contains(o.out, `"usages_AT_done"`) && !strings.Contains(o.out, "AT") {
		t.Errorf("introspect: %+v", o)
	}
	sub := s.client(mt, "MT", "--usages-AT", "1", "--capability", "AT")
	if sub.code != 0 {
		t.Fatalf("sub-token: %+v", sub)
	}
	for i, want := range []int{0, 1} {
		if o := s.client(strings.TrimSpace(sub.out), "AT"); (o.code != 0) != (want != 0) {
			t.Errorf("use %d of a mytoken with one: %+v", i+1, o)
		}
	}
	t.Run("admin", func(t *testing.T) { s.admin(t) })
	t.Run("restart", func(t *testing.T) { s.restart(t, mt) })
	if o := s.client(mt, "revoke", "--recursive"); o.code != 0 {
		t.Fatalf("revoke: %+v", o)
	}
	if o := s.client(mt, "AT"); o.code == 0 || strings.TrimSpace(o.out) != "" {
		t.Errorf("AT with a mytoken that was revoked: %+v", o)
	}
	var users []struct{ User string }
	list := s.must("mytoken-server", "admin", "users", "--config", "server.yaml", "--json")
	if err := json.Unmarshal([]byte(list), &users); err != nil || len(users) != 1 {
		t.Fatalf("%v: %s", err, list)
	}
	s.must("mytoken-server", "admin", "erase", "--config", "server.yaml", "--yes", users[0].User)
	if list := s.must("mytoken-server", "admin", "users", "--config", "server.yaml", "--json"); strings.TrimSpace(list) != "[]" {
		t.Errorf("after the erasure: %s", list)
	}
	s.noSecrets(t, mt, strings.TrimSpace(at.out))
}

// admin looks at what the operator sees while the server runs.
func (s *mytokenSite) admin(t *testing.T) {
	var users []struct{ User, OIDCSub string }
	if err := json.Unmarshal([]byte(s.must("mytoken-server", "admin", "users", "--config", "server.yaml", "--json")), &users); err != nil || len(users) != 1 {
		t.Fatalf("%v: %+v", err, users)
	}
	var tokens []struct {
		MOMID string `json:"mom_id"`
		State string
		Name  string
	}
	list := s.must("mytoken-server", "admin", "tokens", "--config", "server.yaml", "--json")
	if err := json.Unmarshal([]byte(list), &tokens); err != nil || len(tokens) != 2 || tokens[0].State != "live" {
		t.Fatalf("%v: %s", err, list)
	}
	s.must("mytoken-server", "backup", "--config", "server.yaml", "copy.keys")
	s.must("mytoken-server", "keys", "rotate", "--config", "server.yaml")
	if err := s.server.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if _, body := s.get(t, "/jwks"); strings.Count(body, `"kid"`) == 2 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the new signing key was not taken")
		}
	}
	s.must("mytoken-server", "admin", "revoke", "--config", "server.yaml", "--reason", "stolen \x1b[2J", tokens[1].MOMID)
	if text := s.must("mytoken-server", "admin", "tokens", "--config", "server.yaml"); strings.Count(text, "revoked") != 1 {
		t.Errorf("after the revocation:\n%s", text)
	}
	if o := s.run("mytoken-server", "admin", "revoke", "--config", "server.yaml", "nobody"); o.code != 3 {
		t.Errorf("revoke of nothing: %+v", o)
	}
	if o := s.run("mytoken-server", "admin", "erase", "--config", "server.yaml", users[0].User); o.code != 2 {
		t.Errorf("erase without --yes: %+v", o)
	}
}

// restart ends the server, works on its state without it, puts an old state back, and starts it again.
func (s *mytokenSite) restart(t *testing.T, mt string) {
	if err := s.server.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := s.server.Wait(); err != nil {
		t.Fatalf("the end of the server: %v", err)
	}
	if o := s.run("mytoken-server", "admin", "tokens", "--config", "server.yaml"); o.code != 0 || !strings.Contains(o.out, "live") {
		t.Errorf("without a server: %+v", o)
	}
	if o := s.run("mytoken-server", "restore", "--config", "server.yaml", "copy.keys"); o.code != 1 {
		t.Errorf("restore over a state: %+v", o)
	}
	if err := os.Rename(s.path("server/state.keys"), s.path("server/old.keys")); err != nil {
		t.Fatal(err)
	}
	if o := s.run("mytoken-server", "serve", "--config", "server.yaml"); o.code != 3 {
		t.Errorf("serve without a state: %+v", o)
	}
	s.must("mytoken-server", "restore", "--config", "server.yaml", "copy.keys")
	s.copies(t)
	s.serve(t)
	if o := s.client(mt, "AT"); o.code != 0 { // signed with the key before; its hash is on record
		t.Errorf("after the restart: %+v", o)
	}
}

// copies moves the state to another file and back, and shows that an open key file opens nothing.
func (s *mytokenSite) copies(t *testing.T) {
	copying := func(from, to string) output {
		return s.run("mytoken-server", "copy", "--json", "--from", "bbolt:"+from, "--to", "bbolt:"+to)
	}
	there := copying("server/state.keys", "other/state.keys")
	back := copying("other/state.keys", "third/state.keys")
	if there.code != 0 || there.out != back.out || !strings.Contains(there.out, `"records"`) {
		t.Errorf("%+v\n%+v", there, back)
	}
	if o := copying("server/state.keys", "third/state.keys"); o.code != 1 || !strings.Contains(o.errOut, "not empty") {
		t.Errorf("over another state: %+v", o)
	}
	if o := s.run("mytoken-server", "copy", "--from", "sqlite:x", "--to", "bbolt:y"); o.code != 2 {
		t.Errorf("an engine that there is not: %+v", o)
	}
	if err := os.Rename(s.path("third/state.keys"), s.path("server/state.keys")); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(s.path("server/state-key"), 0o644); err != nil {
		t.Fatal(err)
	}
	if o := s.run("mytoken-server", "serve", "--config", "server.yaml"); o.code == 0 || !strings.Contains(o.errOut, "state-key") {
		t.Errorf("serve with a key that everybody can read: %+v", o)
	}
	if err := os.Chmod(s.path("server/state-key"), 0o600); err != nil {
		t.Fatal(err)
	}
}

// noSecrets looks for tokens where none may be: in the state, the log and the audit.
func (s *mytokenSite) noSecrets(t *testing.T, tokens ...string) {
	for _, name := range []string{"server.log", "server/state.keys"} {
		b, err := os.ReadFile(s.path(name))
		if err != nil {
			t.Fatal(err)
		}
		for _, token := range append(tokens, "a-secret-of-the-server-there") {
			sig := token[strings.LastIndex(token, ".")+1:]
			if bytes.Contains(b, []byte(sig)) {
				t.Errorf("%s has a token in it", name)
			}
		}
	}
	b, err := os.ReadFile(s.path("server.log"))
	if err != nil {
		t.Fatal(err)
	}
	for _, action := range []string{
		`"action":"login","outcome":"ok"`, `"action":"access","outcome":"ok"`, `"action":"access","outcome":"usage_restricted"`, `"action":"admin_revoke","outcome":"ok"`,
		`"action":"admin_revoke","outcome":"unknown"`, `"action":"admin_erase","outcome":"ok"`,
	} {
		if !bytes.Contains(b, []byte(action)) {
			t.Errorf("the audit has no %s", action)
		}
	}
}

// TestMytokenServer_degraded: a provider that is down keeps nobody from starting, what is wrong with a new configuration
// keeps the old one, and what strangers call themselves does nothing to whoever reads the audit.
func TestMytokenServer_degraded(t *testing.T) {
	s := &mytokenSite{house: bareHouse(t)}
	address, provider, metrics := freeAddress(t), freeAddress(t), freeAddress(t)
	s.url, s.issuer = "http://"+address, "http://"+provider
	s.write("op-secret", "a-secret-of-the-server-there\n")
	s.must("mytoken-server", "setup", "--yes", "--config", "server.yaml", "--state-dir", "server", "--issuer", s.url,
		"--listen", address, "--operator", "The Institute", "--contact", "us@example.org", "--provider", "op",
		"--provider-issuer", s.issuer, "--client-id", "mytoken", "--client-secret-file", "op-secret")
	s.appendTo("server.yaml", "metrics: "+metrics+"\naudit: audit.log\n")
	s.server = s.background("server", "mytoken-server", "serve", "--config", "server.yaml")
	answers(t, "tcp", address)
	if code, body := s.get(t, "/ready"); code != http.StatusOK || !strings.Contains(body, `"status":"degraded"`) {
		t.Errorf("ready: %d %s", code, body)
	}
	code, body := s.get(t, "/health")
	if code != http.StatusOK || !strings.Contains(body, `"healthy":false,"operational":true`) ||
		!strings.Contains(body, `"server_reachable":true,"database_up":true`) {
		t.Errorf("health: %d %s", code, body)
	}
	t.Run("login_there_says_so", func(t *testing.T) {
		request := fmt.Sprintf(`{"grant_type":"oidc_flow","oidc_issuer":%q,"application_name":"\u001b[2J\u202e"}`, s.issuer)
		req, err := http.NewRequest(http.MethodPost, s.url+"/api/v0/token/my", strings.NewReader(request))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("User-Agent", "evil \x1b]0;title\x07 \u202e agent")
		resp, err := http.DefaultClient.Do(req)
		if err == nil {
			resp.Body.Close()
		}
		resp, err = http.Post(s.url+"/api/v0/token/my", "application/json", strings.NewReader(request))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if text := s.await(s.path("audit.log")); strings.ContainsAny(text, "\x1b\x07\u202e") || !strings.Contains(text, `"action":"begin"`) {
			t.Errorf("the audit: %q", text)
		}
	})
	t.Run("metrics", func(t *testing.T) {
		resp, err := http.Get("http://" + metrics + "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil || !bytes.Contains(b, []byte(`oidcbox_mytoken_server_provider_ready{provider="op"} 0`)) ||
			!bytes.Contains(b, []byte(`oidcbox_mytoken_server_state_reachable 1`)) {
			t.Errorf("%v\n%s", err, b)
		}
		if code, _ := s.get(t, "/metrics"); code == http.StatusOK {
			t.Error("everybody can read the metrics")
		}
	})
	t.Run("reload", func(t *testing.T) { s.reloads(t) })
}

// reloads gives the server a configuration with faults, and then one without.
func (s *mytokenSite) reloads(t *testing.T) {
	good, err := os.ReadFile(s.path("server.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	said := func(words string) {
		t.Helper()
		for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
			if b, err := os.ReadFile(s.path("server.log")); err == nil && bytes.Contains(b, []byte(words)) {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("it does not say %q", words)
			}
		}
	}
	hup := func(config string) {
		t.Helper()
		s.write("server.yaml", config)
		if err := s.server.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
	}
	hup(string(good) + "limitz: {}\n")
	said("limitz")
	said("the new configuration is not used")
	hup(strings.Replace(string(good), s.url, "http://127.0.0.1:1", 1))
	said("issuer has changed")
	if err := os.Rename(s.path("audit.log"), s.path("audit.old")); err != nil {
		t.Fatal(err)
	}
	hup(string(good) + "features: {transfer_codes: false}\nretention: {ended: 60d}\n")
	said("retention: has changed, which takes a restart")
	said("configuration read anew")
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if _, body := s.get(t, "/.well-known/mytoken-configuration"); !strings.Contains(body, "transfer_code") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("what was switched off is still offered")
		}
	}
	if _, err := os.Stat(s.path("audit.log")); err != nil {
		t.Errorf("the audit was not begun anew: %v", err)
	}
}
