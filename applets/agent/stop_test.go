//go:build unix

package agent

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/agent/control"
	"github.com/oidcbox/oidcbox/core/agent/proto"
	"github.com/oidcbox/oidcbox/core/oidc/issuer"
	"github.com/oidcbox/oidcbox/core/oidc/issuer/issuertest"
	"github.com/oidcbox/oidcbox/core/secret"
)

// slowProvider rotates strictly, and answers a refresh late: by then it has replaced the token.
type slowProvider struct {
	op    *issuertest.Server
	delay atomic.Int64
	asked chan struct{}
}

func newSlowProvider(t *testing.T) *slowProvider {
	p := &slowProvider{asked: make(chan struct{}, 16)}
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rec := httptest.NewRecorder()
		p.op.ServeHTTP(rec, r.WithContext(context.WithoutCancel(r.Context())))
		if d := time.Duration(p.delay.Load()); d > 0 && r.URL.Path == "/token" {
			p.asked <- struct{}{}
			time.Sleep(d)
		}
		for k, v := range rec.Header() {
			w.Header()[k] = v
		}
		w.WriteHeader(rec.Code)
		_, _ = w.Write(rec.Body.Bytes())
	}))
	t.Cleanup(front.Close)
	p.op = issuertest.Start(t, func(o *issuer.Options) { o.URL, o.Rotation = front.URL, issuer.Strict })
	return p
}

// login saves one of alice in the agent's keystore.
func (p *slowProvider) login(h *home) {
	h.t.Helper()
	const scope = "openid profile offline_access"
	toks := p.op.Tokens("alice", scope)
	cfg, err := json.Marshal(map[string]any{
		"name": "a", "issuer_url": p.op.URL, "client_id": "web", "client_secret": "web-secret", "scope": scope,
		"refresh_token": toks.Refresh.Expose(),
	})
	if err != nil {
		h.t.Fatal(err)
	}
	ctl := control.Client{Path: h.path("run/oidcbox/control.sock")}
	if err := ctl.SaveLogin(h.t.Context(), secret.New(cfg)); err != nil {
		h.t.Fatal(err)
	}
}

func refresh(t *testing.T, socket string) error {
	rep, err := proto.Client{Path: socket}.Call(t.Context(), proto.Request{
		Type: proto.TypeAccessToken, Account: "a", MinValid: proto.ForceNew,
	})
	if err != nil {
		return err
	}
	return rep.Err()
}

// terminated returns how long the agent needed to end after a signal.
func terminated(t *testing.T, pid int, again bool) time.Duration {
	t.Helper()
	begin := time.Now()
	for n := 0; n == 0 || alive(pid); n++ {
		if n == 0 || again && n%20 == 0 {
			_ = syscall.Kill(pid, syscall.SIGTERM)
		}
		if time.Since(begin) > stopTime+5*time.Second {
			t.Fatalf("the agent did not end in %v", time.Since(begin))
		}
		time.Sleep(5 * time.Millisecond)
	}
	return time.Since(begin)
}

func TestStop(t *testing.T) {
	for _, c := range []struct {
		name     string
		delay    time.Duration // of the answer to a refresh that is under way
		again    bool          // tell it again and again
		min, max time.Duration
	}{
		{"idle_at_once", 0, false, 0, 6 * time.Second}, // half of what an agent with a refresh may take
		{"waits_for_a_refresh", 2500 * time.Millisecond, false, time.Second, 5 * time.Second},
		{"told_again_at_once", 6 * time.Second, true, 0, 5 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			h, p := newHome(t), newSlowProvider(t)
			a := h.start("agent", "--passphrase-file", h.path("pass"))
			p.login(h)
			if c.delay > 0 {
				p.delay.Store(int64(c.delay))
				done := make(chan struct{})
				defer func() { <-done }()
				go func() { defer close(done); _ = refresh(t, a.socket) }() // cut off by the end of the agent
				<-p.asked
			}
			if took := terminated(t, a.pid, c.again); took < c.min || took > c.max {
				t.Errorf("ended after %v, want between %v and %v", took, c.min, c.max)
			}
			p.delay.Store(0)
			a = h.start("agent", "--passphrase-file", h.path("pass"))
			if err := refresh(t, a.socket); err != nil && !c.again {
				t.Errorf("the login did not survive the stop: %v", err)
			}
		})
	}
}
