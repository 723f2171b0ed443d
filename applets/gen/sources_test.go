//go:build unix

package gen

import (
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/oidcbox/oidcbox/core/agent/login"
	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/oidc/issuer"
	"github.com/oidcbox/oidcbox/core/secret"
)

// config makes the person's directory and writes a file of it.
func (w *world) config(name, content string) {
	w.t.Helper()
	if err := os.MkdirAll(w.path("home/.oidc-agent"), 0o700); err != nil {
		w.t.Fatal(err)
	}
	w.write("home/.oidc-agent/"+name, content)
}

// asked is what the authorization requests at the provider asked for.
func (w *world) asked(parameter string) []string {
	var out []string
	for _, q := range w.op.Requests() {
		if strings.HasSuffix(q.Path, "/authorize") {
			out = append(out, q.Query.Get(parameter))
		}
	}
	return out
}

// posts counts the POST requests to an endpoint.
func (w *world) posts(path string) int {
	n := 0
	for _, q := range w.op.Requests() {
		if q.Method == http.MethodPost && strings.HasSuffix(q.Path, path) {
			n++
		}
	}
	return n
}

// account opens an account file with the password of the tests.
func (w *world) account(name string) login.Config {
	w.t.Helper()
	f, err := login.ReadAccount(w.path("home/.oidc-agent"), name)
	if err != nil {
		w.t.Fatal(err)
	}
	plain, err := f.Open(w.t.Context(), secret.FromString("file password"))
	if err != nil {
		w.t.Fatal(err)
	}
	cfg, err := decode(plain)
	if err != nil {
		w.t.Fatal(err)
	}
	return cfg
}

// code are the options of a code flow that nobody watches.
func code(iss string, more ...string) []string {
	return append([]string{"--issuer", iss, "--prompt", "none", "-w", "code", "--port", "0"}, more...)
}

func TestClients(t *testing.T) {
	t.Run("max_is_what_the_public_client_lists", func(t *testing.T) {
		w := newWorld(t)
		w.config("pubclients.config", "native@"+w.op.URL+"@openid email\n")
		w.must(code(w.op.URL, "demo", "--pub", "--scope", "max", "--no-save")...)
		if got := w.asked("scope"); len(got) != 1 || got[0] != "openid email offline_access" {
			t.Errorf("asked for %q", got)
		}
		if w.posts("/register") != 0 {
			t.Error("a client was registered")
		}
	})
	t.Run("max_wins_over_other_scopes", func(t *testing.T) {
		w := newWorld(t)
		w.must(code(w.op.URL, "demo", "--scope", "openid", "--scope", "max", "--no-save")...)
		if got := w.asked("scope"); len(got) != 1 || !strings.Contains(got[0], "wlcg.groups") {
			t.Errorf("asked for %q", got)
		}
	})
	t.Run("the_persons_own_goes_before_registration", func(t *testing.T) {
		w := newWorld(t)
		w.config("issuer.config", `[{"issuer":"`+w.op.URL+`/","user_client":{"client_id":"web","client_secret":"web-secret",
			"scope":"openid profile"},"pubclient":{"client_id":"native"}}]`)
		w.must(code(w.op.URL, "demo", "--scope", "max", "--no-save")...)
		if got := w.asked("client_id"); len(got) != 1 || got[0] != "web" || w.posts("/register") != 0 {
			t.Errorf("logged in with %q, %d registrations", got, w.posts("/register"))
		}
		if got := w.asked("scope"); got[0] != "openid profile offline_access" {
			t.Errorf("asked for %q", got)
		}
	})
	t.Run("flows_of_the_client", func(t *testing.T) {
		w := newWorld(t)
		w.config("issuer.config", `[{"issuer":"`+w.op.URL+`","pubclient":{"client_id":"native","flow":["code"],
			"redirect_uris":["http://localhost:0"]}}]`)
		r := w.must("demo", "--pub", "--issuer", w.op.URL, "--prompt", "none", "--no-save", "--scope", "openid")
		if len(w.asked("client_id")) != 1 {
			t.Errorf("the device flow was used:\n%s", r.errOut)
		}
	})
	t.Run("public_after_a_refused_registration", func(t *testing.T) {
		w := newWorld(t)
		w.config("pubclients.config", "native@"+w.op.URL+"@openid email\n")
		w.op.Fault(issuer.Fault{Path: "/register", Status: 403, Body: `{"error":"access_denied","error_description":"not here"}`})
		r := w.must(code(w.op.URL, "demo", "--scope", "max", "--no-save")...)
		if !strings.HasPrefix(r.out, "Registering Client ...\nTry using a public client ...\nGenerating") ||
			!strings.Contains(r.errOut, "access_denied: not here") {
			t.Errorf("%s\n%s", r.out, r.errOut)
		}
		if got := w.asked("scope"); len(got) != 1 || got[0] != "openid email offline_access" {
			t.Errorf("asked for %q", got)
		}
	})
	t.Run("the_ways_that_are_left", func(t *testing.T) {
		w := newWorld(t)
		w.config("issuer.config", `[{"issuer":"`+w.op.URL+`","register":"https://op.example/reg","contact":"help@op.example"}]`)
		w.op.Fault(issuer.Fault{Path: "/register", Status: 403, Body: `{"error":"access_denied"}`})
		r := w.run(code(w.op.URL, "demo", "--no-save")...)
		for _, want := range []string{"access_denied", "demo", w.op.URL, "https://op.example/reg", "help@op.example", "--client-id", "--pub"} {
			if !strings.Contains(r.errOut, want) {
				t.Errorf("%s is not in:\n%s", want, r.errOut)
			}
		}
		if r.code != cli.No {
			t.Errorf("exit code %d", r.code)
		}
		r = w.runAs(true, "demo", "--pub", "--issuer", w.op.URL, "--prompt", "none", "--no-save", "--scope", "openid")
		if r.code != 1 || !strings.HasPrefix(r.errOut, "Could not find a public client for this issuer.\nleave --pub out") {
			t.Errorf("%d %q", r.code, r.errOut)
		}
	})
}

// TestParked: a registration whose login was not finished is used by the next run.
func TestParked(t *testing.T) {
	w := newWorld(t)
	w.op.Fault(issuer.Fault{Path: "/device_authorization", Times: 1, Status: 400, Body: `{"error":"invalid_scope"}`})
	args := []string{"demo", "--issuer", w.op.URL, "--prompt", "none", "-w", "device", "--no-save", "--scope", "openid email"}
	r := w.run(args...)
	if r.code != cli.No || !strings.Contains(r.errOut, "login demo at "+w.op.URL) || !strings.Contains(r.errOut, "invalid_scope") {
		t.Fatalf("%d %q", r.code, r.errOut)
	}
	w.must(args...)
	if n := w.posts("/register"); n != 1 {
		t.Errorf("%d registrations for one login", n)
	}
	if err := w.token("demo"); err != nil {
		t.Error(err)
	}
	// It is used up: the next login has a client of its own.
	w.must(args...)
	if n := w.posts("/register"); n != 2 {
		t.Errorf("%d registrations for two logins", n)
	}
}

// TestParkedForAnother issuer is of no use here.
func TestParkedForAnother(t *testing.T) {
	w := newWorld(t)
	s := newSession(&Cmd{Prompt: promptNone}, &cli.Env{Getenv: w.getenv, Stderr: os.Stderr})
	s.park(t.Context(), login.Config{Name: "demo", Issuer: "https://other.example", ClientID: "planted"})
	if cfg, ok := s.parked(t.Context(), "demo"); !ok || cfg.ClientID != "planted" || cfg.Issuer != "https://other.example/" {
		t.Fatalf("%+v", cfg)
	}
	w.must(code(w.op.URL, "demo", "--no-save")...)
	if got := w.asked("client_id"); len(got) != 1 || got[0] == "planted" {
		t.Errorf("logged in with %q", got)
	}
}

func TestCatalogueDefaults(t *testing.T) {
	w := newWorld(t)
	w.config("issuer.config", `[{"issuer":"`+w.op.URL+`","config_endpoint":"`+w.op.URL+
		`/.well-known/openid-configuration","device_authorization_endpoint":"`+w.op.URL+`/device_authorization"}]`)
	w.must("demo", "--issuer", w.op.URL, "--prompt", "none", "-w", "device", "--client-id", "native", "--pw-file", "pw", "--scope", "openid")
	cfg := w.account("demo")
	if cfg.ConfigEndpoint == "" || !cfg.DeviceEndpointSetByUser || !strings.HasSuffix(cfg.DeviceEndpoint, "/device_authorization") {
		t.Errorf("%+v", cfg.WithoutSecrets())
	}
	if i, ok := w.issuers().Find(w.op.URL); !ok || i.DefaultAccount != "demo" || i.ConfigEndpoint == "" {
		t.Errorf("issuer.config says %+v", i)
	}
}

func (w *world) issuers() login.Catalogue {
	w.t.Helper()
	c, err := login.LoadCatalogue(w.path("home/.oidc-agent"))
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

func TestDefaultScope(t *testing.T) {
	w := newWorld(t)
	args := code(w.op.URL, "demo", "--scope", "openid email storage.read:/", "--pw-file", "pw")
	r := w.run(append(args, "--default-scope", "storage.modify:/")...)
	if r.code != cli.Usage || !strings.Contains(r.errOut, "storage.modify:/") || w.posts("/register") != 0 {
		t.Errorf("%d %q", r.code, r.errOut)
	}
	w.must(append(args, "--default-scope", "openid storage.read:/data")...)
	if cfg := w.account("demo"); cfg.RefreshScope != "openid storage.read:/data" {
		t.Errorf("refresh_scope %q of %q", cfg.RefreshScope, cfg.AuthScope)
	}
	if err := w.token("demo"); err != nil {
		t.Error(err)
	}
	last := w.op.Requests()
	if got := last[len(last)-1].Form.Get("scope"); got != "openid storage.read:/data" {
		t.Errorf("the refresh asked for %q", got)
	}
}

// TestSettings: the file "config" says what the options do not.
func TestSettings(t *testing.T) {
	w := newWorld(t)
	w.config("config", `{"oidc-gen":{"cnid":"lab","prompt":"none","answer-confirm-prompts":"yes"}}`)
	r := w.run("demo")
	if r.code != cli.Usage || !strings.Contains(r.errOut, "--issuer") {
		t.Errorf("%d %q", r.code, r.errOut)
	}
	w.must("demo", "--issuer", w.op.URL, "-w", "code", "--port", "0", "--pw-file", "pw")
	if cfg := w.account("demo"); cfg.ClientName != "oidc-agent:demo-lab" {
		t.Errorf("client name %q", cfg.ClientName)
	}
	if r := w.must("-d", "demo", "--pw-file", "pw"); !strings.Contains(r.out, "Successfully deleted") {
		t.Errorf("%q", r.out)
	}
}
