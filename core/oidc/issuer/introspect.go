package issuer

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/oidcbox/oidcbox/core/transport/httpd"
	"github.com/oidcbox/oidcbox/store"
)

// introspection is an active answer of RFC 7662 section 2.2. An inactive one has nothing but active.
type introspection struct {
	Active   bool   `json:"active"`
	Type     string `json:"token_type"`
	Username string `json:"username,omitempty"`
	accessClaims
}

// introspect tells a client with a secret what a token is worth. Refresh tokens are shown to their own client only.
func (i *Issuer) introspect(w http.ResponseWriter, r *http.Request) error {
	q, c, err := i.clientForm(w, r)
	if err != nil {
		return err
	}
	if c.public() {
		return errClient(i.o.URL, false)
	}
	if q.Get("token") == "" {
		return badRequest("token is missing")
	}
	claims, err := i.ownToken(r.Context(), q.Get("token"))
	if err == nil {
		a := introspection{Active: true, Type: "Bearer", accessClaims: claims}
		if u, ok := i.userOf(claims.Subject); ok {
			a.Username = u.Name
		}
		return httpd.WriteJSON(w, http.StatusOK, a)
	}
	if !errors.Is(err, errNotOurs) {
		return err
	}
	return i.introspectRefresh(w, r, c, q.Get("token"))
}

func (i *Issuer) introspectRefresh(w http.ResponseWriter, r *http.Request, c party, token string) error {
	inactive := map[string]bool{"active": false}
	id, ok := i.familyOf(token)
	if !ok {
		return httpd.WriteJSON(w, http.StatusOK, inactive)
	}
	g, ok, err := find[grant](r.Context(), i, grantTable(), id)
	if err != nil {
		return err
	}
	// What a refresh would say, tried on a copy.
	good, _ := g.use(i.turnOf(c, digest(token), ""))
	if !ok || g.Client != c.ID || g.expired(i.o.Now()) || !good {
		return httpd.WriteJSON(w, http.StatusOK, inactive)
	}
	return httpd.WriteJSON(w, http.StatusOK, map[string]any{
		"active": true, "token_type": "refresh_token", "iss": i.o.URL, "sub": g.Subject, "client_id": g.Client,
		"scope": strings.Join(g.Scope, " "), "exp": g.Expires,
	})
}

// revoke ends a token (RFC 7009): with a refresh token its whole family, with an access token that one alone. A token
// that is not known is as good as revoked.
func (i *Issuer) revoke(w http.ResponseWriter, r *http.Request) error {
	q, c, err := i.clientForm(w, r)
	if err != nil {
		return err
	}
	token := q.Get("token")
	if token == "" {
		return badRequest("token is missing")
	}
	if id, ok := i.familyOf(token); ok {
		err = i.revokeFamily(r.Context(), c, id)
	} else {
		err = i.revokeAccess(r.Context(), c, token)
	}
	if err != nil {
		return conflict(err)
	}
	w.WriteHeader(http.StatusOK)
	return nil
}

func (i *Issuer) revokeFamily(ctx context.Context, c party, id string) error {
	return i.o.Engine.Update(ctx, func(tx store.WTx) error {
		g, ok, err := loadForUpdate[grant](tx, grantTable(), id)
		if err != nil || !ok {
			return err
		}
		if g.Client != c.ID {
			return bad("unauthorized_client", "the token was given to another client")
		}
		return tx.Delete(grantTable(), store.Key{id})
	})
}

func (i *Issuer) revokeAccess(ctx context.Context, c party, token string) error {
	claims, err := i.ownToken(ctx, token)
	if errors.Is(err, errNotOurs) {
		return nil
	}
	if err != nil {
		return err
	}
	if claims.ClientID != c.ID {
		return bad("unauthorized_client", "the token was given to another client")
	}
	return i.o.Engine.Update(ctx, func(tx store.WTx) error {
		return save(tx, slot{deniedTable(), claims.ID, time.Unix(claims.Expires, 0).Add(time.Minute)}, true)
	})
}

// userinfo tells about the person an access token is for (OpenID Connect Core section 5.3).
func (i *Issuer) userinfo(w http.ResponseWriter, r *http.Request) error {
	token := bearer(r)
	if token == "" {
		return httpd.Unauthorized(i.o.URL, "", "")
	}
	claims, err := i.ownToken(r.Context(), token)
	if errors.Is(err, errNotOurs) {
		return httpd.Unauthorized(i.o.URL, codeInvalidToken, "the access token is not valid")
	}
	if err != nil {
		return err
	}
	u, ok := i.userOf(claims.Subject)
	if !ok || !slices.Contains(claims.scopes(), scopeOpenID) {
		e := httpd.Unauthorized(i.o.URL, "insufficient_scope", "the scope openid is needed")
		e.Status = http.StatusForbidden
		return e
	}
	return httpd.WriteJSON(w, http.StatusOK, struct {
		Subject string `json:"sub"`
		personClaims
	}{u.Subject, personOf(u, claims.scopes())})
}
