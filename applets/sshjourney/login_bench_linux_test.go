package sshjourney

import (
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/account/otp/form"
	"github.com/oidcbox/oidcbox/testdata/services"
)

// BenchmarkLogin times whole logins in turn, against the same sshd in one run: with a key, by the wrapper with its
// caches warm, and by the stock client with the same kind of password; and PAM's helper alone. In a login by key, too,
// sshd asks the helper for the account phase, so what the wrapper adds is its own share and one run of the helper for
// auth.
//
// wrapper-own-ms is the median of (wrapper - key - helper) over the rounds; budget 60. helper-ms is that of one run of
// the helper, from its start to its end; budget 15.
func BenchmarkLogin(b *testing.B) {
	j := newJourney(b)
	c := newCue(j)
	s := j.StartSSHD(services.SSHDOptions{PAM: stack(stackTokenOnly)})
	c.info["ssh_host_keys"], c.info["otp_forms"], c.forms = []string{s.HostKey}, []string{"oxp"}, true
	cl := c.client(s)
	token := c.tokenOf("ada", 1500)
	wrapper := cl.wrapped("ssh", "-T", "login", "true")
	if o := cl.run(token, wrapper...); o.code != 0 {
		b.Fatal(o)
	}
	key := j.keyFor("ada")
	cl.write("home/.ssh/known_hosts", fmt.Sprintf("[127.0.0.1]:%d %s\n", s.Port, s.HostKey))

	times := map[string][]time.Duration{}
	timed := func(name string, cmd *exec.Cmd) time.Duration {
		b.Helper()
		begin := time.Now()
		if out, err := cmd.CombinedOutput(); err != nil {
			b.Fatalf("%s: %v\n%s", name, err, out)
		}
		d := time.Since(begin)
		times[name] = append(times[name], d)
		return d
	}
	for b.Loop() {
		password := c.password("ada")
		byKey := timed("key", cl.command("", "ssh", "-T", "-i", key, "-o", "IdentitiesOnly=yes", "-l", "ada", "login", "true"))
		byWrapper := timed("wrapper", cl.command(token, cl.bin, wrapper...))
		timed("password", s.Client(services.SSHLogin{User: "ada", Answers: []string{password}, Command: []string{"true"}}))
		helper := j.Command("env", "-i", "PAM_USER=ada", "PAM_TYPE=auth", "PAM_SERVICE=sshd", "PAM_RHOST=127.0.0.1", pamHelper)
		helper.Stdin = strings.NewReader(c.password("ada"))
		byHelper := timed("helper", helper)
		times["own"] = append(times["own"], byWrapper-byKey-byHelper)
	}
	for name, metric := range map[string]string{
		"key": "key-ms", "wrapper": "wrapper-ms", "password": "password-ms", "helper": "helper-ms", "own": "wrapper-own-ms",
	} {
		b.ReportMetric(median(times[name]), metric)
	}
	b.ReportMetric(0, "ns/op")
}

// median is in milliseconds.
func median(d []time.Duration) float64 {
	slices.Sort(d)
	return float64(d[len(d)/2]) / float64(time.Millisecond)
}

// password is a one-time password as a login before has got it.
func (c *cue) password(user string) string {
	p := string(form.New())
	c.mu.Lock()
	defer c.mu.Unlock()
	c.otps[p] = user
	return p
}

// keyFor lets a key in as a user of the host.
func (j *journey) keyFor(user string) string {
	j.t.Helper()
	file, public := services.SSHKey(j.t)
	j.Run("install", "-d", "-o", user, "-m", "0700", "/home/"+user+"/.ssh")
	j.Write("/home/"+user+"/.ssh/authorized_keys", public+"\n", 0o644)
	return file
}
