package forward

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"maps"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/token/gate"
	"github.com/oidcbox/oidcbox/core/token/jose"
	"github.com/oidcbox/oidcbox/core/token/policy"
	"github.com/oidcbox/oidcbox/core/token/verify"
	"github.com/oidcbox/oidcbox/core/transport/httpc"
	"github.com/oidcbox/oidcbox/testdata/services"
)

const adminGuide = "../../../docs/admin/verifier.md"

// block takes a configuration out of the administrator's guide: the fenced block that begins with the name of its file.
func block(t testing.TB, file string) string {
	t.Helper()
	guide, err := os.ReadFile(adminGuide)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(guide), "\n# "+file+"\n")
	text, _, ends := strings.Cut(rest, "\n```")
	if !found || !ends {
		t.Fatalf("%s has no block %s", adminGuide, file)
	}
	return "\n" + text + "\n"
}

// with replaces what a test cannot have as it is written; each old has to be there.
func with(t testing.TB, text string, pairs ...string) string {
	t.Helper()
	for i := 0; i < len(pairs); i += 2 {
		if !strings.Contains(text, pairs[i]) {
			t.Fatalf("the block has no %q", pairs[i])
		}
		text = strings.ReplaceAll(text, pairs[i], pairs[i+1])
	}
	return text
}

// realIssuer is one on a loopback port, with a key of its own.
type realIssuer struct {
	*httptest.Server
	key *jose.PrivateKey
}

func startIssuer(t testing.TB, alg jose.Alg) *realIssuer {
	t.Helper()
	key, err := jose.GenerateKey(alg, "k")
	if err != nil {
		t.Fatal(err)
	}
	set, err := json.Marshal(jose.NewKeySet(key.Public()))
	if err != nil {
		t.Fatal(err)
	}
	i := &realIssuer{key: key}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(set2("issuer", i.URL, "jwks_uri", i.URL+"/jwks"))
	})
	mux.HandleFunc("GET /jwks", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(set) })
	i.Server = httptest.NewServer(mux)
	t.Cleanup(i.Close)
	return i
}

func set2(pairs ...string) map[string]string {
	m := map[string]string{}
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i]] = pairs[i+1]
	}
	return m
}

// token is a WLCG token of the issuer, by the clock of the wall: the gate in front of real programs has no other.
func (i *realIssuer) token(t testing.TB, scope string, edit ...set) string {
	t.Helper()
	at := time.Now().Unix()
	s := set{
		"iss": i.URL, "sub": "alice", "aud": testAudience, "exp": at + 3600, "iat": at, "nbf": at, "jti": "j",
		"wlcg.ver":    "1.0",
		"wlcg.groups": []string{"/vo"}, "scope": scope,
	}
	for _, e := range edit {
		maps.Copy(s, e)
	}
	maps.DeleteFunc(s, func(_ string, v any) bool { return v == nil })
	payload, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	token, err := i.key.Sign("", payload)
	if err != nil {
		t.Fatal(err)
	}
	return "Bearer " + token.Expose()
}

// site is everything behind and around a proxy: two issuers, the verifier on a socket, a service that says what it saw.
type site struct {
	proxy    Proxy
	one, two *realIssuer
	socket   string // of the verifier
	addr     string // of the verifier, too
	service  *httptest.Server
	seen     chan seen
	dir      string
	cert     string // PEM files
	key      string
	roots    *x509.CertPool
	network  string           // of the proxy's address, unix or tcp
	front    string           // address of the proxy
	client   *tls.Certificate // of calls; nil: none
}

// seen is what arrived at the service.
type seen struct {
	Method, URI, Host, Body string
	Header                  http.Header
}

func newSite(t testing.TB, p Proxy) *site {
	t.Helper()
	dir, err := os.MkdirTemp("", "fwd") // short: sockets
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	s := &site{
		proxy: p, one: startIssuer(t, jose.ES256), two: startIssuer(t, jose.RS256), dir: dir, seen: make(chan seen, 8),
		socket: filepath.Join(dir, "verifier.sock"), network: "unix", front: filepath.Join(dir, "proxy.sock"),
		roots: x509.NewCertPool(),
	}
	s.service = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		s.seen <- seen{r.Method, r.RequestURI, r.Host, string(b), r.Header}
		_, _ = io.WriteString(w, "hello from the service")
	}))
	t.Cleanup(s.service.Close)
	s.serveVerifier(t)
	s.makeCertificate(t)
	return s
}

func (s *site) serveVerifier(t testing.TB) {
	t.Helper()
	rules := fmt.Sprintf("version: 1\nissuers:\n  %s: {areas: [/]}\n  %s: {areas: [/]}\n"+
		"services: {storage: {require: {capability: requested}}}\n", s.one.URL, s.two.URL)
	p, err := policy.Parse("policy.yaml", []byte(rules))
	if err != nil {
		t.Fatal(err)
	}
	hc, err := httpc.New(httpc.Options{Timeout: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	g, err := gate.New(gate.Config{
		Issuers:   []gate.Issuer{{Issuer: verify.Issuer{URL: s.one.URL}}, {Issuer: verify.Issuer{URL: s.two.URL}}},
		Audiences: []string{testAudience}, Policy: p,
	}, gate.Options{HTTP: hc})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Close)
	storage := storage(s.proxy)
	storage.Resource, storage.CertificateHeader = "https://se.example.org/", "X-Client-Cert"
	h, err := New(Options{Gate: g, Services: []Service{storage}})
	if err != nil {
		t.Fatal(err)
	}
	answer := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !h.Serves(r) {
			http.NotFound(w, r)
			return
		}
		h.ServeHTTP(w, r)
	})
	for _, at := range [][2]string{{"unix", s.socket}, {"tcp", "127.0.0.1:0"}} {
		ln, err := net.Listen(at[0], at[1])
		if err != nil {
			t.Fatal(err)
		}
		srv := &httptest.Server{Listener: ln, Config: &http.Server{Handler: answer, MaxHeaderBytes: 96 << 10}}
		srv.Start()
		t.Cleanup(srv.Close)
		s.addr = ln.Addr().String()
	}
}

func (s *site) makeCertificate(t testing.TB) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	shape := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: testHost}, DNSNames: []string{testHost},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, shape, shape, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	s.roots.AddCert(cert)
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	s.cert = s.write(t, "cert.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	s.key = s.write(t, "key.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})))
}

func (s *site) write(t testing.TB, name, text string) string {
	t.Helper()
	path := filepath.Join(s.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// run starts a proxy and waits until it answers with our certificate. It reports false when the program ended at once.
func (s *site) run(t testing.TB, program string, args ...string) bool {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = []string{
		"HOME=" + s.dir, "XDG_DATA_HOME=" + s.dir, "XDG_CONFIG_HOME=" + s.dir, "TMPDIR=" + s.dir,
		"PATH=/usr/sbin:/usr/bin:/bin",
	}
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 5 * time.Second
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	t.Cleanup(func() {
		cancel()
		<-ended
		if t.Failed() {
			t.Logf("%s said:\n%s", program, said.String())
		}
	})
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); {
		conn, err := tls.Dial(s.network, s.front, s.tls())
		if err == nil {
			_ = conn.Close()
			return true
		}
		select {
		case <-ended:
			t.Logf("%s ended:\n%s", program, said.String())
			return false
		case <-time.After(50 * time.Millisecond):
		}
	}
	t.Fatalf("%s does not answer", program)
	return false
}

func (s *site) tls() *tls.Config {
	c := &tls.Config{RootCAs: s.roots, ServerName: testHost}
	if s.client != nil {
		c.Certificates = []tls.Certificate{*s.client}
	}
	return c
}

// startNginx runs the block of the guide; more goes in front of it, into the http section.
func startNginx(t testing.TB, more string) *site {
	return startNginxWith(t, more, func(server string) string { return server })
}

func startNginxWith(t testing.TB, more string, edit func(string) string) *site {
	t.Helper()
	services.Need(t, "nginx")
	s := newSite(t, Nginx)
	server := edit(with(
		t, block(t, "/etc/nginx/conf.d/se.conf"), "listen 443 ssl", "listen unix:"+s.front+" ssl",
		"/etc/ssl/certs/se.example.org.pem", s.cert, "/etc/ssl/private/se.example.org.key", s.key,
		"/run/oidcbox/verifier.sock", s.socket, "127.0.0.1:9000", s.service.Listener.Addr().String(),
	))
	user := ""
	if os.Geteuid() == 0 {
		user = "user root;\n" // the directory of the test is nobody else's
	}
	var temp strings.Builder
	for _, kind := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		fmt.Fprintf(&temp, "%s_temp_path %s/%s;\n", kind, s.dir, kind)
	}
	conf := s.write(t, "nginx.conf", fmt.Sprintf("%sdaemon off;\npid %s/pid;\nerror_log stderr;\nworker_processes 1;\n"+
		"events { worker_connections 64; }\nhttp {\naccess_log off;\n%s%s\n%s\n}\n", user, s.dir, temp.String(), more,
		server))
	if !s.run(t, "nginx", "-e", "stderr", "-p", s.dir, "-c", conf) {
		t.Fatal("nginx does not start")
	}
	return s
}

// startCaddy runs the block of the guide, as edit changes it. It listens on a port, since Caddy adds no X-Forwarded-*
// to what came over a Unix socket; and may have to try another one, since the kernel gave it to somebody else
// meanwhile.
func startCaddy(t testing.TB, edit func(string) string) *site {
	t.Helper()
	services.Need(t, "caddy")
	s := newSite(t, Caddy)
	for range 5 {
		s.network, s.front = "tcp", freeAddress(t)
		_, port, _ := net.SplitHostPort(s.front)
		text := with(
			t, block(t, "/etc/caddy/Caddyfile"), "\nse.example.org {",
			fmt.Sprintf("\nhttps://se.example.org:%s {\n\ttls %s %s\n\tbind 127.0.0.1", port, s.cert, s.key),
			"/run/oidcbox/verifier.sock", s.socket, "127.0.0.1:9000", s.service.Listener.Addr().String(),
		)
		if edit != nil {
			text = edit(text)
		}
		conf := s.write(t, "Caddyfile", "{\n\tadmin off\n\tauto_https off\n\tservers {\n\t\tprotocols h1\n\t}\n}\n"+text)
		if s.run(t, "caddy", "run", "--adapter", "caddyfile", "--config", conf) {
			return s
		}
	}
	t.Fatal("caddy does not start")
	return nil
}

func freeAddress(t testing.TB) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	return ln.Addr().String()
}

// call is a request of a client to the proxy, as raw as needed.
type call struct {
	method, target, host string
	lines                []string // headers, as they go over the wire
	body                 string
}

// reply is what the client got, and what the service saw; nil when it was not asked.
type reply struct {
	*http.Response
	text string
	seen *seen
}

func (s *site) call(t testing.TB, c call) reply {
	t.Helper()
	conn, err := tls.Dial(s.network, s.front, s.tls())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
	if c.method == "" {
		c.method = http.MethodGet
	}
	if c.host == "" {
		c.host = testHost
	}
	lines := append([]string{c.method + " " + c.target + " HTTP/1.1", "Host: " + c.host, "Connection: close"}, c.lines...)
	if c.body != "" {
		lines = append(lines, fmt.Sprintf("Content-Length: %d", len(c.body)))
	}
	if _, err := io.WriteString(conn, strings.Join(lines, "\r\n")+"\r\n\r\n"+c.body); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: c.method})
	if err != nil {
		t.Fatalf("%s %s: %v", c.method, c.target, err)
	}
	text, _ := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	r := reply{Response: resp, text: string(text)}
	select {
	case seen := <-s.seen:
		r.seen = &seen
	default:
	}
	return r
}
