package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// site is the servers, each alone on the first processor.
type site struct {
	o                       options
	dir                     string
	signer                  *signer
	nginx, verifier, apache *server
	keys                    *httptest.Server
	running                 []*exec.Cmd
}

// server is one that is asked, and where.
type server struct {
	addr, path string
	answer     int // to a good token
	open       bool
}

func start(o options, dir string) (*site, error) {
	s := &site{o: o, dir: dir}
	var err error
	if s.signer, err = newSigner(); err != nil {
		return s, err
	}
	s.keys = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, s.signer.jwks)
	}))
	return s, errors.Join(s.startNginx(), s.startVerifier(), s.startApache())
}

func (s *site) stop() {
	for _, c := range s.running {
		_ = c.Process.Signal(os.Interrupt)
		_ = c.Wait()
	}
	if s.keys != nil {
		s.keys.Close()
	}
}

func (s *site) file(name, text string) (string, error) {
	path := filepath.Join(s.dir, name)
	return path, os.WriteFile(path, []byte(text), 0o644)
}

// address is a free one of this machine.
func address() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// begin starts a server and waits until it answers.
func (s *site) begin(server *server, program string, args ...string) error {
	c := exec.Command("taskset", append([]string{"-c", "0", program}, args...)...)
	log, err := os.Create(filepath.Join(s.dir, filepath.Base(program)+".out"))
	if err != nil {
		return err
	}
	defer log.Close()
	c.Dir, c.Stdout, c.Stderr = s.dir, log, log
	c.Env = append(os.Environ(), "HOME="+s.dir, "XDG_RUNTIME_DIR="+s.dir)
	if err := c.Start(); err != nil {
		return err
	}
	s.running = append(s.running, c)
	for range 200 {
		if conn, err := net.Dial("tcp", server.addr); err == nil {
			return conn.Close()
		}
		time.Sleep(50 * time.Millisecond)
	}
	said, _ := os.ReadFile(log.Name())
	return fmt.Errorf("%s does not answer: %s", program, said)
}

func (s *site) startNginx() error {
	addr, err := address()
	if err != nil {
		return err
	}
	s.nginx = &server{addr: addr, path: "/", answer: http.StatusNoContent, open: true}
	conf, err := s.file("nginx.conf", `daemon off; master_process off; worker_processes 1;
pid `+s.dir+`/nginx.pid; error_log `+s.dir+`/nginx.log;
events { worker_connections 1024; }
http {
    access_log off; keepalive_requests 1000000000;
    client_body_temp_path `+s.dir+`/n1; proxy_temp_path `+s.dir+`/n2; fastcgi_temp_path `+s.dir+`/n3;
    uwsgi_temp_path `+s.dir+`/n4; scgi_temp_path `+s.dir+`/n5;
    server { listen `+addr+`; location / { return 204; } }
}
`)
	if err != nil {
		return err
	}
	return s.begin(s.nginx, "nginx", "-p", s.dir, "-c", conf)
}

func (s *site) startVerifier() error {
	addr, err := address()
	if err != nil {
		return err
	}
	s.verifier = &server{addr: addr, path: "/forward/nginx", answer: http.StatusOK}
	if _, err := s.file("keys.json", s.signer.jwks); err != nil {
		return err
	}
	conf, err := s.file("verifier.yaml", `version: 1
listen: `+addr+`
control: off
audiences: [`+audience+`]
issuers:
  `+issuer+`: {keys_file: keys.json}
policy:
  version: 1
  issuers:
    `+issuer+`: {areas: [/]}
  services:
    storage: {require: {capability: requested}}
services:
  storage: {proxy: nginx, operations: storage}
audit: `+s.o.audit+`
`)
	if err != nil {
		return err
	}
	return s.begin(s.verifier, s.o.binary, "verifier", "serve", "--config", conf)
}

func (s *site) startApache() error {
	addr, err := address()
	if err != nil {
		return err
	}
	s.apache = &server{addr: addr, path: "/dir/file", answer: http.StatusOK}
	if err := os.MkdirAll(filepath.Join(s.dir, "htdocs", "dir"), 0o755); err != nil {
		return err
	}
	if _, err := s.file("htdocs/dir/file", ""); err != nil {
		return err
	}
	var modules strings.Builder
	for _, m := range []string{"mpm_event", "authn_core", "authz_core", "authz_user", "auth_openidc"} {
		fmt.Fprintf(&modules, "LoadModule %s_module /usr/lib/apache2/modules/mod_%s.so\n", m, m)
	}
	conf, err := s.file("apache.conf", modules.String()+`ServerRoot `+s.dir+`
ServerName localhost
Listen `+addr+`
PidFile `+s.dir+`/apache.pid
DefaultRuntimeDir `+s.dir+`
Mutex default:`+s.dir+`
ErrorLog `+s.dir+`/apache.log
User www-data
Group www-data
StartServers 1
ServerLimit 1
ThreadsPerChild 64
MaxRequestWorkers 64
KeepAlive On
MaxKeepAliveRequests 0
DocumentRoot `+s.dir+`/htdocs
OIDCOAuthVerifyJwksUri `+s.keys.URL+`/jwks
OIDCOAuthSSLValidateServer Off
<Location />
    AuthType oauth20
    Require claim aud:`+audience+`
</Location>
`)
	if err != nil {
		return err
	}
	return s.begin(s.apache, "apache2", "-X", "-f", conf)
}

// agree asks each server with a good token, a bad one and none: who says yes to all has checked nothing.
func (s *site) agree(good string) error {
	bad := good[:len(good)-8] + "AAAAAAAA"
	for _, server := range []*server{s.nginx, s.verifier, s.apache} {
		for _, c := range []struct {
			token string
			ok    bool
		}{{good, true}, {bad, server.open}, {"", server.open}} {
			status, err := s.ask(server, c.token)
			if err != nil {
				return err
			}
			if (status == server.answer) != c.ok {
				return fmt.Errorf("%s says %d", server.addr, status)
			}
		}
	}
	return nil
}

func (s *site) ask(to *server, token string) (int, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+to.addr+to.path, nil)
	if err != nil {
		return 0, err
	}
	for name, value := range headers(token) {
		r.Header.Set(name, value)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, err
	}
	return answer.StatusCode, answer.Body.Close()
}

// headers are what nginx is told to send in docs/admin/verifier.md; the others are sent the same.
func headers(token string) map[string]string {
	h := map[string]string{
		"X-Original-Method": "GET", "X-Original-URI": "/dir/file", "X-Original-Host": "se.example.org",
		"Host": "se.example.org",
	}
	if token != "" {
		h["Authorization"] = "Bearer " + token
	}
	return h
}
