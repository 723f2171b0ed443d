package applets

import (
	"encoding/base64"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
)

// typist is a person at a shell on a terminal, with our links first on the PATH.
type typist struct {
	t    *testing.T
	h    *house
	term *terminal
	read int // how much of the screen he has seen
}

const shellPrompt = "ready> "

func (h *house) sitDown(t *testing.T) *typist {
	t.Helper()
	links := h.path("links")
	if err := os.MkdirAll(links, 0o700); err != nil {
		t.Fatal(err)
	}
	h.must("self", "install-links", "--upstream-names", "--dir", links)
	p := &typist{t: t, h: h, term: newTerminal(t)}
	if err := pty.Setsize(p.term.keys, &pty.Winsize{Rows: 60, Cols: 100}); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/bin/sh", "-i")
	cmd.Dir = h.dir
	for _, v := range h.environ() {
		if !strings.HasPrefix(v, "OIDC_SOCK=") && !strings.HasPrefix(v, "PATH=") {
			cmd.Env = append(cmd.Env, v)
		}
	}
	cmd.Env = append(cmd.Env, "PATH="+links+":"+os.Getenv("PATH"), "PS1="+shellPrompt, "TERM=xterm", "TMPDIR="+h.runDir)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = p.term.tty, p.term.tty, p.term.tty
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_, _ = p.term.keys.WriteString("oidc-agent -k; exit\n")
		end := time.AfterFunc(10*time.Second, func() { _ = cmd.Process.Kill() })
		defer end.Stop()
		_ = cmd.Wait()
	})
	p.until(shellPrompt)
	return p
}

// until waits for a text behind what was seen, and returns all up to it.
func (p *typist) until(text string) string {
	p.t.Helper()
	for end := time.Now().Add(60 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		screen := p.term.text()
		if at := strings.Index(screen[p.read:], text); at >= 0 {
			seen := screen[p.read : p.read+at+len(text)]
			p.read += at + len(text)
			return strings.ReplaceAll(seen, "\r\n", "\n")
		}
		if time.Now().After(end) {
			p.t.Fatalf("no %q on the screen:\n%s", text, screen[p.read:])
		}
	}
}

func (p *typist) types(line string) {
	p.t.Helper()
	if _, err := p.term.keys.WriteString(line + "\n"); err != nil {
		p.t.Fatal(err)
	}
}

// approves opens the link that has the code in it, as the telephone does.
func (p *typist) approves() (shown string) {
	p.t.Helper()
	shown = p.until("?user_code=")
	rest := p.until("\n")
	base := shown[strings.LastIndex(shown, "http://"):]
	if err := openLink(base + strings.TrimSpace(rest)); err != nil {
		p.t.Fatal(err)
	}
	return shown + rest
}

// scopesOf reads the scopes of an access token.
func scopesOf(t *testing.T, token string) []string {
	t.Helper()
	part := strings.Split(token, ".")
	if len(part) != 3 {
		t.Fatalf("no token: %q", token)
	}
	b, err := base64.RawURLEncoding.DecodeString(part[1])
	if err != nil {
		t.Fatal(err)
	}
	var claims struct {
		Scope string `json:"scope"`
	}
	if err := json.Unmarshal(b, &claims); err != nil {
		t.Fatal(err)
	}
	return strings.Fields(claims.Scope)
}

// TestHackathon is what is typed on the first day of a hackathon, on a machine that never saw oidc-agent, with a
// provider on loopback in the place of the real one.
func TestHackathon(t *testing.T) {
	h := newHouse(t, "--device-interval", "1s")
	config := filepath.Join("home", ".config", "oidc-agent")
	if err := os.MkdirAll(h.path(config), 0o700); err != nil {
		t.Fatal(err)
	}
	h.write(filepath.Join(config, "issuer.config"), `[{"issuer":"`+h.issuer+`"}]`)
	p := h.sitDown(t)
	p.types("eval $(oidc-keychain)")
	p.until("Agent pid")
	p.until(shellPrompt)

	p.types("oidc-gen -w device hackathon")
	list := p.until("Issuer: ")
	if !regexp.MustCompile(`(?m)^\[\d+\] https://wlcg\.cloud\.cnaf\.infn\.it/`).MatchString(list) {
		t.Errorf("wlcg is not in the list:\n%s", list)
	}
	number := regexp.MustCompile(`(?m)^\[(\d+)\] ` + regexp.QuoteMeta(h.issuer)).FindStringSubmatch(list)
	if number == nil {
		t.Fatalf("our issuer is not in the list:\n%s", list)
	}
	p.types(number[1])
	p.until("The following scopes are supported: openid ")
	p.until("Scopes or 'max' (space separated) [openid profile offline_access]: ")
	p.types("max")
	for _, question := range []string{"New passphrase for the keystore", "The same again: "} {
		p.until(question)
		p.types("a passphrase that is typed")
	}
	shown := p.approves()
	if !strings.Contains(shown, "And enter the code: ") {
		t.Errorf("no code to type:\n%s", shown)
	}
	done := p.until("Everything setup correctly!")
	if !strings.Contains(done, "QR code") || !strings.Contains(done, "▀") || strings.Contains(done, "typed") {
		t.Errorf("no QR code, or a passphrase:\n%s", done)
	}
	p.until(shellPrompt)

	p.types("oidc-token -s openid -s compute.modify -s compute.create hackathon")
	p.until("hackathon\r\n")
	said := p.until(shellPrompt)
	token := regexp.MustCompile(`(?m)^ey[^\s.]+\.[^\s.]+\.[^\s.]+$`).FindString(said)
	scopes := scopesOf(t, token)
	slices.Sort(scopes)
	if !slices.Equal(scopes, []string{"compute.create", "compute.modify", "openid"}) {
		t.Errorf("the token has %q", scopes)
	}
}

// TestPublicClientTyped is the one line of a tutorial.
func TestPublicClientTyped(t *testing.T) {
	h := newHouse(t, "--device-interval", "1s")
	config := filepath.Join("home", ".config", "oidc-agent")
	if err := os.MkdirAll(h.path(config), 0o700); err != nil {
		t.Fatal(err)
	}
	h.write(filepath.Join(config, "pubclients.config"), "native@"+h.issuer+"/@openid profile email eduperson_entitlement\n")
	p := h.sitDown(t)
	p.types("eval $(oidc-keychain)")
	p.until("Agent pid")
	p.until(shellPrompt)
	p.types(`oidc-gen --pub --iss ` + h.issuer + ` --scope "eduperson_entitlement email" wlcg-demo`)
	for _, question := range []string{"New passphrase for the keystore", "The same again: "} {
		p.until(question)
		p.types("a passphrase that is typed")
	}
	p.until("Generating account configuration ...")
	p.until("accepted")
	p.approves()
	p.until("Everything setup correctly!")
	p.until(shellPrompt)
	p.types("oidc-token wlcg-demo")
	p.until("wlcg-demo\r\n")
	token := regexp.MustCompile(`(?m)^ey[^\s.]+\.[^\s.]+\.[^\s.]+$`).FindString(p.until(shellPrompt))
	if scopes := scopesOf(t, token); !slices.Contains(scopes, "eduperson_entitlement") || !slices.Contains(scopes, "email") {
		t.Errorf("the token has %q", scopes)
	}
}
