package services

import (
	"bytes"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// pgWait is for two busy cores; two seconds are usual.
const pgWait = 2 * time.Minute

// Postgres is a PostgreSQL cluster of the test's own. It listens on a Unix socket, and on a loopback port when set up
// so; as root it runs as user nobody. Its superuser is "oidcbox" without a password on the socket.
type Postgres struct {
	Socket string // directory of the socket
	Port   int

	dir, bin string
	as       *owner // nil: ourselves
}

// owner is the user that a server runs as when the test is root.
type owner struct{ uid, gid int }

// ErrNoPostgres is returned by StartPostgreSQL where no PostgreSQL server is installed.
var ErrNoPostgres = errors.New("no PostgreSQL server is installed")

// PostgreSQL starts a cluster until the test ends, or skips the test. conf are lines of postgresql.conf.
func PostgreSQL(tb testing.TB, conf ...string) *Postgres {
	tb.Helper()
	p, err := StartPostgreSQL(conf...)
	if errors.Is(err, ErrNoPostgres) {
		Missing(tb, err.Error())
	}
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(p.Remove)
	return p
}

// StartPostgreSQL is PostgreSQL for a TestMain that shares one cluster among tests; Remove ends it.
func StartPostgreSQL(conf ...string) (*Postgres, error) {
	bin, err := postgresBin()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "pg") // short: the path of a Unix socket has 107 bytes
	if err != nil {
		return nil, err
	}
	p := &Postgres{Socket: dir, Port: 5432, dir: dir, bin: bin}
	if err := p.create(conf); err != nil {
		p.Remove()
		return nil, fmt.Errorf("start PostgreSQL: %w", err)
	}
	return p, nil
}

// postgresBin is where Debian has the server programs, which are not on the PATH.
func postgresBin() (string, error) {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil || len(found) == 0 {
		path, lookErr := exec.LookPath("initdb")
		if lookErr != nil {
			return "", ErrNoPostgres
		}
		found = []string{path}
	}
	return filepath.Dir(found[len(found)-1]), nil
}

func (p *Postgres) create(conf []string) error {
	if os.Geteuid() == 0 {
		nobody, err := user.Lookup("nobody")
		if err != nil {
			return err
		}
		uid, _ := strconv.Atoi(nobody.Uid)
		gid, _ := strconv.Atoi(nobody.Gid)
		p.as = &owner{uid: uid, gid: gid}
		if err := os.Chown(p.dir, uid, gid); err != nil {
			return err
		}
	}
	if err := os.Chmod(p.dir, 0o755); err != nil { //nolint:gosec // clients of other users reach the socket
		return err
	}
	err := p.tool("initdb", "-D", p.data(), "-U", "oidcbox", "--auth=trust", "--no-sync", "--no-locale", "-E", "UTF8")
	if err != nil {
		return err
	}
	settings := "listen_addresses = ''\nunix_socket_directories = '" + p.dir + "'\nmax_connections = 200\n" +
		"shared_buffers = 32MB\nlog_destination = stderr\n"
	for _, line := range conf {
		settings += line + "\n"
	}
	f, err := os.OpenFile(filepath.Join(p.data(), "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	if _, err := f.WriteString(settings); err != nil {
		return errors.Join(err, f.Close())
	}
	if err := f.Close(); err != nil {
		return err
	}
	return p.Start()
}

func (p *Postgres) data() string { return filepath.Join(p.dir, "data") }

// Data is the directory of the cluster.
func (p *Postgres) Data() string { return p.data() }

// tool runs a program of PostgreSQL as the user of the cluster.
func (p *Postgres) tool(name string, args ...string) error {
	cmd := exec.Command(filepath.Join(p.bin, name), args...)
	cmd.Dir = p.dir
	cmd.Env = []string{"PATH=" + p.bin + ":/usr/bin:/bin", "LANG=C", "HOME=" + p.dir, "TMPDIR=" + p.dir}
	if p.as != nil {
		p.as.runs(cmd)
	}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		log, _ := os.ReadFile(filepath.Join(p.dir, "log"))
		return fmt.Errorf("%s: %w\n%s%s", name, err, out.Bytes(), log)
	}
	return nil
}

// Start starts the stopped cluster and waits until it answers.
func (p *Postgres) Start() error {
	return p.ctl("start", "-l", filepath.Join(p.dir, "log"), "-o", "-p "+strconv.Itoa(p.Port))
}

// Stop ends it: "fast" rolls back what runs, "immediate" is like a crash.
func (p *Postgres) Stop(mode string) error { return p.ctl("stop", "-m", mode) }

// Reload makes it read its files again.
func (p *Postgres) Reload() error { return p.ctl("reload") }

func (p *Postgres) ctl(args ...string) error {
	wait := strconv.Itoa(int(pgWait.Seconds()))
	return p.tool("pg_ctl", append([]string{"-D", p.data(), "-w", "-t", wait}, args...)...)
}

// Remove stops the cluster and deletes it.
func (p *Postgres) Remove() {
	_ = p.Stop("immediate")
	_ = os.RemoveAll(p.dir)
}

// URL is the address of a database on the socket, for the superuser. "" is the database "postgres".
func (p *Postgres) URL(database string) string {
	if database == "" {
		database = "postgres"
	}
	q := url.Values{"host": {p.Socket}, "port": {strconv.Itoa(p.Port)}, "user": {"oidcbox"}}
	return "postgres:///" + database + "?" + q.Encode()
}

// Log is what the server has said.
func (p *Postgres) Log() string {
	log, _ := os.ReadFile(filepath.Join(p.dir, "log"))
	return string(log)
}

// Own gives a file to the user of the cluster.
func (p *Postgres) Own(name string) error {
	if p.as == nil {
		return nil
	}
	return os.Chown(name, p.as.uid, p.as.gid)
}
