package sshjourney

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/account/otp/form"
)

// BenchmarkHelper times whole processes in turn: a Go program that does nothing, the helper that refuses a local user's
// password, and the helper with a provisioner behind it. The budgets are 3 x bare for the first, and 15 ms of a login
// for both phases of the second.
func BenchmarkHelper(b *testing.B) {
	j := newJourney(b)
	id := identity(b, "ada")
	j.AddUser("ada", "", "--comment", id)
	_, _ = j.standIn(accepted(id))
	bare := bareProgram(b, j.File("/srv/bin"))
	env := []string{"PAM_USER=ada", "PAM_SERVICE=sshd", "PAM_RHOST=192.0.2.1"}
	type run struct {
		cmd func(name string, args ...string) *exec.Cmd // in the host, or beside it: entering takes a millisecond
		exe string
		env []string
		in  string
	}
	runs := map[string]run{
		"bare":     {cmd: exec.Command, exe: j.File(bare)},
		"password": {cmd: exec.Command, exe: j.File(pamHelper), env: append(env, "PAM_TYPE=auth"), in: "somebody's password"},
		"auth":     {cmd: j.Command, exe: pamHelper, env: append(env, "PAM_TYPE=auth"), in: string(form.New())},
		"account":  {cmd: j.Command, exe: pamHelper, env: append(env, "PAM_TYPE=account")},
	}
	times := map[string][]time.Duration{}
	for b.Loop() {
		for name, r := range runs {
			times[name] = append(times[name], timed(b, r.cmd(r.exe), r.env, r.in))
		}
	}
	median := func(name string) float64 {
		slices.Sort(times[name])
		return float64(times[name][len(times[name])/2]) / 1e6
	}
	b.ReportMetric(median("bare"), "bare-ms")
	b.ReportMetric(median("password")/median("bare"), "password-x-bare")
	b.ReportMetric(median("auth"), "auth-ms")
	b.ReportMetric(median("account"), "account-ms")
}

// timed runs a program and returns how long its process was there.
func timed(b *testing.B, cmd *exec.Cmd, env []string, in string) time.Duration {
	b.Helper()
	cmd.Env, cmd.Stdin = env, strings.NewReader(in)
	begin := time.Now()
	err := cmd.Run()
	took := time.Since(begin)
	if _, exited := err.(*exec.ExitError); err != nil && !exited {
		b.Fatal(err)
	}
	return took
}

func bareProgram(b *testing.B, dir string) string {
	b.Helper()
	src := filepath.Join(b.TempDir(), "main.go")
	if err := os.WriteFile(src, []byte("package main\n\nfunc main() {}\n"), 0o600); err != nil {
		b.Fatal(err)
	}
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", filepath.Join(dir, "bare"), src)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("build: %v\n%s", err, out)
	}
	return "/srv/bin/bare"
}
