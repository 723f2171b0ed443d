package service

import (
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/agent/login"
	"github.com/oidcbox/oidcbox/core/agent/prompt"
	"github.com/oidcbox/oidcbox/core/agent/proto"
	"github.com/oidcbox/oidcbox/core/oidc/issuer"
	"github.com/oidcbox/oidcbox/core/oidc/issuer/issuertest"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/secret/keystore"
	"github.com/oidcbox/oidcbox/core/secret/vault"
	"github.com/oidcbox/oidcbox/core/transport/httpc"
	"github.com/oidcbox/oidcbox/core/transport/sock"
	"github.com/oidcbox/oidcbox/store"
	"github.com/oidcbox/oidcbox/store/memstore"
)

// world is a service and a provider.
type world struct {
	asker   prompt.Asker // nil: nobody
	issuers func() login.Catalogue
	*Service
	t     *testing.T
	op    *issuertest.Server
	file  *fakeFile
	clock *clock
	dir   string // of account files; "" for none
	log   *slog.Logger
}

// clock runs with the real one, and ahead of it by what a test adds.
type clock struct {
	mu    sync.Mutex
	ahead time.Duration
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.ahead)
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ahead += d
}

// fakeFile is a keystore file that lives on when an engine on it is closed.
type fakeFile struct {
	mu  sync.Mutex
	eng store.Engine
}

type lasting struct{ store.Engine }

func (lasting) Close() error { return nil }

func (f *fakeFile) Path() string { return "/home/alice/keystore" }

func (f *fakeFile) Exists(context.Context) (bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.eng != nil, nil
}

func (f *fakeFile) Open(context.Context) (store.Engine, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.eng == nil {
		return nil, os.ErrNotExist
	}
	return lasting{f.eng}, nil
}

func (f *fakeFile) Make(ctx context.Context) (store.Engine, error) {
	f.mu.Lock()
	if f.eng == nil {
		f.eng = memstore.New()
	}
	f.mu.Unlock()
	return f.Open(ctx)
}

// newWorld starts a provider with the edits and an agent without logins.
func newWorld(t *testing.T, edit ...func(*issuer.Options)) *world {
	t.Helper()
	w := &world{t: t, clock: &clock{}, file: &fakeFile{}}
	edit = append([]func(*issuer.Options){func(o *issuer.Options) { o.Now = w.clock.now }}, edit...)
	w.op = issuertest.Start(t, edit...)
	w.restart(Switches{})
	return w
}

// listen makes a socket at a place of its own.
func (w *world) listen(path string) (net.Listener, error) {
	if path == "" {
		dir, err := os.MkdirTemp("", "share")
		if err != nil {
			return nil, err
		}
		w.t.Cleanup(func() { _ = os.RemoveAll(dir) })
		path = filepath.Join(dir, "s")
	}
	return sock.Listen(path, sock.ListenOptions{})
}

// restart replaces the agent by a new one on the same keystore file.
func (w *world) restart(sw Switches) {
	w.t.Helper()
	v, err := vault.New(vault.Prefer, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	o := Options{
		Vault: v, Memory: memstore.New(), File: w.file, Now: w.clock.now, Version: "1.2.3", PID: 42, Switches: sw,
		HTTP: func(ca string) (*httpc.Client, error) {
			return httpc.New(httpc.Options{CAFile: ca, Timeout: 5 * time.Second})
		},
		Listen: w.listen,
		Getenv: os.Getenv, Log: w.log, Asker: w.asker, Issuers: w.issuers,
	}
	if w.dir != "" {
		o.Accounts = login.Directory{Find: func() (string, bool, error) { return w.dir, true, nil }}
	}
	s, err := New(o)
	if err != nil {
		w.t.Fatal(err)
	}
	s.files.every = 50 * time.Millisecond
	w.Service = s
	w.t.Cleanup(func() { w.end(s) })
}

func (w *world) end(s *Service) {
	select {
	case <-s.stop:
		return
	default:
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := s.Close(ctx); err != nil {
		w.t.Errorf("close: %v", err)
	}
}

func (w *world) ask(r proto.Request) proto.Reply {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	return w.Handle(ctx, sock.Peer{}, r)
}

// must is ask for a request that has to succeed.
func (w *world) must(r proto.Request) proto.Reply {
	w.t.Helper()
	rep := w.ask(r)
	if rep.Error != "" {
		w.t.Fatalf("%s: %s\n%s", r.Type, rep.Error, rep.Info.Text())
	}
	return rep
}

// refused asserts that a request fails with this text.
func (w *world) refused(r proto.Request, text string) proto.Reply {
	w.t.Helper()
	rep := w.ask(r)
	if rep.Error != text {
		w.t.Fatalf("%s: got error %q (%s), want %q", r.Type, rep.Error, rep.Info.Text(), text)
	}
	return rep
}

// account is the JSON of an account; more replaces members, nil removes one.
func (w *world) account(name string, more map[string]any) secret.Text {
	w.t.Helper()
	m := map[string]any{
		"name": name, "issuer_url": w.op.URL, "client_id": "web", "client_secret": "web-secret",
		"scope": "openid profile offline_access storage.read:/", "redirect_uris": []string{"http://localhost:0"},
		"client_id_issued_at": 1234567,
	}
	for k, v := range more {
		m[k] = v
	}
	b, err := json.Marshal(m)
	if err != nil {
		w.t.Fatal(err)
	}
	return secret.New(b)
}

const loginScope = "openid profile offline_access storage.read:/"

// refreshToken is a fresh one of alice.
func (w *world) refreshToken() string {
	w.t.Helper()
	toks := w.op.Tokens("alice", loginScope)
	return toks.Refresh.Expose()
}

// add loads a login.
func (w *world) add(name string, more map[string]any) proto.Reply {
	w.t.Helper()
	if more == nil {
		more = map[string]any{}
	}
	if _, ok := more["refresh_token"]; !ok {
		more["refresh_token"] = w.refreshToken()
	}
	return w.must(proto.Request{Type: proto.TypeAdd, Config: w.account(name, more)})
}

func (w *world) token(name string) string {
	w.t.Helper()
	rep := w.must(proto.Request{Type: proto.TypeAccessToken, Account: name})
	return rep.AccessToken.Expose()
}

// refreshes counts the refresh requests that reached the provider.
func (w *world) refreshes() int {
	n := 0
	for _, r := range w.op.Requests() {
		if r.Method == http.MethodPost && strings.HasSuffix(r.Path, "/token") && r.Form.Get("grant_type") == grantRefresh {
			n++
		}
	}
	return n
}

const passphrase = "correct horse battery staple"

// cheap is a slot whose derivation costs a test nothing.
func cheap() keystore.NewSlot {
	return keystore.NewSlot{
		Kind: keystore.KindPassphrase, Passphrase: secret.FromString(passphrase),
		Cost: vault.Params{Time: 1, Memory: 64, Threads: 1},
	}
}

func (w *world) makeKeystore() {
	w.t.Helper()
	if err := w.MakeKeystore(context.Background(), cheap()); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) unlockKeystore() {
	w.t.Helper()
	cred := keystore.Passphrase(secret.FromString(passphrase))
	if err := w.OpenKeystore(context.Background(), cred); err != nil {
		w.t.Fatal(err)
	}
}
