package services

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

const xrootdStart = 30 * time.Second // for two busy cores; one second is usual

// Certificates makes a throw-away authority and a certificate for localhost: ca.pem, server.pem (the chain) and
// server.key in the directory that it returns.
func Certificates(tb testing.TB) string {
	tb.Helper()
	Need(tb, "openssl", "sh")
	dir := tb.TempDir()
	if out, err := exec.Command("sh", filepath.Join(sourceDir(), "tls", "mkca.sh"), dir).CombinedOutput(); err != nil {
		tb.Fatalf("make certificates: %v\n%s", err, out)
	}
	return dir
}

// XRootDOptions describes a storage element.
type XRootDOptions struct {
	Audience     string   // what it takes in aud, beside nothing
	Issuers      []string // https; whose tokens it takes
	Certificates string   // of the function of that name: of the element, of its issuers and of other elements
	Group        string   // wlcg.groups member who may do all without a storage scope, "" for none
}

// XRootD is a running storage element: HTTP over TLS, WLCG tokens, third-party copies.
type XRootD struct {
	URL string // of its only directory: https://localhost:PORT/vo

	tb  testing.TB
	dir string
}

// StartXRootD starts a storage element on a free loopback port and ends it with the test. It needs root: xrootd runs as
// the user that Debian's package makes, in a mount namespace of its own.
func StartXRootD(tb testing.TB, o XRootDOptions) *XRootD {
	tb.Helper()
	Need(tb, "xrootd", "cc", "unshare", "setpriv")
	NeedRoot(tb)
	for _, plugin := range []string{"libXrdHttpTPC-5.so", "libXrdAccSciTokens-5.so"} {
		if found, _ := filepath.Glob("/usr/lib/*/" + plugin); len(found) == 0 {
			Missing(tb, "plug-in "+plugin+" of XRootD is not installed")
		}
	}
	dir, err := os.MkdirTemp("", "xrootd") // above tb.TempDir there is a directory that only root enters
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = os.RemoveAll(dir) })
	x := &XRootD{tb: tb, dir: dir}
	for range opTries { // somebody may take the port between our asking and its binding
		port := freePort(tb)
		x.URL = fmt.Sprintf("https://localhost:%d/vo", port)
		x.configure(o, port)
		if err = x.start(port); err == nil {
			return x
		}
	}
	tb.Fatalf("start xrootd: %v\n%s", err, x.Log())
	return nil
}

// configure writes everything the element needs and gives it to its user.
func (x *XRootD) configure(o XRootDOptions, port int) {
	x.tb.Helper()
	for _, d := range []string{"data/vo", "admin", "pid", "cache"} {
		x.check(os.MkdirAll(filepath.Join(x.dir, d), 0o755))
	}
	tokens := "[Global]\naudience = " + o.Audience + "\nonmissing = passthrough\n"
	for i, iss := range o.Issuers {
		tokens += fmt.Sprintf("\n[Issuer %d]\nissuer = %s\nbase_path = /vo\n", i, iss)
	}
	rights := ""
	if o.Group != "" {
		rights = "g " + o.Group + " /vo a\n"
	}
	x.write("scitokens.cfg", tokens)
	x.write("authdb", rights)
	x.write("xrootd.cfg", strings.NewReplacer("DIR", x.dir, "PORT", strconv.Itoa(port)).Replace(xrootdConfig))
	var bundle []byte
	for _, path := range []string{"/etc/ssl/certs/ca-certificates.crt", filepath.Join(o.Certificates, "ca.pem")} {
		b, err := os.ReadFile(path)
		x.check(err)
		bundle = append(bundle, b...)
	}
	x.write("bundle.pem", string(bundle))
	for _, name := range []string{"ca.pem", "server.pem", "server.key"} {
		copyFile(x.tb, filepath.Join(o.Certificates, name), filepath.Join(x.dir, name))
	}
	lib := filepath.Join(x.dir, "bindlo.so")
	out, err := exec.Command("cc", "-shared", "-fPIC", "-O1", "-o", lib,
		filepath.Join(sourceDir(), "xrootd", "bindlo.c"), "-ldl").CombinedOutput()
	if err != nil {
		x.tb.Fatalf("compile bindlo.c: %v\n%s", err, out)
	}
	out, err = exec.Command("chown", "-R", x.user().Username, x.dir).CombinedOutput()
	if err != nil {
		x.tb.Fatalf("chown: %v\n%s", err, out)
	}
	x.check(os.Chmod(x.dir, 0o755))
}

// xrootdConfig: tokens decide first, then, for those that have no right to the path, the list of groups.
const xrootdConfig = `all.export /vo
oss.localroot DIR/data
all.adminpath DIR/admin
all.pidpath DIR/pid
xrd.port PORT
xrd.network nodnr
xrd.tls DIR/server.pem DIR/server.key
xrd.tlsca certfile DIR/ca.pem
xrd.protocol http:PORT libXrdHttp.so
http.header2cgi Authorization authz
http.listingdeny no
http.exthandler xrdtpc libXrdHttpTPC.so
ofs.authorize 1
acc.authdb DIR/authdb
ofs.authlib ++ libXrdAccSciTokens.so config=DIR/scitokens.cfg
scitokens.trace all
`

func (x *XRootD) user() *user.User {
	x.tb.Helper()
	u, err := user.Lookup("xrootd")
	if err != nil {
		Missing(x.tb, "there is no user xrootd")
	}
	return u
}

func (x *XRootD) start(port int) error {
	x.tb.Helper()
	log, err := os.OpenFile(filepath.Join(x.dir, "log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	x.check(err)
	defer log.Close()
	cmd := exec.Command("sh", filepath.Join(sourceDir(), "xrootd", "start.sh"), x.dir, x.user().Username)
	cmd.Dir, cmd.Stdout, cmd.Stderr = x.dir, log, log
	x.check(cmd.Start())
	done := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(done)
	}()
	x.tb.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-done
	})
	for deadline := time.Now().Add(xrootdStart); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		select {
		case <-done:
			return fmt.Errorf("it ended at once")
		default:
		}
		if c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			c.Close()
			return nil
		}
	}
	_ = cmd.Process.Kill()
	return fmt.Errorf("it does not listen")
}

// Put makes a file in the element's directory, past all checks.
func (x *XRootD) Put(name, content string) {
	x.tb.Helper()
	path := filepath.Join(x.dir, "data", "vo", name)
	x.check(os.MkdirAll(filepath.Dir(path), 0o755))
	x.write(filepath.Join("data", "vo", name), content)
	out, err := exec.Command("chown", "-R", x.user().Username, filepath.Join(x.dir, "data")).CombinedOutput()
	if err != nil {
		x.tb.Fatalf("chown: %v\n%s", err, out)
	}
}

// Clear empties the element's directory, past all checks.
func (x *XRootD) Clear() {
	x.tb.Helper()
	names, err := filepath.Glob(filepath.Join(x.dir, "data", "vo", "*"))
	x.check(err)
	for _, name := range names {
		x.check(os.RemoveAll(name))
	}
}

// Get reads a file of the element's directory past all checks, "" when it is not there.
func (x *XRootD) Get(name string) string {
	b, _ := os.ReadFile(filepath.Join(x.dir, "data", "vo", name))
	return string(b)
}

// Log is what the element has said.
func (x *XRootD) Log() string {
	b, _ := os.ReadFile(filepath.Join(x.dir, "log"))
	return string(b)
}

func (x *XRootD) write(name, content string) {
	x.tb.Helper()
	x.check(os.WriteFile(filepath.Join(x.dir, name), []byte(content), 0o644))
}

func (x *XRootD) check(err error) {
	x.tb.Helper()
	if err != nil {
		x.tb.Fatal(err)
	}
}
