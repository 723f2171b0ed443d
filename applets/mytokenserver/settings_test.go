package mytokenserver

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/cli/setup"
	"github.com/oidcbox/oidcbox/core/daemon/keep"
	"github.com/oidcbox/oidcbox/core/transport/mail"
)

// exampleDir has the files that the example names.
func exampleDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "example-secret"), []byte("s\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestExample(t *testing.T) {
	dir := exampleDir(t)
	s, err := parseSettings(filepath.Join(dir, "c.yaml"), []byte(example))
	if err != nil {
		t.Fatal(err)
	}
	if s.issuer != "https://mytoken.example.org" || len(s.providers) != 1 || !s.unixPeer || len(s.proxies) != 2 {
		t.Errorf("%+v", s)
	}
	t.Run("has_every_key", func(t *testing.T) {
		for _, keys := range [][]string{
			topKeys(), operatorKeys(), keysKeys(), addressKeys(), retentionKeys(), stateKeys(), keep.DatabaseKeys(), providerKeys(),
			sourceKeys(), enforcedKeys(), mappingKeys(), featureKeys(), infoKeys(), limitKeys(),
			pagesKeys(), sshKeys(), mail.Keys(), groupKeys(), askerKeys(),
		} {
			for _, key := range keys {
				if !strings.Contains(example, key+":") {
					t.Errorf("the example has no %s", key)
				}
			}
		}
	})
	t.Run("defaults_are_as_it_says", func(t *testing.T) {
		all, err := parseSettings(filepath.Join(dir, "c.yaml"), []byte(uncommented(example)))
		if err != nil {
			t.Fatal(err)
		}
		same := []struct {
			what     string
			one, two any
		}{
			{"retention", s.retention, all.retention},
			{"limits", s.limits, all.limits},
			{"rates", s.rates, all.rates},
			{"info", s.info, all.info},
			{"grace", s.grace, all.grace},
			{"conns", s.conns, all.conns},
			{"pages", s.pages, all.pages},
			{"memory", s.state.Unlocked, all.state.Unlocked},
			{"alg", s.keys.alg, all.keys.alg},
		}
		for _, c := range same {
			if c.one != c.two {
				t.Errorf("%s: %+v without, %+v with what the example says", c.what, c.one, c.two)
			}
		}
	})
}

// uncommented takes the blocks that show defaults out of their comments.
func uncommented(text string) string {
	var out []string
	inside := false
	for line := range strings.SplitSeq(text, "\n") {
		if rest, ok := strings.CutPrefix(line, "#   "); ok && inside {
			line = "  " + rest
		} else {
			inside = false
		}
		for _, key := range []string{"retention", "locked_memory", "alg", "limits", "pages"} {
			if rest, ok := strings.CutPrefix(strings.TrimLeft(line, " "), "# "+key+":"); ok {
				line = line[:strings.Index(line, "#")] + key + ":" + rest
				inside = key == "limits"
			}
		}
		out = append(out, line)
	}
	return strings.Join(out, "\n")
}

const least = `version: 1
issuer: https://m.example.org
listen: 127.0.0.1:1
operator: {name: n, contact: c}
state: {file: s, key_file: k}
keys: {dir: keys}
guests: true
`

func TestSettings_faults(t *testing.T) {
	for name, c := range map[string]struct{ change, to, want string }{
		"unknown_key":       {"guests: true", "guest: true", "c.yaml:7: guest"},
		"http":              {"https://m.example.org", "http://m.example.org", "has to be https"},
		"path":              {"https://m.example.org", "https://m.example.org/mt", "nothing behind the host"},
		"slash":             {"https://m.example.org", "https://m.example.org/", "nothing behind the host"},
		"user":              {"https://m.example.org", "https://a:b@m.example.org", "issuer"},
		"no_provider":       {"guests: true", "guests: false", "no provider"},
		"two_states":        {"file: s,", "file: s, postgres: {url_file: u},", "one of file"},
		"no_key":            {"file: s, key_file: k", "file: s", "key_file and credential"},
		"literal_secret":    {"guests: true", "providers: {a: {issuer: 'https://a', client_id: b, client_secret: x}}", "client_secret"},
		"twice":             {"guests: true", "providers: {a: {issuer: 'https://a', client_id: b}, c: {issuer: 'https://a/', client_id: b}}", "same issuer"},
		"proxy":             {"guests: true", "guests: true\nproxies: [nginx]", "no address"},
		"rate":              {"guests: true", "guests: true\nlimits: {address: 5 a minute}", "REQUESTS/TIME"},
		"rate_none":         {"guests: true", "guests: true\nlimits: {address: 0/1m}", "REQUESTS/TIME"},
		"country":           {"guests: true", "guests: true\naddresses: {home_country: Belgium}", "two capital letters"},
		"restriction":       {"guests: true", "guests: true\nfeatures: {unsupported_restrictions: [weather]}", "no key of a restriction"},
		"interval":          {"guests: true", "guests: true\nlimits: {polling_interval: 16s}", "polling_interval"},
		"redirect_anywhere": {"guests: true", "guests: true\nfeatures: {trusted_redirect_uris: ['https://*']}", "trusted_redirect_uris"},
		"redirect_http":     {"guests: true", "guests: true\nfeatures: {trusted_redirect_uris: ['http://a.example.org/x']}", "https://"},
	} {
		t.Run(name, func(t *testing.T) {
			text := strings.Replace(least, c.change, c.to, 1)
			_, err := parseSettings("c.yaml", []byte(text))
			if faultsOf(err) == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q in\n%s", err, c.want, text)
			}
		})
	}
	if _, err := parseSettings("c.yaml", []byte(least)); err != nil {
		t.Errorf("without a fault: %v", err)
	}
}

func TestTrustedRedirects(t *testing.T) {
	patterns := []string{"https://portal.example.org/mt/*", "https://one.example.org/cb"}
	for uri, want := range map[string]bool{
		"https://portal.example.org/mt/":                       true,
		"https://portal.example.org/mt/cb?x=1":                 true,
		"https://one.example.org/cb":                           true,
		"https://one.example.org/cb?x":                         false,
		"https://one.example.org/cbx":                          false,
		"https://portal.example.org/mt/../admin":               false,
		"https://portal.example.org/mt/%2e%2e/admin":           false,
		"https://portal.example.org/mt/..%2fadmin":             false,
		"https://portal.example.org/mt\\..\\admin":             false,
		"https://portal.example.org/other":                     false,
		"https://portal.example.org.evil.example/mt/":          false,
		"https://portal.example.org@evil.example/mt/":          false,
		"https://portal.example.org:444/mt/":                   false,
		"http://portal.example.org/mt/":                        false,
		"https://evil.example/?https://portal.example.org/mt/": false,
		"javascript:alert(1)":                                  false,
		"":                                                     false,
	} {
		if got := matchesAny(patterns, uri); got != want {
			t.Errorf("%q: %v", uri, got)
		}
	}
}

func TestQuoted(t *testing.T) {
	for _, s := range []string{
		"plain", "a: b", "# x", "yes", "null", "'", `"`, "\\", "\u2028", "ünï", "[a]", "- a", "0x1f", "1e3", "x\ny", " x ", "!tag", "&a", "*a", "",
	} {
		text := strings.Replace(least, "name: n", "name: "+setup.Quoted(s), 1)
		got, err := parseSettings("c.yaml", []byte(text))
		if s == "" || strings.Contains(s, "\n") || strings.TrimSpace(s) != s || s == "\u2028" {
			continue // whether such a name is taken is the reader's matter; nothing else may come of it
		}
		if err != nil || got.operator.name != s {
			t.Errorf("%q as %s: %v", s, setup.Quoted(s), err)
		}
	}
}

func TestSigningKeys(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	at := time.Unix(1_800_000_000, 0)
	first, err := makeKey(dir, "ES512", at)
	if err != nil {
		t.Fatal(err)
	}
	second, err := makeKey(dir, "ES384", at.Add(-time.Hour)) // a clock that was put back
	if err != nil {
		t.Fatal(err)
	}
	keys, err := loadKeys(dir)
	if err != nil || len(keys) != 2 || keys[0].ID() != second.ID() || keys[1].ID() != first.ID() {
		t.Fatalf("%v: the newest does not sign", err)
	}
	for name, spoil := range map[string]func() error{
		"readable_key": func() error { return os.Chmod(first.file, 0o640) },
		"stranger":     func() error { return os.WriteFile(filepath.Join(dir, "id_rsa"), nil, 0o600) },
		"broken":       func() error { return os.WriteFile(filepath.Join(dir, "key-20300101T000000Z.jwk"), []byte("{}"), 0o600) },
		"name":         func() error { return os.Rename(second.file, filepath.Join(dir, "key-late.jwk")) },
		"open_dir":     func() error { return os.Chmod(dir, 0o755) },
	} {
		t.Run(name, func(t *testing.T) {
			copied := filepath.Join(t.TempDir(), "keys")
			if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				_ = os.Chmod(dir, 0o700)
				entries, _ := os.ReadDir(dir)
				for _, e := range entries {
					_ = os.Remove(filepath.Join(dir, e.Name()))
				}
				entries, _ = os.ReadDir(copied)
				for _, e := range entries {
					b, _ := os.ReadFile(filepath.Join(copied, e.Name()))
					_ = os.WriteFile(filepath.Join(dir, e.Name()), b, 0o600)
				}
			})
			if err := spoil(); err != nil {
				t.Fatal(err)
			}
			if _, err := loadKeys(dir); err == nil {
				t.Error("it was taken")
			}
		})
	}
	if keys, err := loadKeys(dir); err != nil || len(keys) != 2 {
		t.Fatalf("afterwards: %v", err)
	}
	if !slices.IsSortedFunc(keys, func(a, b signingKey) int { return strings.Compare(b.file, a.file) }) {
		t.Error("not the newest first")
	}
}
