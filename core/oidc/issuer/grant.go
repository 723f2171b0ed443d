package issuer

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"slices"
	"strings"
	"time"

	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/store"
)

// grant is one consent and all that was issued because of it: the family of RFC 9700. Deleting its row revokes every
// token in it. Its refresh tokens are the digests in Live; the reuse of an older one is known by the MAC in the token
// itself, so a family that was refreshed a thousand times is as small as a new one.
type grant struct {
	Client   string   `json:"client"`
	Subject  string   `json:"sub"`
	Scope    []string `json:"scope"`
	Audience []string `json:"aud"`
	AuthTime int64    `json:"auth_time,omitempty"`
	Expires  int64    `json:"exp"`
	Actor    *actor   `json:"act,omitempty"`
	Live     []live   `json:"live,omitempty"`
}

// live is a refresh token that is good, or was until lately.
type live struct {
	Hash string `json:"h"`
	Made int64  `json:"m,omitempty"` // milliseconds since 1970
	Used int64  `json:"u,omitempty"` // the same, 0: not used yet
}

// maxLive bounds the tokens of a family that are good at once in a grace window; each takes about 90 bytes of a record.
const maxLive = 256

const (
	grantIDBytes = 12
	rtSecret     = 32
	rtMAC        = 16
)

func newGrantID() string { return random(grantIDBytes) }

// mac binds a text to a purpose under the issuer's key.
func (i *Issuer) mac(purpose, text string) []byte {
	m := hmac.New(sha256.New, i.ring.mac)
	m.Write([]byte(purpose + "\x00" + text))
	return m.Sum(nil)
}

// newRefreshToken returns a token of the family id and the digest to keep of it. It is base64url of the family, 32
// random bytes and a MAC over both, which makes an old token of ours known from a made-up one.
func (i *Issuer) newRefreshToken(id string) (secret.Text, string) {
	raw, err := base64.RawURLEncoding.DecodeString(id)
	if err != nil || len(raw) != grantIDBytes {
		panic("issuer: grant id was not made by newGrantID")
	}
	body := make([]byte, grantIDBytes+rtSecret, grantIDBytes+rtSecret+rtMAC)
	copy(body, raw)
	_, _ = rand.Read(body[grantIDBytes:])
	body = append(body, i.mac("refresh", string(body))[:rtMAC]...)
	token := base64.RawURLEncoding.EncodeToString(body)
	return secret.FromString(token), digest(token)
}

// familyOf returns the family of a refresh token that we once issued.
func (i *Issuer) familyOf(token string) (id string, ok bool) {
	b, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(b) != grantIDBytes+rtSecret+rtMAC || base64.RawURLEncoding.EncodeToString(b) != token {
		// One spelling only: the decoder skips line breaks, and a token with one would look like an old one of its
		// family.
		return "", false
	}
	body, sum := b[:grantIDBytes+rtSecret], b[grantIDBytes+rtSecret:]
	if !hmac.Equal(i.mac("refresh", string(body))[:rtMAC], sum) {
		return "", false
	}
	return base64.RawURLEncoding.EncodeToString(body[:grantIDBytes]), true
}

// saveGrant writes the family. It is forgotten with its last token.
func (i *Issuer) saveGrant(tx store.WTx, id string, g grant) error {
	return save(tx, slot{grantTable(), id, time.Unix(g.Expires, 0).Add(i.o.AccessTTL)}, g)
}

// expired also covers a grant without refresh tokens, which lives as long as its access tokens.
func (g grant) expired(now time.Time) bool { return now.Unix() >= g.Expires }

// turn is one use of a refresh token: the digest of the old one, that of the one to come, and the rules.
type turn struct {
	old, next string
	rotation  Rotation
	window    time.Duration
	now       time.Time
}

// use changes g for a turn and says whether the old token is good, and if not, whether its family has to go: then it
// was good once, and somebody else has it.
func (g *grant) use(t turn) (good, revoke bool) {
	now := t.now.UnixMilli()
	g.Live = slices.DeleteFunc(g.Live, func(l live) bool {
		return l.Used != 0 && now-l.Used >= t.window.Milliseconds()
	})
	at := slices.IndexFunc(g.Live, func(l live) bool { return l.Hash == t.old })
	switch {
	case at < 0:
		return false, true
	case t.rotation == Off:
		return true, false
	case t.rotation == Strict:
		g.Live = []live{{Hash: t.next, Made: now}}
		return true, false
	}
	if g.Live[at].Used == 0 {
		g.Live[at].Used = now
	}
	if len(g.Live) >= maxLive && !g.dropOne(t) {
		return false, false
	}
	g.Live = append(g.Live, live{Hash: t.next, Made: now})
	return true, false
}

// dropOne makes room for one token and reports whether it could: it ends the window of the token that was used first,
// except the one in use. A client that refreshes fast leaves many behind and needs none of them. Where there is none,
// it forgets the oldest that nobody has used within a window: its answer was lost. Younger ones may all be needed.
func (g *grant) dropOne(t turn) bool {
	drop := -1
	for i, l := range g.Live {
		if l.Used != 0 && l.Hash != t.old && (drop < 0 || l.Used < g.Live[drop].Used) {
			drop = i
		}
	}
	if drop < 0 {
		drop = slices.IndexFunc(g.Live, func(l live) bool {
			return l.Hash != t.old && t.now.UnixMilli()-l.Made >= t.window.Milliseconds()
		})
	}
	if drop < 0 {
		return false
	}
	g.Live = slices.Delete(g.Live, drop, drop+1)
	return true
}

// grantAlive reports whether the family of an access token, if it has one, was not revoked.
func (i *Issuer) grantAlive(ctx context.Context, jti string) (bool, error) {
	id := familyOfID(jti)
	if id == "" {
		return true, nil
	}
	g, ok, err := find[grant](ctx, i, grantTable(), id)
	if !ok || err != nil {
		return false, err
	}
	_, ok, err = i.party(ctx, g.Client)
	return ok, err
}

// newTokenID returns a jti that names the family, so that revoking one needs no list of the tokens issued from it.
func newTokenID(grantID string) string {
	if grantID == "" {
		return random(16)
	}
	return grantID + "." + random(9)
}

// familyOfID reads what newTokenID wrote, "" for a token without a family: its jti has no dot.
func familyOfID(jti string) string {
	id, _, ok := strings.Cut(jti, ".")
	if !ok {
		return ""
	}
	return id
}
