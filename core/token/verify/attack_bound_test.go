package verify_test

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"testing"

	"github.com/oidcbox/oidcbox/core/token/claims"
	"github.com/oidcbox/oidcbox/core/token/jose"
	"github.com/oidcbox/oidcbox/core/token/verify"
)

// TestBoundTokens: with the proof, without it, with another's, with too much, and all that when the token is
// remembered.
func TestBoundTokens(t *testing.T) {
	s := newScene(t)
	der := []byte("any certificate will do: only its hash matters")
	sum := sha256.Sum256(der)
	hash := base64.RawURLEncoding.EncodeToString(sum[:])
	holder := s.holder(t, "e2")
	bound := func(cnf string) string { return s.make(attempt{base: "at", body: []string{"cnf=" + cnf}}) }
	plain, tls := bound("{}"), bound(`{"x5t#S256":"`+hash+`"}`)
	key := bound(`{"jkt":"` + holder.thumbprint + `"}`)
	both := bound(`{"jkt":"` + holder.thumbprint + `","x5t#S256":"` + hash + `"}`)
	stranger := s.holder(t, "evil")
	for round := range 3 {
		for _, c := range []struct {
			name, token string
			p           verify.Proof
			want        string
		}{
			{"plain", plain, verify.Proof{}, ""},
			{"plain with a certificate", plain, verify.Proof{Certificate: der}, ""},
			{"plain as DPoP", plain, holder.proof(plain, nil), "binding"},
			{"plain by another scheme", plain, verify.Proof{Scheme: "Basic"}, "binding"},
			{"plain by a scheme in capitals", plain, verify.Proof{Scheme: "DPOP"}, "binding"},
			{"certificate", tls, verify.Proof{Certificate: der}, ""},
			{"certificate missing", tls, verify.Proof{}, "binding"},
			{"certificate of another", tls, verify.Proof{Certificate: []byte("other")}, "binding"},
			{"certificate, presented as DPoP", tls, holder.proof(tls, der), "binding"},
			{"key", key, holder.proof(key, nil), ""},
			{"key, presented as Bearer", key, verify.Proof{}, "binding"},
			{"key, presented as Bearer with the proof", key, with(holder.proof(key, nil), func(p *verify.Proof) {
				p.Scheme = verify.Bearer
			}), "binding"},
			{"key, proof missing", key, verify.Proof{Scheme: verify.DPoP, Method: "GET", URL: "https://x.org/"}, "proof"},
			{"key of another", key, stranger.proof(key, nil), "binding"},
			{"key, proof for another token", key, holder.proof(plain, nil), "proof"},
			{"key, proof for another method", key, with(holder.proof(key, nil), func(p *verify.Proof) {
				p.Method = "DELETE"
			}), "proof"},
			{"key, certificate instead", key, verify.Proof{Certificate: der}, "binding"},
			{"both", both, holder.proof(both, der), ""},
			{"both, certificate missing", both, holder.proof(both, nil), "binding"},
			{"both, key missing", both, verify.Proof{Certificate: der}, "binding"},
		} {
			id, err := s.v.VerifyWith(t.Context(), []byte(c.token), c.p)
			if got := refusalClass(err); got != c.want {
				t.Errorf("%d, %s: %q (%v), wanted is %q", round, c.name, got, err, c.want)
			}
			if err == nil && (id.Bound == claims.Confirmation{}) != (c.token == plain) {
				t.Errorf("%d, %s: bound to %+v", round, c.name, id.Bound)
			}
		}
	}
	used := holder.proof(key, nil)
	for i, want := range []string{"", "proof", "proof"} {
		_, err := s.v.VerifyWith(t.Context(), []byte(key), used)
		if got := refusalClass(err); got != want {
			t.Errorf("one proof, request %d: %q (%v)", i+1, got, err)
		}
	}
}

// TestProofIsNotUsedUpByARefusal: the checks before it come first, and the client may try again.
func TestProofIsNotUsedUpByARefusal(t *testing.T) {
	s := newScene(t)
	holder := s.holder(t, "e2")
	key := s.make(attempt{base: "at", body: []string{`cnf={"jkt":"` + holder.thumbprint + `"}`}})
	p := holder.proof(key, nil)
	_, err := s.v.VerifyFor(t.Context(), []byte(key), verify.Check{Audiences: []string{"x"}, Proof: p})
	var audience *verify.AudienceError
	if !errors.As(err, &audience) {
		t.Fatal(err)
	}
	if _, err := s.v.VerifyWith(t.Context(), []byte(key), p); err != nil {
		t.Error(err)
	}
}

// holder has a key and makes DPoP proofs with it.
type holder struct {
	s          *scene
	key        string
	thumbprint string
	made       int
}

func (s *scene) holder(t *testing.T, key string) *holder {
	t.Helper()
	k, err := jose.ParsePublicKey([]byte(s.public[key]))
	if err != nil {
		t.Fatal(err)
	}
	return &holder{s: s, key: key, thumbprint: k.Thumbprint()}
}

func (h *holder) proof(token string, der []byte) verify.Proof {
	h.made++
	sum := sha256.Sum256([]byte(token))
	p := h.s.make(attempt{
		key:     h.key,
		rawHead: `{"typ":"dpop+jwt","alg":"ES256","jwk":` + h.s.public[h.key] + `}`,
		rawBody: fmt.Sprintf(`{"jti":"%s-%d","htm":"GET","htu":"https://x.org/","iat":%d,"ath":%q}`, h.key, h.made, atkNow,
			base64.RawURLEncoding.EncodeToString(sum[:])),
	})
	return verify.Proof{
		Scheme: verify.DPoP, DPoP: []string{p}, Method: "GET", URL: "https://x.org/", Certificate: der,
	}
}

func with(p verify.Proof, change func(*verify.Proof)) verify.Proof {
	change(&p)
	return p
}
