package applets

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/mytoken/mytokentest"
	"github.com/oidcbox/oidcbox/testdata/services"
)

// besideHouse is a person with an agent and a stored mytoken that is replaced at each use, kind to nobody who uses one
// twice.
func besideHouse(t *testing.T) (*house, *mytokentest.Server) {
	t.Helper()
	srv := mytokentest.Start(t, func(o *mytokentest.Options) { o.RotateOnAT, o.RotateOnOther = true, true })
	h := bareHouse(t)
	h.startAgent()
	h.write("mt", srv.Mint())
	h.must("mytoken", "--url", srv.URL, "MT", "store", "--MT-file", h.path("mt"), "kit")
	return h, srv
}

// stored is the mytoken that the agent has.
func (h *house) stored(t *testing.T) string {
	t.Helper()
	text, err := h.control().ExportLogin(t.Context(), "kit")
	if err != nil {
		t.Fatal(err)
	}
	defer text.Wipe()
	var got struct {
		Token string `json:"refresh_token"`
	}
	if err := text.Use(func(b []byte) error { return json.Unmarshal(b, &got) }); err != nil {
		t.Fatal(err)
	}
	return got.Token
}

// TestMytokenBeside: commands of the client that use a stored mytoken run beside refreshes of the agent with the same
// one. Each use replaces it, and a replaced one is refused: none may be lost, and none used twice.
func TestMytokenBeside(t *testing.T) {
	h, srv := besideHouse(t)
	commands := [][]string{
		{"token", "--force-new", "kit"},
		{"mytoken", "info", "history", "-t", "kit"},
		{"mytoken", "AT", "-t", "kit", "with a comment"},
		{"mytoken", "MT", "-t", "kit", "--capability", "AT"},
		{"mytoken", "info", "subtokens", "-t", "kit"},
		{"mytoken", "settings", "grants", "list", "-t", "kit"},
	}
	var all sync.WaitGroup
	for range 3 {
		for _, c := range commands {
			all.Go(func() {
				if o := h.run(c...); o.code != 0 || strings.Contains(o.errOut, "was replaced") {
					t.Errorf("%q: %+v", c, o)
				}
			})
		}
	}
	all.Wait()
	if mt := h.stored(t); !srv.Current(mt) {
		t.Error("the agent does not have the newest mytoken")
	}
}

// TestMytokenBesideKilled: a command that dies after it got a mytoken lent leaves the agent with one that works.
func TestMytokenBesideKilled(t *testing.T) {
	h, srv := besideHouse(t)
	for i := range 8 {
		cmd := h.command("mytoken", "info", "history", "-t", "kit")
		var errOut bytes.Buffer
		cmd.Stderr = &errOut
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		// Somewhere on the way; where, is chance.
		time.Sleep(time.Duration(2*i) * time.Millisecond)
		_ = cmd.Process.Signal(syscall.SIGSTOP)
		before := srv.Count(mytokentest.PathInfo)
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if used := srv.Count(mytokentest.PathInfo) - before; used > 1 {
			t.Errorf("used %d times", used)
		}
		if mt := h.stored(t); !srv.Current(mt) {
			t.Logf("killed between the server's answer and the return of the mytoken, in round %d: only the patience of a "+
				"server helps then, and this one has none", i)
			return
		}
		h.must("token", "--force-new", "kit")
	}
}

// TestMytokenImportGPG: an entry that an old version has encrypted for a key of gpg.
func TestMytokenImportGPG(t *testing.T) {
	services.Need(t, "gpg")
	srv := mytokentest.Start(t)
	h := bareHouse(t)
	home, err := os.MkdirTemp("", "gpg") // the path of gpg's socket is bounded
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = exec.Command("gpgconf", "--homedir", home, "--kill", "gpg-agent").Run()
		_ = os.RemoveAll(home)
	})
	gpg := func(stdin string, args ...string) []byte {
		cmd := exec.Command("gpg", append([]string{"--homedir", home, "--batch", "--trust-model", "always"}, args...)...)
		cmd.Stdin = strings.NewReader(stdin)
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("gpg %q: %v", args, err)
		}
		return out
	}
	gpg("", "--passphrase", "", "--quick-generate-key", "alice@example.org", "default", "default")
	message := gpg(srv.Mint("AT"), "--armor", "--encrypt", "-r", "alice@example.org")
	old, err := json.Marshal(map[string]any{"tokens": map[string]any{mytokentest.Provider: []any{map[string]any{
		"name": "egi", "gpg_key": "alice@example.org", "token": base64.StdEncoding.EncodeToString(message),
	}}}})
	if err != nil {
		t.Fatal(err)
	}
	h.env = append(h.env, "GNUPGHOME="+home)
	h.startAgent()
	if err := os.MkdirAll(h.path("home/.config/mytoken"), 0o700); err != nil {
		t.Fatal(err)
	}
	h.write("home/.config/mytoken/tokens.json", string(old))
	h.must("mytoken", "--url", srv.URL, "import")
	if at := h.must("mytoken", "AT", "-t", "egi"); !strings.HasPrefix(at, "at.") {
		t.Errorf("%q", at)
	}
}

// TestMytokenImport: the store of an old version, with a password.
func TestMytokenImport(t *testing.T) {
	srv := mytokentest.Start(t)
	h := bareHouse(t)
	h.startAgent()
	h.write("password", "correct horse\n")
	sealed := "AAECAwQFBgcICQoLDA0ODw==-AAECAwQFBgcICQoL-+xmihQDWwS+8z+RwNgEhV0/4GJelp/PyhDPsQaSddnH+L1Hpv4/pC8tY9X0BM6e02YOs" +
		"21YDhajLMF5WWYnRclv2VndAwjYbpKAlDgQrZfcyKESKHziHS70iNvoaTioIMi1p7xXSL9ROc/wUzKShqbMNnQGVnkDOVNEgH5wj5jLc5+wdAks" +
		"kK7mGZovfZrn9qgYCewbqHZy0M1g2J3V8HvlkeUGoOXU5KxatK0O+6LXm5LjlZeYWfE1syhzhig=="
	old, err := json.Marshal(map[string]any{
		"mapping": map[string]any{"egi": []string{mytokentest.Provider}},
		"tokens": map[string]any{mytokentest.Provider: []any{
			map[string]any{"name": "egi", "token": sealed, "capabilities": []string{"AT"}},
			map[string]any{"name": "broken", "token": base64.StdEncoding.EncodeToString([]byte("x")), "capabilities": []string{}},
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	h.write("tokens.json", string(old))
	o := h.run("mytoken", "--url", srv.URL, "import", h.path("tokens.json"), "--pw-file", h.path("password"))
	if o.code != 1 || !strings.Contains(o.errOut, "broken: it is encrypted in no form") ||
		!strings.Contains(o.errOut, "egi of "+mytokentest.Provider+": stored") || strings.Contains(o.errOut, "sss") {
		t.Errorf("%+v", o)
	}
	h2 := h.run("mytoken", "--url", srv.URL, "import", h.path("tokens.json"), "--pw-file", h.path("password"), "--name", "egi")
	if h2.code != 1 || !strings.Contains(h2.errOut, "is stored under the name egi") {
		t.Errorf("twice: %+v", h2)
	}
	if list := h.must("mytoken", "list", "tokens"); !strings.Contains(list, "egi") {
		t.Errorf("%s", list)
	}
	after, err := os.ReadFile(h.path("tokens.json"))
	if err != nil || !bytes.Equal(after, old) {
		t.Errorf("the file was touched: %v", err)
	}
}
