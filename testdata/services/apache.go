package services

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	apacheModules = "/usr/lib/apache2/modules" // of Debian
	apacheStart   = 30 * time.Second           // for two busy cores; a fifth of a second is usual
)

// Apache is a running apache2 with a configuration of its own: nothing of /etc/apache2 is read.
type Apache struct {
	URL string // http://127.0.0.1:PORT

	tb  testing.TB
	dir string
}

// StartApache serves site, the text of a site's configuration, on a free loopback port until the test ends. modules are
// loaded besides what every site needs; one that is not installed skips the test.
func StartApache(tb testing.TB, site string, modules ...string) *Apache {
	tb.Helper()
	Need(tb, "apache2")
	modules = append([]string{"mpm_event", "authn_core", "authz_core", "authz_user"}, modules...)
	for _, m := range modules {
		if _, err := os.Stat(filepath.Join(apacheModules, "mod_"+m+".so")); err != nil {
			Missing(tb, "module "+m+" of apache2 is not installed")
		}
	}
	dir, err := os.MkdirTemp("", "apache") // above tb.TempDir there is a directory that only root enters
	if err != nil {
		tb.Fatal(err)
	}
	a := &Apache{tb: tb, dir: dir}
	tb.Cleanup(func() { _ = os.RemoveAll(dir) })
	a.check(os.Chmod(dir, 0o755))
	a.check(os.WriteFile(filepath.Join(dir, "site.conf"), []byte(site), 0o600))
	for range opTries { // somebody may take the port between our asking and its binding
		port := freePort(tb)
		a.URL = fmt.Sprintf("http://127.0.0.1:%d", port)
		a.configure(port, modules)
		if err = a.start(port); err == nil {
			return a
		}
	}
	tb.Fatalf("start apache2: %v\n%s", err, a.Log())
	return nil
}

func (a *Apache) configure(port int, modules []string) {
	a.tb.Helper()
	var conf strings.Builder
	fmt.Fprintf(&conf, "ServerRoot %[1]s\nDefaultRuntimeDir %[1]s\nPidFile %[1]s/pid\nMutex file:%[1]s\n"+
		"ErrorLog %[1]s/error.log\nLogLevel info\nServerName localhost\nListen 127.0.0.1:%[2]d\nServerLimit 2\n", a.dir, port)
	for _, m := range modules {
		fmt.Fprintf(&conf, "LoadModule %s_module %s/mod_%s.so\n", m, apacheModules, m)
	}
	if os.Geteuid() == 0 {
		conf.WriteString("User www-data\nGroup www-data\n")
	}
	conf.WriteString("Include site.conf\n")
	a.check(os.WriteFile(filepath.Join(a.dir, "apache2.conf"), []byte(conf.String()), 0o600))
}

func (a *Apache) start(port int) error {
	a.tb.Helper()
	log, err := os.OpenFile(filepath.Join(a.dir, "out.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	a.check(err)
	defer log.Close()
	cmd := exec.Command("apache2", "-f", filepath.Join(a.dir, "apache2.conf"), "-DFOREGROUND")
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C", "TMPDIR=" + a.dir, "HOME=" + a.dir}
	a.check(cmd.Start())
	done := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(done)
	}()
	stop := func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it ends its children with it
		select {
		case <-done:
		case <-time.After(apacheStart):
			_ = cmd.Process.Kill()
			<-done
		}
	}
	for deadline := time.Now().Add(apacheStart); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		select {
		case <-done:
			return errors.New("it ended at once")
		default:
		}
		if c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			c.Close()
			a.tb.Cleanup(stop)
			return nil
		}
	}
	stop()
	return errors.New("it does not listen")
}

// Log is what it has said.
func (a *Apache) Log() string {
	out, _ := os.ReadFile(filepath.Join(a.dir, "out.log"))
	log, _ := os.ReadFile(filepath.Join(a.dir, "error.log"))
	return string(out) + string(log)
}

func (a *Apache) check(err error) {
	a.tb.Helper()
	if err != nil {
		a.tb.Fatal(err)
	}
}
