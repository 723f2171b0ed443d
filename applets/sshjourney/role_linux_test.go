package sshjourney

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/testdata/services"
)

// dry is a service that makes no accounts: the role alone is looked at.
func dry(t *testing.T, more ...string) *site {
	t.Helper()
	metrics := "127.0.0.1:" + freePort(t)
	s := newSite(t, siteOptions{
		provisioner: func(c string) string {
			c = strings.ReplaceAll(c, "backend: local_unix", "backend: dryrun")
			return c + "metrics: " + metrics + "\n" + strings.Join(more, "")
		},
		worker: func(c string) string {
			c = strings.ReplaceAll(c, "backend: local_unix\nlocal_unix: {home_base: /home, shells: {full: /bin/sh}}", "backend: dryrun")
			return c
		},
	})
	s.metrics = "http://" + metrics
	return s
}

// said is what a command has printed as JSON.
func said[T any](t *testing.T, o outcome, code int) (v T) {
	t.Helper()
	if o.code != code {
		t.Fatalf("%v, want exit code %d", o, code)
	}
	if err := json.Unmarshal([]byte(o.out), &v); err != nil {
		t.Fatalf("%v: %s", err, o.out)
	}
	return v
}

// reload has the server read its configuration anew, and waits until it says what came of it.
func (s *site) reload(t *testing.T, config, want string) {
	t.Helper()
	s.Write(serveFile, config, 0o644)
	if err := s.serve.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	s.await("a reload that says "+want, func() bool {
		resp, err := http.Get(s.metrics + "/metrics")
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		b, _ := io.ReadAll(resp.Body)
		return strings.Contains(string(b), want)
	})
}

// TestProvisionerRole walks through what an officer and an administrator do with a server that runs.
func TestProvisionerRole(t *testing.T) {
	s := dry(t)
	name := s.deploy("alice")
	config := s.Read(serveFile)

	t.Run("officer", func(t *testing.T) {
		type account struct{ ID, Name, State, Sub string }
		list := said[[]account](t, s.admin("list", "--json"), 0)
		if len(list) != 1 || list[0].Name != name || list[0].State != "deployed" || list[0].ID != s.id("alice") {
			t.Fatalf("%+v", list)
		}
		if o := s.admin("list"); o.code != 0 || !strings.Contains(o.out, "NAME") || !strings.Contains(o.out, name) {
			t.Error(o)
		}
		one := said[account](t, s.admin("show", name, "--json"), 0)
		if one.Sub != list[0].Sub {
			t.Errorf("%+v", one)
		}
		if o := s.admin("show", "nobody"); o.code != 3 || !strings.Contains(o.errOut, "hint:") {
			t.Error(o)
		}
		if o := s.admin("list", "--state", "asleep"); o.code != 2 {
			t.Error(o)
		}
	})
	t.Run("suspend_and_resume", func(t *testing.T) {
		type changed struct {
			State   string
			Changed bool
		}
		if v := said[changed](t, s.admin("suspend", name, "--reason", "a test", "--json"), 0); v.State != "suspended" || !v.Changed {
			t.Errorf("%+v", v)
		}
		if a := s.get("/verify_user?username="+name, s.at("alice")); strings.Contains(a.body, `"verified":true`) {
			t.Errorf("suspended: %s", a)
		}
		if !strings.Contains(s.Read(auditLog), `"event":"suspend"`) || !strings.Contains(s.Read(auditLog), `"by":"root"`) {
			t.Errorf("the audit does not say who stopped whom:\n%s", s.Read(auditLog))
		}
		if v := said[changed](t, s.admin("resume", name, "--json"), 0); v.State != "deployed" {
			t.Errorf("%+v", v)
		}
		if o := s.admin("resume", name); o.code != 1 {
			t.Errorf("twice: %v", o)
		}
	})
	t.Run("nobody_to_stop", func(t *testing.T) {
		for who, code := range map[string]int{"not-an-identity": 3, "root": 3, s.id("bob"): 1} {
			if o := s.admin("suspend", who); o.code != code {
				t.Errorf("%s: %v, want exit code %d", who, o, code)
			}
		}
	})
	t.Run("revoke", func(t *testing.T) {
		password := s.password("alice")
		v := said[struct{ Burnt int }](t, s.admin("revoke", s.id("alice"), "--json"), 0)
		if v.Burnt < 1 {
			t.Errorf("%+v", v)
		}
		if a := s.get("/verify_user?username="+name, password); a.status != http.StatusUnauthorized {
			t.Errorf("a burnt password: %s", a)
		}
	})
	t.Run("who", func(t *testing.T) {
		cmd := s.oidcbox("provisioner", "admin", "who", "--json")
		cmd.Stdin = strings.NewReader(s.at("alice") + "\n")
		type who struct {
			Name                 string
			Believed, Authorised bool
		}
		if v := said[who](t, s.run(cmd), 0); v.Name != name || !v.Believed || !v.Authorised {
			t.Errorf("%+v", v)
		}
		token := s.at("alice")
		i := strings.LastIndexByte(token, '.')
		other := "AAAAAAAA"
		if strings.HasPrefix(token[i+1:], other) {
			other = "BBBBBBBB"
		}
		cmd = s.oidcbox("provisioner", "admin", "who", "--json")
		cmd.Stdin = strings.NewReader(token[:i+1] + other + token[i+9:])
		if v := said[who](t, s.run(cmd), 1); v.Believed || v.Name != name {
			t.Errorf("a token that was tampered with: %+v", v)
		}
	})
	t.Run("bulk", func(t *testing.T) {
		if o := s.admin("bulk", "suspend", "--issuer", s.op.URL); o.code != 2 || !strings.Contains(o.errOut, "it would be about 1 of those") {
			t.Errorf("without --yes: %v", o)
		}
		type job struct {
			ID          string
			Done, Total int
			Ended       time.Time
		}
		j := said[job](t, s.admin("bulk", "suspend", "--issuer", s.op.URL, "--yes", "--reason", "incident", "--json"), 0)
		if j.Done < 1 || j.Ended.IsZero() {
			t.Errorf("%+v", j)
		}
		if jobs := said[[]job](t, s.admin("jobs", "--json"), 0); len(jobs) != 1 || jobs[0].ID != j.ID {
			t.Errorf("%+v", jobs)
		}
		if j := said[job](t, s.admin("bulk", "resume", "--job", j.ID, "--yes", "--json"), 0); j.Done < 1 {
			t.Errorf("%+v", j)
		}
		if o := s.admin("bulk", "suspend", "--yes"); o.code != 2 {
			t.Errorf("everybody in the world: %v", o)
		}
	})
	t.Run("undeploy_asks", func(t *testing.T) {
		if o := s.admin("undeploy", name); o.code != 2 || !strings.Contains(o.errOut, "--yes") {
			t.Error(o)
		}
	})
	t.Run("reload", func(t *testing.T) {
		if a := s.get("/info", ""); !strings.Contains(a.body, "Test nodes") {
			t.Fatal(a)
		}
		s.reload(t, strings.Replace(config, "Test nodes", "Other nodes", 1), `reloads_total{result="ok"} 2`)
		if a := s.get("/info", ""); !strings.Contains(a.body, "Other nodes") {
			t.Errorf("not taken over: %s", a)
		}
		s.reload(t, strings.Replace(config, "users: ANYONE", "users: {nobody_knows: x}", 1), `reloads_total{result="failed"} 1`)
		if a := s.get("/info", ""); !strings.Contains(a.body, "Other nodes") {
			t.Errorf("a wrong configuration was used: %s", a)
		}
		if got := s.nameOf("alice"); got != name {
			t.Errorf("after a reload alice is %q", got)
		}
		if o := s.admin("show", name); o.code != 0 {
			t.Errorf("a fault in the file keeps the officer from the server: %v", o)
		}
	})
	t.Run("audit_is_json", func(t *testing.T) {
		kinds := map[string]bool{}
		for line := range strings.Lines(s.Read(auditLog)) {
			var e struct {
				Time  time.Time
				Event string
			}
			if err := json.Unmarshal([]byte(line), &e); err != nil || e.Time.IsZero() || e.Event == "" {
				t.Errorf("%v: %s", err, line)
			}
			kinds[e.Event] = true
		}
		for _, kind := range []string{"deploy", "suspend", "resume", "otp", "bulk"} {
			if !kinds[kind] {
				t.Errorf("nothing is said about %s", kind)
			}
		}
	})
	t.Run("strangers_at_the_control_socket", func(t *testing.T) {
		s.Run("useradd", "--system", "--no-create-home", "stranger")
		o := s.run(s.as("stranger", "provisioner", "admin", "list"))
		if o.code != 4 {
			t.Error(o)
		}
	})
	t.Run("ready", func(t *testing.T) {
		if a := s.get("/ready", ""); a.status != http.StatusOK {
			t.Error(a)
		}
		s.kill(s.worker)
		s.await("not ready without a worker", func() bool { return s.get("/ready", "").status == http.StatusServiceUnavailable })
		if a := s.get("/health", ""); a.status != http.StatusOK || !strings.Contains(a.body, `"accounts":false`) {
			t.Error(a)
		}
		s.startWork()
		s.await("ready again", func() bool { return s.get("/ready", "").status == http.StatusOK })
	})
	t.Run("stops", func(t *testing.T) {
		if err := s.serve.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		if err := s.serve.Wait(); err != nil {
			t.Errorf("%v", err)
		}
		if o := s.admin("list"); o.code != 3 || !strings.Contains(o.errOut, "does it run?") {
			t.Errorf("without a server: %v", o)
		}
	})
}

// TestProvisionerSockets: sockets of units lie in a directory of root's and are taken for those of the configuration.
func TestProvisionerSockets(t *testing.T) {
	services.Need(t, "systemd-socket-activate")
	s := dry(t)
	if err := s.serve.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	_ = s.serve.Wait()
	s.Run("rm", "-rf", "/run/oidcbox")
	s.Run("install", "-d", "-m", "0755", "/run/oidcbox")
	cmd := s.Command("systemd-socket-activate", "--fdname=login:control",
		"--listen=/run/oidcbox/login.sock", "--listen=/run/oidcbox/control.sock",
		"setpriv", "--reuid="+serveUser, "--regid="+serveUser, "--init-groups", "--",
		program, "provisioner", "serve", "--config", serveFile)
	s.Background("activated", cmd)
	s.awaitSocket("/run/oidcbox/login.sock") // this starts it
	s.await("an officer who is answered", func() bool { return s.admin("list").code == 0 })
	if info, err := os.Stat(s.File("/run/oidcbox")); err != nil || info.Sys().(*syscall.Stat_t).Uid != 0 {
		t.Errorf("%v, %v", info, err)
	}
}

// TestProvisionerConfig: what is wrong is said with place and remedy, before anything is opened.
func TestProvisionerConfig(t *testing.T) {
	j := newJourney(t)
	check := func(of, text string, code int, want string) {
		t.Helper()
		j.Write("/etc/oidcbox/x.yaml", text, 0o600)
		o := j.run(j.oidcbox("provisioner", "config", "check", "--of", of, "/etc/oidcbox/x.yaml"))
		if o.code != code || !strings.Contains(o.errOut+o.out, want) {
			t.Errorf("%v, want %d and %q", o, code, want)
		}
	}
	check("serve", "version: 1\nlisten_on: x\n", 1, "x.yaml:2")
	check("worker", "version: 1\nusers: [root]\nbackend: dryrun\nldap: {}\n", 1, "is for backend: ldap")
	check("worker", "version: 1\nusers: [root]\nbackend: dryrun\n", 0, "can be used")
	check("relay", "version: 1\nserver: http://x\ncert_file: a\nkey_file: b\n", 1, "server")
	j.Run("chmod", "0666", "/etc/oidcbox/x.yaml")
	if o := j.run(j.oidcbox("provisioner", "worker", "--config", "/etc/oidcbox/x.yaml")); o.code != 1 ||
		!strings.Contains(o.errOut, "can be changed by others") {
		t.Errorf("a configuration that everybody can change: %v", o)
	}
	if o := j.run(j.oidcbox("provisioner", "serve", "--config", "/etc/oidcbox/none.yaml")); o.code != 3 {
		t.Errorf("no configuration: %v", o)
	}
}

// TestProvisionerSetup: what setup writes works as it is.
func TestProvisionerSetup(t *testing.T) {
	j := newJourney(t)
	address := "127.0.0.1:" + freePort(t)
	setup := func() outcome {
		return j.run(j.oidcbox("provisioner", "setup", "--yes", "--issuer", j.op.URL, "--members", "everybody", "--audience", audience,
			"--ssh-host", "login.example.org", "--listen", address, "--assurance", "*", "--url", "http://"+address, "--client-id", "web"))
	}
	if o := setup(); o.code != 0 || !strings.Contains(o.errOut, "redirect URI http://"+address+"/login/back") {
		t.Fatal(o)
	}
	if o := setup(); o.code != 1 || !strings.Contains(o.errOut, "already") {
		t.Errorf("twice: %v", o)
	}
	for _, c := range []struct{ of, file string }{{"serve", serveFile}, {"worker", workFile}} {
		if o := j.run(j.oidcbox("provisioner", "config", "check", "--of", c.of, c.file)); o.code != 0 {
			t.Error(o)
		}
	}
	worker := j.oidcbox("provisioner", "worker")
	j.Background("worker", worker)
	j.awaitSocket("/run/oidcbox-worker/worker.sock")
	j.Run("install", "-d", "-o", serveUser, "-g", serveUser, "-m", "0755", "/run/oidcbox")
	j.Background("serve", j.as(serveUser, "provisioner", "serve"))
	j.awaitSocket("/run/oidcbox/login.sock")
	ready := func() bool {
		resp, err := http.Get("http://" + address + "/ready")
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		_, _ = io.Copy(io.Discard, resp.Body)
		return resp.StatusCode == http.StatusOK
	}
	j.await("readiness", ready)
}
