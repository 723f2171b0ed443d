package provisioner

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/account/backend"
	"github.com/oidcbox/oidcbox/core/account/names"
	"github.com/oidcbox/oidcbox/core/account/provision"
	"github.com/oidcbox/oidcbox/core/cli/setup"
	"github.com/oidcbox/oidcbox/core/config"
	"github.com/oidcbox/oidcbox/core/daemon/keep"
	"github.com/oidcbox/oidcbox/core/token/issuers"
	"github.com/oidcbox/oidcbox/core/transport/listen"
	"github.com/oidcbox/oidcbox/core/transport/mail"
)

// exampleDir has the files that the examples name.
func exampleDir(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{
		"op-login-secret", "op-secret", "mail-password", "reader-password", "ldap-password", "probe-password", "regapp-password",
		"database-url", "database-password",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("s\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestExamples: what is printed as an example loads as it is, and says what it means to say.
func TestExamples(t *testing.T) {
	dir := exampleDir(t)
	t.Run("serve", func(t *testing.T) {
		s, err := parseSettings(filepath.Join(dir, "c.yaml"), []byte(exampleServe))
		if err != nil {
			t.Fatal(err)
		}
		if len(s.issuers) != 1 || s.issuers[0].told.Users == nil || len(s.issuers[0].told.VOs) != 2 || s.issuers[0].told.VOMatch != "one" ||
			!s.issuers[0].told.Persons || s.issuers[0].told.Everybody || s.issuers[0].login == nil || s.issuers[0].own {
			t.Errorf("%+v", s.issuers[0])
		}
		if s.login != defaultLogin || s.control != defaultControl || s.worker.socket != defaultWorker || s.backend != localUnix {
			t.Errorf("places: %q %q %+v %q", s.login, s.control, s.worker, s.backend)
		}
		if s.rules.Fallback != "federated" || s.rules.Naming.Mode != provision.Friendly || s.rules.Default.MaxTier != backend.Full {
			t.Errorf("%+v", s.rules)
		}
		if len(s.notes) != 0 {
			t.Errorf("notes: %v", s.notes)
		}
	})
	t.Run("worker", func(t *testing.T) {
		s, err := parseWorkerSettings(filepath.Join(dir, "c.yaml"), []byte(exampleWorker))
		if err != nil {
			t.Fatal(err)
		}
		if s.unix.shells[backend.Full] != "/bin/bash" || s.rate.Creates != 600 || s.groups.Given[0] != "federated" {
			t.Errorf("%+v", s)
		}
	})
	t.Run("relay", func(t *testing.T) {
		s, err := parseRelaySettings(filepath.Join(dir, "c.yaml"), []byte(exampleRelay))
		if err != nil {
			t.Fatal(err)
		}
		if s.timeout != 2500*time.Millisecond || s.server != "https://login.example.org:8444" {
			t.Errorf("%+v", s)
		}
	})
}

// TestExamplesAreComplete: every key there is can be read about.
func TestExamplesAreComplete(t *testing.T) {
	for _, c := range []struct {
		text string
		keys [][]string
	}{
		{exampleServe, [][]string{
			topKeys(), operatorKeys(), relaysKeys(), keysKeys(), infoKeys(), passwordsKeys(), pagesKeys(), approvalKeys(), apiKeys(),
			privacyKeys(), limitsKeys(), rateKeys(), issuerKeys(), issuers.Keys(), issuers.ClientKeys(), issuers.LifetimeKeys(),
			loginKeys(), accountKeys(), shellKeys(), nameKeys(), programKeys(), nameDirectoryKeys(), groupKeys(), listedKeys(),
			claimKeys(), keep.Keys(), keep.DatabaseKeys(), mail.Keys(), listen.PlaceKeys(), listen.TLSKeys(),
		}},
		{exampleWorker, [][]string{
			workerKeys(), unixKeys(), ldapKeys(), suspensionKeys(), probeKeys(), regappKeys(), programKeys(), limitKeys(),
			workerGroupKeys(), workerRateKeys(), shellKeys(),
		}},
		{exampleRelay, [][]string{relayKeys()}},
	} {
		for _, keys := range c.keys {
			for _, key := range keys {
				if !regexp.MustCompile(`(?m)[\s{,]`+key+`:`).MatchString("\n"+c.text) && !strings.Contains("unix mode group systemd", key) {
					t.Errorf("%s is nowhere", key)
				}
			}
		}
	}
}

// TestCommentsAreTrue: what is commented out is right as well, one block at a time.
func TestCommentsAreTrue(t *testing.T) {
	dir := exampleDir(t)
	for _, c := range []struct{ name, replace, by string }{
		{"relays", "# relays:\n#   listen: \"[::]:8444\"\n#   cert_file: relay.pem\n#   key_file: relay.key\n#   client_ca_file: nodes-ca.pem\n#   names:", "relays:\n  listen: \"[::]:8444\"\n  cert_file: relay.pem\n  key_file: relay.key\n  client_ca_file: nodes-ca.pem\n  names:"},
		{"limits", "  # requests: {", "  requests: {"},
		{"claims", "# claims:\n#   entitlements:", "claims:\n  entitlements:"},
		{"table", "  method: classic", "  method: table\n  table: {\"urn:geant:example.org:group:physics\": physics, /cms: cms}"},
		{"regex", "  method: classic", "  method: regex\n  rewrites: [\"^urn:geant:example.org:group:(.*)$ -> ex_\\\\1\"]"},
		{"pool", "  from: friendly", "  from: pooled\n  prefix: ext\n  digits: 3"},
		{"program", "  from: friendly", "  from: external\n  program: {command: [/usr/local/libexec/names], timeout: 5s}"},
		{"shells", "  assurance: profile/cappuccino", "  assurance: profile/cappuccino\n  shells: {full: \"profile/cappuccino & https://refeds.org/profile/mfa\", limited: profile/cappuccino, restricted: \"*\"}\n  max_shell: full"},
		{"privacy", "# privacy: {", "privacy: {"},
		{"hosts", "# ssh_host_keys: [", "ssh_host_keys: ["},
		{"listed", "  # listed: {", "  listed: {"},
		{"own_rules", "    # assurance: \"IAP/medium & ID/unique\"\n    # assurance_base: optional", "    assurance: \"IAP/medium & ID/unique\"\n    assurance_base: optional"},
	} {
		t.Run(c.name, func(t *testing.T) {
			text := strings.Replace(exampleServe, c.replace, c.by, 1)
			if text == exampleServe {
				t.Fatal("nothing was replaced")
			}
			if _, err := parseSettings(filepath.Join(dir, "c.yaml"), []byte(text)); err != nil {
				t.Error(err)
			}
		})
	}
	for _, name := range []string{"ldap", "regapp", "exec"} {
		t.Run("worker_"+name, func(t *testing.T) {
			i := strings.Index(exampleWorker, "# "+name+":\n")
			j := i + strings.Index(exampleWorker[i:], "\n\n")
			block := regexp.MustCompile(`(?m)^# `).ReplaceAllString(exampleWorker[i:j], "")
			text := "version: 1\nusers: [root]\nbackend: " + name + "\n" + block + "\n"
			if _, err := parseWorkerSettings(filepath.Join(dir, "c.yaml"), []byte(text)); err != nil {
				t.Errorf("%v\n%s", err, text)
			}
		})
	}
}

const least = `version: 1
listen: 127.0.0.1:8080
state: {file: s, key_file: k}
audiences: [us]
issuers:
  https://op.example:
    users: ANYONE
accounts: {assurance: "*"}
login_info: {ssh_host: h}
`

// TestWrong: each slip is said with its place and what would be right.
func TestWrong(t *testing.T) {
	for name, c := range map[string]struct{ from, to, want string }{
		"unknown_key":       {"version: 1", "version: 1\nlisten_on: x", "2"},
		"no_assurance":      {`{assurance: "*"}`, "{approval: true}", "assurance is missing"},
		"bad_expression":    {`"*"`, `"a &"`, "accounts.assurance"},
		"users_with_paths":  {"ANYONE", "{capability: storage.read}", "storage has no place here"},
		"admins_everybody":  {"users: ANYONE", "users: ANYONE\n    admins: ANYONE", "everybody of this issuer could stop"},
		"external_alone":    {"login_info", "names: {from: external}\nlogin_info", "needs one of program and ldap"},
		"program_relative":  {"login_info", "names: {from: external, program: {command: names}}\nlogin_info", "whole path"},
		"regex_without":     {"login_info", "groups: {method: regex}\nlogin_info", "regex needs rewrites"},
		"table_elsewhere":   {"login_info", "groups: {table: {/a: b}}\nlogin_info", "is for method: table"},
		"group_root":        {"login_info", "groups: {primary: \"-root\"}\nlogin_info", "groups.primary"},
		"host_is_a_command": {"ssh_host: h", "ssh_host: \"h;reboot\"", "name of a host"},
		"host_is_an_option": {"ssh_host: h", "ssh_host: -oProxyCommand", "name of a host"},
		"plain_http":        {"login_info", "url: http://example.org\nlogin_info", "has to be https"},
		"private_host_keys": {"login_info", "ssh_host_keys: /etc/ssh/ssh_host_rsa_key\nlogin_info", "public keys"},
		"no_worker":         {"login_info", "worker: off\nlogin_info", "without a worker"},
		"login_without_url": {"users: ANYONE", "users: ANYONE\n    login: {client_id: x}", "url is missing"},
		"mail_missing":      {"login_info", "url: https://h\napproval: {admins: [a@example.org]}\nlogin_info", "mail is missing"},
		"version_of_others": {"version: 1", "version: 2", "version"},
		"numbers_of_system": {`{assurance: "*"}`, `{assurance: "*", min_uid: 100}`, "min_uid"},
		"numbers_upside":    {`{assurance: "*"}`, `{assurance: "*", min_uid: 5000, max_uid: 4000}`, "no number is left"},
		"relays_half":       {"login_info", "relays: {listen: \"127.0.0.1:1\"}\nlogin_info", "cert_file"},
		"backend_of_dreams": {"login_info", "backend: cloud\nlogin_info", "backend"},
		"http_issuer":       {"https://op.example:", "http://op.example:", "https only"},
	} {
		t.Run(name, func(t *testing.T) {
			text := strings.Replace(least, c.from, c.to, 1)
			_, err := parseSettings("/c.yaml", []byte(text))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
	if _, err := parseSettings("/c.yaml", []byte(least)); err != nil {
		t.Errorf("the ground of these is wrong itself: %v", err)
	}
}

// TestNotes: what works and may surprise is told.
func TestNotes(t *testing.T) {
	for name, c := range map[string]struct{ from, to, want string }{
		"any_audience":    {"audiences: [us]\n", "", "whomever they were made for"},
		"nobody":          {"    users: ANYONE", "    scopes: [openid]", "nobody of this issuer"},
		"clear_text":      {"127.0.0.1:8080", "192.0.2.1:8080", "in the clear"},
		"database_local":  {"state: {file: s, key_file: k}", "state: {postgres: {url_file: database-url}, key_file: k}", "LOCAL ACCOUNTS ON MORE THAN ONE NODE"},
		"relays_local":    {"login_info", "relays: {listen: \"127.0.0.1:1\", cert_file: a, key_file: b, client_ca_file: c, names: [n]}\nlogin_info", "LOCAL ACCOUNTS ON MORE THAN ONE NODE"},
		"approval_untold": {`{assurance: "*"}`, `{assurance: "*", approval: true}`, "nobody is told"},
		"groups_of_all":   {"    users: ANYONE", "    users: ANYONE\n  https://other.example:\n    users: ANYONE\n    groups: {method: classic}", "can put its people into"},
		"no_profile":      {`{assurance: "*"}`, `{assurance: "IAP/low | profile/capuccino"}`, "profile/capuccino is no profile"},
		"second_factor":   {`{assurance: "*"}`, `{assurance: profile/mfa}`, "https://refeds.org/profile/mfa"},
		"no_get":          {"login_info", "api: {changes_by_get: false}\nlogin_info", "mccli"},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := parseSettings(filepath.Join(exampleDir(t), "c.yaml"), []byte(strings.Replace(least, c.from, c.to, 1)))
			if err != nil {
				t.Fatal(err)
			}
			if !slices.ContainsFunc(s.notes, func(n config.Fault) bool { return strings.Contains(n.String(), c.want) }) {
				t.Errorf("%v, want %q", s.notes, c.want)
			}
		})
	}
	s, err := parseSettings("/c.yaml", []byte(strings.Replace(least, "login_info", "backend: ldap\nlogin_info", 1)))
	if err != nil || len(s.notes) != 0 {
		t.Errorf("%v, %v", s.notes, err)
	}
}

// TestOwnRules: an issuer's rules stand over those of everybody, and keep the rest of them.
func TestOwnRules(t *testing.T) {
	text := strings.Replace(least, "users: ANYONE", "users: ANYONE\n    max_shell: restricted", 1)
	text = strings.Replace(text, `{assurance: "*"}`, `{assurance: profile/cappuccino, approval: true}`, 1)
	s, err := parseSettings("/c.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	own := s.rules.Issuers["https://op.example"]
	if own.MaxTier != backend.Restricted || !own.Approval || own.Assurance.String() != s.rules.Default.Assurance.String() {
		t.Errorf("%+v", own)
	}
	if s.rules.Limits.MinUID != 1000 || s.rules.Groups.Limits.MaxGID != 60000 || s.rules.Groups.Shorten != names.Digest {
		t.Errorf("%+v", s.rules)
	}
}

// TestQuoting: whatever somebody answers to setup is one value of what is written, and nothing else.
func TestQuoting(t *testing.T) {
	for _, answer := range []string{"a", "true", "a: b", `"`, "- a", "#", "h'", "urn:a:b:group:c#d", " "} {
		text := strings.Replace(least, "ssh_host: h", "description: "+setup.Quoted(answer)+", ssh_host: h", 1)
		s, err := parseSettings("/c.yaml", []byte(text))
		if err != nil || s.info.Description != answer {
			t.Errorf("%q: %v, %v", answer, s, err)
		}
	}
}

// TestBesides: that server and worker do not fit together is told before somebody is refused by it.
func TestBesides(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, workerFile)
	s, err := parseSettings(filepath.Join(dir, serveFile), []byte(strings.Replace(least, "login_info", "groups: {fallback: federated}\nlogin_info", 1)))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ worker, want string }{
		"nothing_to_tell": {"version: 1\nusers: [u]\nbackend: local_unix\nlocal_unix: {shells: {full: /bin/sh}}\ngroups: {given: [federated]}\n", ""},
		"backend":         {"version: 1\nusers: [u]\nbackend: dryrun\ngroups: {given: [federated]}\n", "backend: is local_unix, and dryrun"},
		"socket":          {"version: 1\nusers: [u]\nbackend: local_unix\nsocket: /x\ngroups: {given: [federated]}\n", "and the socket in"},
		"numbers":         {"version: 1\nusers: [u]\nbackend: local_unix\naccounts: {min_uid: 5000}\ngroups: {given: [federated]}\n", "more numbers"},
		"groups":          {"version: 1\nusers: [u]\nbackend: local_unix\n", "federated is not in groups.given"},
	} {
		t.Run(name, func(t *testing.T) {
			if err := os.WriteFile(file, []byte(c.worker), 0o600); err != nil {
				t.Fatal(err)
			}
			notes := s.besides(file)
			found := slices.ContainsFunc(notes, func(n config.Fault) bool { return strings.Contains(n.String(), c.want) })
			if c.want == "" && len(notes) > 0 || c.want != "" && !found {
				t.Errorf("%v, want %q", notes, c.want)
			}
		})
	}
}
