package issuer

import (
	"context"
	"net/url"
	"time"

	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/store"
)

// refresh gives a new access token, and a new refresh token where the rotation says so. Scope and audience can only
// become less (RFC 6749 section 6, RFC 8707 section 2.2); the refresh token keeps the whole of the grant.
func (i *Issuer) refresh(ctx context.Context, c party, q url.Values) (answer, error) {
	x, err := i.readRefresh(q)
	if err != nil {
		return answer{}, err
	}
	next, hash := i.newRefreshToken(x.family)
	use := i.turnOf(c, x.old, hash)
	var t wanted
	var reused bool
	err = i.o.Engine.Update(ctx, func(tx store.WTx) error {
		g, err := i.liveGrant(tx, x.family, c, use.now)
		if err != nil {
			return err
		}
		if t, err = i.narrowed(x, g); err != nil {
			return err
		}
		reused, err = i.takeTurn(tx, x.family, g, use)
		return err
	})
	if err != nil {
		return answer{}, err
	}
	if reused {
		i.o.Log.Warn("refresh token came again, its family is revoked", "op", "refresh", "client", c.ID)
		return answer{}, badGrant("the refresh token was used before")
	}
	if use.rotation == Off {
		next = secret.Text{}
	}
	return i.answer(t, "", next)
}

// turnOf is the use of a refresh token by c, now.
func (i *Issuer) turnOf(c party, old, next string) turn {
	rotation := orDefault(c.Rotation, i.o.Rotation)
	return turn{old: old, next: next, rotation: rotation, window: i.o.GraceWindow, now: i.o.Now()}
}

// refreshRequest is RFC 6749 section 6, read.
type refreshRequest struct {
	family          string
	old             string   // the digest of the refresh token
	scope, audience []string // empty: all of the grant
}

func (i *Issuer) readRefresh(q url.Values) (x refreshRequest, err error) {
	if x.scope, err = parseScope(q.Get("scope")); err != nil {
		return x, err
	}
	if x.audience, err = readAudience(q); err != nil {
		return x, err
	}
	token := q.Get("refresh_token")
	if token == "" {
		return x, badRequest("refresh_token is missing")
	}
	var ok bool
	if x.family, ok = i.familyOf(token); !ok {
		return x, badGrant("the refresh token is not known")
	}
	x.old = digest(token)
	return x, nil
}

// liveGrant reads the family of a refresh token for c.
func (i *Issuer) liveGrant(tx store.WTx, id string, c party, now time.Time) (grant, error) {
	g, ok, err := loadForUpdate[grant](tx, grantTable(), id)
	if err == nil && (!ok || g.Client != c.ID || g.expired(now)) {
		err = badGrant("the refresh token has expired or was revoked")
	}
	return g, err
}

// takeTurn writes what becomes of the family. That it was revoked is no error: an error would undo it.
func (i *Issuer) takeTurn(tx store.WTx, id string, g grant, use turn) (reused bool, err error) {
	good, revoke := g.use(use)
	switch {
	case revoke:
		return true, tx.Delete(grantTable(), store.Key{id})
	case !good:
		return false, badGrant("the refresh token was used too often")
	}
	return false, i.saveGrant(tx, id, g)
}

// narrowed is the token for the part of a grant that x asks for.
func (i *Issuer) narrowed(x refreshRequest, g grant) (wanted, error) {
	t := i.wantedOf(x.family, g)
	for _, s := range x.scope {
		if !coveredBy(g.Scope, s) {
			return wanted{}, badScope("the scope is wider than that of the refresh token")
		}
	}
	if len(x.scope) > 0 {
		t.Scope = x.scope
	}
	have := g.Audience
	if len(have) == 0 {
		have = []string{i.o.Audience}
	}
	var err error
	t.Audience, err = narrowAudience(have, x.audience)
	return t, err
}
