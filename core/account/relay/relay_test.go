package relay

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/account/login"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/transport/httpd"
)

// ca signs certificates of a test.
type ca struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	file string
}

func newCA(t testing.TB) *ca {
	t.Helper()
	c := &ca{key: newKey(t), file: filepath.Join(t.TempDir(), "ca.pem")}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, c.key.Public(), c.key)
	if err != nil {
		t.Fatal(err)
	}
	if c.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	if err := os.WriteFile(c.file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return c
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func (c *ca) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(c.cert)
	return pool
}

// issue makes a certificate with a name, for servers or clients.
func (c *ca) issue(t testing.TB, name string, use x509.ExtKeyUsage, ends time.Time) func() (*tls.Certificate, error) {
	t.Helper()
	key := newKey(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotBefore: time.Now().Add(-time.Hour), NotAfter: ends,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{use},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, c.cert, key.Public(), c.key)
	if err != nil {
		t.Fatal(err)
	}
	pair := &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	return func() (*tls.Certificate, error) { return pair, nil }
}

// center is a central server.
type center struct {
	url string
	ca  *ca
	ln  net.Listener
}

func startCenter(t testing.TB, s Server) *center {
	t.Helper()
	c := &center{ca: newCA(t)}
	if s.Names == nil {
		s.Names = []string{"node-a.example.org", "node-b.example.org"}
	}
	soon := time.Now().Add(time.Hour)
	config, err := Identity{
		Certificate: c.ca.issue(t, "center.example.org", x509.ExtKeyUsageServerAuth, soon), Nodes: c.ca.pool(),
		Names: s.Names,
	}.TLS()
	if err != nil {
		t.Fatal(err)
	}
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c.ln, c.url = tcp, "https://"+tcp.Addr().String()
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- httpd.Serve(ctx, c.ln, s.Handler(), httpd.Options{Grace: time.Second, TLS: config}) }()
	t.Cleanup(func() {
		stop()
		<-done
	})
	return c
}

func (c *center) node(t testing.TB, name string) *Client {
	t.Helper()
	return c.client(t, Options{Certificate: c.ca.issue(t, name, x509.ExtKeyUsageClientAuth, time.Now().Add(time.Hour))})
}

func (c *center) client(t testing.TB, o Options) *Client {
	t.Helper()
	o.Server, o.Timeout = c.url, time.Minute
	if o.CAFile == "" {
		o.CAFile = c.ca.file
	}
	client, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func question(text string) login.Question {
	return login.Question{
		Phase: login.Auth, User: "alice", Secret: secret.FromString(text), Remote: "192.0.2.7", Via: "sshd",
	}
}

func TestLogin_brings_the_question_there_and_the_answer_back(t *testing.T) {
	var got login.Question
	var presented string
	c := startCenter(t, Server{Login: func(_ context.Context, q login.Question) login.Answer {
		got, presented = q, q.Secret.Expose()
		return login.Answer{Allowed: q.User == "alice", State: "deployed", ID: "a@b", Reason: "because"}
	}})
	a := c.node(t, "node-a.example.org").Login(t.Context(), question(strings.Repeat("s", 5000)))
	if want := (login.Answer{Allowed: true, State: "deployed", ID: "a@b", Reason: "because"}); a != want {
		t.Errorf("answer %+v, want %+v", a, want)
	}
	if presented != strings.Repeat("s", 5000) || got.Remote != "192.0.2.7" || got.Via != "sshd@node-a.example.org" {
		t.Errorf("the server was asked %+v", got)
	}
}

// TestLogin_refuses: nobody but a node that is known gets an answer, and a node believes nobody but its server.
func TestLogin_refuses(t *testing.T) {
	var asked atomic.Int32
	c := startCenter(t, Server{Login: func(context.Context, login.Question) login.Answer {
		asked.Add(1)
		return login.Answer{Allowed: true, ID: "a@b"}
	}})
	soon, other := time.Now().Add(time.Hour), newCA(t)
	for _, bad := range []struct {
		name   string
		client *Client
	}{
		{"a_node_that_is_not_named", c.node(t, "node-x.example.org")},
		{"a_certificate_of_another_ca", c.client(t, Options{
			Certificate: other.issue(t, "node-a.example.org", x509.ExtKeyUsageClientAuth, soon),
		})},
		{"a_certificate_for_servers", c.client(t, Options{
			Certificate: c.ca.issue(t, "node-a.example.org", x509.ExtKeyUsageServerAuth, soon),
		})},
		{"a_certificate_that_has_ended", c.client(t, Options{
			Certificate: c.ca.issue(t, "node-a.example.org", x509.ExtKeyUsageClientAuth, time.Now().Add(-time.Minute)),
		})},
		{"a_server_of_another_ca", c.client(t, Options{
			CAFile: other.file, Certificate: c.ca.issue(t, "node-a.example.org", x509.ExtKeyUsageClientAuth, soon),
		})},
		{"a_certificate_that_cannot_be_had", c.client(t, Options{
			Certificate: func() (*tls.Certificate, error) { return nil, os.ErrNotExist },
		})},
	} {
		t.Run(bad.name, func(t *testing.T) {
			if a := bad.client.Login(t.Context(), question("s")); a.Allowed || a.Reason == "" {
				t.Errorf("answer %+v", a)
			}
		})
	}
	t.Run("nobody_without_a_certificate", func(t *testing.T) {
		config := &tls.Config{RootCAs: c.ca.pool()}
		hc := &http.Client{Transport: &http.Transport{TLSClientConfig: config}}
		got, err := hc.Post(c.url+pathLogin, "application/json", strings.NewReader(`{"phase":"account","user":"a"}`+"\n"))
		if err == nil {
			_ = got.Body.Close()
			t.Errorf("status %d", got.StatusCode)
		}
	})
	t.Run("a_handler_that_stands_behind_plain_http", func(t *testing.T) {
		w := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodPost, pathLogin, strings.NewReader(`{"phase":"account","user":"a"}`+"\n"))
		Server{Names: []string{"node-a.example.org"}, Login: func(context.Context, login.Question) login.Answer {
			asked.Add(1)
			return login.Answer{}
		}}.Handler().ServeHTTP(w, r)
		if w.Code != http.StatusForbidden {
			t.Errorf("status %d", w.Code)
		}
	})
	if n := asked.Load(); n != 0 {
		t.Errorf("the desk was asked %d times", n)
	}
}

// TestLogin_takes_nothing_but_a_clear_yes from a server that is not itself.
func TestLogin_takes_nothing_but_a_clear_yes(t *testing.T) {
	answers := map[string]func(w http.ResponseWriter){
		"nothing":            func(w http.ResponseWriter) {},
		"a_yes_for_nobody":   func(w http.ResponseWriter) { _, _ = io.WriteString(w, `{"allowed":true}`+"\n") },
		"a_line_without_end": func(w http.ResponseWriter) { _, _ = io.WriteString(w, `{"allowed":true,"id":"a@b"}`) },
		"something_behind_it": func(w http.ResponseWriter) {
			_, _ = io.WriteString(w,
				`{"allowed":true,"id":"a@b"} {}`+"\n")
		},
		"another_member": func(w http.ResponseWriter) {
			_, _ = io.WriteString(w,
				`{"allowed":true,"id":"a@b","x":1}`+"\n")
		},
		"a_yes_with_status_500": func(w http.ResponseWriter) {
			w.WriteHeader(500)
			_, _ = io.WriteString(w, `{"allowed":true,"id":"a@b"}`+"\n")
		},
		"a_redirect": func(w http.ResponseWriter) {
			w.Header().Set("Location", "/relay/v1/other")
			w.WriteHeader(307)
		},
		"too_much": func(w http.ResponseWriter) { _, _ = io.WriteString(w, strings.Repeat(" ", 2<<20)) },
	}
	for name, write := range answers {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { write(w) }))
			defer server.Close()
			file := filepath.Join(t.TempDir(), "ca.pem")
			text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
			if err := os.WriteFile(file, text, 0o600); err != nil {
				t.Fatal(err)
			}
			c, err := New(Options{
				Server: server.URL, CAFile: file, Timeout: time.Minute,
				Certificate: func() (*tls.Certificate, error) { return &tls.Certificate{}, nil },
			})
			if err != nil {
				t.Fatal(err)
			}
			if a := c.Login(t.Context(), question("s")); a.Allowed || a.Reason == "" {
				t.Errorf("answer %+v", a)
			}
		})
	}
}

func TestLogin_server_down_is_a_no(t *testing.T) {
	c := startCenter(t, Server{Login: func(context.Context,
		login.Question,
	) login.Answer {
		return login.Answer{Allowed: true, ID: "a@b"}
	}})
	node := c.node(t, "node-a.example.org")
	_ = c.ln.Close()
	if a := node.Login(t.Context(), question("s")); a.Allowed || !strings.Contains(a.Reason, "central server") {
		t.Errorf("answer %+v", a)
	}
}

func TestLogin_gives_up_in_time(t *testing.T) {
	release := make(chan struct{})
	c := startCenter(t, Server{Login: func(context.Context, login.Question) login.Answer {
		<-release
		return login.Answer{Allowed: true, ID: "a@b"}
	}})
	node, err := New(Options{
		Server: c.url, CAFile: c.ca.file, Timeout: 50 * time.Millisecond,
		Certificate: c.ca.issue(t, "node-a.example.org", x509.ExtKeyUsageClientAuth, time.Now().Add(time.Hour)),
	})
	if err != nil {
		t.Fatal(err)
	}
	a := node.Login(t.Context(), question("s"))
	close(release)
	if a.Allowed || a.Reason == "" {
		t.Errorf("answer %+v", a)
	}
}

func TestHandler_passes_what_users_ask(t *testing.T) {
	var got *http.Request
	var body string
	c := startCenter(t, Server{API: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r
		b, _ := io.ReadAll(r.Body)
		body = string(b)
		switch r.URL.Path {
		case "/api/v1/info":
			_, _ = io.WriteString(w, `{"supported_OPs":["https://op"],"ssh_host_keys":["center"]}`)
		case "/api":
			w.Header().Set("Location", "/api/")
			w.WriteHeader(307)
		default:
			w.Header().Set("X-Secret", "no")
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(401)
			_, _ = io.WriteString(w, `{"detail":"x"}`)
		}
	})})
	client := c.client(t, Options{
		Certificate: c.ca.issue(t, "node-b.example.org", x509.ExtKeyUsageClientAuth, time.Now().Add(time.Hour)),
		HostKeys:    func() []string { return []string{"node-b"} },
	})
	send := func(method, path, body string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, path, strings.NewReader(body))
		r.RemoteAddr = "198.51.100.9:4711"
		r.Header.Set("Authorization", "Bearer t")
		r.Header.Set("X-Forwarded-For", "10.0.0.1")
		r.Header.Set("Cookie", "c=1")
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		w := httptest.NewRecorder()
		client.Handler().ServeHTTP(w, r)
		return w
	}
	w := send(http.MethodPost, "/user/deploy?a=b%2Fc", "sub=x")
	if w.Code != 401 || w.Body.String() != `{"detail":"x"}` || w.Header().Get("X-Secret") != "" {
		t.Errorf("%d %s %v", w.Code, w.Body, w.Header())
	}
	if got.RequestURI != "/user/deploy?a=b%2Fc" || body != "sub=x" || got.Header.Get("Authorization") != "Bearer t" ||
		got.RemoteAddr != "198.51.100.9:0" || got.Header.Get("X-Forwarded-For") != "" || got.Header.Get("Cookie") != "" {
		t.Errorf("the server got %s %s %v from %s", got.Method, got.RequestURI, got.Header, got.RemoteAddr)
	}
	var told map[string][]string
	if err := json.Unmarshal(send(http.MethodGet, "/api/v1/info", "").Body.Bytes(), &told); err != nil {
		t.Fatal(err)
	}
	if len(told["ssh_host_keys"]) != 1 || told["ssh_host_keys"][0] != "node-b" ||
		told["supported_OPs"][0] != "https://op" {
		t.Errorf("/info says %v", told)
	}
	if w := send(http.MethodGet, "/api", ""); w.Code != 307 || w.Header().Get("Location") != "/api/" {
		t.Errorf("/api: %d %v", w.Code, w.Header())
	}
	got = nil
	if w := send(http.MethodPost, pathLogin, `{"phase":"account","user":"a"}`); w.Code != 404 || got != nil {
		t.Errorf("a user reached %s: %d", pathLogin, w.Code)
	}
	_ = c.ln.Close()
	if w := send(http.MethodGet, "/info", ""); w.Code != 502 || w.Header().Get("Retry-After") == "" {
		t.Errorf("without a server: %d %v", w.Code, w.Header())
	}
}

func TestNew_refuses(t *testing.T) {
	pair := func() (*tls.Certificate, error) { return nil, nil }
	for _, server := range []string{
		"", "http://h:1", "https://", "https://h/path", "https://u:p@h",
		"https://h?x=1", "h:1",
	} {
		if _, err := New(Options{Server: server, Certificate: pair}); err == nil {
			t.Errorf("%q is taken for a server", server)
		}
	}
	if _, err := New(Options{Server: "https://h:1"}); err == nil {
		t.Error("a node without a certificate")
	}
	if _, err := (Identity{Certificate: pair, Nodes: x509.NewCertPool()}).TLS(); err == nil {
		t.Error("a server that takes any node")
	}
}
