package verifier

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/oidcbox/oidcbox/core/cli"
)

// answer is one question to a command.
type answer struct {
	name   string
	stdin  string
	args   []string
	code   int
	stdout string
	stderr string
}

func ask(t *testing.T, w *world, questions []answer) {
	t.Helper()
	for _, q := range questions {
		t.Run(q.name, func(t *testing.T) {
			code, stdout, stderr := w.run(q.stdin, q.args...)
			if code != q.code || !strings.Contains(stdout, q.stdout) || !strings.Contains(stderr, q.stderr) {
				t.Errorf("%v: %d, %q, %q; want %d, %q, %q", q.args, code, stdout, stderr, q.code, q.stdout, q.stderr)
			}
			if asJSON := len(q.args) > 0 && q.args[len(q.args)-1] == "--json"; code != cli.OK && !asJSON && stdout != "" {
				t.Errorf("a no has output: %q", stdout)
			}
		})
	}
}

func vectors(t *testing.T, name string, into any) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("../../testdata/jwt", name))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, into); err != nil {
		t.Fatal(err)
	}
}

func TestScope(t *testing.T) {
	scope := func(profile, scope, op string, more ...string) []string {
		return append([]string{"scope", "--profile", profile, "--scope", scope, "--op", op}, more...)
	}
	ask(t, newWorld(t, ""), []answer{
		{
			"below_the_path", "", scope("wlcg", "openid storage.read:/a", "storage.read", "--path", "/a/./b"), cli.OK,
			"allowed: storage.read on /a/b\n", "",
		},
		{
			"beside_the_path", "", scope("wlcg", "storage.read:/a", "storage.read", "--path", "/ab"), cli.No, "",
			"no scope covers it",
		},
		{
			"up_from_the_path", "", scope("wlcg", "storage.read:/a", "storage.read", "--path", "/a/../b"), cli.No,
			"", "no scope",
		},
		{
			"modify_is_no_read", "", scope("wlcg", "storage.modify:/", "storage.read", "--path", "/a"), cli.No, "",
			"no scope",
		},
		{
			"modify_creates", "", scope("wlcg", "storage.modify:/", "storage.create", "--path", "/a"), cli.OK,
			"allowed", "",
		},
		{
			"compute_without_path", "", scope("wlcg", "compute.cancel", "compute.cancel"), cli.OK,
			"allowed: compute.cancel\n", "",
		},
		{
			"scitoken_write", "", scope("scitokens", "write:/a", "write", "--path", "/a"), cli.OK,
			"allowed: write on /a\n", "",
		},
		{
			"wlcg_scope_in_a_scitoken", "", scope("scitokens", "storage.read:/", "read", "--path", "/a"), cli.No,
			"", "no scope",
		},
		{
			"no_scope_at_all", "", scope("wlcg", "", "storage.read", "--path", "/a"), cli.No, "",
			"no scope that the profile",
		},
		{
			"one_bad_path_spoils_all", "", scope("wlcg", "storage.read:/ storage.create:/x/..", "storage.read", "--path", "/a"),
			cli.No, "", "path of a scope is not valid",
		},
		{
			"bad_request_path", "", scope("wlcg", "storage.read:/", "storage.read", "--path", "/a%2fb"), cli.No, "",
			"requested path",
		},
		{
			"relative_request_path", "", scope("wlcg", "storage.read:/", "storage.read", "--path", "a"), cli.No, "",
			"requested path",
		},
		{
			"two_scope_options", "",
			scope("wlcg", "storage.read:/a", "storage.read", "--scope", "storage.read:/b", "--path", "/b"),
			cli.OK, "allowed", "",
		},
		{"json_yes", "", scope("wlcg", "host.auth", "host.auth", "--json"), cli.OK, `"allowed": true`, ""},
		{"json_no", "", scope("wlcg", "openid", "host.auth", "--json"), cli.No, `"allowed": false`, "not allowed"},
		{
			"unknown_operation", "", scope("wlcg", "openid", "storage.raed", "--path", "/"), cli.Usage, "",
			"storage.read, ",
		},
		{
			"operation_of_the_other_profile", "", scope("scitokens", "read:/", "storage.read", "--path", "/"),
			cli.Usage, "", "execute",
		},
		{"profile_without_capabilities", "", scope("at+jwt", "read", "read"), cli.Usage, "", "wlcg and scitokens"},
		{"path_missing", "", scope("wlcg", "storage.read:/", "storage.read"), cli.Usage, "", "needs a path"},
		{
			"path_too_much", "", scope("wlcg", "compute.read", "compute.read", "--path", "/"), cli.Usage, "",
			"has no path",
		},
		{"scope_missing", "", []string{"scope", "--profile", "wlcg", "--op", "host.auth"}, cli.Usage, "", "--scope"},
	})
}

// Every row of the path vectors, asked through the command.
func TestScope_vectors(t *testing.T) {
	var file struct {
		Count int
		Cases []struct {
			ID, Profile, Scope, Authz, Path, Why string
			Allow                                bool
		}
	}
	vectors(t, "scope_paths.json", &file)
	if len(file.Cases) != file.Count || file.Count == 0 {
		t.Fatalf("%d cases, said are %d", len(file.Cases), file.Count)
	}
	w := newWorld(t, "")
	for _, c := range file.Cases {
		args := []string{"scope", "--profile", c.Profile, "--scope", c.Scope, "--op", c.Authz}
		if c.Path != "" {
			args = append(args, "--path", c.Path)
		}
		want := map[bool]int{true: cli.OK, false: cli.No}[c.Allow]
		if code, _, stderr := w.run("", args...); code != want {
			t.Errorf("%s (%s): exit %d, want %d: %s", c.ID, c.Why, code, want, stderr)
		}
	}
}

func TestEntitlement(t *testing.T) {
	const group, sub = "urn:geant:h-df.de:group:lab", "urn:geant:h-df.de:sub:group:lab:left:role=head#idp"
	question := func(required, actual string, more ...string) []string {
		return append([]string{"entitlement", "--required", required, "--actual", actual}, more...)
	}
	ask(t, newWorld(t, ""), []answer{
		{"the_same", "", question(group, group), cli.OK, "satisfied: by " + group + "\n", ""},
		{
			"of_a_subgroup", "", question(group, sub), cli.OK,
			"satisfied: by urn:geant:h-df.de:sub:group:lab:left:role=head\n", "",
		},
		{"other_way_round", "", question(sub, group), cli.No, "", "not satisfied: namespace"},
		{"strict_namespace", "", question(group, sub, "--strict-namespace"), cli.No, "", "not satisfied"},
		{"one_of_several", "", question(group, "member@x", "--actual", group), cli.OK, "satisfied", ""},
		{"actual_is_none", "", question(group, "urn:mace:egi.eu:member@vo"), cli.No, "", "not a group entitlement"},
		{"required_is_none", "", question("lab", group), cli.Usage, "", "--required: not a group entitlement"},
		{"authority_demanded", "", question(sub, group, "--form", "g002-strict"), cli.No, "", "no authority"},
		{
			"percent_decoded_by_g002", "",
			question("urn:geant:h-df.de:group:x", "urn:geant:h-df.de:group:%78", "--form", "g002"), cli.OK,
			"satisfied", "",
		},
		{
			"not_decoded_by_g069", "", question("urn:geant:h-df.de:group:x", "urn:geant:h-df.de:group:%78"), cli.No,
			"", "not satisfied",
		},
		{"unknown_form", "", question(group, group, "--form", "g003"), cli.Usage, "", "g069"},
		{"actual_missing", "", []string{"entitlement", "--required", group}, cli.Usage, "", "--actual"},
		{"json_yes", "", question(group, group, "--json"), cli.OK, `"by": "` + group + `"`, ""},
		{"json_no", "", question(sub, group, "--json"), cli.No, `"satisfied": false`, ""},
	})
}

// Every pair of the entitlement vectors, in both directions.
func TestEntitlement_vectors(t *testing.T) {
	var file struct {
		Relations []struct {
			ID, Required, Actual string
			Forward              bool `json:"actual_satisfies_required"`
			Backward             bool `json:"required_satisfies_actual"`
		}
	}
	vectors(t, "aarc_entitlements.json", &file)
	if len(file.Relations) == 0 {
		t.Fatal("no relations")
	}
	w := newWorld(t, "")
	check := func(id, required, actual string, yes bool) {
		want := map[bool]int{true: cli.OK, false: cli.No}[yes]
		if code, _, stderr := w.run("", "entitlement", "--required", required, "--actual", actual); code != want {
			t.Errorf("%s: %s for %s: exit %d, want %d: %s", id, actual, required, code, want, stderr)
		}
	}
	for _, r := range file.Relations {
		check(r.ID, r.Required, r.Actual, r.Forward)
		check(r.ID+" reversed", r.Actual, r.Required, r.Backward)
	}
}

func TestJWS(t *testing.T) {
	w := newWorld(t, "")
	good := w.token(t, -1e15) // expired long ago: that is not this command's question
	w.write(t, "good", []byte(good+"\n"))
	w.write(t, "none.json", []byte(`{"keys":[]}`))
	jws := func(more ...string) []string { return append([]string{"jws", "--jwks", "keys.json"}, more...) }
	ask(t, w, []answer{
		{
			"right_from_file", "", jws("--token-file", "good"), cli.OK,
			"signature is right: ES256 with key k1; the claims were not", "",
		},
		{"right_from_stdin", good, jws(), cli.OK, "signature is right", ""},
		{"wrong", good[:len(good)-8] + "AAAAAAAA", jws(), cli.No, "", "signature does not match"},
		{"no_key", good, []string{"jws", "--jwks", "none.json"}, cli.No, "", "no key that fits"},
		{"opaque", "abc", jws(), cli.No, "", "signature refused: not a signed JWT"},
		{"empty", "", jws("--token-file", "-"), cli.No, "", "there is none"},
		{"json_yes", good, jws("--json"), cli.OK, `"sub": "alice"`, ""},
		{"json_no", good[:len(good)-8] + "AAAAAAAA", jws("--json"), cli.No, `"valid": false`, ""},
		{"keys_missing", good, []string{"jws", "--jwks", "nothing.json"}, cli.Usage, "", "read keys"},
		{"keys_not_given", good, []string{"jws"}, cli.Usage, "", "--jwks"},
		{"token_as_argument", "", jws(good), cli.Usage, "", "everybody on the machine"},
	})
	if _, stdout, _ := w.run(good[:len(good)-8]+"AAAAAAAA", jws("--json")...); strings.Contains(stdout, "alice") {
		t.Errorf("the payload of a refused token is printed: %s", stdout)
	}
}

// The examples of RFC 7520 and RFC 8037, whose payloads are mostly no claims.
func TestJWS_vectors(t *testing.T) {
	var file struct {
		Count int
		Cases []struct {
			ID, Token, Policy string
			JWKS              json.RawMessage
		}
	}
	vectors(t, "rfc_jws.json", &file)
	if len(file.Cases) != file.Count || file.Count == 0 {
		t.Fatalf("%d cases, said are %d", len(file.Cases), file.Count)
	}
	w := newWorld(t, "")
	for _, c := range file.Cases {
		want, known := map[string]int{"valid": cli.OK, "invalid": cli.No}[c.Policy]
		if !known {
			continue
		}
		w.write(t, "vector.json", c.JWKS)
		if code, _, stderr := w.run(c.Token, "jws", "--jwks", "vector.json"); code != want {
			t.Errorf("%s: exit %d, want %d: %s", c.ID, code, want, stderr)
		}
	}
}
