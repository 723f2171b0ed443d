package desk_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/mytoken"
	"github.com/oidcbox/oidcbox/core/mytoken/desk"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/token/jose"
)

// hand holds a key and makes proofs with crypto and string work alone.
type hand struct {
	key *ecdsa.PrivateKey
	jwk string
}

func newHand(t testing.TB) *hand {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	point, err := k.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	return &hand{k, fmt.Sprintf(`{"kty":"EC","crv":"P-256","x":%q,"y":%q}`, b64(point[1:33]), b64(point[33:]))}
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func (h *hand) thumbprint(t testing.TB) string {
	t.Helper()
	k, err := jose.ParsePublicKey([]byte(h.jwk))
	if err != nil {
		t.Fatal(err)
	}
	return k.Thumbprint()
}

const endpoint = server + "/api/v0/token/my"

// proof is one for a request with mt, or for one without a token.
func (h *hand) proof(mt secret.Text) *desk.Proof {
	ath := ""
	if !mt.Empty() {
		sum := sha256.Sum256([]byte(mt.Expose()))
		ath = fmt.Sprintf(`,"ath":%q`, b64(sum[:]))
	}
	input := b64(fmt.Appendf(nil, `{"typ":"dpop+jwt","alg":"ES256","jwk":%s}`, h.jwk)) + "." + b64(fmt.Appendf(nil,
		`{"jti":%q,"htm":"POST","htu":%q,"iat":%d%s}`, rand.Text(), endpoint, time.Now().Unix(), ath))
	sum := sha256.Sum256([]byte(input))
	r, s, err := ecdsa.Sign(rand.Reader, h.key, sum[:])
	if err != nil {
		panic(err)
	}
	sig := append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
	return &desk.Proof{Headers: []string{input + "." + b64(sig)}, Method: http.MethodPost, URL: endpoint}
}

func TestBound(t *testing.T) {
	b := newBed(t, setup{})
	ctx := t.Context()
	owner, thief := newHand(t), newHand(t)
	begun, err := b.Begin(ctx, b.ask(map[string]any{
		"capabilities": []string{"AT", "create_mytoken"}, "rotation": map[string]any{"on_AT": true, "auto_revoke": true},
	}), desk.Caller{Origin: home(), Proof: owner.proof(secret.Text{})})
	if err != nil {
		t.Fatal(err)
	}
	if a, err := b.Asked(ctx, codeOf(begun.ConsentURI)); err != nil || !a.Bound {
		t.Fatal(a, err)
	}
	if _, err := b.land(b.agree(begun), "alice"); err != nil {
		t.Fatal(err)
	}
	i, err := b.Poll(ctx, begun.PollingCode, home())
	if err != nil {
		t.Fatal(err)
	}
	key := func(i *desk.Issued) string {
		c, err := mytoken.ReadClaims(i.Token)
		if err != nil {
			t.Fatal(err)
		}
		return c.KeyThumbprint
	}
	if key(i) != owner.thumbprint(t) {
		t.Fatal("not bound to the key of the proof")
	}
	with := func(p *desk.Proof) desk.Caller { return desk.Caller{Mytoken: i.Token, Origin: home(), Proof: p} }
	replayed := owner.proof(i.Token)
	if _, err := b.Sub(ctx, []byte(`{}`), with(replayed)); err != nil {
		t.Fatal(err)
	}
	for name, p := range map[string]*desk.Proof{
		"no proof": nil, "another key": thief.proof(i.Token), "a proof without token": owner.proof(secret.Text{}),
		"a proof that was used": replayed, "two proofs": {Headers: append(replayed.Headers, replayed.Headers...)},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := b.Access(ctx, desk.AccessRequest{}, with(p))
			refused(t, err, http.StatusUnauthorized, desk.CodeProof)
		})
	}
	t.Run("one made from it is bound too", func(t *testing.T) {
		child, err := b.Sub(ctx, []byte(`{}`), with(owner.proof(i.Token)))
		if err != nil || key(child) != owner.thumbprint(t) {
			t.Errorf("bound to %q: %v", key(child), err)
		}
		request := fmt.Appendf(nil, `{"dpop_jkt":%q}`, thief.thumbprint(t))
		if child, err = b.Sub(ctx, request, with(owner.proof(i.Token))); err != nil || key(child) != thief.thumbprint(t) {
			t.Errorf("bound to %q: %v", key(child), err)
		}
	})
	t.Run("a use, and the next one", func(t *testing.T) {
		a, err := b.Access(ctx, desk.AccessRequest{}, with(owner.proof(i.Token)))
		if err != nil {
			t.Fatal(err)
		}
		next := desk.Caller{Mytoken: a.Update.Token, Origin: home()}
		_, err = b.Access(ctx, desk.AccessRequest{}, next)
		refused(t, err, http.StatusUnauthorized, desk.CodeProof)
		next.Proof = owner.proof(a.Update.Token)
		if _, err = b.Access(ctx, desk.AccessRequest{}, next); err != nil {
			t.Error(err)
		}
	})
	t.Run("a proof and a member that differ", func(t *testing.T) {
		_, err := b.Begin(ctx, b.ask(map[string]any{"dpop_jkt": thief.thumbprint(t)}),
			desk.Caller{Origin: home(), Proof: owner.proof(secret.Text{})})
		refused(t, err, http.StatusBadRequest, desk.CodeProof)
	})
}
