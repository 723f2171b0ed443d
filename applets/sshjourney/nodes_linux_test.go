package sshjourney

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/testdata/services"
)

// authority signs certificates of a cluster.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  string
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t}
	a.key = a.newKey()
	a.cert = &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	a.pem, _ = a.sign(a.cert, a.key)
	return a
}

func (a *authority) newKey() *ecdsa.PrivateKey {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	return key
}

// sign returns a certificate and its key as PEM.
func (a *authority) sign(c *x509.Certificate, key *ecdsa.PrivateKey) (cert, private string) {
	a.t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, c, a.cert, key.Public(), a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}))
}

// issue puts a certificate with a name, and its key, into a host for the user of the server.
func (a *authority) issue(j *journey, file, name string, use x509.ExtKeyUsage) {
	a.t.Helper()
	cert, key := a.sign(&x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), DNSNames: []string{name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{use},
	}, a.newKey())
	j.Write("/etc/oidcbox/"+file+".pem", cert, 0o644)
	j.Write("/etc/oidcbox/"+file+".key", key, 0o600)
	j.Run("chown", serveUser, "/etc/oidcbox/"+file+".key")
}

const relayConfig = `version: 1
listen: ADDRESS
server: https://127.0.0.1:CENTER
ca_file: ca.pem
cert_file: node.pem
key_file: node.key
`

// node is a host with a relay and an sshd, and nothing else.
type node struct {
	*journey
	sshd *services.SSHD
}

func (n *node) ssh(name, password string) string {
	n.t.Helper()
	return n.login(n.sshd, services.SSHLogin{User: name, Answers: []string{password}})
}

// TestNodes_behind_a_relay: two hosts, one server. A password that was asked for at one works at the other, once.
func TestNodes_behind_a_relay(t *testing.T) {
	ca, center, door := newAuthority(t), newSite(t, siteOptions{}), freePort(t)
	center.Write("/etc/oidcbox/ca.pem", ca.pem, 0o644)
	ca.issue(center.journey, "relay", "center.example.org", x509.ExtKeyUsageServerAuth)
	center.Write(serveFile, center.Read(serveFile)+`relays: {listen: "127.0.0.1:`+door+
		`", cert_file: relay.pem, key_file: relay.key, client_ca_file: ca.pem, names: [node.example.org]}`+"\n", 0o644)
	center.kill(center.serve)
	center.startFront()
	name := center.deploy("alice")

	b := &node{journey: newJourney(t)}
	b.Write("/etc/oidcbox/ca.pem", ca.pem, 0o644)
	ca.issue(b.journey, "node", "node.example.org", x509.ExtKeyUsageClientAuth)
	port := freePort(t)
	b.Write("/etc/oidcbox/relay.yaml", strings.NewReplacer("ADDRESS", "127.0.0.1:"+port, "CENTER", door).Replace(relayConfig), 0o644)
	b.Run("install", "-d", "-o", serveUser, "-g", serveUser, "-m", "0755", "/run/oidcbox")
	b.Background("relay", b.as(serveUser, "provisioner", "relay", "--config", "/etc/oidcbox/relay.yaml"))
	b.awaitSocket("/run/oidcbox/login.sock")
	// What a directory does for a cluster: the account is here, too.
	b.Run("useradd", "--comment", center.id("alice"), "--uid", strconv.Itoa(b.FirstUID+7), "--create-home", name)
	b.sshd = b.StartSSHD(services.SSHDOptions{PAM: stack(stackTokenOrPassword), Config: "MaxAuthTries 20"})
	here := &site{journey: center.journey, url: "http://127.0.0.1:" + port, sshd: center.sshd} // the interface at the node

	for _, c := range []struct {
		name     string
		password func() string
	}{
		{"asked_for_at_the_server", func() string { return center.password("alice") }},
		{"asked_for_at_the_node", func() string { return here.password("alice") }},
		{"compatible_form", func() string {
			token := center.at("alice")
			if a := here.get("/user/generate_otp", token); a.status != http.StatusOK {
				t.Fatal(a)
			}
			return sha512Hex(token)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			password := c.password()
			if who := b.ssh(name, password); who != name {
				t.Errorf("arrived at the node as %q\n%s", who, b.Log())
			}
			if who := b.ssh(name, password); who != "" {
				t.Errorf("arrived at the node a second time as %q", who)
			}
			if who := center.ssh(name, password); who != "" {
				t.Errorf("arrived at the server with a used password as %q", who)
			}
			if who := center.ssh(name, c.password()); who != name {
				t.Errorf("arrived at the server as %q", who)
			}
		})
	}
	t.Run("audit_names_the_node", func(t *testing.T) {
		if log := center.Read(auditLog); !strings.Contains(log, "sshd@node.example.org") {
			t.Errorf("%s", log)
		}
	})
	t.Run("suspended_at_the_server_is_out_at_the_node", func(t *testing.T) {
		password := here.password("alice")
		center.officer(t, "suspend", name)
		if who := b.ssh(name, password); who != "" {
			t.Errorf("arrived as %q", who)
		}
		center.officer(t, "resume", name)
		if who := b.ssh(name, here.password("alice")); who != name {
			t.Errorf("after that arrived as %q\n%s", who, b.Log())
		}
	})
	t.Run("without_the_server_nobody_gets_in", func(t *testing.T) {
		password, from := here.password("alice"), len(b.Log())
		center.kill(center.serve)
		if who := b.ssh(name, password); who != "" {
			t.Errorf("arrived as %q", who)
		}
		b.AwaitLog(from, "central server")
		if a := here.ask(http.MethodGet, "/info", ""); a.status != http.StatusBadGateway {
			t.Errorf("/info at the node: %s", a)
		}
		center.startFront()
		if who := b.ssh(name, password); who != name {
			t.Errorf("when it is back arrived as %q\n%s", who, b.Log())
		}
	})
}

// TestNodes_on_one_database: two hosts with a server each, on one PostgreSQL and one LDAP directory.
func TestNodes_on_one_database(t *testing.T) {
	pg, dir := services.PostgreSQL(t), services.Slapd(t)
	var first *journey
	start := func() *site {
		var s *journey
		return newSite(t, siteOptions{
			before: func(made *journey) {
				s = made
				s.NSLCD(dir)
				s.Write("/etc/oidcbox/ldap-password", services.LDAPWriterPassword+"\n", 0o600)
				s.Write("/etc/oidcbox/ldap-probe", services.LDAPUserPassword+"\n", 0o600)
				s.Write("/etc/oidcbox/database-url", pg.URL("")+"\n", 0o600)
				s.Run("chown", serveUser, "/etc/oidcbox/database-url")
				if first == nil {
					first = s
					return
				}
				s.Write("/var/lib/oidcbox/provisioner/state-key", first.Read("/var/lib/oidcbox/provisioner/state-key"), 0o600)
				s.Run("chown", serveUser, "/var/lib/oidcbox/provisioner/state-key")
			},
			worker: func(text string) string {
				text = with(
					"backend: local_unix", "backend: ldap",
					"local_unix: {home_base: /home, shells: {full: /bin/sh}}", `ldap: {servers: ["`+dir.URL+`"], bind_dn: "`+
						services.LDAPWriter+`", password_file: ldap-password, mode: full_access, user_base: "`+services.LDAPPeople+
						`", group_base: "`+services.LDAPGroups+`", shells: {full: /bin/sh}, probe: {bind_dn: "`+services.LDAPUser+
						`", password_file: ldap-probe}}`+"\nadopt: true",
				)(text)
				return s.rangeOf(first, text)
			},
			provisioner: func(text string) string {
				text = with("backend: local_unix", "backend: ldap", "file: /var/lib/oidcbox/provisioner/state.keys",
					"postgres: {url_file: database-url}")(text)
				if s != first { // whose issuer is not the second's
					text = strings.ReplaceAll(text, s.op.URL, first.op.URL)
				}
				return s.rangeOf(first, text)
			},
		})
	}
	a := start()
	b := start()
	name := a.deploy("alice")
	there := &site{journey: a.journey, url: b.url, sshd: b.sshd} // b, asked with tokens of a's issuer
	if got := there.nameOf("alice"); got != name {
		t.Fatalf("the other node says %q, want %q: %s\n%s", got, name, there.get("/user/get_status", there.at("alice")), b.Log())
	}
	for _, c := range []struct {
		name     string
		from, to *site
	}{
		{"made_at_the_first", a, b}, {"made_at_the_second", there, a},
	} {
		t.Run(c.name, func(t *testing.T) {
			password := c.from.password("alice")
			if who := c.to.ssh(name, password); who != name {
				t.Errorf("arrived as %q\n%s", who, c.to.Log())
			}
			if who := c.from.ssh(name, password); who != "" {
				t.Errorf("arrived a second time as %q", who)
			}
		})
	}
	t.Run("suspended_at_one_is_out_at_the_other", func(t *testing.T) {
		password := there.password("alice")
		a.officer(t, "suspend", name)
		if who := b.ssh(name, password); who != "" {
			t.Errorf("arrived as %q", who)
		}
		b.officer(t, "resume", name)
		if who := a.ssh(name, there.password("alice")); who != name {
			t.Errorf("resumed at the other, arrived as %q\n%s", who, a.Log())
		}
	})
}

// rangeOf puts the numbers that accounts of another host may have into a configuration.
func (j *journey) rangeOf(of *journey, text string) string {
	return strings.NewReplacer(strconv.Itoa(j.FirstUID), strconv.Itoa(of.FirstUID), strconv.Itoa(j.LastUID),
		strconv.Itoa(of.LastUID)).Replace(text)
}
