package remote

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/token/claims"
	"github.com/oidcbox/oidcbox/core/token/jose"
	"github.com/oidcbox/oidcbox/core/transport/httpc"
)

var start = time.Unix(1_800_000_000, 0)

// clock is set by hand.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// fake is an issuer that says what a test wants.
type fake struct {
	URL string
	*clock

	mu         sync.Mutex
	introspect http.HandlerFunc
	userinfo   http.HandlerFunc
	discovery  http.HandlerFunc
	calls      map[string]int // by path
	tokens     []string       // that were introspected
}

func startFake(t testing.TB) *fake {
	f := &fake{clock: &clock{now: start}, calls: map[string]int{}}
	srv := httptest.NewServer(http.HandlerFunc(f.serve))
	t.Cleanup(srv.Close)
	f.URL = srv.URL
	f.discovery = say(200, map[string]any{
		"issuer": f.URL, "introspection_endpoint": f.URL + "/introspect", "userinfo_endpoint": f.URL + "/userinfo",
	})
	f.introspect, f.userinfo = say(500, nil), say(500, nil)
	return f
}

func (f *fake) serve(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	f.calls[r.URL.Path]++
	h := map[string]http.HandlerFunc{
		"/introspect": f.introspect, "/userinfo": f.userinfo, "/.well-known/openid-configuration": f.discovery,
	}[r.URL.Path]
	if r.URL.Path == "/introspect" {
		f.tokens = append(f.tokens, r.PostFormValue("token"))
	}
	f.mu.Unlock()
	if h == nil {
		h = http.NotFound
	}
	h(w, r)
}

func (f *fake) count(path string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls[path]
}

// answers sets what the introspection endpoint says from now on.
func (f *fake) answers(h http.HandlerFunc) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.introspect = h
}

func (f *fake) person(h http.HandlerFunc) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.userinfo = h
}

func (f *fake) discovers(h http.HandlerFunc) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.discovery = h
}

// say answers with JSON, or with a body that is a string as it is.
func say(status int, body any) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		b, isText := body.(string)
		if !isText && body != nil {
			j, err := json.Marshal(body)
			if err != nil {
				panic(err)
			}
			b = string(j)
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = w.Write([]byte(b))
	}
}

type set = map[string]any

func (f *fake) active(more set) set {
	s := set{"active": true, "token_type": "Bearer", "sub": "alice", "exp": start.Unix() + 3600, "aud": "api"}
	for k, v := range more {
		s[k] = v
		if v == nil {
			delete(s, k)
		}
	}
	return s
}

func (f *fake) issuer(edit ...func(*Issuer)) Issuer {
	i := Issuer{URL: f.URL, Introspection: true, ClientID: "rs", ClientSecret: secret.FromString("s3cret"), Opaque: true}
	for _, e := range edit {
		e(&i)
	}
	return i
}

func onlyUserinfo(i *Issuer) { i.Introspection, i.Userinfo = false, true }
func both(i *Issuer)         { i.Userinfo = true }

func testClient(t testing.TB) *httpc.Client {
	t.Helper()
	hc, err := httpc.New(httpc.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(hc.CloseIdle)
	return hc
}

// source is one for the issuers of f, with f's clock.
func (f *fake) source(t testing.TB, edit ...func(*Issuer)) *Source {
	t.Helper()
	return newSource(t, f.clock, f.issuer(edit...))
}

func newSource(t testing.TB, c *clock, issuers ...Issuer) *Source {
	t.Helper()
	s, err := New(issuers, Options{HTTP: testClient(t), Now: c.Now, Timeout: 30 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func ask(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// signedBy is what a signed token of f says.
func (f *fake) signed() *claims.Token {
	return &claims.Token{
		Issuer: f.URL, Subject: "alice", Audience: []string{"api", "other"}, Expiry: start.Add(10 * time.Minute), ID: "j1",
	}
}

func wantErr(t testing.TB, err error, want ...error) {
	t.Helper()
	for _, w := range want {
		if !errors.Is(err, w) {
			t.Errorf("error %v, want %v", err, w)
		}
	}
}

func text(o jose.Object, name string) string {
	s, err := o.String(name)
	if err != nil {
		return fmt.Sprint(err)
	}
	return s
}

func textLog(w io.Writer) *slog.Logger { return slog.New(slog.NewTextHandler(w, nil)) }
