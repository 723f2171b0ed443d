package sshjourney

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/oidcbox/oidcbox/core/account/login"
	"github.com/oidcbox/oidcbox/core/account/mark"
	"github.com/oidcbox/oidcbox/core/account/names"
	"github.com/oidcbox/oidcbox/core/account/otp/form"
	"github.com/oidcbox/oidcbox/core/account/sysuser"
	"github.com/oidcbox/oidcbox/core/transport/sock"
	"github.com/oidcbox/oidcbox/testdata/services"
)

// yesVariable makes the test binary a provisioner that was taken over: it listens at the socket of that name and says
// yes to everything, for the identity that the account shows.
const yesVariable = "OIDCBOX_JOURNEY_YES"

func sayYes(path string) {
	_ = os.Remove(path)
	ln, err := sock.Listen(path, sock.ListenOptions{})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	yes := func(ctx context.Context, _ sock.Peer, q login.Question) login.Answer {
		a := login.Answer{Allowed: true, State: "deployed", ID: "root@https%3A%2F%2Fissuer.example.org"}
		if u, err := (sysuser.DB{}).User(ctx, q.User); err == nil {
			if _, _, err := names.Decode(u.Gecos); err == nil {
				a.ID = u.Gecos
			}
		}
		return a
	}
	if err := login.Serve(context.Background(), ln, yes, login.ServeOptions{}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// takenOver starts that provisioner as a user of the host.
func (j *journey) takenOver(user string) *exec.Cmd {
	j.t.Helper()
	self, err := os.ReadFile(os.Args[0])
	if err != nil {
		j.t.Fatal(err)
	}
	j.Write("/srv/bin/yes", string(self), 0o755)
	j.Run("install", "-d", "-o", user, "-g", user, "-m", "0755", "/run/oidcbox")
	cmd := j.Command("setpriv", "--reuid="+user, "--regid="+user, "--clear-groups", "--", "/srv/bin/yes")
	cmd.Env = append(cmd.Env, yesVariable+"=/run/oidcbox/login.sock")
	j.Background("yes-"+user, cmd)
	j.awaitSocket("/run/oidcbox/login.sock")
	return cmd
}

// TestTakenOverProvisioner: whoever has the HTTP side gets into federated accounts and into no other.
func TestTakenOverProvisioner(t *testing.T) {
	j := newJourney(t)
	id := identity(t, "ada")
	uid := j.AddUser("ada", "", "--comment", id)
	j.AddUser("bob", "", "--comment", "Bob Local")
	j.AddUser("eve", "", "--comment", identity(t, "eve")) // a local user who wrote that herself
	j.AddUser("moved", "", "--comment", identity(t, "moved"))
	j.AddUser("renamed", "", "--comment", identity(t, "somebody"))
	j.AddUser("again", "", "--comment", "A. Local") // took the place of an account that somebody had deleted
	j.Run("useradd", "--system", "-m", "-s", "/bin/sh", "--comment", identity(t, "low"), "lowuid")
	j.Run("useradd", "--non-unique", "--uid", "0", "-M", "-s", "/bin/sh", "--comment", identity(t, "toor"), "second")
	marks := j.File(mark.DefaultDir)
	j.Run("install", "-d", "-m", "0700", "/var/lib/oidcbox/worker")
	for _, m := range []mark.Mark{
		{Name: "ada", UID: uint32(uid), ID: id},
		{Name: "moved", UID: uint32(uid), ID: identity(t, "moved")},
		{Name: "renamed", UID: uint32(j.UID("renamed")), ID: identity(t, "renamed")},
		{Name: "again", UID: uint32(j.UID("again")), ID: identity(t, "again"), Passwd: true},
		{Name: "second", UID: 0, ID: identity(t, "toor")},
		{Name: "lowuid", UID: uint32(j.UID("lowuid")), ID: identity(t, "low")},
	} {
		if err := mark.Write(marks, m); err != nil {
			t.Fatal(err)
		}
	}
	j.takenOver(serveUser)
	s := j.StartSSHD(services.SSHDOptions{PAM: stack(stackTokenOnly), Config: "PermitRootLogin yes"})
	secret := services.SSHLogin{Answers: []string{string(form.New())}}
	for _, tc := range []struct{ user, why string }{
		{"root", "name is reserved: root"},
		{"second", "outside of the range for federated accounts: uid 0"},
		{"lowuid", "outside of the range for federated accounts"},
		{"bob", "account is not managed by the provisioner"},
		{"eve", "account is not managed by the provisioner"},
		{"moved", "the identities of the account do not agree: the mark is for uid"},
		{"renamed", "the identities of the account do not agree: the mark says another one"},
		{"again", "the identities of the account do not agree: the mark says another one"},
		{"sshd", "name is reserved: sshd"},
	} {
		t.Run(tc.user+"_stays_closed", func(t *testing.T) {
			secret.User = tc.user
			log := j.refuse(t, s, secret, tc.why)
			if !strings.Contains(log, "refused") {
				t.Errorf("log:\n%s", log)
			}
		})
	}
	t.Run("federated_account_opens", func(t *testing.T) { // else the rest would show nothing
		secret.User = "ada"
		if who := j.login(s, secret); who != "ada" {
			t.Errorf("arrived as %q", who)
		}
	})
}

// TestForeignSocket: a socket that another user made is not asked, and gets no secret.
func TestForeignSocket(t *testing.T) {
	j := newJourney(t)
	j.AddUser("ada", "", "--comment", identity(t, "ada"))
	j.AddUser("mallory", "")
	s := j.StartSSHD(services.SSHDOptions{PAM: stack(stackTokenOnly)})
	secret := services.SSHLogin{User: "ada", Answers: []string{string(form.New())}}
	t.Run("somebody_else_listens", func(t *testing.T) {
		cmd := j.takenOver("mallory")
		j.refuse(t, s, secret, "the socket for logins is somebody else's")
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	t.Run("file_handed_over_does_not_help", func(t *testing.T) {
		cmd := j.takenOver("mallory")
		j.Run("chown", "-R", serveUser, "/run/oidcbox")
		j.refuse(t, s, secret, "the socket for logins is somebody else's")
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	t.Run("directory_where_others_write", func(t *testing.T) {
		j.Run("chmod", "0777", "/run/oidcbox")
		j.takenOver(serveUser)
		j.Run("chmod", "0777", "/run/oidcbox")
		j.refuse(t, s, secret, "the socket for logins is somebody else's")
	})
}
