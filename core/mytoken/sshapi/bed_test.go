package sshapi_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/oidcbox/oidcbox/core/mytoken"
	"github.com/oidcbox/oidcbox/core/mytoken/desk"
	"github.com/oidcbox/oidcbox/core/mytoken/httpapi"
	"github.com/oidcbox/oidcbox/core/mytoken/ledger"
	"github.com/oidcbox/oidcbox/core/mytoken/mint"
	"github.com/oidcbox/oidcbox/core/mytoken/rules"
	"github.com/oidcbox/oidcbox/core/mytoken/sshapi"
	"github.com/oidcbox/oidcbox/core/oidc/flow"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/secret/vault"
	"github.com/oidcbox/oidcbox/core/token/jose"
	"github.com/oidcbox/oidcbox/store/memstore"
	"github.com/oidcbox/oidcbox/store/sealed"
)

const provIssuer = "https://op.example.org"

// op is a provider: who logs in is who the test says, and each call gives another access token.
type op struct {
	mu      sync.Mutex
	subject string
	calls   int
	wait    chan struct{} // refreshes wait for it, where there is one
}

func (o *op) Info() desk.ProviderInfo {
	return desk.ProviderInfo{Issuer: provIssuer, Name: "op", Scopes: []string{"openid", "storage.read:/"}}
}
func (o *op) Accepts(mytoken.Restrictions) error { return nil }
func (o *op) Provider(issuer string) (desk.Provider, bool) {
	return o, mytoken.SameIssuer(issuer, provIssuer)
}
func (o *op) Providers() []desk.ProviderInfo { return []desk.ProviderInfo{o.Info()} }

func (o *op) Start(_ context.Context, s desk.Start) (string, error) {
	return provIssuer + "/authorize?" + url.Values{"state": {s.State.Expose()}}.Encode(), nil
}

func (o *op) Finish(context.Context, desk.Finish) (desk.Authenticated, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return desk.Authenticated{
		Refresh: secret.FromString("refresh-token-of-" + o.subject + "-" + rand.Text()), Subject: o.subject,
	}, nil
}

func (o *op) StartDevice(context.Context, desk.Start) (desk.Device, error) {
	return desk.Device{}, desk.ErrNoDevice
}

func (o *op) PollDevice(context.Context, desk.Device, desk.Origin) (desk.Authenticated, error) {
	return desk.Authenticated{}, desk.ErrNoDevice
}

func (o *op) Ask(c rules.Candidate) (flow.Request, error) {
	return flow.Request{Scope: c.Scopes, Audience: c.Audience}, nil
}

func (o *op) Refresh(ctx context.Context, _ secret.Text, r flow.Request) (flow.Tokens, error) {
	o.mu.Lock()
	o.calls++
	n, wait := o.calls, o.wait
	o.mu.Unlock()
	if wait != nil {
		select {
		case <-wait:
		case <-ctx.Done():
			return flow.Tokens{}, ctx.Err()
		}
	}
	return flow.Tokens{
		Access: secret.FromString(fmt.Sprintf("access-%d", n)), Type: "Bearer", Scope: strings.Join(r.Scope, " "),
		Expires: time.Now().Add(time.Hour),
	}, nil
}

func (o *op) Check(c rules.Candidate, _ flow.Tokens) (rules.Granted, error) {
	return rules.Granted{Scopes: c.Scopes, Audience: c.Audience}, nil
}
func (o *op) Revoke(context.Context, secret.Text) error { return nil }

func (o *op) set(edit func(*op)) {
	o.mu.Lock()
	defer o.mu.Unlock()
	edit(o)
}

// bed is a mytoken server with an ssh server.
type bed struct {
	t      testing.TB
	op     *op
	ledger *ledger.Ledger
	desk   *desk.Desk
	keys   *desk.SSHKeys
	http   *httptest.Server
	addr   string // of the ssh server
	host   ssh.PublicKey
	log    *lockedBuffer
	end    func() // ends the ssh server and waits
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// open makes the state of a server, and what signs its mytokens.
func (b *bed) open(base string) (*jose.KeySet, *mint.Minter) {
	t := b.t
	t.Helper()
	key, err := jose.GenerateKey(jose.ES384, "")
	must(t, err)
	minter, err := mint.New(base, key)
	must(t, err)
	keys := jose.NewKeySet(key.Public())
	v, err := vault.New(vault.Prefer, nil)
	must(t, err)
	t.Cleanup(v.Close)
	sealer, err := v.Sealer(secret.New(make([]byte, 32)))
	must(t, err)
	b.ledger = ledger.New(sealed.New(memstore.New(), sealer), ledger.Options{
		Minter: minter, Verify: mint.NewChecker(base, keys).Genuine,
	})
	t.Cleanup(func() { must(t, b.ledger.Close(context.Background())) })
	return keys, minter
}

func newBed(t testing.TB, edit ...func(*sshapi.Options)) *bed {
	t.Helper()
	b := &bed{t: t, op: &op{subject: "alice"}, log: &lockedBuffer{}}
	b.http = httptest.NewUnstartedServer(nil)
	base := "http://" + b.http.Listener.Addr().String()
	keys, minter := b.open(base)
	log := slog.New(slog.NewTextHandler(b.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	features := desk.Features{Polling: true, Subtokens: true, Transfer: true, Short: true}
	var err error
	b.desk, err = desk.New(desk.Options{
		Issuer: base, Ledger: b.ledger, Minter: minter, Upstream: b.op, Features: features, Log: log,
	})
	must(t, err)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	b.addr = ln.Addr().String()
	b.keys = b.desk.SSHKeys("127.0.0.1", ln.Addr().(*net.TCPAddr).Port)
	signer := newSigner(t)
	b.host = signer.PublicKey()
	api, err := httpapi.New(httpapi.Options{
		Issuer: base, Desk: b.desk, Keys: func() *jose.KeySet { return keys }, Alg: jose.ES384, Log: log,
		Features: httpapi.Features{
			Features: features, SSH: true, Introspect: true, History: true, Tree: true, List: true, Revocation: true,
		},
		Mount: httpapi.SSHRoutes(b.keys),
	})
	must(t, err)
	b.http.Config.Handler = api.Handler()
	b.http.Start()
	t.Cleanup(b.http.Close)
	o := sshapi.Options{
		API: api.Handler(), Keys: b.keys, HostKeys: []ssh.Signer{signer}, Log: log,
	}
	for _, e := range edit {
		e(&o)
	}
	s, err := sshapi.New(o)
	must(t, err)
	ctx, stop := context.WithCancel(context.Background())
	over := make(chan error, 1)
	go func() { over <- s.Serve(ctx, ln) }()
	b.end = sync.OnceFunc(func() {
		stop()
		if err := <-over; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	t.Cleanup(b.end)
	return b
}

func newSigner(t testing.TB) ssh.Signer {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	s, err := ssh.NewSignerFromKey(private)
	must(t, err)
	return s
}

func origin() desk.Origin {
	return desk.Origin{Client: netip.MustParseAddr("127.0.0.1"), UserAgent: "test"}
}

// agree says yes on the consent page and logs in.
func (b *bed) agree(begun desk.Begun, edit ...func(*desk.Terms)) {
	b.t.Helper()
	ctx := context.Background()
	code := secret.FromString(begun.ConsentURI[strings.LastIndex(begun.ConsentURI, "/")+1:])
	a, err := b.desk.Asked(ctx, code)
	must(b.t, err)
	terms := desk.Terms{
		Issuer: a.Issuer, Name: a.Name, Capabilities: a.Capabilities, Restrictions: a.Restrictions, Rotation: a.Rotation,
	}
	for _, e := range edit {
		e(&terms)
	}
	to, err := b.desk.Accept(ctx, code, terms, origin())
	must(b.t, err)
	u, err := url.Parse(to.URL)
	must(b.t, err)
	_, err = b.desk.LandIn(ctx, desk.Arrival{
		Query: url.Values{"state": {u.Query().Get("state")}, "code": {"x"}}, Binding: to.Binding, From: origin(),
	})
	must(b.t, err)
}

// login is a mytoken that may do everything.
func (b *bed) login() desk.Caller {
	b.t.Helper()
	q, err := json.Marshal(map[string]any{
		"oidc_issuer":  provIssuer,
		"capabilities": []string{"AT", "create_mytoken", "tokeninfo", "manage_mytokens", "settings"},
	})
	must(b.t, err)
	begun, err := b.desk.Begin(context.Background(), q, desk.Caller{Origin: origin()})
	must(b.t, err)
	b.agree(begun)
	i, err := b.desk.Poll(context.Background(), begun.PollingCode, origin())
	must(b.t, err)
	return desk.Caller{Mytoken: i.Token, Origin: origin()}
}

func line(s ssh.Signer) string {
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(s.PublicKey()))) + " a comment"
}

// add gives a key its mytoken and returns the user name.
func (b *bed) add(who desk.Caller, s ssh.Signer, r mytoken.SSHKeyRequest, edit ...func(*desk.Terms)) string {
	b.t.Helper()
	ctx := context.Background()
	_, err := b.desk.SetGrant(ctx, who, mytoken.GrantSSH, true)
	must(b.t, err)
	r.Key = line(s)
	begun, _, err := b.keys.Add(ctx, who, r)
	must(b.t, err)
	b.agree(begun, edit...)
	l, err := b.keys.Poll(ctx, begun.PollingCode, origin())
	must(b.t, err)
	return l.User.Expose()
}

// all is everything that a mytoken may do.
func all() mytoken.Capabilities {
	return mytoken.Capabilities{"AT", "create_mytoken", "tokeninfo", "manage_mytokens", "settings"}
}

// dial logs in with the library's client.
func (b *bed) dial(user string, s ssh.Signer) (*ssh.Client, error) {
	b.t.Helper()
	return ssh.Dial("tcp", b.addr, &ssh.ClientConfig{
		User: user, Auth: []ssh.AuthMethod{ssh.PublicKeys(s)}, HostKeyCallback: ssh.FixedHostKey(b.host),
		Timeout: 20 * time.Second,
	})
}

// outcome is what a command came to.
type outcome struct {
	out, errOut string
	status      int
}

// run runs one command.
func (b *bed) run(user string, s ssh.Signer, command string) outcome {
	b.t.Helper()
	c, err := b.dial(user, s)
	must(b.t, err)
	defer c.Close()
	session, err := c.NewSession()
	must(b.t, err)
	var o outcome
	var out, errOut bytes.Buffer
	session.Stdout, session.Stderr = &out, &errOut
	err = session.Run(command)
	if exit, ok := err.(*ssh.ExitError); ok {
		o.status = exit.ExitStatus()
	} else {
		must(b.t, err)
	}
	o.out, o.errOut = out.String(), errOut.String()
	return o
}
