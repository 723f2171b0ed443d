package service

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

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
