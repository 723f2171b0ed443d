package service

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/agent/login"
	"github.com/oidcbox/oidcbox/core/agent/proto"
	"github.com/oidcbox/oidcbox/core/oidc/provider"
	"github.com/oidcbox/oidcbox/core/token/jose"
	"github.com/oidcbox/oidcbox/core/transport/httpc"
)

// TestSlowBundle: a CA bundle on a server that is away stops its own login only.
func TestSlowBundle(t *testing.T) {
	begun, release := make(chan struct{}), make(chan struct{})
	d := newDirectory(Options{Now: time.Now, HTTP: func(caFile string) (*httpc.Client, error) {
		if caFile == "/away" {
			close(begun)
			<-release
		}
		return httpc.New(httpc.Options{})
	}})
	defer d.close()
	slow := make(chan error, 1)
	go func() { _, err := d.access("/away"); slow <- err }()
	<-begun
	other := make(chan error, 1)
	go func() { _, err := d.access(""); other <- err }()
	select {
	case err := <-other:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(5 * time.Second):
		t.Error("the other login waits")
	}
	close(release)
	if err := <-slow; err != nil {
		t.Error(err)
	}
}

// TestManyBundles: a client that names one bundle after the other does not end the logins of others.
func TestManyBundles(t *testing.T) {
	d := newDirectory(Options{Now: time.Now, HTTP: func(string) (*httpc.Client, error) { return httpc.New(httpc.Options{}) }})
	defer d.close()
	first, err := d.access("/first")
	if err != nil {
		t.Fatal(err)
	}
	for n := range 4 * maxHTTPClient {
		if _, err := d.access(fmt.Sprint("/bundle", n)); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(d.clients); n > maxHTTPClient {
		t.Errorf("%d clients are kept", n)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	_, err = first.keys.Candidates(ctx, "http://127.0.0.1:1", jose.Header{Alg: jose.ES256})
	if err == nil || errors.Is(err, provider.ErrClosed) {
		t.Errorf("keys that are in use: %v", err)
	}
}

// TestCustomParameters: what a person adds goes into the requests it is for, and replaces nothing of the protocol.
func TestCustomParameters(t *testing.T) {
	w := newWorld(t)
	dir := t.TempDir()
	list := `[{"parameter":"claims_in_tokens","value":"token","for_issuer":["` + w.op.URL + `"],"request":["auth_url","device-init"]},
		{"parameter":"state","value":"planted","for_issuer":["` + w.op.URL + `"],"request":["auth_url"]}]`
	if err := os.WriteFile(filepath.Join(dir, "custom_parameters.config"), []byte(list), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := login.LoadCatalogue(dir)
	if err != nil {
		t.Fatal(err)
	}
	w.opts.Issuers = func() login.Catalogue { return c }
	rep := w.must(proto.Request{Type: proto.TypeGen, Config: w.account("a", nil), Flow: []string{"code"}})
	u, err := url.Parse(rep.URI)
	if err != nil {
		t.Fatal(err)
	}
	if q := u.Query(); q.Get("claims_in_tokens") != "token" || len(q["state"]) != 1 || q.Get("state") != rep.State {
		t.Errorf("%v", q)
	}
	w.must(proto.Request{Type: proto.TypeGen, Config: w.account("a", nil), Flow: []string{"device"}})
	all := w.op.Requests()
	if got := all[len(all)-1].Form.Get("claims_in_tokens"); got != "token" {
		t.Errorf("the device request has %q", got)
	}
}
