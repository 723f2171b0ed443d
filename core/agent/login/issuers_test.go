package login

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/testdata/services"
)

// write makes files below a new directory; the later ones are newer.
func write(t *testing.T, files ...string) string {
	t.Helper()
	dir := t.TempDir()
	for i := 0; i < len(files); i += 2 {
		path := filepath.Join(dir, filepath.FromSlash(files[i]))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(files[i+1]), 0o600); err != nil {
			t.Fatal(err)
		}
		when := time.Unix(1_700_000_000+int64(i), 0)
		if err := os.Chtimes(path, when, when); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func find(list []Issuer, url string) Issuer {
	i := slices.IndexFunc(list, func(i Issuer) bool { return SameIssuer(i.URL, url) })
	if i < 0 {
		return Issuer{}
	}
	return list[i]
}

func TestLoadIssuers(t *testing.T) {
	t.Run("old_format_of_a_person", func(t *testing.T) {
		dir := write(t, "issuer.config", "https://a.example/ one\n# comment\nhttps://b.example\nhttps://a.example two\n")
		list, err := LoadIssuers(dir)
		if err != nil || len(list) != 2 {
			t.Fatalf("%+v, %v", list, err)
		}
		a := list[0] // most accounts first
		if a.URL != "https://a.example/" || !slices.Equal(a.Accounts, []string{"one", "two"}) || a.DefaultAccount != "one" {
			t.Errorf("%+v", a)
		}
	})
	t.Run("old_format_of_the_system", func(t *testing.T) {
		sys := write(t, "issuer.config",
			"https://a.example/ https://a.example/manage/dev/dynreg help@a.example\nhttps://b.example  help@b.example\n")
		list, err := LoadIssuers(t.TempDir(), sys)
		a, b := find(list, "https://a.example"), find(list, "https://b.example")
		if err != nil || a.Register != "https://a.example/manage/dev/dynreg" || a.Contact != "help@a.example" ||
			b.Register != "" || b.Contact != "help@b.example" || len(a.Accounts) != 0 {
			t.Errorf("%+v, %v", list, err)
		}
	})
	t.Run("new_format", func(t *testing.T) {
		dir := write(t, "issuer.config", `[{"issuer":"https://a.example","accounts":["x","y"],"default_account":"y",
			"pubclient":{"client_id":"c","client_secret":"s","scope":"openid","flow":["device"]},
			"pw-store":true,"oauth":0,"legacy_aud_mode":"1","config_endpoint":"https://a.example/conf",
			"manual_register":"https://a.example/reg","something":{"else":1}}]`)
		list, err := LoadIssuers(dir)
		if err != nil || len(list) != 1 {
			t.Fatalf("%+v, %v", list, err)
		}
		a := list[0]
		if a.DefaultAccount != "y" || !a.StorePassword || a.OAuth2 || !a.LegacyAudience || a.PubClient == nil ||
			a.PubClient.ID != "c" || a.PubClient.Secret.Expose() != "s" ||
			!slices.Equal(a.PubClient.Flows, []string{"device"}) ||
			a.ConfigEndpoint != "https://a.example/conf" || a.Register != "https://a.example/reg" || a.UserClient != nil {
			t.Errorf("%+v", a)
		}
	})
	t.Run("comments_in_JSON", func(t *testing.T) {
		dir := write(t, "issuer.config.d/x", "# mine\n{\"issuer\":\"https://a.example\",\n#  \"register\": \"no\",\n\"contact\":\"#c\"}\n")
		list, err := LoadIssuers(dir)
		if a := find(list, "https://a.example"); err != nil || a.Contact != "#c" || a.Register != "" {
			t.Errorf("%+v, %v", list, err)
		}
	})
	t.Run("order_of_merging", func(t *testing.T) {
		user := write(t,
			"issuer.config.d/old", `{"issuer":"https://a.example","contact":"old file","register":"https://old"}`,
			"issuer.config.d/new", `[{"issuer_url":"https://a.example/","contact":"new file"}]`,
			"issuer.config", `[{"issuer":"https://a.example","accounts":["x"],
				"pubclient":{"scope":"mine","client_secret":null}}]`)
		sys := write(t,
			"issuer.config", `[{"issuer":"https://a.example","contact":"system","cert_path":"/ca","accounts":["z"],
				"pubclient":{"client_id":"c","client_secret":"s","scope":"theirs"}},{"issuer":"https://b.example"}]`,
			"issuer.config.d/more", `{"issuer":"https://b.example","device_authorization_endpoint":"https://b.example/dev"}`)
		list, err := LoadIssuers(user, sys)
		if err != nil || len(list) != 2 {
			t.Fatalf("%+v, %v", list, err)
		}
		a := find(list, "https://a.example/")
		if a.Contact != "new file" || a.Register != "https://old" || a.CertPath != "/ca" ||
			!slices.Equal(a.Accounts, []string{"x"}) || a.PubClient.ID != "c" || a.PubClient.Scope != "mine" ||
			!a.PubClient.Secret.Empty() {
			t.Errorf("%+v %+v", a, a.PubClient)
		}
		if b := find(list, "https://b.example"); b.DeviceEndpoint != "https://b.example/dev" {
			t.Errorf("%+v", b)
		}
	})
	t.Run("faults_cost_only_themselves", func(t *testing.T) {
		dir := write(t,
			"issuer.config", `[{"issuer":"https://a.example"},{"issuer":"not a url"},{"contact":"x"},5,
				{"issuer":"https://b.example","accounts":{"no":"list"}}]`,
			"issuer.config.d/broken", `[{`,
			"issuer.config.d/lines", "nonsense here\nhttps://c.example\nhttps://user:pw@d.example\n")
		list, err := LoadIssuers(dir)
		if !errors.Is(err, ErrIssuers) {
			t.Error(err)
		}
		if len(list) != 2 || find(list, "https://a.example").URL == "" || find(list, "https://c.example").URL == "" {
			t.Errorf("%+v", list)
		}
		for _, want := range []string{"entry 2", "entry 3", "entry 4", "broken", "line 1", "line 3", "b.example"} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%q is not named in %v", want, err)
			}
		}
	})
	t.Run("nothing_there", func(t *testing.T) {
		if list, err := LoadIssuers(t.TempDir(), "/does/not/exist"); err != nil || len(list) != 0 {
			t.Errorf("%+v, %v", list, err)
		}
	})
}

func TestPublicClients(t *testing.T) {
	text := "# comment\n\nid.example:s3c:ret@https://a.example/@openid  profile\nplain@https://b.example\n" +
		"second@https://a.example\nbroken\n@https://c.example\nx@nowhere\n"
	list, err := ParsePublicClients([]byte(text))
	if err == nil || strings.Contains(err.Error(), "broken") || len(list) != 3 {
		t.Fatalf("%+v, %v", list, err)
	}
	for _, want := range []string{"line 6", "line 7", "line 8"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%s is not named in %v", want, err)
		}
	}
	c, ok := FindPublicClient("https://a.example", nil, list)
	if !ok || c.ID != "id.example" || c.Secret.Expose() != "s3c:ret" || c.Scope != "openid profile" {
		t.Errorf("%+v", c)
	}
	own := []Issuer{{URL: "https://b.example/", PubClient: &Client{ID: "own"}}}
	if c, ok := FindPublicClient("https://b.example", own, list); !ok || c.ID != "own" {
		t.Errorf("%+v", c)
	}
	if _, ok := FindPublicClient("https://c.example", own, list); ok {
		t.Error("a client for an issuer that has none")
	}
}

// The files that Debian's package brings are read without a fault.
func TestDebiansFiles(t *testing.T) {
	const dir = "/etc/oidc-agent"
	if _, err := os.Stat(filepath.Join(dir, "pubclients.config")); err != nil {
		services.Missing(t, "Debian's oidc-agent is not installed")
	}
	issuers, err := LoadIssuers(t.TempDir(), dir)
	if err != nil || find(issuers, "https://wlcg.cloud.cnaf.infn.it/").Register == "" {
		t.Errorf("%d issuers, %v", len(issuers), err)
	}
	lines, err := LoadPublicClients(t.TempDir(), dir)
	if err != nil {
		t.Error(err)
	}
	c, ok := FindPublicClient("https://wlcg.cloud.cnaf.infn.it", issuers, lines)
	if !ok || c.ID == "" || !strings.Contains(c.Scope, "wlcg.groups") {
		t.Errorf("%+v", c)
	}
}

func FuzzIssuers(f *testing.F) {
	f.Add([]byte(`[{"issuer":"https://a.example","accounts":["x"],"pubclient":{"client_id":"c"}}]`), true)
	f.Add([]byte("https://a.example/ one\nhttps://a.example two\n"), false)
	f.Fuzz(func(t *testing.T, b []byte, system bool) {
		entries, _ := parseIssuers(b, system)
		list, _ := merge(append(entries, entries...))
		for _, i := range list {
			if !plausible(i.URL) && i.URL != "" {
				t.Errorf("accepted %q", i.URL)
			}
			for _, a := range i.Accounts {
				if CheckName(a) != nil {
					t.Errorf("accepted account %q", a)
				}
			}
		}
		if _, err := ParsePublicClients(b); err != nil && strings.ContainsAny(err.Error(), "\x1b\x00") {
			t.Error("content of a file in an error")
		}
	})
}
