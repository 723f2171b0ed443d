//go:build unix

package gen

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/oidcbox/oidcbox/core/agent/login"
	"github.com/oidcbox/oidcbox/core/agent/proto"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/testdata/services"
)

// TestOriginalGen sets a login up with the original's oidc-gen: registration, code flow, merged account file.
func TestOriginalGen(t *testing.T) {
	services.Need(t, "oidc-gen")
	w := newWorld(t)
	if err := os.Mkdir(w.path("home/.oidc-agent"), 0o700); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "oidc-gen", "theirs", "--iss", w.op.URL, "--scope", "openid profile offline_access",
		"-w", "code", "--no-url-call", "--pw-file="+w.path("pw"), "--confirm-default", "--prompt=none")
	cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
	for k, v := range w.env {
		cmd.Env = append(cmd.Env, k+"="+v)
	}
	r, errW := io.Pipe()
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, errW
	said := make(chan string)
	go func() { said <- w.browse(r) }()
	err := cmd.Run()
	_ = errW.Close()
	if errOut := <-said; err != nil || strings.Contains(errOut, "Error") || !strings.HasSuffix(out.String(), "Everything setup correctly!\n") {
		t.Fatalf("%v\n%s%s", err, out.String(), errOut)
	}
	if err := w.token("theirs"); err != nil {
		t.Error(err)
	}
	got := w.must("-p", w.path("home/.oidc-agent/theirs"), "--pw-file", "pw")
	if !strings.Contains(got.out, "registration_access_token") {
		t.Error("their account file lacks the registration")
	}
	f, err := login.ReadAccount(w.path("home/.oidc-agent"), "theirs")
	if err != nil {
		t.Fatal(err)
	}
	plain, err := f.Open(t.Context(), secret.FromString("file password"))
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(plain.Expose(), `"audience":`); n != 2 {
		t.Logf("this version writes the audience %d times", n)
	}
	agent := proto.Client{Path: w.env["OIDC_SOCK"]}
	for _, r := range []proto.Request{
		{Type: proto.TypeRemove, Account: "theirs"},
		{Type: proto.TypeAdd, Config: plain},
	} {
		if rep, err := agent.Call(t.Context(), r); err != nil || rep.Err() != nil {
			t.Errorf("%s: %v, %v", r.Type, err, rep.Err())
		}
	}
	w.must("theirs", "--delete", "--pw-file", "pw", "--confirm-yes", "--prompt", "none")
	if _, err := os.Stat(w.path("home/.oidc-agent/theirs")); !os.IsNotExist(err) {
		t.Errorf("after the deletion: %v", err)
	}
}

// TestOtherProvider does it all with a provider of another make.
func TestOtherProvider(t *testing.T) {
	op := services.OP(t)
	w := newWorld(t)
	w.makeKeystore()
	w.issuer = op.Issuer
	w.visit = func(link string) {
		if strings.Contains(link, "user_code=") {
			op.ApproveDevice(link, "alice")
			return
		}
		w.follow(op.Login(link, "alice"))
	}
	common := []string{"--issuer", op.Issuer, "--prompt", "none", "--scope", "openid offline_access storage.read:/"}
	w.must(append([]string{"code", "-w", "code"}, common...)...)
	w.must(append([]string{"device", "-w", "device", "--client-id", "native"}, common...)...)
	for range 3 {
		for _, name := range []string{"code", "device"} {
			if err := w.token(name); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
	}
	// The provider forgets everything: whatever it says now, the person is told what to do.
	op.Restart()
	err := w.token("device")
	var ae *proto.AgentError
	if !errors.As(err, &ae) || !strings.HasPrefix(ae.Text, "invalid_grant:") || !strings.Contains(ae.Help, "oidc-gen device --reauthenticate") {
		t.Fatalf("after a restart without memory: %v", err)
	}
	w.must("device", "--reauthenticate", "-w", "device", "--prompt", "none")
	if err := w.token("device"); err != nil {
		t.Error(err)
	}
}
