package add

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/oidcbox/oidcbox/core/agent/login"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/testdata/services"
)

// TestDefaultAccount: the person's list of issuers says which of several logins is meant, and knows of one that the agent
// does not.
func TestDefaultAccount(t *testing.T) {
	f := &agentOf{loaded: []string{"a", "b"}}
	p := newPlace(t, f)
	p.write("accounts/issuer.config", `[{"issuer":"https://two.example.org/","accounts":["a","b"],"default_account":"b"},`+
		`{"issuer":"https://three.example.org","accounts":["demo","deleted"]}]`)
	if got := p.run(true, "https://two.example.org"); got != (outcome{0, "Account 'b' already loaded\n", ""}) {
		t.Errorf("several: %+v", got)
	}
	if got := p.run(true, "--pw-env=PW https://three.example.org/"); got != (outcome{0, "success\n", ""}) {
		t.Errorf("one the agent does not know: %+v", got)
	}
	if asked := f.take(); !strings.Contains(asked[len(asked)-1], `"name":"demo"`) {
		t.Errorf("asked %q", asked)
	}
}

// TestTabbed: --print lays a configuration out as the original does.
func TestTabbed(t *testing.T) {
	const in = `{"name":"demo","daeSetByUser":0,"redirect_uris":["http://a","http://b"],"o":{"x":[],"y":{"z":"<\""}},"n":null}`
	const want = "{\n\t\"name\":\t\"demo\",\n\t\"daeSetByUser\":\t0,\n\t\"redirect_uris\":\t[\"http://a\", \"http://b\"],\n" +
		"\t\"o\":\t{\n\t\t\"x\":\t[],\n\t\t\"y\":\t{\n\t\t\t\"z\":\t\"<\\\"\"\n\t\t}\n\t},\n\t\"n\":\tnull\n}\n"
	if got := string(tabbed([]byte(in))); got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if got := string(tabbed([]byte("no JSON"))); got != "no JSON\n" {
		t.Errorf("got %q", got)
	}
}

// TestGPG: a file for a key is opened by gpg, and the agent is told which key it was.
func TestGPG(t *testing.T) {
	services.Need(t, "gpg", "gpgconf")
	home, err := os.MkdirTemp("", "gpg") // its agent's socket needs a short path
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("GNUPGHOME", home)
	t.Cleanup(func() {
		_ = exec.Command("gpgconf", "--kill", "all").Run()
		_ = os.RemoveAll(home)
	})
	cmd := exec.Command("gpg", "--batch", "--quiet", "--pinentry-mode", "loopback", "--passphrase", "", "--quick-gen-key",
		"alice@example.org", "rsa2048", "encr", "never")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("make a key: %v\n%s", err, out)
	}
	gpg, err := login.FindGPG(os.Getenv)
	if err != nil {
		t.Fatal(err)
	}
	armoured, err := gpg.Encrypt(t.Context(), secret.FromString(demoConfig), "alice@example.org")
	if err != nil {
		t.Fatal(err)
	}
	keys, err := login.Recipients(armoured)
	if err != nil {
		t.Fatal(err)
	}
	f := &agentOf{}
	p := newPlace(t, f)
	p.env["GNUPGHOME"], p.env["PATH"] = home, os.Getenv("PATH")
	p.write("accounts/locked", string(login.PGPFile(armoured)))
	if got := p.run(true, "locked"); got != (outcome{0, "success\n", ""}) {
		t.Fatalf("%+v", got)
	}
	asked := f.take()
	if last := asked[len(asked)-1]; !strings.HasPrefix(last, "add config="+compact(demoConfig)) {
		t.Errorf("asked %q", asked)
	}
	if len(keys) != 1 {
		t.Errorf("keys %v", keys)
	}
	if got := p.run(true, "-p locked"); got.code != 0 || !strings.Contains(got.out, "rt1") {
		t.Errorf("print: %+v", got)
	}
}
