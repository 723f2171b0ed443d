package importconfig_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/oidcbox/oidcbox/core/account/importconfig"
)

const cue = `
[mapper]
log_level = WARNING
[mapper.otp]
use_otp = True
backend = sqlite
[privacy]
privacy_contact = privacy@example.org
[DEFAULT]
vo_claim = eduperson_entitlement
[authorisation.one]
op_url = https://op.example.org/oauth2/
authorised_vos = [
    "urn:geant:example.org:group:physics#op.example.org",
    "urn:geant:example.org:group:guests"
  ]
vo_match = all
authorised_users = [ alice , "bob" ]
authorised_admins = ["chief"]
authorise_admins_for_all_ops = yes
audience = ssh
scopes = [openid, profile]
[authorisation.two]
op_url = www.other.example.org
authorise_all = True
odd_key = 1
`

const adapter = `
[ldf_adapter]
backend = local_unix
primary_group = users
additional_groups = cluster gpu
[assurance]
prefix = https://refeds.org/assurance/
require = profile/espresso | IAP/medium & ID/unique & ATP/ePA-1m
[groups]
method = regex
mapping =
    # all of them
    :role=(owner|member) -> # gone
    urn:geant:example.org:group: -> ex_
    (?=never) -> x
[backend.local_unix]
shell = /bin/bash
shell_limited = /bin/rbash
deploy_user_ssh_keys = no
post_create_script = /usr/local/sbin/new
shadow_compatibility_function = v044
[backend.local_unix.login_info]
ssh_host = login.example.org
description = Cluster of "us" # and them
`

func convert(t *testing.T, cue, adapter string) (*importconfig.Result, map[string]any, map[string]any) {
	t.Helper()
	r, err := importconfig.Convert(&importconfig.Source{Name: "motley_cue.conf", Text: []byte(cue)},
		&importconfig.Source{Name: "feudal_adapter.conf", Text: []byte(adapter)})
	if err != nil {
		t.Fatal(err)
	}
	var server, worker map[string]any
	if err := errors.Join(yaml.Unmarshal(r.Provisioner, &server), yaml.Unmarshal(r.Worker, &worker)); err != nil {
		t.Fatalf("%v\n%s\n%s", err, r.Provisioner, r.Worker)
	}
	return r, server, worker
}

// at walks down a document.
func at(doc any, path ...string) any {
	for _, p := range path {
		m, _ := doc.(map[string]any)
		doc = m[p]
	}
	return doc
}

func texts(v any) []string {
	var list []string
	all, _ := v.([]any)
	for _, e := range all {
		s, _ := e.(string)
		list = append(list, s)
	}
	return list
}

func TestConvert(t *testing.T) {
	r, server, worker := convert(t, cue, adapter)
	one := at(server, "issuers", "https://op.example.org/oauth2/")
	users, _ := at(one, "users", "one_of").([]any)
	if len(users) != 2 || at(users[0], "vo", "match") != "all" || len(texts(at(users[0], "vo", "required"))) != 2 ||
		!slices.Equal(texts(at(users[1], "subject", "sub")), []string{"alice", "bob"}) {
		t.Errorf("users: %v", users)
	}
	for _, c := range []struct {
		what      string
		got, want any
	}{
		{"audience", texts(at(one, "audiences"))[0], "ssh"},
		{"admins", texts(at(one, "admins", "subject", "sub"))[0], "chief"},
		{"admins of all", at(one, "admins_for_all"), true},
		{"a URL without a scheme", at(server, "issuers", "https://www.other.example.org", "users"), "ANYONE"},
		{"assurance", at(server, "accounts", "assurance"), "profile/espresso | IAP/medium & ID/unique & ATP/ePA-1m"},
		{"old section of login_info", at(server, "login_info", "description"), `Cluster of "us" # and them`},
		{"names as before", at(server, "groups", "shorten"), "front"},
		{"rewrites", len(texts(at(server, "groups", "rewrites"))), 2},
		{"backend", at(worker, "backend"), "local_unix"},
		{"shell", at(worker, "local_unix", "shells", "limited"), "/bin/rbash"},
		{"hook", texts(at(worker, "post_create", "command"))[0], "/usr/local/sbin/new"},
		{"given", strings.Join(texts(at(worker, "groups", "given")), " "), "cluster gpu users"},
	} {
		if c.got != c.want {
			t.Errorf("%s: %v, want %v", c.what, c.got, c.want)
		}
	}
	for _, want := range []string{"odd_key", "(?=never)", "audience was not checked"} {
		if !slices.ContainsFunc(r.Notes, func(n importconfig.Note) bool { return strings.Contains(n.String(), want) }) {
			t.Errorf("no remark about %s in %v", want, r.Notes)
		}
		if !strings.Contains(strings.Join(strings.Fields(strings.ReplaceAll(string(r.Provisioner), "#", "")), " "), want) {
			t.Errorf("the file does not tell of %s", want)
		}
	}
	if !r.Notes[0].Loud {
		t.Error("the loud remarks do not come first")
	}
}

// TestConvert_loud holds what must not go by unnoticed.
func TestConvert_loud(t *testing.T) {
	op := "[authorisation.x]\nop_url = https://op.example.org\nauthorise_all = yes\naudience = ssh\n"
	for name, c := range map[string]struct{ cue, adapter, want string }{
		"assurance was off":        {op, "[assurance]\nskip = Yes, do as I say!\n", "ASSURANCE WAS SWITCHED OFF"},
		"no audience":              {strings.Replace(op, "audience = ssh\n", "", 1), "", "audience was not checked"},
		"all beside VOs":           {op + "authorised_vos = [a]\n", "", "decided nothing"},
		"indented by mistake":      {op + "  authorised_users = [alice]\n", "", "belongs to this value"},
		"LDAP in plain text":       {op, "[ldf_adapter]\nbackend = ldap\n[backend.ldap]\nhost = ldap.example.org\n", "plain text"},
		"mail in plain text":       {op, "[approval]\nenabled = yes\n[notifier.email]\nsmtp_server = mx.example.org\n", "plain text"},
		"shell by default":         {op + "assurance_based_shell_tier_full = profile/mfa\n", "", "satisfies none"},
		"expression nobody reads":  {op, "[assurance]\nrequire = a & & b\n", "cannot be read"},
		"group shared with others": {op, "[ldf_adapter]\nfallback_group = nogroup\n", "share nogroup"},
	} {
		t.Run(name, func(t *testing.T) {
			r, server, _ := convert(t, c.cue, c.adapter)
			if !slices.ContainsFunc(r.Notes, func(n importconfig.Note) bool { return n.Loud && strings.Contains(n.Text, c.want) }) {
				t.Fatalf("no loud remark with %q: %v", c.want, r.Notes)
			}
			if !strings.Contains(string(r.Provisioner), "!! ") {
				t.Error("the file does not say so loudly")
			}
			if name == "assurance was off" && at(server, "accounts", "assurance") != "*" {
				t.Error("an assurance is required that was not")
			}
			if name == "shell by default" && at(server, "accounts", "shells", "full") != "https://refeds.org/profile/mfa" {
				t.Errorf("shells: %v", at(server, "accounts", "shells"))
			}
		})
	}
}

// TestConvert_secrets holds that no password stands in a file others may read.
func TestConvert_secrets(t *testing.T) {
	op := "[authorisation.x]\nop_url = https://op.example.org\nauthorise_all = yes\n"
	for backend, section := range map[string]string{
		"ldap":  "[backend.ldap]\nadmin_user = cn=admin\nadmin_password = s3cret-word\n",
		"bwidm": "[backend.bwidm]\nurl = https://r.example.org\n[backend.bwidm.auth]\nhttp_user = u\nhttp_pass = s3cret-word\n",
	} {
		r, _, worker := convert(t, op, "[ldf_adapter]\nbackend = "+backend+"\n"+section+
			"[approval]\nenabled = yes\n[notifier.email]\nsent_from_password = s3cret-word\n")
		if len(r.Secrets) != 2 {
			t.Fatalf("%s: %d files of secrets", backend, len(r.Secrets))
		}
		for _, b := range [][]byte{r.Provisioner, r.Worker} {
			if strings.Contains(string(b), "s3cret") {
				t.Fatalf("%s: the password stands in\n%s", backend, b)
			}
		}
		if at(worker, at(worker, "backend").(string), "password_file") == nil {
			t.Fatalf("%s: no password_file: %v", backend, worker)
		}
	}
}

// TestConvert_hostile: nothing of an old file means anything but a text in the new one.
func TestConvert_hostile(t *testing.T) {
	evil := "x\": [y]\n    # z\n    url: https://evil.example"
	_, server, worker := convert(t,
		"[authorisation.x]\nop_url = https://op.example.org/\"}{: ]\nauthorised_users = [\"a: b\", \"- c\", \"#d\"]\n",
		"[login_info]\ndescription = "+evil+"\nssh_host = h: {a}\n[backend.local_unix]\nshell = !!binary x\n")
	if at(server, "url") != "https://h: {a}" || at(worker, "local_unix", "shells", "full") != "!!binary x" {
		t.Fatalf("%v\n%v", server, worker)
	}
	if _, ok := at(server, "login_info", "description").(string); !ok {
		t.Fatal("the description is no text any more")
	}
	if !slices.Equal(texts(at(server, "issuers", "https://op.example.org/\"}{: ]", "users", "subject", "sub")), []string{"a:b", "-c", "#d"}) {
		t.Fatalf("%v", server["issuers"])
	}
}

func TestConvert_refuses(t *testing.T) {
	for name, c := range map[string]string{
		"nothing in it": "", "no provider": "[mapper]\n", "not of that kind": "no section",
		"section twice": "[authorisation.a]\nop_url=x\n[authorisation.a]\n",
	} {
		if _, err := importconfig.Convert(&importconfig.Source{Name: "f", Text: []byte(c)}, nil); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	if _, err := importconfig.Convert(nil, nil); !errors.Is(err, importconfig.ErrNothing) {
		t.Error(err)
	}
}

func FuzzConvert(f *testing.F) {
	f.Add(cue, adapter)
	f.Fuzz(func(t *testing.T, a, b string) {
		r, err := importconfig.Convert(&importconfig.Source{Name: "a", Text: []byte(a)}, &importconfig.Source{Name: "b", Text: []byte(b)})
		if err != nil {
			return
		}
		var doc map[string]any
		if err := yaml.Unmarshal(r.Provisioner, &doc); err != nil {
			t.Fatalf("%v\n%s", err, r.Provisioner)
		}
	})
}
