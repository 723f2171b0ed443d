package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/oidcbox/oidcbox/testdata/services"
)

// cluster is servers on one PostgreSQL behind nginx.
type cluster struct {
	plan
	dir, url string // of the state; of the front
	op       *provider
	database string
	servers  []*server
	nginx    *exec.Cmd
	bare     *server // the front as a server to ask
}

// sharing measures one server and three of them on PostgreSQL, in turn, and three of which one is killed.
func (p plan) sharing(ctx context.Context, op *provider) error {
	if _, err := exec.LookPath("nginx"); err != nil {
		report("servers behind nginx are not measured: nginx is not installed")
		return nil
	}
	pg, err := services.StartPostgreSQL("max_connections = 100", "shared_buffers = 128MB")
	if errors.Is(err, services.ErrNoPostgres) {
		report("servers on PostgreSQL are not measured: it is not installed")
		return nil
	}
	if err != nil {
		return err
	}
	defer pg.Remove()
	c, err := p.newCluster(op, pg.URL(""))
	if err != nil {
		return err
	}
	defer c.stop()
	tokens, err := c.servers[0].seedsIn(c.database).sow(ctx, min(p.tokens, 2000))
	if err != nil {
		return fmt.Errorf("make mytokens: %w", err)
	}
	return c.measure(ctx, tokens)
}

func (p plan) newCluster(op *provider, database string) (*cluster, error) {
	dir, err := filepath.Abs(filepath.Join(p.dir, "cluster"))
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	front, err := free()
	if err != nil {
		return nil, err
	}
	c := &cluster{plan: p, dir: dir, url: "http://" + front, op: op, database: database}
	c.bare = &server{plan: p, dir: dir, address: front, op: op}
	for name, text := range map[string]string{"op-secret": "a-secret-of-the-server-there\n", "database-url": database + "\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			return nil, err
		}
	}
	for i := range 3 {
		address, err := free()
		if err != nil {
			return nil, err
		}
		s := &server{plan: p, dir: dir, address: address, op: op, config: fmt.Sprintf("server-%d.yaml", i), issuer: c.url}
		if err := os.WriteFile(filepath.Join(dir, s.config), []byte(c.configuration(i, address)), 0o600); err != nil {
			return nil, err
		}
		c.servers = append(c.servers, s)
	}
	if b, err := c.bare.command("setup", "--yes", "--state-only", "--config", "server-0.yaml").CombinedOutput(); err != nil {
		return nil, fmt.Errorf("setup: %w\n%s", err, b)
	}
	return c, nil
}

func free() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

func (c *cluster) configuration(i int, address string) string {
	return fmt.Sprintf(`version: 1
issuer: %s
listen: %s
control: control-%d.sock
proxies: [127.0.0.1]
operator: {name: Bench, contact: us@example.org}
state:
  postgres: {url_file: database-url, connections: 16}
  key_file: server/state-key
  locked_memory: prefer
keys: {dir: server/keys}
providers:
  op: {issuer: %s, client_id: mytoken, client_secret_file: op-secret}
limits: {address: none, user: none, mytoken: none}
audit: audit-%d.log
`, c.url, address, i, c.op.url, i)
}

// front starts nginx for some of the servers.
func (c *cluster) front(of []*server) error {
	user, temp, upstream := "", "", ""
	if os.Geteuid() == 0 {
		user = "user root;\n"
	}
	for _, kind := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		temp += fmt.Sprintf("%s_temp_path %s;\n", kind, filepath.Join(c.dir, kind))
	}
	for _, s := range of {
		upstream += "  server " + s.address + ";\n"
	}
	text := user + "daemon off;\nworker_processes 1;\nerror_log stderr crit;\npid " + filepath.Join(c.dir, "pid") + ";\nevents {}\n" +
		"http {\naccess_log off;\nkeepalive_requests 1000000;\n" + temp + "upstream mytoken {\n" + upstream +
		"  keepalive 128;\n  keepalive_requests 1000000;\n}\nserver {\n  listen " + c.bare.address + ";\n  location / {\n" +
		"    proxy_pass http://mytoken;\n    proxy_http_version 1.1;\n    proxy_set_header Connection \"\";\n" +
		"    proxy_set_header Host $http_host;\n    proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;\n" +
		"    proxy_set_header X-Forwarded-Proto $scheme;\n  }\n}\n}\n"
	name := filepath.Join(c.dir, "nginx.conf")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		return err
	}
	c.nginx = exec.Command("nginx", "-e", "stderr", "-p", c.dir, "-c", name)
	c.nginx.Stderr = os.Stderr
	if err := c.nginx.Start(); err != nil {
		return err
	}
	for begin := time.Now(); time.Since(begin) < 10*time.Second; time.Sleep(5 * time.Millisecond) {
		if c.bare.isReady() {
			return nil
		}
	}
	return errors.New("nginx does not answer")
}

func (c *cluster) endFront() {
	if c.nginx != nil {
		_ = c.nginx.Process.Signal(os.Interrupt) // a killed nginx leaves its workers behind
		_ = c.nginx.Wait()
		c.nginx = nil
	}
}

func (c *cluster) stop() {
	c.endFront()
	for _, s := range c.servers {
		if s.cmd != nil {
			s.stop()
		}
	}
}

func (c *cluster) measure(ctx context.Context, tokens []string) error {
	for _, s := range c.servers {
		if _, _, err := s.start(ctx); err != nil {
			return err
		}
	}
	for _, what := range []struct {
		name     string
		requests [][]byte
		want     string
	}{
		{"access tokens", c.bare.accesses(tokens), `"access_token"`},
		{"introspections", c.bare.introspections(tokens), `"valid":true`},
	} {
		for _, n := range []int{1, 3} {
			if err := c.front(c.servers[:n]); err != nil {
				return err
			}
			l := load{address: c.bare.address, clients: 32, requests: what.requests, want: []byte(what.want)}
			r, err := c.median(ctx, l)
			c.endFront()
			if err != nil {
				return fmt.Errorf("%s: %w\n%s", what.name, err, c.servers[0].out.String())
			}
			report("%-14s by %d on PostgreSQL, nginx     %s", what.name, n, r)
		}
	}
	return c.lose(ctx, tokens)
}

// lose kills one of three under load: requests that it had come to nothing, the others go on.
func (c *cluster) lose(ctx context.Context, tokens []string) error {
	if err := c.front(c.servers); err != nil {
		return err
	}
	defer c.endFront()
	l := load{
		address: c.bare.address, clients: 32, requests: c.bare.accesses(tokens), want: []byte(`"access_token"`), length: c.round,
		lost: map[int]int{},
	}
	kill := time.AfterFunc(c.round/3, func() { _ = c.servers[2].cmd.Process.Signal(syscall.SIGKILL) })
	defer kill.Stop()
	r, err := l.run(ctx)
	if err != nil {
		return err
	}
	report("  one of three killed after a third       %s; without an answer by status: %v", r, l.lost)
	return nil
}

// seedsIn are the seeds of a server in a database.
func (s *server) seedsIn(database string) seeds {
	return seeds{issuer: s.issuer, provider: s.op.url, state: filepath.Join(s.dir, "server"), database: database}
}

// yaml is the configuration of a server.
func (s *server) yaml() string {
	if s.config == "" {
		return "server.yaml"
	}
	return strings.TrimSpace(s.config)
}
