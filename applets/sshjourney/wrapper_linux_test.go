package sshjourney

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/account/login"
	"github.com/oidcbox/oidcbox/core/account/otp/form"
	"github.com/oidcbox/oidcbox/testdata/services"
)

// cue is an account service whose answers a test decides: motley-cue's interface over https, and the other half of its
// work behind the login socket.
type cue struct {
	j    *journey
	srv  *httptest.Server
	ca   string
	info map[string]any

	mu      sync.Mutex
	users   map[string]string // token -> user
	otps    map[string]string // password -> user
	calls   []string          // paths of requests with a token
	anybody string            // who comes with any other token
	forms   bool              // our own form of one-time passwords
	states  map[string]string // user -> state, when it is not what deploy makes it
}

// newCue starts one, with the helper of PAM answered by it.
func newCue(j *journey) *cue {
	j.t.Helper()
	c := &cue{j: j, users: map[string]string{}, otps: map[string]string{}, states: map[string]string{}}
	c.srv = httptest.NewTLSServer(c)
	j.t.Cleanup(c.srv.Close)
	c.ca = filepath.Join(j.t.TempDir(), "ca.pem")
	b := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.srv.Certificate().Raw})
	if err := os.WriteFile(c.ca, b, 0o600); err != nil {
		j.t.Fatal(err)
	}
	c.info = map[string]any{
		"login_info": map[string]any{}, "supported_OPs": []string{"https://issuer.example.org"},
		"ops_info": map[string]any{"https://issuer.example.org": map[string]any{"scopes": []string{"openid"}, "audience": ""}},
	}
	j.standIn(c.judge)
	return c
}

// judge is what PAM's helper is told.
func (c *cue) judge(q login.Question) login.Answer {
	c.mu.Lock()
	defer c.mu.Unlock()
	id := identity(c.j.t, q.User)
	if q.Phase == login.Account {
		return login.Answer{Allowed: true, State: "deployed", ID: id}
	}
	user, ok := c.otps[q.Secret.Expose()]
	if !ok || user != q.User {
		return login.Answer{Reason: "no such password"}
	}
	delete(c.otps, q.Secret.Expose())
	return login.Answer{Allowed: true, State: "deployed", ID: id}
}

// tokenOf makes a token of that many bytes for a user.
func (c *cue) tokenOf(user string, n int) string {
	claims := fmt.Sprintf(`{"iss":"https://issuer.example.org","sub":%q,"exp":%d}`, user, time.Now().Add(time.Hour).Unix())
	t := "eyJhbGciOiJFUzI1NiJ9." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + "."
	t += strings.Repeat("x", n-len(t))
	c.mu.Lock()
	defer c.mu.Unlock()
	c.users[t] = user
	return t
}

func (c *cue) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	answer := func(status int, v any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(v)
	}
	switch r.URL.Path {
	case "/":
		answer(200, map[string]string{"description": "This is the user API for mapping remote identities to local identities."})
		return
	case "/info":
		answer(200, c.info)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	user, ok := c.users[token]
	if c.anybody != "" && token != "" {
		user, ok = c.anybody, true
	}
	if !ok {
		answer(401, map[string]string{"error": "Unauthenticated", "error_description": "User identity could not be determined"})
		return
	}
	c.calls = append(c.calls, r.URL.Path)
	exists := exec.Command("grep", "-q", "^"+user+":", c.j.File("/etc/passwd")).Run() == nil
	switch r.URL.Path {
	case "/user/get_status":
		switch {
		case c.states[user] != "":
			answer(200, map[string]any{"state": c.states[user], "message": "username " + user, "credentials": map[string]string{}})
		case exists:
			answer(200, map[string]any{"state": "deployed", "message": "username " + user, "credentials": map[string]string{}})
		default:
			answer(200, map[string]any{"state": "not_deployed", "message": "No message", "credentials": map[string]string{}})
		}
	case "/user/deploy":
		if !exists {
			c.j.AddUser(user, "", "--comment", identity(c.j.t, user))
		}
		answer(200, map[string]any{
			"state": "deployed", "message": "User already existed.",
			"credentials": map[string]string{"ssh_user": user},
		})
	case "/user/generate_otp":
		if c.forms && r.Method == http.MethodPost && r.URL.Query().Get("form") == "oxp" {
			p := string(form.New())
			c.otps[p] = user
			answer(200, map[string]any{"supported": true, "successful": true, "password": p, "expires_in": 300})
			return
		}
		sum := sha512.Sum512([]byte(token))
		c.otps[hex.EncodeToString(sum[:])] = user
		answer(200, map[string]any{"supported": true, "successful": true})
	default:
		answer(404, map[string]string{"detail": "Not Found"})
	}
}

// client is a person's machine: a home of their own, outside of the host.
type client struct {
	j    *journey
	bin  string
	dir  string
	url  string // of the account service
	ca   string // "" for a service on loopback without TLS
	sshd *services.SSHD
	env  []string
}

// client makes one whose service is c.
func (c *cue) client(s *services.SSHD) *client { return newClient(c.j, s, c.srv.URL, c.ca) }

// newClient makes one. The host's key is in no file of it.
func newClient(j *journey, s *services.SSHD, url, ca string) *client {
	j.t.Helper()
	bin, err := oneBinary()
	if err != nil {
		j.t.Fatal(err)
	}
	// Short, because sockets are made in it.
	dir, err := os.MkdirTemp("", "sshw-")
	if err != nil {
		j.t.Fatal(err)
	}
	j.t.Cleanup(func() { _ = os.RemoveAll(dir) })
	for _, d := range []string{"home/.ssh", "run"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o700); err != nil {
			j.t.Fatal(err)
		}
	}
	cl := &client{j: j, bin: bin, dir: dir, url: url, ca: ca, sshd: s}
	cl.config("")
	return cl
}

// config writes ~/.ssh/config: an alias for the host, and more.
func (cl *client) config(more string) {
	cl.j.t.Helper()
	text := fmt.Sprintf("%s\nHost login\n  HostName 127.0.0.1\n  Port %d\n", more, cl.sshd.Port)
	cl.write("home/.ssh/config", text)
}

func (cl *client) path(name string) string { return filepath.Join(cl.dir, name) }

func (cl *client) write(name, text string) string {
	cl.j.t.Helper()
	if err := os.WriteFile(cl.path(name), []byte(text), 0o700); err != nil {
		cl.j.t.Fatal(err)
	}
	return cl.path(name)
}

// command is any program there. ssh reads ~/.ssh from passwd and not from HOME: its configuration is named by a link to
// the program in front of it.
func (cl *client) command(token, name string, args ...string) *exec.Cmd {
	if slices.Contains([]string{"ssh", "scp", "sftp"}, name) {
		name = filepath.Join(cl.sshPath(), name)
	}
	cmd := exec.Command(name, args...)
	cmd.Dir = cl.dir
	cmd.Env = append([]string{
		"HOME=" + cl.path("home"), "XDG_RUNTIME_DIR=" + cl.path("run"), "TMPDIR=" + cl.dir, "PATH=" + cl.sshPath() + ":" + os.Getenv("PATH"),
		"ACCESS_TOKEN=" + token, "OIDC_SOCK=", "OIDCBOX_AUTOSTART=0", "USER=root", "LC_ALL=C",
	}, cl.env...)
	return cmd
}

// sshPath is a directory with ssh, scp and sftp that read the configuration of this home.
func (cl *client) sshPath() string {
	dir := cl.path("bin")
	if os.Mkdir(dir, 0o700) != nil {
		return dir
	}
	for _, name := range []string{"ssh", "scp", "sftp"} {
		real, err := exec.LookPath(name)
		if err != nil {
			cl.j.t.Fatal(err)
		}
		more := ""
		if name != "ssh" {
			more = " -S " + filepath.Join(dir, "ssh")
		}
		cl.write("bin/"+name, fmt.Sprintf("#!/bin/sh\nexec %s -F %s -o UserKnownHostsFile=%s%s \"$@\"\n", real, cl.path("home/.ssh/config"),
			cl.path("home/.ssh/known_hosts"), more))
	}
	return dir
}

// wrapped are our options for a host without a service at the usual ports.
func (cl *client) wrapped(role string, args ...string) []string {
	words := []string{role, "--mc-endpoint", cl.url}
	if cl.ca != "" {
		words = append(words, "--ca-file", cl.ca)
	}
	return append(words, args...)
}

func (cl *client) run(token string, args ...string) outcome {
	cl.j.t.Helper()
	return cl.j.run(cl.command(token, cl.bin, args...))
}

// ends fails the test when a command did not end so.
func ends(t *testing.T, o outcome, code int, out string) {
	t.Helper()
	if o.code != code || o.out != out {
		t.Errorf("exit code %d, want %d; output %q, want %q; messages:\n%s", o.code, code, head(o.out), out, o.errOut)
	}
}

func head(s string) string { return s[:min(len(s), 300)] }

// TestWrapper logs in to accounts that did not exist before.
func TestWrapper(t *testing.T) {
	j := newJourney(t)
	c := newCue(j)
	s := j.StartSSHD(services.SSHDOptions{PAM: stack(stackTokenOnly)})
	c.info["ssh_host_keys"] = []string{s.HostKey}
	cl := c.client(s)

	for _, n := range []int{600, 1500, 5000} {
		t.Run(fmt.Sprintf("token_of_%d_bytes", n), func(t *testing.T) {
			user := "user" + strconv.Itoa(n)
			token := c.tokenOf(user, n)
			ends(t, cl.run(token, cl.wrapped("ssh", "login", "id -un; exit 5")...), 5, user+"\n")
			// A second one at once, with another form of password and the description in the cache.
			c.forms = true
			c.info["otp_forms"] = []string{"oxp", "sha512"}
			ends(t, cl.run(token, cl.wrapped("ssh", "--no-cache", "login", "id", "-un")...), 0, user+"\n")
			c.forms = false
			delete(c.info, "otp_forms")
			ends(t, cl.run(token, cl.wrapped("ssh", "--no-cache", "login", "id", "-un")...), 0, user+"\n")
			if strings.Contains(s.Log()+j.Log(), token[:200]) {
				t.Error("the token is in a log")
			}
		})
	}
	token := c.tokenOf("ada", 900)
	t.Run("quoting_is_ssh's", func(t *testing.T) {
		ends(t, cl.run(token, cl.wrapped("ssh", "login", `printf '%s|' "a  b" '$HOME' --dry-run`)...), 0, "a  b|$HOME|--dry-run|")
	})
	t.Run("options_behind_the_host", func(t *testing.T) {
		ends(t, cl.run(token, append([]string{"ssh", "-T", "login"}, append(cl.wrapped("")[1:], "id", "-un")...)...), 0, "ada\n")
	})
	t.Run("named_user_has_to_be_right", func(t *testing.T) {
		ends(t, cl.run(token, cl.wrapped("ssh", "ada@login", "id -un")...), 0, "ada\n")
		o := cl.run(token, cl.wrapped("ssh", "bob@login", "id -un")...)
		if o.code != 2 || !strings.Contains(o.errOut, "you are ada") {
			t.Error(o)
		}
	})
	t.Run("no_token_in_what_ssh_starts", func(t *testing.T) {
		cl.config("Host *\n  PermitLocalCommand yes\n  LocalCommand env >" + cl.path("seen") + "; tr '\\0' '\\n' </proc/$PPID/cmdline >>" + cl.path("seen") + "\n")
		defer cl.config("")
		ends(t, cl.run(token, cl.wrapped("ssh", "login", "id -un")...), 0, "ada\n")
		b, err := os.ReadFile(cl.path("seen"))
		sum := sha512.Sum512([]byte(token))
		if err != nil || !bytes.Contains(b, []byte("SSH_ASKPASS=")) {
			t.Fatalf("nothing seen: %v %s", err, b)
		}
		if bytes.Contains(b, []byte(token)) || bytes.Contains(b, []byte(hex.EncodeToString(sum[:]))) {
			t.Error("a secret is in arguments or environment")
		}
	})
	t.Run("batch_mode", func(t *testing.T) {
		ends(t, cl.run(token, cl.wrapped("ssh", "-o", "BatchMode=yes", "login", "id -un")...), 0, "ada\n")
	})
	t.Run("suspended", func(t *testing.T) {
		c.mu.Lock()
		c.states["ada"] = "suspended"
		c.mu.Unlock()
		defer func() { c.mu.Lock(); delete(c.states, "ada"); c.mu.Unlock() }()
		if o := cl.run(token, cl.wrapped("ssh", "login", "id -un")...); o.code != 4 || o.out != "" {
			t.Error(o)
		}
	})
	t.Run("stranger", func(t *testing.T) {
		o := cl.run("eyJhbGciOiJub25lIn0.e30.x", cl.wrapped("ssh", "login", "id -un")...)
		if o.code != 4 || !strings.Contains(o.errOut, "failed on get_status: [HTTP 401] Unauthenticated - User identity") {
			t.Error(o)
		}
	})
	if left, _ := filepath.Glob(cl.path("run/oidcbox/ssh-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// TestWrapperHostKeys: keys that the service vouches for stand in for a question, and for nothing else.
func TestWrapperHostKeys(t *testing.T) {
	j := newJourney(t)
	c := newCue(j)
	s := j.StartSSHD(services.SSHDOptions{PAM: stack(stackTokenOnly)})
	token := c.tokenOf("ada", 900)
	other := "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f"
	for _, f := range []struct {
		name   string
		keys   []string
		known  string
		option string
		code   int
	}{
		{"vouched_for", []string{s.HostKey}, "", "StrictHostKeyChecking=yes", 0},
		{"vouched_for_and_asked", []string{s.HostKey}, "", "StrictHostKeyChecking=ask", 0},
		{"another_key_vouched_for", []string{other}, "", "StrictHostKeyChecking=yes", 255},
		{"nothing_vouched_for", nil, "", "StrictHostKeyChecking=yes", 255},
		{"known_otherwise_wins", []string{s.HostKey}, other, "StrictHostKeyChecking=ask", 255},
		{"known", nil, s.HostKey, "StrictHostKeyChecking=yes", 0},
		{"line_of_two_hosts_is_none", []string{"@cert-authority * " + s.HostKey}, "", "StrictHostKeyChecking=yes", 255},
	} {
		t.Run(f.name, func(t *testing.T) {
			cl := c.client(s)
			c.info["ssh_host_keys"] = f.keys
			if f.known != "" {
				cl.write("home/.ssh/known_hosts", fmt.Sprintf("[127.0.0.1]:%d %s\n", s.Port, f.known))
			}
			out := "ada\n"
			if f.code != 0 {
				out = ""
			}
			ends(t, cl.run(token, cl.wrapped("ssh", "-o", f.option, "login", "id -un")...), f.code, out)
		})
	}
}

// noise is what nobody can guess or compress.
func noise(t *testing.T, path string, n int64) (sum string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.CopyN(io.MultiWriter(f, h), rand.Reader, n); err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(h.Sum(nil))
}

func sumOf(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// TestWrapperFiles brings 100 MB there by standard input, and back by scp, sftp and rsync.
func TestWrapperFiles(t *testing.T) {
	services.Need(t, "rsync", "git")
	j := newJourney(t)
	c := newCue(j)
	s := j.StartSSHD(services.SSHDOptions{PAM: stack(stackTokenOnly)})
	c.info["ssh_host_keys"] = []string{s.HostKey}
	cl := c.client(s)
	token := c.tokenOf("ada", 5000)
	want := noise(t, cl.path("big"), 100<<20)

	in, err := os.Open(cl.path("big"))
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	cmd := cl.command(token, cl.bin, cl.wrapped("ssh", "-T", "login", "cat >big && sha256sum <big")...)
	cmd.Stdin = in
	ends(t, j.run(cmd), 0, want+"  -\n")

	for name, back := range map[string][]string{
		"scp":       append([]string{cl.bin}, cl.wrapped("scp", "-q", "login:big", "by-scp")...),
		"scp_twice": append([]string{cl.bin}, cl.wrapped("scp", "-q", "login:small", "login:small2", ".")...),
		"old_scp":   append([]string{cl.bin}, cl.wrapped("scp", "-q", "-O", "login:small", "by-old_scp")...),
		"scp_uri":   append([]string{cl.bin}, cl.wrapped("scp", "-q", fmt.Sprintf("scp://127.0.0.1:%d/small", s.Port), "by-scp_uri")...),
		"sftp":      append([]string{cl.bin}, cl.wrapped("sftp", "-q", "login:big", "by-sftp")...),
		"rsync":     {"rsync", "-e", strings.Join(append([]string{cl.bin}, cl.wrapped("ssh")...), " "), "login:big", "by-rsync"},
	} {
		t.Run(name, func(t *testing.T) {
			j.Run("sh", "-c", "cd /home/ada && head -c 1000 big >small && cp small small2")
			o := j.run(cl.command(token, back[0], back[1:]...))
			if o.code != 0 {
				t.Fatal(o)
			}
			switch name {
			case "scp", "sftp", "rsync":
				if got := sumOf(t, cl.path("by-"+name)); got != want {
					t.Error("another file came back")
				}
			case "scp_twice":
				if sumOf(t, cl.path("small")) != sumOf(t, cl.path("small2")) {
					t.Error("two files differ")
				}
			default:
				if fi, err := os.Stat(cl.path("by-" + name)); err != nil || fi.Size() != 1000 {
					t.Error(err)
				}
			}
		})
	}
	t.Run("git", func(t *testing.T) {
		j.Run("sh", "-c", "cd /home/ada && git init -q --bare repo.git && chown -R ada repo.git")
		cl.env = []string{"GIT_SSH_COMMAND=" + strings.Join(append([]string{cl.bin}, cl.wrapped("ssh")...), " "), "GIT_CONFIG_NOSYSTEM=1"}
		defer func() { cl.env = nil }()
		if o := j.run(cl.command(token, "git", "clone", "-q", "login:repo.git", "work")); o.code != 0 {
			t.Fatal(o)
		}
		o := j.run(cl.command(token, "sh", "-c", `cd work && echo x >f && git add f &&
			git -c user.name=a -c user.email=a@example.org commit -qm x && git push -q origin HEAD:main && git ls-remote -q --heads`))
		if o.code != 0 || !strings.Contains(o.out, "refs/heads/main") {
			t.Error(o)
		}
	})
}
