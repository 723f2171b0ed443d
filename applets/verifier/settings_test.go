package verifier

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/oidcbox/oidcbox/core/config"
	"github.com/oidcbox/oidcbox/core/token/issuers"
	"github.com/oidcbox/oidcbox/core/token/jose"
	"github.com/oidcbox/oidcbox/core/transport/listen"
)

// TestExample_loads: the configuration that is printed is taken as it is, with one thing to note.
func TestExample_loads(t *testing.T) {
	s, err := parseSettings("verifier.yaml", []byte(example))
	if err != nil {
		t.Fatal(err)
	}
	if len(s.notes) != 1 || !strings.Contains(s.notes[0].Text, "keys.dir") {
		t.Errorf("notes: %v", s.notes)
	}
	if len(s.gate.Issuers) != 2 || len(s.services) != 1 || s.gate.Policy == nil {
		t.Errorf("read %d issuers, %d services", len(s.gate.Issuers), len(s.services))
	}
}

// TestExample_is_complete: every key is in the example, at a place of its own or commented out.
func TestExample_is_complete(t *testing.T) {
	lists := [][]string{
		topKeys(), proxyKeys(), keysKeys(), issuers.LifetimeKeys(), introspectionKeys(), askerKeys(), limitKeys(), issuers.Keys(),
		issuers.ClientKeys(), dpopKeys(), serviceKeys(), listen.PlaceKeys(), listen.TLSKeys(),
	}
	for _, key := range slices.Concat(lists...) {
		if !regexp.MustCompile(`(?m)[ {#,]` + key + `:|^` + key + `:`).MatchString(example) {
			t.Errorf("the example does not have %s", key)
		}
	}
}

// files makes the directory with the files that the comments of the example name.
func files(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	key, err := jose.GenerateKey(jose.ES256, "k")
	if err != nil {
		t.Fatal(err)
	}
	keys, err := jose.NewKeySet(key.Public()).MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"proxy-secret": "0123456789abcdef", "op-secret": "secret", "jobs-secret": "0123456789abcdef",
		"nonce-key": "0123456789abcdef0123456789abcdef", "op-keys.json": string(keys), "policy.yaml": "{version: 1, require: ANYONE}", "open": "0123456789abcdef",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(filepath.Join(dir, "open"), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestExample_comments: each setting that is commented out is one that works when the comment sign is taken off. What
// has to stand alone is tried alone.
func TestExample_comments(t *testing.T) {
	dir := files(t)
	setting := regexp.MustCompile(`^( *)# ( *)([a-z_]+:.*|X-[A-Za-z-]+: .*|jobs-server: .*|- \{.*)$`)
	all := strings.Split(example, "\n")
	tried := 0
	for i, line := range all {
		m := setting.FindStringSubmatch(line)
		if m == nil || strings.Contains(line, ".pem") || m[2] != "" {
			continue
		}
		tried++
		name := regexp.MustCompile(`[a-z_]+`).FindString(m[3])
		try := slices.Clone(all)
		try[i] = m[1] + m[3]
		for j := i + 1; j < len(all); j++ { // what belongs to it
			more := regexp.MustCompile(`^ *# (  +[^ ].*)$`).FindStringSubmatch(all[j])
			if more == nil || strings.Contains(all[j], "tls.pem") {
				break
			}
			try[j] = m[1] + more[1]
		}
		withoutDefault(try, m[1]+name+":", i)
		text := strings.Join(try, "\n")
		if strings.HasPrefix(m[3], "opaque: true") || strings.HasPrefix(m[3], "prefixes:") {
			text = strings.Replace(text, "check: offline", "check: introspection", 1)
			text = strings.Replace(text, "# client:", "client:", 1)
		}
		if strings.HasPrefix(m[3], "introspection:") {
			text = strings.Replace(text, "listen: 127.0.0.1:9100", "listen: [127.0.0.1:9100, systemd]", 1)
		}
		if _, err := parseSettings(filepath.Join(dir, "verifier.yaml"), []byte(text)); err != nil {
			t.Errorf("line %d, %q: %v", i+1, line, err)
		}
	}
	if tried < 30 {
		t.Errorf("only %d settings were tried", tried)
	}
}

// withoutDefault takes a setting out that stands in the same mapping as line keep already, with what is below it.
func withoutDefault(lines []string, start string, keep int) {
	indent := len(start) - len(strings.TrimLeft(start, " "))
	outside := func(line string, than int) bool {
		text := strings.TrimLeft(line, " ")
		return text != "" && !strings.HasPrefix(text, "#") && len(line)-len(text) < than
	}
	first, last := keep, keep+1
	for first > 0 && !outside(lines[first-1], indent) {
		first--
	}
	for last < len(lines) && !outside(lines[last], indent) {
		last++
	}
	for i := first; i < last; i++ {
		if i == keep || !strings.HasPrefix(lines[i], start) {
			continue
		}
		lines[i] = ""
		for j := i + 1; j < last && j != keep && !outside(lines[j], indent+1); j++ {
			lines[j] = ""
		}
	}
}

const smallest = `version: 1
listen: 127.0.0.1:9100
audiences: a
issuers: {"https://op.example.org": }
policy: {require: ANYONE}
services: {api: {proxy: nginx}}
`

func TestSettings_faults(t *testing.T) {
	dir := files(t)
	for name, c := range map[string]struct {
		text string
		want []string // nil: none
	}{
		"the_smallest": {smallest, nil},
		"no_audience":  {strings.Replace(smallest, "audiences: a\n", "", 1), []string{"audiences is missing", "tokens made for others"}},
		"audiences_of_every_service": {
			strings.NewReplacer("audiences: a\n", "", "{proxy: nginx}", "{proxy: nginx, audiences: b}").Replace(smallest), nil,
		},
		"empty_audience": {strings.Replace(smallest, "audiences: a", `audiences: [""]`, 1), []string{"is empty"}},
		"no_issuer":      {strings.Replace(smallest, `{"https://op.example.org": }`, "{}", 1), []string{"no issuer is trusted"}},
		"issuer_http":    {strings.Replace(smallest, "https://op", "ftp://op", 1), []string{"issuers.ftp://op.example.org: not an issuer URL"}},
		"issuer_in_the_clear": {
			strings.Replace(smallest, "https://op", "http://op", 1), []string{"issuers.http://op.example.org: its keys are fetched over https only"},
		},
		"issuer_in_the_clear_here": {strings.Replace(smallest, "https://op.example.org", "http://localhost:8080", 1), nil},
		"no_policy":                {strings.Replace(smallest, "policy: {require: ANYONE}\n", "", 1), []string{"policy is missing"}},
		"bad_policy": {
			strings.Replace(smallest, "ANYONE}", "ANYBODY}", 1), []string{`:5: policy.require: there is no level "ANYBODY"`},
		},
		"policy_file": {strings.Replace(smallest, "{require: ANYONE}", "policy.yaml", 1), nil},
		"no_policy_file": {
			strings.Replace(smallest, "{require: ANYONE}", "nowhere.yaml", 1), []string{"nowhere.yaml: no such file"},
		},
		"nobody_asks": {strings.Replace(smallest, "services: {api: {proxy: nginx}}\n", "", 1), []string{"nobody could ask"}},
		"unknown_keys_everywhere": {
			smallest + "color: red\nlimits: {speed: 1}\nkeys: {die: x}\n",
			[]string{":7: color: unknown key", ":8: limits.speed: unknown key", ":9: keys.die: unknown key"},
		},
		"open_to_the_world": {
			strings.Replace(smallest, "127.0.0.1:9100", `"0.0.0.0:9100"`, 1), []string{":2: listen: others can reach it"},
		},
		"open_to_every_address": {
			strings.Replace(smallest, "127.0.0.1:9100", `":9100"`, 1), []string{"others can reach it"},
		},
		"open_to_known_proxies": {
			strings.Replace(smallest, "127.0.0.1:9100", `"0.0.0.0:9100"`, 1) + "proxies: {trusted: [10.0.0.0/8, 192.0.2.1]}\n", nil,
		},
		"open_with_a_secret": {
			strings.Replace(smallest, "127.0.0.1:9100", `"[::]:9100"`, 1) + "proxies: {secret_file: proxy-secret}\n", nil,
		},
		"a_short_secret": {
			smallest + "proxies: {secret_file: op-secret}\n", []string{"proxies.secret_file: the secret has less than 16 bytes"},
		},
		"a_secret_in_the_file": {
			smallest + "proxies: {secret: hunter2hunter2hunter2}\n", []string{"proxies.secret: a secret does not stand here"},
		},
		"listen_by_name": {
			strings.Replace(smallest, "127.0.0.1:9100", "gateway.example.org:9100", 1), []string{"numeric address"},
		},
		"listen_mode_of_tcp": {
			strings.Replace(smallest, "127.0.0.1:9100", "{tcp: 127.0.0.1:9100, mode: 0660}", 1), []string{"mode and group are for unix"},
		},
		"introspection_without_secret": {
			strings.Replace(smallest, "https://op.example.org\": ", "https://op.example.org\": {check: introspection}", 1),
			[]string{"check: introspection needs client"},
		},
		"opaque_offline": {
			strings.Replace(smallest, "https://op.example.org\": ", "https://op.example.org\": {opaque: true}", 1),
			[]string{"opaque tokens need check"},
		},
		"two_issuers_of_one_prefix": {
			strings.Replace(smallest, `{"https://op.example.org": }`, `{"https://op.example.org": &, "https://two.example.org": &}`, 1),
			[]string{`prefix "op_"`},
		},
		"no_ca_file": {smallest + "ca_file: nowhere.pem\n", []string{"nowhere.pem"}},
		"lifetimes_upside_down": {
			smallest + "keys: {lifetimes: {expiry: 1h, max_refresh: 2h}}\n", []string{"keys.lifetimes: lifetimes of keys make no sense"},
		},
		"an_asker_of_no_service": {
			smallest + "introspection: {clients: {x: {secret_file: proxy-secret, service: nothing}}}\n",
			[]string{`there is no service "nothing"`},
		},
		"a_host_with_its_port_beside_another_fault": {
			strings.Replace(smallest, "{proxy: nginx}", `{proxy: nginx, hosts: ["a.example.org:443"], operations: x}`, 1),
			[]string{`services.api.hosts: "a.example.org:443" is no host name without port`, "services.api.operations: has to be"},
		},
		"services_that_clash": {
			strings.Replace(smallest, "{api: {proxy: nginx}}", "{api: {proxy: nginx}, two: {proxy: nginx}}", 1), []string{"both serve /"},
		},
		"hosts_of_a_service_without_proxy": {
			strings.Replace(smallest, "{api: {proxy: nginx}}", "{api: {proxy: nginx}, two: {hosts: [h]}}", 1),
			[]string{"services.two.hosts: is for a service behind a proxy"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			const opaque = "{check: introspection, client: {id: c, secret_file: op-secret}, prefixes: op_}"
			text := strings.ReplaceAll(c.text, "&", opaque)
			_, err := parseSettings(filepath.Join(dir, "verifier.yaml"), []byte(text))
			if (err == nil) != (c.want == nil) {
				t.Fatalf("got %v, want %q", err, c.want)
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("got %v, want %q", err, want)
				}
			}
			if err != nil && strings.Contains(err.Error(), "hunter2") {
				t.Error("a fault repeats a secret")
			}
		})
	}
}

func TestSettings_authorization_servers(t *testing.T) {
	for more, want := range map[string]string{
		"": "", ", resource: https://a.example.org": "https://op.example.org",
		", resource: https://a.example.org, authorization_servers: none":                  "",
		", resource: https://a.example.org, authorization_servers: https://x.example.org": "https://x.example.org",
	} {
		s, err := parseSettings("verifier.yaml", []byte(strings.Replace(smallest, "proxy: nginx", "proxy: nginx"+more, 1)))
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(s.services[0].AuthorizationServers, " "); got != want {
			t.Errorf("%q: got %q, want %q", more, got, want)
		}
	}
}

func TestSettings_notes(t *testing.T) {
	dir := files(t)
	for name, c := range map[string]struct{ text, want string }{
		"a value for everybody":    {strings.Replace(smallest, "audiences: a", "audiences: [a, ANY]", 1), "tokens for everybody"},
		"in the clear":             {strings.Replace(smallest, "127.0.0.1", "10.0.0.1", 1) + "proxies: {trusted: 10.0.0.2}\n", "in the clear"},
		"a secret others can read": {smallest + "proxies: {secret_file: open}\n", "read by everybody"},
		"a service the policy does not have": {
			strings.Replace(smallest, "{require: ANYONE}", "{services: {ape: {require: ANYONE}}}", 1),
			`the policy has nothing for service "api"`,
		},
		"a claim that every issuer can assert": {
			strings.NewReplacer("{require: ANYONE}", "{require: {claim: {claim: groups, required: admins}}}",
				`{"https`, `{"https://two.example.org": , "https`).Replace(smallest),
			`takes the claim "groups" from every issuer`,
		},
		"a socket service without a socket": {smallest + "introspection: {socket: api}\n", "no Unix socket"},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := parseSettings(filepath.Join(dir, "verifier.yaml"), []byte(c.text))
			if err != nil {
				t.Fatal(err)
			}
			if !slices.ContainsFunc(s.notes, func(f config.Fault) bool { return strings.Contains(f.Text, c.want) }) {
				t.Errorf("got %v, want %q", s.notes, c.want)
			}
		})
	}
}

func FuzzSettings(f *testing.F) {
	f.Add([]byte(example))
	f.Add([]byte(smallest))
	f.Fuzz(func(t *testing.T, b []byte) {
		// Names of files are taken from the input: reading them does no harm, but there is no need to.
		if strings.Contains(string(b), "file") || strings.Contains(string(b), "policy: ") {
			t.Skip()
		}
		s, err := parseSettings(filepath.Join(t.TempDir(), "verifier.yaml"), b)
		if err == nil && (len(s.gate.Issuers) == 0 || len(s.gate.Audiences) == 0 && !ownAudiences(s) || len(s.listen) == 0) {
			t.Errorf("taken without what it takes: %q", b)
		}
	})
}

func ownAudiences(s *settings) bool { return settingsReader{s: s}.ownAudiences() }
