package sshlogin_test

import (
	"testing"

	"github.com/oidcbox/oidcbox/core/sshlogin"
)

// TestAsks: only the question of the host's own PAM is answered.
func TestAsks(t *testing.T) {
	for _, f := range []struct {
		name, prompt, kind, user, host string
		ok                             bool
	}{
		{"token", "(ada@login.example.org) Access Token:", "", "ada", "login.example.org", true},
		{"password", "(ada@login.example.org) Password: ", "", "ada", "login.example.org", true},
		{"old_release", "Password: ", "", "", "", true},
		{"text_in_front", "(ada@h) Welcome to Example.\nSee https://x.example.org\nPassword: ", "", "ada", "h", true},
		{"token_and_password", "(ada@h) Access Token:\nPassword: ", "", "ada", "h", true},
		{"second_factor", "(ada@h) One-time password (OATH) for `ada': ", "", "ada", "h", false},
		{"verification_code", "(ada@h) Verification code: ", "", "ada", "h", false},
		{"other_password", "(ada@h) LDAP Password: ", "", "ada", "h", false},
		{"password_method", "ada@h's password: ", "", "", "", false},
		{"passphrase", "Enter passphrase for key '/home/ada/.ssh/id': ", "", "", "", false},
		{"passphrase_named_so", "Enter passphrase for key 'Password:': ", "", "", "", false},
		{"host_key", "The authenticity of host 'h' can't be established.\nAre you sure you want to continue connecting (yes/no/[fingerprint])? ", "", "", "", false},
		{"confirmation", "Password:", "confirm", "", "", false},
		{"notice", "Password:", "none", "", "", false},
		{"name_in_the_prompt_of_a_server", "(eve@jump) (ada@h) Password: ", "", "eve", "jump", false},
		{"nothing", "", "", "", "", false},
	} {
		t.Run(f.name, func(t *testing.T) {
			user, host, named, ok := sshlogin.Question{Prompt: f.prompt, Kind: f.kind}.Asks()
			if ok != f.ok || ok && (user != f.user || host != f.host || named != (f.user != "")) {
				t.Errorf("%q %q %t %t", user, host, named, ok)
			}
		})
	}
}

func FuzzAsks(f *testing.F) {
	f.Add("(ada@h) Password: ")
	f.Add("(")
	f.Fuzz(func(t *testing.T, prompt string) {
		user, _, named, _ := sshlogin.Question{Prompt: prompt}.Asks()
		if named && user == "" {
			t.Errorf("%q names nobody", prompt)
		}
	})
}
