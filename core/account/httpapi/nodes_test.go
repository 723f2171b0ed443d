package httpapi

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/account/login"
	"github.com/oidcbox/oidcbox/core/account/provision"
	"github.com/oidcbox/oidcbox/core/account/relay"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/transport/httpd"
	"github.com/oidcbox/oidcbox/store"
	"github.com/oidcbox/oidcbox/store/memstore"
	"github.com/oidcbox/oidcbox/store/pgstore"
	"github.com/oidcbox/oidcbox/testdata/services"
)

// node is a login node as users and its sshd see it.
type node struct {
	api   *bed // whose url is the node's
	login func(context.Context, login.Question) login.Answer
}

func (n node) auth(t *testing.T, user, text string) login.Answer {
	t.Helper()
	return n.login(t.Context(), login.Question{
		Phase: login.Auth, User: user, Secret: secret.FromString(text),
		Remote: "192.0.2.7",
	})
}

// clusters are the ways in which two nodes share what they know.
func clusters(t *testing.T, test func(t *testing.T, a, b node)) {
	t.Run("relay", func(t *testing.T) {
		center := newBed(t)
		a, b := relayed(t, center), relayed(t, center)
		test(t, a, b)
	})
	t.Run("postgres", func(t *testing.T) {
		pg := services.PostgreSQL(t)
		open := func() store.Engine {
			e, err := pgstore.Open(t.Context(), func() (string, error) { return pg.URL(""), nil }, pgstore.Options{
				Role: "provisioner", Connect: time.Minute, Statement: time.Minute, Patience: 2 * time.Minute,
			})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = e.Close() })
			return e
		}
		a := newBedOn(t, open())
		b := newBedOn(t, open(), func(_ *Options, p *provision.Options) { p.System = a.system }) // both nodes' directory
		test(t, node{a, a.Login}, node{b, b.Login})
	})
}

// relayed is a node in front of a central server.
func relayed(t *testing.T, center *bed) node {
	t.Helper()
	pair, pool, file := selfSigned(t)
	certificate := func() (*tls.Certificate, error) { return pair, nil }
	names := []string{"node.example.org"}
	config, err := relay.Identity{Certificate: certificate, Nodes: pool, Names: names}.TLS()
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	h := relay.Server{Names: names, Login: center.Login, API: center.Handler()}.Handler()
	go func() { done <- httpd.Serve(ctx, ln, h, httpd.Options{TLS: config, Grace: time.Second}) }()
	t.Cleanup(func() {
		stop()
		<-done
	})
	client, err := relay.New(relay.Options{
		Server: "https://" + ln.Addr().String(), CAFile: file, Certificate: certificate, Timeout: time.Minute,
	})
	if err != nil {
		t.Fatal(err)
	}
	front := httptest.NewServer(client.Handler())
	t.Cleanup(front.Close)
	return node{&bed{API: center.API, t: t, url: front.URL, now: center.now, system: center.system}, client.Login}
}

// selfSigned makes a certificate that is server, node and authority in one.
func selfSigned(t *testing.T) (*tls.Certificate, *x509.CertPool, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"node.example.org"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage:    x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool, file
}

// TestNodes: a password made on node A works on node B, once, and not any more after the account was stopped on A.
func TestNodes(t *testing.T) {
	clusters(t, func(t *testing.T, a, b node) {
		token := a.api.user("alice")
		name := a.api.deployed(token)
		own := func() string {
			r := a.api.post("/user/generate_otp?form=oxp", token).object(t)
			password, _ := r["password"].(string)
			if password == "" {
				t.Fatalf("no password: %v", r)
			}
			return password
		}
		for _, c := range []struct {
			form string
			make func() string
		}{
			{"oxp", own},
			{"sha512", func() string {
				a.api.get("/user/generate_otp", token)
				return compat(token)
			}},
		} {
			t.Run(c.form, func(t *testing.T) {
				password := c.make()
				if got := b.auth(t, "bob", password); got.Allowed {
					t.Errorf("as somebody else: %+v", got)
				}
				if got := b.auth(t, name, password); !got.Allowed || got.ID != identity(t, "alice", opURL) {
					t.Errorf("on the other node: %+v", got)
				}
				for _, n := range []node{a, b} {
					if got := n.auth(t, name, password); got.Allowed {
						t.Errorf("a second time: %+v", got)
					}
				}
			})
		}
		t.Run("of_many_at_once_on_both_nodes_one_gets_in", func(t *testing.T) {
			for range 3 {
				password := own()
				var in atomic.Int32
				var all sync.WaitGroup
				for i := range 12 {
					all.Go(func() {
						if [...]node{a, b}[i%2].auth(t, name, password).Allowed {
							in.Add(1)
						}
					})
				}
				all.Wait()
				if n := in.Load(); n != 1 {
					t.Errorf("%d got in", n)
				}
			}
		})
		t.Run("stopped_on_one_node_is_stopped_on_the_other", func(t *testing.T) {
			password := own()
			a.api.post("/user/suspend", token)
			if got := b.auth(t, name, password); got.Allowed {
				t.Errorf("%+v", got)
			}
			if got := b.login(t.Context(), login.Question{Phase: login.Account, User: name}); got.Allowed ||
				got.State != "suspended" {
				t.Errorf("account phase: %+v", got)
			}
			if r := a.api.post("/user/generate_otp?form=oxp", token); !strings.Contains(r.body, `"successful":false`) {
				t.Errorf("a password for who is stopped: %s", r.body)
			}
		})
	})
}

var errBroken = errors.New("broken")

// brokenStore is an engine that has failed.
type brokenStore struct{ *memstore.Engine }

func (brokenStore) View(context.Context, func(store.Tx) error) error { return errBroken }

func (brokenStore) Update(context.Context, func(store.WTx) error, ...store.Lease) error {
	return errBroken
}
