package provisioner

import (
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/token/gate"
	"github.com/oidcbox/oidcbox/core/token/verify"
	"github.com/oidcbox/oidcbox/core/transport/httpc"
)

// TestLoginAtIssuerThatIsGone: who begins logins at an issuer that does not answer does not make all others wait for it.
func TestLoginAtIssuerThatIsGone(t *testing.T) {
	var asked atomic.Int32
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		http.Error(w, "gone", http.StatusNotFound)
	}))
	defer srv.Close()
	hc, err := httpc.New(httpc.Options{})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	d := &server{env: &cli.Env{Now: func() time.Time { return now }}, hc: hc}
	l := &loginAt{d: d, issuer: issuer{Issuer: gate.Issuer{Issuer: verify.Issuer{URL: srv.URL}}, login: &loginClient{}}}
	if _, err := l.client(t.Context()); err == nil {
		t.Fatal("a client of nobody")
	}
	first := asked.Load()
	for range 10 {
		if c, err := l.client(t.Context()); err == nil || c != nil {
			t.Fatalf("%v, %v", c, err)
		}
	}
	if n := asked.Load(); first == 0 || n != first {
		t.Errorf("asked %d times, then %d", first, n)
	}
	now = now.Add(documentPause + time.Second)
	if _, err := l.client(t.Context()); err == nil || asked.Load() == first {
		t.Errorf("it is not asked again: %v", err)
	}
}
