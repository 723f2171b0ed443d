package issuer

import (
	"context"
	"net/url"

	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/store"
)

// refresh gives a new access token, and a new refresh token where the rotation says so. Scope and audience can only become
// less (RFC 6749 section 6, RFC 8707 section 2.2); the refresh token keeps the whole of the grant.
func (i *Issuer) refresh(ctx context.Context, c party, q url.Values) (answer, error) {
	scope, err := parseScope(q.Get("scope"))
	if err != nil {
		return answer{}, err
	}
	aud, err := readAudience(q)
	if err != nil {
		return answer{}, err
	}
	old := q.Get("refresh_token")
	if old == "" {
		return answer{}, badRequest("refresh_token is missing")
	}
	id, ok := i.familyOf(old)
	if !ok {
		return answer{}, badGrant("the refresh token is not known")
	}
	next, hash := i.newRefreshToken(id)
	rotation := orDefault(c.Rotation, i.o.Rotation)
	var t wanted
	var revoked bool
	err = i.o.Engine.Update(ctx, func(tx store.WTx) error {
		g, ok, err := loadForUpdate[grant](tx, grantTable(), id)
		if err != nil {
			return err
		}
		if !ok || g.Client != c.ID || g.expired(i.o.Now()) {
			return badGrant("the refresh token has expired or was revoked")
		}
		if t, err = i.narrowed(id, g, scope, aud); err != nil {
			return err
		}
		good, revoke := g.use(digest(old), hash, rotation, i.o.Now(), i.o.GraceWindow)
		if revoked = revoke; revoke {
			return tx.Delete(grantTable(), store.Key{id})
		}
		if !good {
			return badGrant("the refresh token was used too often")
		}
		return i.saveGrant(tx, id, g)
	})
	if err != nil {
		return answer{}, err
	}
	if revoked {
		i.o.Log.Warn("refresh token came again, its family is revoked", "op", "refresh", "client", c.ID)
		return answer{}, badGrant("the refresh token was used before")
	}
	if rotation == Off {
		next = secret.Text{}
	}
	return i.answer(t, "", next)
}

// narrowed is the token for a part of a grant; empty scope and aud mean all of it.
func (i *Issuer) narrowed(id string, g grant, scope, aud []string) (wanted, error) {
	t := i.wantedOf(id, g)
	for _, s := range scope {
		if !coveredBy(g.Scope, s) {
			return wanted{}, badScope("the scope is wider than that of the refresh token")
		}
	}
	if len(scope) > 0 {
		t.Scope = scope
	}
	have := g.Audience
	if len(have) == 0 {
		have = []string{i.o.Audience}
	}
	var err error
	t.Audience, err = narrowAudience(have, aud)
	return t, err
}
