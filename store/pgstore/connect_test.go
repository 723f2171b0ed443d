package pgstore

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/oidcbox/oidcbox/testdata/services"
)

// TestConfigure: other machines only by TLS with a checked name, unless that is asked for.
func TestConfigure(t *testing.T) {
	ca := filepath.Join(t.TempDir(), "none.pem")
	for _, tc := range []struct {
		url   string
		plain bool
		want  error
	}{
		{url: "postgres://u@db.example/x"},
		{url: "postgresql://u@db.example/x?sslmode=verify-full"},
		{url: "postgres://u@db.example/x?sslmode=disable", want: ErrPlain},
		{url: "postgres://u@db.example/x?sslmode=disable", plain: true},
		{url: "postgres://u@db.example/x?sslmode=prefer", want: ErrPlain},
		{url: "postgres://u@db.example/x?sslmode=allow", want: ErrPlain},
		{url: "postgres://u@db.example/x?sslmode=require", want: ErrPlain},
		{url: "postgres://u@db.example/x?ssl=true", want: ErrPlain},
		{url: "postgres://u@127.0.0.1/x?host=db.example&sslmode=disable", want: ErrPlain},
		{url: "postgres://u@localhost,db.example/x?sslmode=disable", want: ErrPlain},
		{url: "postgres://u@a.example,b.example/x"},
		{url: "postgres://u@127.0.0.1/x"},
		{url: "postgres://u@[::1]/x?sslmode=disable"},
		{url: "postgres:///x?host=/run/postgresql"},
		{url: "postgres://u@db.example/x?sslmode=verify-full&sslrootcert=" + ca, want: ErrURL},
		{url: "host=db.example user=u", want: ErrURL},
		{url: "mysql://u@db.example/x", want: ErrURL},
		{url: "postgres://u:pa ss@db.example/x", want: ErrURL},
		{url: "", want: ErrURL},
	} {
		c, err := configure(text(tc.url), Options{AllowPlain: tc.plain}.withDefaults())
		if !errors.Is(err, tc.want) {
			t.Errorf("%s (plain %v): %v, want %v", tc.url, tc.plain, err, tc.want)
		}
		if err != nil {
			continue
		}
		remote := strings.Contains(tc.url, "example") && !tc.plain
		if tls := c.config.TLSConfig; remote && (tls == nil || tls.InsecureSkipVerify || tls.ServerName == "") {
			t.Errorf("%s: certificate is not checked: %+v", tc.url, tls)
		}
		if several := strings.Contains(tc.url, ","); several != (c.config.ValidateConnect != nil) {
			t.Errorf("%s: a standby would be taken", tc.url)
		}
	}
}

// secured starts a cluster that wants passwords and TLS on a loopback port.
func secured(t *testing.T, password string) (pg *services.Postgres, dir string) {
	t.Helper()
	server(t) // skips where there is none
	services.Need(t, "openssl", "sh")
	dir = t.TempDir()
	if out, err := exec.Command("sh", "../../testdata/services/tls/mkca.sh", dir).CombinedOutput(); err != nil {
		t.Fatalf("make certificates: %v\n%s", err, out)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	_ = l.Close()
	pg = services.PostgreSQL(t, "ssl = off", "max_connections = 30")
	owner, err := os.Stat(pg.Data())
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"server.pem", "server.key"} {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err == nil {
			err = os.WriteFile(filepath.Join(pg.Data(), name), b, 0o600)
		}
		if err == nil {
			err = pg.Own(filepath.Join(pg.Data(), name))
		}
		if err != nil {
			t.Fatal(err, owner)
		}
	}
	admin(t, pg, fmt.Sprintf("create user app superuser password '%s'", password))
	if err := pg.Stop("fast"); err != nil {
		t.Fatal(err)
	}
	hba := "local all oidcbox trust\nhostssl all app 127.0.0.1/32 scram-sha-256\n"
	conf := fmt.Sprintf("listen_addresses = '127.0.0.1'\nport = %d\nssl = on\nssl_cert_file = 'server.pem'\n"+
		"ssl_key_file = 'server.key'\n", port)
	pg.Port = port
	for name, content := range map[string]string{"pg_hba.conf": hba, "postgresql.auto.conf": conf} {
		if err := os.WriteFile(filepath.Join(pg.Data(), name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := pg.Start(); err != nil {
		t.Fatal(err)
	}
	return pg, dir
}

func admin(t *testing.T, pg *services.Postgres, sql string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), pg.URL(""))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	if _, err := conn.Exec(t.Context(), sql); err != nil {
		t.Fatal(err)
	}
}

// TestPassword: from the URL, a function, a file, the environment; over TLS with a checked certificate; and it stands
// in no error and no log.
func TestPassword(t *testing.T) {
	password := rand.Text()
	pg, dir := secured(t, password)
	var log bytes.Buffer
	var errs []error
	try := func(url string, o Options) error {
		o.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
		o.Patience, o.Schema = 100*time.Millisecond, "s"
		o.Connect, o.Statement = time.Minute, time.Minute
		e, err := Open(t.Context(), text(url), o)
		if err == nil {
			err = e.Update(t.Context(), addOne)
			_ = e.Close()
		}
		errs = append(errs, err, fmt.Errorf("%+v %#v", o, o))
		return err
	}
	base := fmt.Sprintf("127.0.0.1:%d/postgres?sslmode=verify-full&sslrootcert=%s", pg.Port, filepath.Join(dir, "ca.pem"))
	if err := try("postgres://app:"+password+"@"+base, Options{}); err != nil {
		t.Errorf("in the URL: %v", err)
	}
	if err := try("postgres://app@"+base, Options{Password: text(password)}); err != nil {
		t.Errorf("by the function: %v", err)
	}
	file := filepath.Join(dir, "pgpass")
	if err := os.WriteFile(file, []byte("*:*:*:app:"+password+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := try("postgres://app@"+base+"&passfile="+file, Options{}); err != nil {
		t.Errorf("in a file: %v", err)
	}
	_, said := child{Do: "open", URL: "postgres://app@" + base, Schema: "s"}.start(t, "PGPASSWORD="+password)
	if drain(said) != 1 {
		t.Error("in the environment: the child did not open")
	}
	for name, url := range map[string]string{
		"wrong password":    "postgres://app:x" + password + "@" + base,
		"wrong CA":          "postgres://app:" + password + "@" + strings.Replace(base, dir, wrongCA(t), 1),
		"without TLS":       "postgres://app:" + password + "@" + strings.Replace(base, "verify-full", "disable", 1),
		"bad port":          "postgres://app:" + password + "/w@" + base,
		"unknown parameter": "postgres://app:" + password + "@" + base + "&sslmode=none",
		"nobody listens":    "postgres://app:" + password + "@127.0.0.1:1/x",
		"unknown database":  "postgres://app:" + password + "@" + strings.Replace(base, "/postgres?", "/none?", 1),
	} {
		if err := try(url, Options{}); err == nil {
			t.Errorf("%s: opened", name)
		}
	}
	if err := try("postgres://app@"+base, Options{Password: text("x" + password)}); err == nil {
		t.Error("wrong password by the function: opened")
	}
	for _, where := range append(errs, errors.New(log.String()), errors.New(pg.Log())) {
		if where != nil && strings.Contains(where.Error(), password) {
			t.Errorf("the password is in: %v", where)
		}
	}
}

func wrongCA(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if out, err := exec.Command("sh", "../../testdata/services/tls/mkca.sh", dir).CombinedOutput(); err != nil {
		t.Fatalf("make certificates: %v\n%s", err, out)
	}
	return dir
}

// bouncer starts PgBouncer with two server connections in transaction mode, and returns its URL.
func bouncer(t *testing.T) string {
	t.Helper()
	services.Need(t, "pgbouncer")
	pg := server(t)
	dir, err := os.MkdirTemp("", "pb")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	conf := fmt.Sprintf("[databases]\npostgres = host=%s port=%d user=oidcbox\n[pgbouncer]\nunix_socket_dir = %s\n"+
		"listen_port = 6432\nauth_type = any\npool_mode = transaction\ndefault_pool_size = 2\nlogfile = %[3]s/log\n",
		pg.Socket, pg.Port, dir)
	ini := filepath.Join(dir, "ini")
	if err := os.WriteFile(ini, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{ini}
	for _, name := range []string{dir, ini} {
		if err := pg.Own(name); err != nil {
			t.Fatal(err)
		}
	}
	if os.Geteuid() == 0 {
		args = []string{"-u", "nobody", ini}
	}
	cmd := exec.Command("pgbouncer", args...)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/bin", "HOME=" + dir}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	until(t, func() bool { _, err := os.Stat(filepath.Join(dir, ".s.PGSQL.6432")); return err == nil })
	there := *pg
	there.Socket, there.Port = dir, 6432
	return there.URL("")
}

// TestPooler: the whole contract behind a transaction pooler with fewer connections than clients.
func TestPooler(t *testing.T) {
	url := bouncer(t)
	e := mustOpen(t, url, Options{Schema: newSchema()})
	c, err := e.pool.take(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if c.Value().prepared != nil {
		t.Error("the pooler was not noticed: statements are prepared")
	}
	e.pool.give(c)
	contract(t, url)
}
