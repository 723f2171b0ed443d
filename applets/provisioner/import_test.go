package provisioner

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/cli"
)

const oldCue = `
[mapper.otp]
use_otp = True
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
op_url = https://www.other.example.org
authorise_all = True
[authorisation.three]
op_url = https://third.example.org
authorised_vos = ["/cms"]
vo_claim = wlcg.groups
vo_match = one
`

// oldAdapters are one for each back end.
func oldAdapters() map[string]string {
	return map[string]string{
		"local_unix": `
[ldf_adapter]
backend = local_unix
primary_group = users
additional_groups = cluster gpu
[approval]
enabled = True
[notifier.email]
smtp_server = mail.example.org
smtp_port = 587
use_ssl = False
sent_from = no-reply@example.org
sent_from_password = hunter2
admin_email = admin@example.org
[assurance]
require = profile/espresso | IAP/medium & ID/unique & ATP/ePA-1m
[groups]
method = regex
mapping =
    :role=(owner|member) -> # gone
    urn:geant:example.org:group: -> ex_
[backend.local_unix]
shell = /bin/bash
post_create_script = /usr/local/sbin/new
shadow_compatibility_function = v044
[login_info]
ssh_host = login.example.org
`,
		"ldap": `
[ldf_adapter]
backend = ldap
[assurance]
skip = Yes, do as I say!
[username_generator]
mode = pooled
pool_prefix = ext
pool_digits = 4
[backend.ldap]
mode = full_access
host = ldap.example.org
tls = True
admin_user = cn=admin,dc=example,dc=org
admin_password = hunter2
user_base = ou=users,dc=example,dc=org
group_base = ou=groups,dc=example,dc=org
`,
		"bwidm": `
[ldf_adapter]
backend = bwidm
[backend.bwidm.auth]
http_user = provisioner
http_pass = hunter2
[backend.bwidm.service]
name = ssh
[backend.bwidm]
url = https://regapp.example.org/rest
org_id = fdl
`,
	}
}

// testEnv is the environment of a command in dir.
func testEnv(dir string) (env *cli.Env, out, messages *bytes.Buffer) {
	out, messages = &bytes.Buffer{}, &bytes.Buffer{}
	return &cli.Env{
		Name: "oidcbox provisioner", Stdin: strings.NewReader(""), Stdout: out, Stderr: messages, Dir: dir, Now: time.Now,
		Getenv: func(string) string { return "" }, Log: cli.NewLog(messages, 0),
	}, out, messages
}

// TestImport: what the old configurations become loads as it is, and no password stands in it.
func TestImport(t *testing.T) {
	for name, adapter := range oldAdapters() {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for file, text := range map[string]string{"cue.conf": oldCue, "feudal.conf": adapter} {
				if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			env, _, messages := testEnv(dir)
			c := importCmd{MotleyCue: "cue.conf", Feudal: "feudal.conf", To: "new", User: "root"}
			if err := c.Run(t.Context(), env); err != nil {
				serve, _ := os.ReadFile(filepath.Join(dir, "new", serveFile))
				work, _ := os.ReadFile(filepath.Join(dir, "new", workerFile))
				t.Fatalf("%v\n%s\n%s\n%s", err, messages, serve, work)
			}
			for _, file := range []string{serveFile, workerFile} {
				b, err := os.ReadFile(filepath.Join(dir, "new", file))
				if err != nil || bytes.Contains(b, []byte("hunter2")) {
					t.Errorf("%s: %v, or a password stands in it", file, err)
				}
			}
			if name == "ldap" && !strings.Contains(messages.String(), "ATTENTION") {
				t.Errorf("that assurance was off is not said loudly: %s", messages)
			}
			// A second time nothing is touched.
			var told *cli.Error
			if err := c.Run(t.Context(), env); !errors.As(err, &told) || told.Code != cli.No {
				t.Errorf("again: %v", err)
			}
		})
	}
}

// TestImportPlaces: without arguments the usual places are looked at, and that there is nothing is said.
func TestImportPlaces(t *testing.T) {
	dir := t.TempDir()
	env, out, messages := testEnv(dir)
	var told *cli.Error
	if err := (&importCmd{}).Run(context.Background(), env); err == nil {
		t.Skip("this host has a motley-cue")
	} else if !errors.As(err, &told) || told.Code != cli.NotFound {
		t.Fatalf("%v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "motley_cue.conf"), []byte(oldCue), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := (&importCmd{}).Run(context.Background(), env); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "https://op.example.org/oauth2/") || !strings.Contains(messages.String(), "its defaults hold") {
		t.Errorf("%s\n%s", out, messages)
	}
}
