package pam

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// write makes the files of a PAM directory and returns the root above it.
func stackFiles(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	dir := filepath.Join(root, "etc", "pam.d")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

const commonAuth = `auth	[success=1 default=ignore]	pam_unix.so nullok
auth	requisite			pam_deny.so
auth	required			pam_permit.so
`

func TestExamineAuth(t *testing.T) {
	const helper = "pam_exec.so expose_authtok quiet /usr/libexec/oidcbox/oidcbox-pam\n"
	for name, tc := range map[string]struct {
		text string
		bad  string // part of what is wrong, "" for nothing
	}{
		"token_only":        {"auth [success=done ignore=ignore default=die] " + helper + "auth required pam_permit.so\n", ""},
		"token_or_password": {"auth sufficient " + helper + "@include common-auth\n", ""},
		"password_first": {"auth [success=2 default=ignore] pam_unix.so\nauth [success=1 default=ignore] " + helper +
			"auth requisite pam_deny.so\nauth required pam_permit.so\n", ""},
		"token_and_oath": {"auth [success=ok ignore=ignore default=die] " + helper +
			"auth required pam_oath.so usersfile=/etc/users.oath\nauth required pam_permit.so\n", ""},
		"module_alone":       {"auth sufficient pam_oidcbox.so\n@include common-auth\n", ""},
		"substack":           {"auth sufficient " + helper + "auth substack common-auth\n", ""},
		"alone":              {"auth sufficient " + helper, "Failure setting user credentials"},
		"followed_by_deny":   {"auth sufficient " + helper + "auth requisite pam_deny.so\n", "Failure setting user credentials"},
		"jump_over_deny":     {"auth [success=1 default=ignore] " + helper + "auth requisite pam_deny.so\nauth required pam_permit.so\n", "Failure setting user credentials"},
		"password_required":  {"auth required pam_unix.so\nauth sufficient " + helper, "does not get through"},
		"open_to_everybody":  {"auth sufficient " + helper + "auth required pam_permit.so\n", "ANYBODY"},
		"no_helper":          {"@include common-auth\n", "no auth line calls"},
		"no_expose_authtok":  {"auth sufficient pam_exec.so quiet /srv/oidcbox-pam\n@include common-auth\n", "expose_authtok"},
		"comment_and_joined": {"# x\nauth sufficient \\\n " + helper + "@include common-auth\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			root := stackFiles(t, map[string]string{"sshd": tc.text, "common-auth": commonAuth})
			rules, err := readStack(root, "sshd", "auth")
			if err != nil {
				t.Fatal(err)
			}
			var wrong []string
			for _, f := range examineAuth(rules) {
				if f.Result == bad {
					wrong = append(wrong, f.Text)
				}
			}
			if got := strings.Join(wrong, "; "); tc.bad == "" && got != "" || !strings.Contains(got, tc.bad) {
				t.Errorf("found %q, want %q", got, tc.bad)
			}
		})
	}
}

func TestExamineAccount(t *testing.T) {
	const helper = "account required pam_exec.so quiet /usr/libexec/oidcbox/oidcbox-pam\n"
	for name, tc := range map[string]struct{ text, worst string }{
		"helper_and_unix": {helper + "account required pam_unix.so\n", fine},
		"unix_alone":      {"account required pam_unix.so\n", notable},
		"permit_alone":    {"account required pam_permit.so\n", bad},
		"helper_optional": {"account optional pam_exec.so quiet /srv/oidcbox-pam\naccount required pam_permit.so\n", bad},
		"deny":            {helper + "account required pam_deny.so\n", bad},
		"nothing":         {"auth required pam_deny.so\n", bad},
	} {
		t.Run(name, func(t *testing.T) {
			rules, err := readStack(stackFiles(t, map[string]string{"sshd": tc.text}), "sshd", "account")
			if err != nil {
				t.Fatal(err)
			}
			worst := fine
			for _, f := range examineAccount(rules) {
				if f.Result == bad || f.Result == notable && worst == fine {
					worst = f.Result
				}
			}
			if worst != tc.worst {
				t.Errorf("got %s, want %s", worst, tc.worst)
			}
		})
	}
}

func TestReadStackRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"loop": "@include sshd\n", "short_line": "auth required\n", "bad_control": "auth [success=maybe] pam_unix.so\n",
		"open_bracket": "auth [success=1 pam_unix.so\n", "missing_include": "@include nothing-there\n",
		"include_nothing": "@include\n", "unknown_word": "auth demanded pam_unix.so\n",
	} {
		t.Run(name, func(t *testing.T) {
			if rules, err := readStack(stackFiles(t, map[string]string{"sshd": text}), "sshd", "auth"); err == nil {
				t.Errorf("got %v", rules)
			}
		})
	}
}

func FuzzStack(f *testing.F) {
	f.Add("auth sufficient pam_exec.so expose_authtok /oidcbox-pam\n" + commonAuth)
	f.Add("-auth [success=1 default=ignore] \\\n pam_unix.so\nauth substack x\n@include sshd\n")
	f.Fuzz(func(t *testing.T, text string) {
		root := t.TempDir()
		if err := os.MkdirAll(filepath.Join(root, "etc/pam.d"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, "etc/pam.d/sshd"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if rules, err := readStack(root, "sshd", "auth"); err == nil {
			examineAuth(rules)
		}
	})
}
