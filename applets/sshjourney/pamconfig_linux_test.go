package sshjourney

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/oidcbox/oidcbox/core/account/login"
	"github.com/oidcbox/oidcbox/core/account/otp/form"
	"github.com/oidcbox/oidcbox/testdata/services"
)

const (
	pamFile    = "/etc/pam.d/sshd"
	sshdFile   = "/etc/ssh/sshd_config"
	dropInFile = "/etc/ssh/sshd_config.d/00-oidcbox.conf"

	// As the package of Debian has it, and hostile to us further down.
	debianSSHD = "Include /etc/ssh/sshd_config.d/*.conf\nKbdInteractiveAuthentication no\nUsePAM yes\nSubsystem sftp internal-sftp\n"
)

func (j *journey) pamConfig(args ...string) outcome {
	j.t.Helper()
	return j.run(j.oidcbox(append([]string{"pam", "config", "--helper", pamHelper}, args...)...))
}

// TestPAMConfig sets a host up as an administrator does, logs in, and takes it all back.
func TestPAMConfig(t *testing.T) {
	services.Need(t, "pamtester")
	j := newJourney(t)
	id := identity(t, "ada")
	j.AddUser("ada", "", "--comment", id)
	j.AddUser("bob", "bob has 1 pw")
	j.Run("ssh-keygen", "-A")
	j.Run("mkdir", "-p", "/etc/ssh/sshd_config.d")
	j.Write(sshdFile, debianSSHD, 0o644)
	stackBefore := j.Read(pamFile)
	_, stop := j.standIn(func(q login.Question) login.Answer {
		if q.User != "ada" {
			return login.Answer{State: "not_deployed", Reason: "nobody has that name"}
		}
		return login.Answer{Allowed: true, State: "deployed", ID: id}
	})

	if o := j.pamConfig("--install"); o.code != 0 {
		t.Fatal(o)
	}
	installed := j.Read(pamFile)
	t.Run("twice_is_once", func(t *testing.T) {
		o := j.pamConfig("--install")
		if o.code != 0 || !strings.Contains(o.errOut, "nothing to change") || j.Read(pamFile) != installed {
			t.Errorf("%v\n%s", o, j.Read(pamFile))
		}
	})
	t.Run("backup_is_what_was_there", func(t *testing.T) {
		if got := j.Read(pamFile + ".before-oidcbox"); got != stackBefore {
			t.Errorf("got\n%s", got)
		}
	})
	t.Run("changed_options_replace_the_line", func(t *testing.T) {
		if o := j.pamConfig("--install", "floor=2000"); o.code != 0 || strings.Count(j.Read(pamFile), "floor=2000") != 2 ||
			strings.Count(j.Read(pamFile), "begin oidcbox") != 2 {
			t.Errorf("%v\n%s", o, j.Read(pamFile))
		}
		if o := j.pamConfig("--install"); o.code != 0 || j.Read(pamFile) != installed {
			t.Errorf("%v\n%s", o, j.Read(pamFile))
		}
	})
	t.Run("token_and_password_log_in", func(t *testing.T) {
		s := j.StartSSHD(services.SSHDOptions{})
		if who := j.login(s, services.SSHLogin{User: "ada", Answers: []string{string(form.New())}}); who != "ada" {
			t.Errorf("arrived as %q", who)
		}
		if who := j.login(s, services.SSHLogin{User: "bob", Answers: []string{"bob has 1 pw"}}); who != "bob" {
			t.Errorf("arrived as %q", who)
		}
		j.Write(sshdFile, debianSSHD, 0o644)
	})
	t.Run("check_finds_nothing_wrong", func(t *testing.T) {
		o := j.run(j.oidcbox("pam", "check", "--json"))
		var said struct {
			OK       bool `json:"ok"`
			Findings []struct{ About, Result, Text string }
		}
		if err := json.Unmarshal([]byte(o.out), &said); o.code != 0 || err != nil || !said.OK || len(said.Findings) < 10 {
			t.Errorf("%v, %v", err, o)
		}
	})
	t.Run("check_notices_that_any_password_opens_an_account", func(t *testing.T) {
		o := j.run(j.oidcbox("pam", "check", "--user", "ada"))
		if o.code != 1 || !strings.Contains(o.out, "an invented one-time password was accepted") {
			t.Error(o)
		}
	})
	t.Run("check_notices_that_nobody_answers", func(t *testing.T) {
		stop()
		if o := j.run(j.oidcbox("pam", "check")); o.code != 1 || !strings.Contains(o.out, "nobody answers questions about logins") {
			t.Error(o)
		}
	})
	t.Run("remove_leaves_what_was_there", func(t *testing.T) {
		if o := j.pamConfig("--remove"); o.code != 0 || j.Read(pamFile) != stackBefore || j.Read(sshdFile) != debianSSHD || j.Read(dropInFile) != "" {
			t.Errorf("%v\n%s\n%s", o, j.Read(pamFile), j.Read(dropInFile))
		}
		if o := j.pamConfig("--remove"); o.code != 0 || !strings.Contains(o.errOut, "nothing to change") {
			t.Error(o)
		}
	})
}

// TestPAMConfigRefuses: what would not work is not left behind.
func TestPAMConfigRefuses(t *testing.T) {
	services.Need(t, "pamtester")
	j := newJourney(t)
	j.Run("ssh-keygen", "-A")
	j.Run("mkdir", "-p", "/etc/ssh/sshd_config.d")
	stackBefore := j.Read(pamFile)
	for _, tc := range []struct{ name, stack, sshd, why string }{
		{"an_earlier_line_wins", stackBefore, "KbdInteractiveAuthentication no\n" + debianSSHD, "KbdInteractiveAuthentication"},
		{"sshd_refuses_its_file", stackBefore, debianSSHD + "Bogus yes\n", "sshd"},
		{"stack_is_set_up_by_hand", "auth sufficient pam_exec.so expose_authtok /opt/oidcbox-pam\n" + stackBefore, debianSSHD, "calls oidcbox-pam already"},
		{"block_without_end", "# begin oidcbox\n" + stackBefore, debianSSHD, "without its end"},
		{"stack_lets_everybody_in", "auth required pam_permit.so\naccount required pam_permit.so\n", debianSSHD, "lets in whoever invents a password"},
		{"no_auth_line", "account required pam_permit.so\n", debianSSHD, "no auth line"},
		{"includes_nothing_there", "@include common-nothing\n" + stackBefore, debianSSHD, "common-nothing"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			j.Write(pamFile, tc.stack, 0o644)
			j.Write(sshdFile, tc.sshd, 0o644)
			o := j.pamConfig("--install")
			if o.code == 0 || !strings.Contains(o.errOut, tc.why) {
				t.Errorf("%v", o)
			}
			if j.Read(pamFile) != tc.stack || j.Read(sshdFile) != tc.sshd || j.Read(dropInFile) != "" || j.Read("/etc/pam.d/oidcbox-try") != "" {
				t.Errorf("something was left behind:\n%s%s%s", j.Read(pamFile), j.Read(sshdFile), j.Read(dropInFile))
			}
		})
	}
	t.Run("without_drop_ins_the_file_itself_is_changed", func(t *testing.T) {
		j.Write(pamFile, stackBefore, 0o644)
		j.Write(sshdFile, "KbdInteractiveAuthentication no\nUsePAM no\n", 0o644)
		if o := j.pamConfig("--install"); o.code != 0 || !strings.HasPrefix(j.Read(sshdFile), "# begin oidcbox") {
			t.Errorf("%v\n%s", o, j.Read(sshdFile))
		}
		if o := j.pamConfig("--remove"); o.code != 0 || j.Read(sshdFile) != "KbdInteractiveAuthentication no\nUsePAM no\n" {
			t.Errorf("%v\n%s", o, j.Read(sshdFile))
		}
	})
	t.Run("helper_that_others_may_write", func(t *testing.T) {
		j.Write("/srv/bin/loose", "#!/bin/sh\n", 0o777)
		if o := j.run(j.oidcbox("pam", "config", "--install", "--helper", "/srv/bin/loose")); o.code == 0 {
			t.Error(o)
		}
	})
	t.Run("not_root", func(t *testing.T) {
		if o := j.run(j.as(serveUser, "pam", "config", "--install")); o.code != 4 {
			t.Error(o)
		}
	})
}
