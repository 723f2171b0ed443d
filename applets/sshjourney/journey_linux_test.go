package sshjourney

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/oidc/issuer"
	"github.com/oidcbox/oidcbox/core/oidc/issuer/issuertest"
	"github.com/oidcbox/oidcbox/testdata/services"
)

const (
	module   = "github.com/oidcbox/oidcbox"
	audience = "https://ssh.example.org"

	// Where the program is in the host. The PAM helper is a link of its own, as it is when installed.
	program   = "/srv/bin/oidcbox"
	pamHelper = "/srv/bin/oidcbox-pam"

	serveUser = "oidcbox-provisioner" // who the HTTP side runs as

	startTime = 30 * time.Second // for a daemon to answer on two busy cores
)

// oneBinary is built once for all tests of the package.
var oneBinary = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "oidcbox-journey-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "oidcbox")
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", path, module)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", errors.New(string(out))
	}
	return path, os.Chmod(dir, 0o755) // users without rights run it, too
})

// TestMain lets the test binary play a provisioner that was taken over, and removes the program in the end.
func TestMain(m *testing.M) {
	if path := os.Getenv(yesVariable); path != "" {
		sayYes(path)
		return
	}
	code := m.Run()
	if path, err := oneBinary(); err == nil {
		_ = os.RemoveAll(filepath.Dir(path))
	}
	os.Exit(code)
}

// journey is a host with the program in it, and a provider beside it.
type journey struct {
	*services.Host
	t  testing.TB
	op *issuertest.Server
}

// newJourney makes a host that has the program, the user of the HTTP side, and a provider whose options edit may change.
// Nothing of ours runs yet.
func newJourney(t testing.TB, edit ...func(*issuer.Options)) *journey {
	t.Helper()
	j := &journey{Host: services.NewHost(t), t: t, op: issuertest.Start(t, edit...)}
	bin, err := oneBinary()
	if err != nil {
		t.Fatalf("build: %v", err)
	}
	if err := os.Mkdir(j.File("/srv/bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(bin, j.File(program)); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Base(program), j.File(pamHelper)); err != nil {
		t.Fatal(err)
	}
	j.Run("useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", serveUser)
	return j
}

// token is an access token of user with the audience of these tests, unless more says otherwise.
func (j *journey) token(user string, more ...url.Values) string {
	j.t.Helper()
	if len(more) == 0 {
		more = []url.Values{{"audience": {audience}}}
	}
	return j.op.Tokens(user, "openid profile email eduperson_entitlement eduperson_assurance", more...).Access.Expose()
}

// oidcbox is a command line of the program in the host, as root.
func (j *journey) oidcbox(args ...string) *exec.Cmd { return j.Command(program, args...) }

// as is a command line of the program in the host, as a user of it.
func (j *journey) as(user string, args ...string) *exec.Cmd {
	words := []string{"--reuid=" + user, "--regid=" + user, "--init-groups", "--", program}
	return j.Command("setpriv", append(words, args...)...)
}

// awaitSocket waits until somebody listens at a socket of the host.
func (j *journey) awaitSocket(path string) {
	j.t.Helper()
	j.await("a socket at "+path, func() bool {
		c, err := net.Dial("unix", j.File(path))
		if err == nil {
			c.Close()
		}
		return err == nil
	})
}

// await waits until ok is true.
func (j *journey) await(what string, ok func() bool) {
	j.t.Helper()
	for deadline := time.Now().Add(startTime); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			j.t.Fatalf("there is still not %s", what)
		}
	}
}

// outcome is how a command ended.
type outcome struct {
	code        int
	out, errOut string
}

func (o outcome) String() string {
	return fmt.Sprintf("exit code %d, output %q, messages %q", o.code, o.out, o.errOut)
}

// run runs a command to its end.
func (j *journey) run(cmd *exec.Cmd) outcome {
	j.t.Helper()
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		j.t.Fatal(err)
	}
	return outcome{cmd.ProcessState.ExitCode(), out.String(), errOut.String()}
}

// login logs in with the stock client and says who arrived: "" for nobody.
func (j *journey) login(s *services.SSHD, l services.SSHLogin) string {
	j.t.Helper()
	l.Command = []string{"id", "-un"}
	o := j.run(s.Client(l))
	if o.code != 0 {
		return ""
	}
	return strings.TrimSpace(o.out)
}
