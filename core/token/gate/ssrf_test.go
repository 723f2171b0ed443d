package gate_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/token/gate"
	"github.com/oidcbox/oidcbox/core/token/jose"
	"github.com/oidcbox/oidcbox/core/token/policy"
	"github.com/oidcbox/oidcbox/core/token/verify"
)

// trap is a port that counts who connects to it.
type trap struct {
	url   string
	count atomic.Int32
}

func newTrap(t *testing.T) *trap {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	tr := &trap{url: "http://" + ln.Addr().String()}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			tr.count.Add(1)
			_ = c.Close()
		}
	})
	t.Cleanup(func() { _ = ln.Close(); serving.Wait() })
	return tr
}

// sprung reports who connected. A connection of our own at the end proves that the trap works, and that all before it
// were counted.
func (tr *trap) sprung(t *testing.T) int {
	t.Helper()
	before := tr.count.Load()
	c, err := net.Dial("tcp", tr.url[len("http://"):])
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for end := time.Now().Add(20 * time.Second); tr.count.Load() == before; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the trap does not work")
		}
	}
	return int(tr.count.Load()) - 1
}

// forger signs whatever header and payload it is given.
type forger struct{ key *ecdsa.PrivateKey }

func newForger(t *testing.T) forger {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return forger{key}
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// private is the key as the provider of the tests takes it.
func (f forger) private(t *testing.T, kid string) *jose.PrivateKey {
	t.Helper()
	d, err := f.key.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	k, err := jose.ParsePrivateKey([]byte(f.jwk(t, kid, fmt.Sprintf(`,"alg":"ES256","d":%q`, b64(d)))))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func (f forger) jwk(t *testing.T, kid, more string) string {
	t.Helper()
	point, err := f.key.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf(`{"kty":"EC","crv":"P-256","kid":%q,"x":%q,"y":%q%s}`, kid, b64(point[1:33]), b64(point[33:]), more)
}

func (f forger) sign(t *testing.T, header string, payload map[string]any) secret.Text {
	t.Helper()
	p, err := json.Marshal(payload)
	if err != nil {
		t.Fatal(err)
	}
	token := b64([]byte(header)) + "." + b64(p)
	hash := sha256.Sum256([]byte(token))
	r, s, err := ecdsa.Sign(rand.Reader, f.key, hash[:])
	if err != nil {
		t.Fatal(err)
	}
	var sig [64]byte
	r.FillBytes(sig[:32])
	s.FillBytes(sig[32:])
	return secret.FromString(token + "." + b64(sig[:]))
}

// lure is a token that names a place of the attacker's, with what it is answered.
type lure struct {
	name   string
	token  secret.Text
	hint   string // issuer hint beside it
	status int
}

func lures(t *testing.T, s *site, to string) []lure {
	good, evil := newForger(t), newForger(t)
	s.change(func() { s.op.keys[0] = good.private(t, "k1") })
	payload := func(edit map[string]any) map[string]any {
		all := map[string]any{
			"iss": s.url, "sub": "alice", "aud": home, "iat": s.time().Unix(), "exp": s.time().Unix() + 600,
			"jti": "1", "client_id": "c",
		}
		for name, v := range edit {
			all[name] = v
		}
		return all
	}
	const plain = `{"alg":"ES256","kid":"k1"`
	header := func(more string) string { return plain + more + "}" }
	var list []lure
	for _, iss := range []string{
		to, to + "/", s.url + "@" + to[len("http://"):], s.url + "/../" + to, s.url + "#" + to, s.url + "?" + to,
		to + "/" + s.url, "//" + to[len("http://"):], s.url + "\n" + to, " " + s.url,
	} {
		list = append(list, lure{
			name:  fmt.Sprintf("iss %q", iss),
			token: evil.sign(t, header(""), payload(map[string]any{"iss": iss})), status: http.StatusUnauthorized,
		})
	}
	for name, more := range map[string]string{
		"jku": fmt.Sprintf(`,"jku":%q`, to+"/jwks"), "x5u": fmt.Sprintf(`,"x5u":%q`, to+"/cert"),
		"jku and x5u": fmt.Sprintf(`,"jku":%q,"x5u":%q,"x5c":["AAAA"],"x5t":"AAAA"`, to, to),
		"jwk":         `,"jwk":` + evil.jwk(t, "k1", fmt.Sprintf(`,"x5u":%q`, to)),
	} {
		list = append(list,
			lure{name: name + ", key of the attacker", token: evil.sign(t, header(more), payload(nil)), status: 401},
			lure{name: name + ", key of the issuer", token: good.sign(t, header(more), payload(nil)), status: 200})
	}
	for name, edit := range map[string]map[string]any{
		"distributed claims": {
			"_claim_names":   map[string]string{"entitlements": "a"},
			"_claim_sources": map[string]any{"a": map[string]string{"endpoint": to, "access_token": "x"}},
		},
		"places of endpoints": {"jwks_uri": to, "userinfo_endpoint": to, "introspection_endpoint": to, "picture": to},
	} {
		list = append(list, lure{name: name, token: good.sign(t, header(""), payload(edit)), status: http.StatusOK})
	}
	return append(list,
		lure{name: "kid", token: evil.sign(t, fmt.Sprintf(`{"alg":"ES256","kid":%q}`, to), payload(nil)), status: 401},
		lure{name: "hint with a JWT", hint: to, token: good.sign(t, plain+"}", payload(nil)), status: 200},
		lure{name: "hint with an opaque token", hint: to, token: secret.FromString("opaque-token"), status: 401},
		lure{name: "URL as a token", token: secret.FromString(to), status: http.StatusBadRequest},
	)
}

// TestSSRF: a token says where its keys, its issuer or more claims are, and nobody goes there, whatever else happens
// to the token. Places of the configured issuer are gone to.
func TestSSRF(t *testing.T) {
	for _, mode := range gate.Modes() {
		t.Run(string(mode), func(t *testing.T) {
			s := newSite(t, mode, anyone)
			to := newTrap(t)
			for _, l := range lures(t, s, to.url) {
				s.change(func() { s.known[l.token.Expose()] = true }) // the issuer says yes to everything
				if got := s.askWith(t, l); got != l.status {
					t.Errorf("%s: status %d, want %d", l.name, got, l.status)
				}
			}
			if n := to.sprung(t); n != 0 {
				t.Errorf("%d connections to where tokens point", n)
			}
		})
	}
}

func (s *site) askWith(t *testing.T, l lure) int {
	t.Helper()
	_, err := s.gate.Check(t.Context(), gate.Presented{Token: l.token, Scheme: gate.Bearer, Issuer: l.hint}, "")
	var no *gate.Refusal
	if err == nil {
		return http.StatusOK
	}
	if !errors.As(err, &no) {
		t.Fatalf("not a refusal: %v", err)
	}
	return no.Status
}

// TestSSRFVerifier is the same for a verifier that is used without a gate.
func TestSSRFVerifier(t *testing.T) {
	s := newSite(t, gate.Offline, anyone)
	to := newTrap(t)
	v, err := verify.New(verify.Config{
		Issuers: []verify.Issuer{{URL: s.url}}, Audiences: []string{home}, Keys: s.keys, Now: s.time,
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range lures(t, s, to.url) {
		_, err := v.Verify(t.Context(), []byte(l.token.Expose()))
		if accepted := err == nil; accepted != (l.status == http.StatusOK) {
			t.Errorf("%s: %v", l.name, err)
		}
	}
	if n := to.sprung(t); n != 0 {
		t.Errorf("%d connections to where tokens point", n)
	}
}

// TestStrangersAndTheIssuer: thousands of tokens with invented keys and issuers cost a trusted issuer one fetch.
func TestStrangersAndTheIssuer(t *testing.T) {
	s := newSite(t, gate.Offline, anyone)
	good := s.token(t, time.Hour, true, nil)
	if got := s.ask(t, good); got != http.StatusOK {
		t.Fatal(got)
	}
	fetches := func() int {
		s.op.mu.Lock()
		defer s.op.mu.Unlock()
		return s.op.fetched
	}
	before := fetches()
	evil := newForger(t)
	for minute := range 3 {
		var all sync.WaitGroup
		for worker := range 4 {
			all.Go(func() {
				for i := range 100 {
					header := fmt.Sprintf(`{"alg":"ES256","kid":"invented-%d-%d-%d"}`, minute, worker, i)
					token := evil.sign(t, header, map[string]any{
						"iss": s.url, "sub": "x", "aud": home, "iat": s.time().Unix(), "exp": s.time().Unix() + 600,
					})
					_, err := s.gate.Decide(t.Context(), gate.Presented{Token: token, Scheme: gate.Bearer}, policy.Request{})
					if no := gate.RefusalOf(err); no == nil || no.Status != http.StatusUnauthorized {
						t.Errorf("%v", err)
					}
				}
			})
		}
		all.Wait()
		if n := fetches() - before; n != minute+1 {
			t.Errorf("%d fetches in %d minutes", n, minute+1)
		}
		s.pass(time.Minute)
	}
}
