//go:build unix

package services

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

const slapdStart = 30 * time.Second // for two busy cores; a third of a second is usual

// slapdFiles are built in: a test that was built with -trimpath does not know where its source lies.
//
//go:embed slapd tls/mkca.sh
var slapdFiles embed.FS

// Directory is a running OpenLDAP server (slapd) with dc=example,dc=org: ou=people, ou=groups, ou=services, the user
// olduser and the group existing.
type Directory struct {
	URL   string // ldap://127.0.0.1:PORT, with StartTLS for those who want it
	LDAPS string // ldaps://127.0.0.1:PORT
	LDAPI string // ldapi://PATH: who started it is the administrator there
	CA    string // file with the certificate of its authority

	tb  testing.TB
	dir string
	cmd *exec.Cmd
	end chan struct{}
}

// The base and the names and passwords of a Directory. The writer may write below people and groups, the reader read.
const (
	LDAPBase   = "dc=example,dc=org"
	LDAPPeople = "ou=people," + LDAPBase
	LDAPGroups = "ou=groups," + LDAPBase

	LDAPAdmin, LDAPAdminPassword   = "cn=admin," + LDAPBase, "admin-secret"
	LDAPWriter, LDAPWriterPassword = "cn=provisioner,ou=services," + LDAPBase, "prov-secret"
	LDAPReader, LDAPReaderPassword = "cn=reader,ou=services," + LDAPBase, "read-secret"
	LDAPUser, LDAPUserPassword     = "uid=olduser," + LDAPPeople, "old-secret"
)

// SlapdOptions are lines of its configuration.
type SlapdOptions struct {
	Schema   string // after the other definitions
	Global   string // before the database: modules, limits
	Database string // at its beginning: access rules that come first, overlays
}

// SlapdCounters is the schema that sites have for the counters of the feudal adapter.
const SlapdCounters = `objectclass ( 1.3.6.1.4.1.99999.2.2 NAME 'uidNext' SUP top STRUCTURAL MUST ( cn $ uidNumber ) )
objectclass ( 1.3.6.1.4.1.99999.2.3 NAME 'gidNext' SUP top STRUCTURAL MUST ( cn $ gidNumber ) )
`

// Slapd starts a directory until the test ends, or skips the test.
func Slapd(tb testing.TB, options ...SlapdOptions) *Directory {
	tb.Helper()
	if _, err := os.Stat("/usr/sbin/slapd"); err != nil {
		Missing(tb, "program slapd is not installed")
	}
	Need(tb, "ldapadd", "ldapsearch", "openssl")
	dir, err := os.MkdirTemp("", "slapd")
	if err != nil {
		tb.Fatal(err)
	}
	d := &Directory{
		tb: tb, dir: dir, CA: filepath.Join(dir, "ca.pem"), LDAPI: "ldapi://" + url.PathEscape(filepath.Join(dir, "ldapi")),
	}
	tb.Cleanup(func() { _ = os.RemoveAll(dir) })
	d.check(os.Mkdir(filepath.Join(dir, "db"), 0o700))
	d.check(os.Chmod(dir, 0o755)) //nolint:gosec // nslcd and others read the certificate
	var o SlapdOptions
	for _, more := range options {
		o.Schema, o.Global, o.Database = o.Schema+more.Schema, o.Global+more.Global, o.Database+more.Database
	}
	d.configure(o)
	for range opTries { // somebody may take a port between our asking and its binding
		d.URL = "ldap://127.0.0.1:" + strconv.Itoa(freePort(tb))
		d.LDAPS = "ldaps://127.0.0.1:" + strconv.Itoa(freePort(tb))
		if err = d.start(); err == nil {
			tb.Cleanup(d.Kill)
			return d
		}
	}
	tb.Fatalf("start slapd: %v\n%s", err, d.Log())
	return nil
}

func (d *Directory) configure(o SlapdOptions) {
	d.tb.Helper()
	mkca := d.command("sh", "-s", d.dir)
	mkca.Stdin = bytes.NewReader(d.builtin("tls/mkca.sh"))
	if out, err := mkca.CombinedOutput(); err != nil {
		d.tb.Fatalf("make certificates: %v\n%s", err, out)
	}
	conf := strings.NewReplacer(
		"@DIR@", d.dir, "@UID@", strconv.Itoa(os.Getuid()), "@GID@", strconv.Itoa(os.Getgid()),
		"@SCHEMA@", o.Schema, "@GLOBAL@", o.Global, "@DATABASE@", o.Database,
	).Replace(string(d.builtin("slapd/slapd.conf")))
	d.check(os.WriteFile(d.file("slapd.conf"), []byte(conf), 0o600))
	add := d.command("/usr/sbin/slapadd", "-f", d.file("slapd.conf"))
	add.Stdin = bytes.NewReader(d.builtin("slapd/base.ldif"))
	out, err := add.CombinedOutput()
	if err != nil {
		d.tb.Fatalf("slapadd: %v\n%s", err, out)
	}
}

func (d *Directory) builtin(name string) []byte {
	d.tb.Helper()
	b, err := slapdFiles.ReadFile(name)
	d.check(err)
	return b
}

func (d *Directory) file(name string) string { return filepath.Join(d.dir, name) }

func (d *Directory) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C", "TMPDIR=" + d.dir, "HOME=" + d.dir, "LDAPNOINIT=1"}
	return cmd
}

func (d *Directory) start() error {
	log, err := os.OpenFile(d.file("log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	d.cmd = d.command("/usr/sbin/slapd", "-d", "stats", "-f", d.file("slapd.conf"), "-h", d.URL+" "+d.LDAPS+" "+d.LDAPI)
	d.cmd.Stdout, d.cmd.Stderr = log, log
	if err := d.cmd.Start(); err != nil {
		return err
	}
	cmd, end := d.cmd, make(chan struct{})
	d.end = end
	go func() {
		_ = cmd.Wait()
		close(end)
	}()
	for deadline := time.Now().Add(slapdStart); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		select {
		case <-end:
			return errors.New("it ended at once")
		default:
		}
		if c, err := net.Dial("tcp", strings.TrimPrefix(d.URL, "ldap://")); err == nil {
			c.Close()
			return nil
		}
	}
	d.Kill()
	return errors.New("it does not listen")
}

// Kill ends it without warning. What was answered before is kept.
func (d *Directory) Kill() { d.signal(syscall.SIGKILL) }

// Pause stops it in the middle of what it does; Continue lets it go on.
func (d *Directory) Pause() {
	d.tb.Helper()
	d.check(d.cmd.Process.Signal(syscall.SIGSTOP))
	stat := "/proc/" + strconv.Itoa(d.cmd.Process.Pid) + "/stat"
	for deadline := time.Now().Add(slapdStart); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if b, err := os.ReadFile(stat); err != nil || bytes.Contains(b, []byte(") T ")) {
			return
		}
	}
	d.tb.Fatal("slapd does not stop")
}

// Continue is the opposite of Pause.
func (d *Directory) Continue() { _ = d.cmd.Process.Signal(syscall.SIGCONT) }

func (d *Directory) signal(sig syscall.Signal) {
	_ = d.cmd.Process.Signal(sig)
	<-d.end
}

// Restart starts it again after Kill, on the same ports.
func (d *Directory) Restart() {
	d.tb.Helper()
	d.check(d.start())
}

// Add adds entries written as LDIF, or changes them where they say "changetype: modify". It is done by the administrator.
func (d *Directory) Add(ldif string) {
	d.tb.Helper()
	cmd := d.command("ldapmodify", "-a", "-x", "-H", d.URL, "-D", LDAPAdmin, "-w", LDAPAdminPassword)
	cmd.Stdin = strings.NewReader(ldif)
	if out, err := cmd.CombinedOutput(); err != nil {
		d.tb.Fatalf("ldapmodify: %v\n%s", err, out)
	}
}

// Search returns what the administrator finds below base, as LDIF without line breaks in values.
func (d *Directory) Search(base, filter string, attrs ...string) string {
	d.tb.Helper()
	args := append([]string{
		"-LLL", "-o", "ldif-wrap=no", "-x", "-H", d.URL, "-D", LDAPAdmin, "-w", LDAPAdminPassword, "-b", base, filter,
	}, attrs...)
	cmd := d.command("ldapsearch", args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		d.tb.Fatalf("ldapsearch %s: %v\n%s", filter, err, errs.Bytes())
	}
	return out.String()
}

// Log is what it has said.
func (d *Directory) Log() string {
	log, _ := os.ReadFile(d.file("log"))
	return string(log)
}

func (d *Directory) check(err error) {
	d.tb.Helper()
	if err != nil {
		d.tb.Fatal(err)
	}
}

// PersonLDIF is an entry for a person, made as an administrator makes it. more are further lines.
func PersonLDIF(name string, uid, gid int, more ...string) string {
	return fmt.Sprintf("dn: uid=%[1]s,%[2]s\nobjectClass: inetOrgPerson\nobjectClass: posixAccount\n"+
		"objectClass: federatedAccount\nuid: %[1]s\ncn: %[1]s\nsn: %[1]s\nuidNumber: %[3]d\ngidNumber: %[4]d\n"+
		"homeDirectory: /home/%[1]s\nloginShell: /bin/bash\n%[5]s\n",
		name, LDAPPeople, uid, gid, strings.Join(append(more, ""), "\n"))
}
