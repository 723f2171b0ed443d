package demo

import (
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
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/oidcbox/oidcbox/core/mytoken/geo/geotest"
)

// site is the mytoken server of the walk with the network that its jobs are in.
type site struct {
	url      string
	provider string   // issuer; "": the one of the walk
	client   string   // id of the server there
	net      *network // nil: jobs run on this machine
	why      string   // there is none
	server   *process
	roots    *x509.CertPool

	begun   time.Time // of the mytoken's clauses
	mytoken string    // file of the person's
	sub     string    // file of the sub-job's

	loginWeb, loginSSH string // addresses of the login node
}

// The client that the mytoken server is at the provider.
const serverClient = `clients:
- id: mytoken
  secret_file: mytoken-client
  redirect_uris: ["URL/redirect"]
  grants: [authorization_code, refresh_token]
  scope: openid profile email offline_access compute.create storage.read:/ storage.create:/
`

// serverConfig is all the server is told. Countries are those of a small database that the walk makes.
const serverConfig = `version: 1
issuer: URL
listen: {tcp: "ADDRESS", tls: {cert_file: tls.pem, key_file: tls.key}}
operator: {name: The demo, contact: nobody@example.org}
state: {file: mytoken/state.keys, key_file: mytoken/state-key, locked_memory: prefer}
keys: {dir: mytoken/keys}
providers:
  op: {issuer: "ISSUER", client_id: "CLIENT", client_secret_file: mytoken-client}
addresses: {geoip_file: countries.mmdb, home_country: BE, reverse_dns: false}
limits: {polling_interval: 1s}
audit: mytoken-audit.log
`

// prepareSite chooses where the server will be, which the provider has to know, and makes the network of the jobs.
func (w *world) prepareSite(ctx context.Context) error {
	s := &w.site
	s.net, s.why = openNetwork(ctx)
	host := netip.MustParseAddr("127.0.0.1")
	if s.net != nil {
		host = s.net.host
	}
	for _, where := range []*string{&s.url, &s.loginWeb, &s.loginSSH} {
		ln, err := net.Listen("tcp", netip.AddrPortFrom(host, 0).String())
		if err != nil {
			return err
		}
		*where = ln.Addr().String()
		if err := ln.Close(); err != nil {
			return err
		}
	}
	s.url = "https://" + s.url
	if err := w.certify(host); err != nil {
		return fmt.Errorf("make a certificate: %w", err)
	}
	clients := strings.ReplaceAll(serverClient, "URL", s.url)
	if w.login != nil {
		clients += loginClient(s.loginWeb)
	}
	return errors.Join(
		w.writeFile("mytoken-client", rand.Text()+"\n"),
		w.writeFile("login-client", rand.Text()+"\n"),
		w.writeFile("clients.yaml", clients))
}

func (w *world) writeFile(name, text string) error {
	return os.WriteFile(filepath.Join(w.dir, name), []byte(text), 0o600)
}

// certify makes a certificate that vouches for itself, for the server.
func (w *world) certify(host netip.Addr) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	now := w.env.Now()
	c := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()), Subject: pkix.Name{CommonName: "oidcbox demo"}, NotBefore: now.Add(-time.Hour),
		NotAfter: now.Add(24 * time.Hour), IPAddresses: []net.IP{host.AsSlice()}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		return err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	w.site.roots = x509.NewCertPool()
	w.site.roots.AppendCertsFromPEM(cert)
	return errors.Join(
		w.writeFile("tls.pem", string(cert)),
		w.writeFile("tls.key", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}))))
}

// startServer makes the state of a mytoken server and starts it.
func startServer(ctx context.Context, w *world) (string, error) {
	if err := w.register(ctx); err != nil {
		return "", err
	}
	address := strings.TrimPrefix(w.site.url, "https://")
	text := strings.NewReplacer("URL", w.site.url, "ADDRESS", address, "ISSUER", w.site.provider, "CLIENT", w.site.client).Replace(serverConfig)
	countries, err := w.countries()
	if err != nil {
		return "", err
	}
	if err := errors.Join(
		w.writeFile("mytoken-server.yaml", text), w.writeFile("countries.mmdb", string(countries))); err != nil {
		return "", err
	}
	config := filepath.Join(w.dir, "mytoken-server.yaml")
	if _, err := w.must(ctx, nil, "mytoken-server", "setup", "--state-only", "--config", config); err != nil {
		return "", err
	}
	if w.site.server, err = w.start("mytoken-server", "serve", "--config", config); err != nil {
		return "", err
	}
	err = w.waitFor(ctx, w.site.server, func() bool {
		body, err := w.fetch(ctx, w.site.url+"/ready")
		return err == nil && strings.Contains(body, `"status":"ready"`)
	})
	return w.site.url + ", people log in at " + w.site.provider + ", countries from a database of two networks", err
}

// register makes the server known to its provider: the walk's own has it in a file, another one takes what comes
// (RFC 7591).
func (w *world) register(ctx context.Context) error {
	if w.site.provider == "" {
		w.site.provider, w.site.client = w.issuer, "mytoken"
		return nil
	}
	var md struct {
		Endpoint string `json:"registration_endpoint"`
	}
	text, err := w.fetch(ctx, w.site.provider+"/.well-known/openid-configuration")
	if err != nil {
		return fmt.Errorf("find the provider: %w", err)
	}
	if err := json.Unmarshal([]byte(text), &md); err != nil || md.Endpoint == "" {
		return fmt.Errorf("the provider takes no registrations: %w", err)
	}
	order, err := json.Marshal(map[string]any{
		"redirect_uris": []string{w.site.url + "/redirect"}, "grant_types": []string{"authorization_code", "refresh_token"},
		"token_endpoint_auth_method": "client_secret_basic",
	})
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, md.Endpoint, bytes.NewReader(order))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := askingClient().Do(req)
	if err != nil {
		return fmt.Errorf("register: %w", err)
	}
	defer resp.Body.Close()
	var got struct {
		ID     string `json:"client_id"`
		Secret string `json:"client_secret"`
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, 1<<16)).Decode(&got); err != nil || got.Secret == "" {
		return fmt.Errorf("register: %s: %w", resp.Status, err)
	}
	w.site.client = got.ID
	return w.writeFile("mytoken-client", got.Secret+"\n")
}

// countries is the database: where the job is, and where it is taken to.
func (w *world) countries() ([]byte, error) {
	be, de := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	if n := w.site.net; n != nil {
		be, de = n.job, n.elsewhere
	}
	return geotest.Encode(w.env.Now(),
		geotest.Network{Prefix: netip.PrefixFrom(be, 32), Country: "BE"},
		geotest.Network{Prefix: netip.PrefixFrom(de, 32), Country: "DE"})
}

// browser is a client that believes the server's certificate, with cookies.
func (w *world) browser() (*http.Client, error) {
	jar, err := cookiejar.New(nil)
	if err != nil {
		return nil, err
	}
	return &http.Client{
		Jar: jar, Timeout: 20 * time.Second,
		Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: w.site.roots, MinVersion: tls.VersionTLS12}},
	}, nil
}

func (w *world) fetch(ctx context.Context, url string) (string, error) {
	b, err := w.browser()
	if err != nil {
		return "", err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	resp, err := b.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	defer b.CloseIdleConnections()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	return string(text), err
}
