package sshjourney

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/oidcbox/oidcbox/core/account/login"
	"github.com/oidcbox/oidcbox/core/account/otp/form"
	"github.com/oidcbox/oidcbox/core/token/jose"
	"github.com/oidcbox/oidcbox/testdata/services"
)

const (
	iniFile = "/etc/pam.d/pam-ssh-oidc-config.ini"

	// The line as it is documented for pam-ssh-oidc, in front of Debian's own.
	stackModule = `auth sufficient pam_oidc_token.so config=` + iniFile + `
@include common-auth
account required pam_oidcbox.so config=` + iniFile + `
@include common-account
session required pam_permit.so
`
)

// installModule builds the module of packaging/pam and installs it in the host, under its own name and under that of
// pam-ssh-oidc.
func (j *journey) installModule() {
	j.t.Helper()
	services.Need(j.t, "make", "cc")
	if found, _ := filepath.Glob("/usr/include/security/pam_modules.h"); len(found) == 0 {
		services.Missing(j.t, "the headers of Linux-PAM are not installed")
	}
	installed, err := filepath.Glob("/lib/*/security/pam_unix.so")
	if err != nil || len(installed) == 0 {
		services.Missing(j.t, "PAM modules are not where Debian has them")
	}
	dir := j.t.TempDir()
	for _, args := range [][]string{
		{"cp", "../../packaging/pam/Makefile", "../../packaging/pam/pam_oidcbox.c", dir},
		{"make", "-s", "-C", dir, "HELPER=" + pamHelper},
		{"cp", "-a", filepath.Dir(installed[0]), j.File("/srv/security")},
		{"cp", dir + "/pam_oidcbox.so", j.File("/srv/security/pam_oidcbox.so")},
		{"cp", dir + "/pam_oidcbox.so", j.File("/srv/security/pam_oidc_token.so")},
	} {
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			j.t.Fatalf("%v: %v\n%s", args, err, out)
		}
	}
	j.Run("mount", "--bind", "/srv/security", filepath.Dir(installed[0]))
}

func (j *journey) ini(lines ...string) {
	j.t.Helper()
	j.Write(iniFile, "[user_verification]\n"+strings.Join(lines, "\n")+"\n", 0o644)
}

// fits is a token that the stock client does not cut.
func fits(t testing.TB, token string) string {
	t.Helper()
	if len(token) > 1023 || len(token) < 520 {
		t.Fatalf("a token of %d bytes shows nothing here", len(token))
	}
	return token
}

func TestModuleAndSocket(t *testing.T) {
	j := newJourney(t)
	j.installModule()
	id := identity(t, "ada")
	j.AddUser("ada", "", "--comment", id)
	j.AddUser("bob", "bob has 1 pw")
	p, stop := j.standIn(func(q login.Question) login.Answer {
		if q.User != "ada" {
			return login.Answer{State: "not_deployed", Reason: "nobody has that name"}
		}
		return login.Answer{Allowed: true, State: "deployed", ID: id}
	})
	j.ini("local = false", "verify_endpoint = unix:/run/oidcbox/login.sock")
	s := j.StartSSHD(services.SSHDOptions{PAM: stackModule})
	token := fits(t, j.token("alice"))

	t.Run("pasted_access_token_arrives_whole", func(t *testing.T) {
		dir := t.TempDir()
		if who := j.login(s, services.SSHLogin{User: "ada", Answers: []string{token}, Runtime: dir}); who != "ada" {
			t.Fatalf("arrived as %q; log:\n%s", who, j.Log())
		}
		if asked := p.questions(); len(asked) != 2 || asked[0].Secret.Expose() != token || asked[1].Phase != login.Account {
			t.Errorf("asked %+v", asked)
		}
		b, err := os.ReadFile(filepath.Join(dir, "asked"))
		if err != nil || strings.TrimRight(string(b), " \n") != "(ada@127.0.0.1) Access Token:" || strings.Contains(string(b), "Token:  ") {
			t.Errorf("the prompt was %q, %v", b, err)
		}
	})
	t.Run("password_behind_an_empty_token", func(t *testing.T) {
		if who := j.login(s, services.SSHLogin{User: "bob", Answers: []string{"", "bob has 1 pw"}}); who != "bob" {
			t.Errorf("arrived as %q", who)
		}
		for _, q := range p.questions() {
			if q.Phase != login.Account {
				t.Errorf("asked %+v", q)
			}
		}
	})
	t.Run("long_token_arrives_whole", func(t *testing.T) {
		services.Need(t, "pamtester")
		long := "eyJhbGciOiJFUzI1NiJ9." + strings.Repeat("A", 3500) + ".c2ln"
		cmd := j.Command("pamtester", "sshd", "ada", "authenticate")
		cmd.Stdin = strings.NewReader(long + "\n")
		if o := j.run(cmd); o.code != 0 {
			t.Error(o)
		}
		if asked := p.questions(); len(asked) != 1 || asked[0].Secret.Expose() != long {
			t.Errorf("asked %+v", asked)
		}
	})
	t.Run("no_is_a_no", func(t *testing.T) {
		j.refuse(t, s, services.SSHLogin{User: "bob", Answers: []string{token, "wrong"}}, "not a federated account")
	})
	t.Run("helper_that_is_not_there_is_a_no_with_a_line", func(t *testing.T) {
		j.Write("/etc/pam.d/broken", "auth required pam_oidcbox.so helper=/srv/nothing\n", 0o644)
		from := len(j.Log())
		cmd := j.Command("pamtester", "broken", "ada", "authenticate")
		cmd.Stdin = strings.NewReader(token + "\n")
		if o := j.run(cmd); o.code == 0 {
			t.Error(o)
		}
		j.AwaitLog(from, "/srv/nothing cannot be run")
	})
	for name, lines := range map[string][]string{
		"no_such_key": {"verify_endpiont = unix:/run/oidcbox/login.sock"}, "local_is_no_word": {"local = maybe"},
		"no_path": {"verify_endpoint = unix:login.sock"},
	} {
		t.Run("ini_with_"+name+"_is_a_no", func(t *testing.T) {
			j.ini(lines...)
			j.refuse(t, s, services.SSHLogin{User: "ada", Answers: []string{token, "x"}}, "is no configuration of the PAM module")
		})
	}
	t.Run("ini_that_others_write_is_a_no", func(t *testing.T) {
		j.Write(iniFile, "[user_verification]\nlocal=false\n", 0o666)
		j.refuse(t, s, services.SSHLogin{User: "ada", Answers: []string{token, "x"}}, "is not root's alone to write")
	})
	t.Run("provisioner_down_is_a_no", func(t *testing.T) {
		stop()
		j.ini("local = false")
		j.refuse(t, s, services.SSHLogin{User: "ada", Answers: []string{token, "x"}}, "nobody answers questions about logins")
	})
}

// otherHost is a motley-cue on another host: verify_user and nothing else.
type otherHost struct {
	*httptest.Server
	mu     sync.Mutex
	status int
	body   string
	asked  []*http.Request
}

func startOtherHost(t *testing.T, certs string) *otherHost {
	t.Helper()
	c := &otherHost{status: http.StatusOK, body: `{"state":"deployed","verified":true}`}
	c.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.asked = append(c.asked, r)
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(c.status)
		fmt.Fprint(w, c.body)
	}))
	cert, err := tls.LoadX509KeyPair(filepath.Join(certs, "server.pem"), filepath.Join(certs, "server.key"))
	if err != nil {
		t.Fatal(err)
	}
	c.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
	c.StartTLS()
	t.Cleanup(c.Close)
	return c
}

func (c *otherHost) answers(status int, body string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.status, c.body = status, body
}

// last is the last request, nil for none since the last call.
func (c *otherHost) last() (r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := len(c.asked); n > 0 {
		r = c.asked[n-1]
	}
	c.asked = nil
	return r
}

func TestModuleAndHTTPS(t *testing.T) {
	j := newJourney(t)
	j.installModule()
	j.AddUser("ada", "", "--comment", identity(t, "ada"))
	j.AddUser("bob", "")
	certs := services.Certificates(t)
	ca, err := os.ReadFile(filepath.Join(certs, "ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	j.Write("/etc/oidcbox/ca.pem", string(ca), 0o644)
	c := startOtherHost(t, certs)
	_, port, _ := strings.Cut(c.Listener.Addr().String(), ":")
	endpoint := "verify_endpoint = https://localhost:" + port + "/verify_user"
	j.ini("local = false", endpoint, "ca_file = /etc/oidcbox/ca.pem")
	s := j.StartSSHD(services.SSHDOptions{PAM: strings.ReplaceAll(stackModule, "account required pam_oidcbox.so config="+iniFile+"\n", "")})
	token := fits(t, j.token("alice"))
	paste := services.SSHLogin{User: "ada", Answers: []string{token}}

	t.Run("token_goes_to_verify_user_as_motley_cue_takes_it", func(t *testing.T) {
		if who := j.login(s, paste); who != "ada" {
			t.Fatalf("arrived as %q; log:\n%s", who, j.Log())
		}
		r := c.last()
		if r == nil || r.Method != http.MethodGet || r.URL.String() != "/verify_user?username=ada" || r.Header.Get("Authorization") != "Bearer "+token {
			t.Errorf("asked %+v", r)
		}
	})
	for _, tc := range []struct {
		name   string
		status int
		body   string
		why    string
	}{
		{"wrong_user", 200, `{"state":"not_deployed","verified":false}`, "the provisioner says no: verified false"},
		{"suspended_although_verified", 200, `{"state":"suspended","verified":true}`, `verified true (state "suspended")`},
		{"no_state", 200, `{"verified":true}`, "the provisioner says no"},
		{"no_json", 200, `<html>verified</html>`, "not an answer of verify_user"},
		{"verified_as_text", 200, `{"state":"deployed","verified":"true"}`, "not an answer of verify_user"},
		{"refused", 401, `{"error":"Unauthenticated","error_description":"User identity could not be determined"}`, "HTTP 401: User identity could not be determined"},
		{"broken", 500, `{"detail":"Something went wrong."}`, "HTTP 500"},
		{"endless", 200, strings.Repeat(" ", 1<<20), "larger than allowed"},
		{"redirected", 302, ``, "HTTP 302"},
	} {
		t.Run(tc.name+"_is_a_no", func(t *testing.T) {
			c.answers(tc.status, tc.body)
			defer c.answers(200, `{"state":"deployed","verified":true}`)
			j.refuse(t, s, paste, tc.why)
			c.last()
		})
	}
	t.Run("local_user_stays_closed", func(t *testing.T) {
		j.refuse(t, s, services.SSHLogin{User: "bob", Answers: []string{token}}, "not a federated account")
		if r := c.last(); r != nil {
			t.Error("and yet it was asked")
		}
	})
	t.Run("other_certificates_are_not_believed", func(t *testing.T) {
		other, err := os.ReadFile(filepath.Join(services.Certificates(t), "ca.pem"))
		if err != nil {
			t.Fatal(err)
		}
		j.Write("/etc/oidcbox/ca.pem", string(other), 0o644)
		j.refuse(t, s, paste, "certificate")
		if r := c.last(); r != nil {
			t.Error("the token was sent")
		}
	})
	t.Run("plain_http_to_another_host_is_not_spoken", func(t *testing.T) {
		j.ini("verify_endpoint = http://192.0.2.1:8080/verify_user")
		j.refuse(t, s, paste, "not https")
	})
}

func TestModuleWithoutDaemon(t *testing.T) {
	j := newJourney(t)
	j.installModule()
	j.AddUser("ada", "")
	j.AddUser("other", "")
	j.ini("local = true")
	me := j.op.Tokens("alice", "openid")
	sub := subject(t, me.ID.Expose())
	config := func(more string) {
		j.Write("/etc/oidcbox/pam.yaml", "version: 1\nissuers:\n  "+j.op.URL+": "+more+"\naudiences: ["+audience+"]\nusers: ssh-users.map\n", 0o644)
	}
	config("{check: userinfo}")
	j.Write("/etc/oidcbox/ssh-users.map", "# who may be whom\nada "+j.op.URL+" "+sub+"\nother "+j.op.URL+" somebody else\nroot "+j.op.URL+" "+sub+"\n", 0o644)
	s := j.StartSSHD(services.SSHDOptions{PAM: stackModule, Config: "PermitRootLogin yes"})
	token := fits(t, j.token("alice"))
	paste := services.SSHLogin{User: "ada", Answers: []string{token}}

	t.Run("mapped_user_logs_in", func(t *testing.T) {
		if who := j.login(s, paste); who != "ada" {
			t.Fatalf("arrived as %q; log:\n%s", who, j.Log())
		}
	})
	t.Run("keys_alone_do", func(t *testing.T) {
		config("{check: offline}")
		defer config("{check: userinfo}")
		if who := j.login(s, paste); who != "ada" {
			t.Errorf("arrived as %q; log:\n%s", who, j.Log())
		}
	})
	for _, tc := range []struct{ name, user, secret, why string }{
		{"somebody_else_s_account", "other", token, "the map does not give this identity that user"},
		{"root_in_the_map", "root", token, "name is reserved: root"},
		{"one_time_password", "ada", string(form.New()), "without a provisioner only access tokens are taken"},
		{"wrong_audience", "ada", fits(t, j.op.Tokens("alice", "openid profile email eduperson_entitlement eduperson_assurance",
			map[string][]string{"audience": {"https://elsewhere.example.org/with/a/longer/path"}}).Access.Expose()), "the token is refused"},
		{"changed_token", "ada", token[:len(token)-8] + "AAAAAAAA", "the token is refused"},
	} {
		t.Run(tc.name+"_is_a_no", func(t *testing.T) {
			j.refuse(t, s, services.SSHLogin{User: tc.user, Answers: []string{tc.secret, "x"}}, tc.why)
		})
	}
	t.Run("map_that_others_write_is_a_no", func(t *testing.T) {
		j.Run("chmod", "0666", "/etc/oidcbox/ssh-users.map")
		j.refuse(t, s, services.SSHLogin{User: "ada", Answers: []string{token, "x"}}, "is not root's alone to write")
		j.Run("chmod", "0644", "/etc/oidcbox/ssh-users.map")
	})
	t.Run("issuer_down_is_a_no", func(t *testing.T) {
		j.op.Stop()
		j.refuse(t, s, services.SSHLogin{User: "ada", Answers: []string{token, "x"}}, "the token could not be judged")
	})
}

// subject reads sub of a JWT that we made ourselves.
func subject(t *testing.T, jwt string) string {
	t.Helper()
	var claims struct{ Sub string }
	if err := json.Unmarshal(payload(t, jwt), &claims); err != nil || claims.Sub == "" {
		t.Fatalf("no sub: %v", err)
	}
	return claims.Sub
}

func payload(t *testing.T, jwt string) []byte {
	t.Helper()
	m, err := jose.Parse([]byte(jwt))
	if err != nil {
		t.Fatal(err)
	}
	return m.Payload
}

// TestPAMConfigWithModule sets a host up with the module in place of pam_exec.
func TestPAMConfigWithModule(t *testing.T) {
	services.Need(t, "pamtester")
	j := newJourney(t)
	j.installModule()
	id := identity(t, "ada")
	j.AddUser("ada", "", "--comment", id)
	j.AddUser("bob", "bob has 1 pw")
	j.Run("ssh-keygen", "-A")
	j.Run("mkdir", "-p", "/etc/ssh/sshd_config.d")
	j.Write(sshdFile, debianSSHD, 0o644)
	stackBefore := j.Read(pamFile)
	p, _ := j.standIn(func(q login.Question) login.Answer {
		if q.User != "ada" || q.Via == "oidcbox-pam-check" {
			return login.Answer{State: "not_deployed", Reason: "nobody has that name"}
		}
		return login.Answer{Allowed: true, State: "deployed", ID: id}
	})
	t.Run("module_that_is_not_installed_stays_out", func(t *testing.T) {
		if o := j.pamConfig("--install", "--module", "pam_nothing_oidcbox.so"); o.code == 0 || j.Read(pamFile) != stackBefore {
			t.Errorf("%v\n%s", o, j.Read(pamFile))
		}
	})
	if o := j.pamConfig("--install", "--module", "pam_oidcbox.so"); o.code != 0 {
		t.Fatal(o)
	}
	if o := j.run(j.oidcbox("pam", "check")); o.code != 0 || !strings.Contains(o.out, "auth line with pam_oidcbox") {
		t.Error(o)
	}
	s := j.StartSSHD(services.SSHDOptions{})
	token := fits(t, j.token("alice"))
	p.questions()
	if who := j.login(s, services.SSHLogin{User: "ada", Answers: []string{token}}); who != "ada" {
		t.Errorf("arrived as %q; log:\n%s", who, j.Log())
	}
	if asked := p.questions(); len(asked) != 2 || asked[0].Secret.Expose() != token {
		t.Errorf("asked %+v", asked)
	}
	if who := j.login(s, services.SSHLogin{User: "bob", Answers: []string{"", "bob has 1 pw"}}); who != "bob" {
		t.Errorf("bob arrived as %q", who)
	}
}
