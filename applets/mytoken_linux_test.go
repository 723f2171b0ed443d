package applets

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/mytoken/mytokentest"
)

// follow opens the first link below base that a command shows at the terminal, as a person would, and answers yes when
// it asks whether something is allowed. It returns when the command has ended.
func (term *terminal) follow(t *testing.T, cmd *exec.Cmd, base string) error {
	t.Helper()
	link := regexp.MustCompile(regexp.QuoteMeta(base) + `/c/[A-Z0-9]+`)
	cmd.Stdin, cmd.Stderr = term.tty, term.tty
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	opened, answered := false, false
	for end := time.After(60 * time.Second); ; {
		select {
		case err := <-ended:
			return err
		case <-end:
			_ = cmd.Process.Kill()
			<-ended
			t.Fatalf("it waits for ever:\n%s", term.text())
		case <-time.After(10 * time.Millisecond):
		}
		said := term.text()
		if u := link.FindString(said); u != "" && !opened {
			opened = true
			resp, err := http.Get(u)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
		}
		if strings.Contains(said, "Allow it?") && !answered {
			answered = true
			if _, err := term.keys.WriteString("yes\n"); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestMytokenJourney: set a login up at a mytoken server that replaces mytokens at each use, get access tokens, a mytoken
// of one's own, kill the agent, go on. All programs are the built ones.
func TestMytokenJourney(t *testing.T) {
	srv := mytokentest.Start(t, func(o *mytokentest.Options) {
		o.Approve, o.RotateOnAT, o.RotateOnOther = true, true, true
	})
	h := bareHouse(t)
	h.startAgent()

	term := newTerminal(t)
	gen := h.command("gen", "kit", "--mytoken-url="+srv.URL, "--issuer", mytokentest.Provider, "--no-url-call")
	var out bytes.Buffer
	gen.Stdout = &out
	if err := term.follow(t, gen, srv.URL); err != nil {
		t.Fatalf("gen: %v\n%s\n%s", err, out.String(), term.text())
	}
	if said := term.text(); strings.Contains(said, "enter the code: \r") {
		t.Errorf("gen asks for a code that there is none of:\n%s", said)
	}
	for range 3 {
		if at := h.must("token", "--force-new", "kit"); !strings.HasPrefix(at, "at.") {
			t.Fatalf("token: %q", at)
		}
	}

	t.Run("nobody_to_ask", func(t *testing.T) {
		o := h.run("token", "-m", "kit")
		if o.code == 0 || o.out != "" || !strings.Contains(o.errOut, "operation forbidden") {
			t.Fatalf("%+v", o)
		}
	})
	t.Run("mytoken_of_ones_own", func(t *testing.T) {
		term := newTerminal(t)
		cmd := h.command("token", "--json", `--mytoken={"capabilities":["AT"],"restrictions":[{"exp":4102444800}]}`, "kit")
		var out bytes.Buffer
		cmd.Stdout = &out
		if err := term.follow(t, cmd, srv.URL); err != nil {
			t.Fatalf("%v\n%s", err, term.text())
		}
		var got struct {
			Mytoken string `json:"mytoken"`
			Issuer  string `json:"issuer"`
			Expires int64  `json:"expires_at"`
		}
		if err := json.Unmarshal(out.Bytes(), &got); err != nil || !srv.Current(got.Mytoken) || got.Issuer != srv.URL ||
			got.Expires != 4102444800 {
			t.Fatalf("%v %s", err, out.String())
		}
		if said := term.text(); !strings.Contains(said, "until 2100-01-01") || strings.Contains(said, got.Mytoken) {
			t.Errorf("the question:\n%s", said)
		}
	})

	t.Run("under_the_name_of_the_original", func(t *testing.T) {
		term := newTerminal(t)
		cmd := h.command("oidc-token", "-m", "kit")
		var out bytes.Buffer
		cmd.Stdout = &out
		if err := term.follow(t, cmd, srv.URL); err != nil {
			t.Fatalf("%v\n%s", err, term.text())
		}
		if mt, ok := strings.CutSuffix(out.String(), "\n"); !ok || !srv.Current(mt) {
			t.Errorf("%q", out.String())
		}
		if said := term.text(); !strings.Contains(said, "web-default") || !strings.Contains(said, "AT tokeninfo") {
			t.Errorf("the question does not say what the profile of the server is:\n%s", said)
		}
		if o := h.run("oidc-token", "-m", "kit"); o.code != 1 || !strings.HasPrefix(o.errOut, "Error: operation forbidden\n") {
			t.Errorf("with nobody to ask: %+v", o)
		}
	})

	h.killAgent()
	h.startAgent()
	if at := h.must("token", "--force-new", "kit"); !strings.HasPrefix(at, "at.") {
		t.Fatalf("after the agent was killed: %q", at)
	}
	o := h.run("self", "doctor", "kit")
	if o.code != 0 || !strings.Contains(o.out, "kit: loaded, in the keystore") || !strings.Contains(o.out, srv.URL) {
		t.Errorf("doctor: %+v", o)
	}

	srv.EndAll()
	if o := h.run("token", "--force-new", "kit"); o.code != 6 || !strings.Contains(o.errOut, "oidcbox gen --reauthenticate kit") {
		t.Fatalf("of a login that has ended: %+v", o)
	}
	if d := h.doctor(); !d.has("fault", "login.ended", "kit") {
		t.Errorf("doctor: %+v", d)
	}
	term = newTerminal(t)
	if err := term.follow(t, h.command("gen", "--reauthenticate", "--no-url-call", "kit"), srv.URL); err != nil {
		t.Fatalf("reauthenticate: %v\n%s", err, term.text())
	}
	h.must("token", "--force-new", "kit")
	h.killAgent()
	h.startAgent()
	h.must("token", "--force-new", "kit")
}

// TestMytokenAccountFile: an account file as oidc-agent 5 writes it for a login at a mytoken server, encrypted and loaded
// by our programs; a rotated mytoken goes back into it.
func TestMytokenAccountFile(t *testing.T) {
	srv := mytokentest.Start(t, func(o *mytokentest.Options) { o.RotateOnAT = true })
	h := bareHouse(t)
	conf := h.path("home/.config/oidc-agent")
	if err := os.MkdirAll(conf, 0o700); err != nil {
		t.Fatal(err)
	}
	first := srv.Mint()
	b, err := json.Marshal(map[string]any{
		"name": "kit", "client_name": "oidc-agent:kit-host", "issuer_url": mytokentest.Provider, "mytoken_url": srv.URL,
		"config_endpoint": srv.URL + "/.well-known/openid-configuration", "device_authorization_endpoint": "",
		"daeSetByUser": 0, "client_id": "mytoken", "client_secret": "mytoken", "refresh_token": first, "cert_path": "",
		"auth_scope": "", "refresh_scope": "", "audience": "", "oauth": 0, "uses_pub_client": 0,
		"mytoken_profile": map[string]any{"include": "agent"}, "redirect_uris": []string{},
	})
	if err != nil {
		t.Fatal(err)
	}
	h.write("home/.config/oidc-agent/kit", string(b))
	h.startLockedAgent("--no-keystore")
	h.must("gen", "--update", "kit", "--pw-file", h.path("passphrase"))
	if file := h.await(conf + "/kit"); strings.Contains(file, "mytoken") || !strings.Contains(file, "Generated using version") {
		t.Fatalf("not encrypted:\n%s", file)
	}
	h.must("add", "--pw-file", h.path("passphrase"), "--pw-store", "kit")
	if at := h.must("token", "kit"); !strings.HasPrefix(at, "at.") {
		t.Fatalf("token: %q", at)
	}
	h.endAgent() // what is to be written is written before it ends
	var got struct {
		Token   string `json:"refresh_token"`
		URL     string `json:"mytoken_url"`
		Profile struct {
			Include string `json:"include"`
		} `json:"mytoken_profile"`
	}
	plain := h.must("gen", "--print=kit", "--pw-file", h.path("passphrase"))
	if err := json.Unmarshal([]byte(plain), &got); err != nil {
		t.Fatal(err)
	}
	if got.Token == first || !srv.Current(got.Token) || got.URL != srv.URL || got.Profile.Include != "agent" {
		t.Fatalf("the file holds:\n%s", plain)
	}
}

// command is a command of this house.
func (h *house) command(args ...string) *exec.Cmd {
	cmd := exec.Command(h.bin, args...)
	cmd.Env, cmd.Dir = h.environ(), h.dir
	return cmd
}
