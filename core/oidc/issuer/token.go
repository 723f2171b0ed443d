package issuer

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/transport/httpd"
	"github.com/oidcbox/oidcbox/store"
)

const (
	tokenTypePrefix  = "urn:ietf:params:oauth:token-type:"
	tokenTypeAccess  = tokenTypePrefix + "access_token"
	tokenTypeRefresh = tokenTypePrefix + "refresh_token"
	tokenTypeJWT     = tokenTypePrefix + "jwt"
)

// answer is what the token endpoint gives (RFC 6749 section 5.1, RFC 8693 section 2.2.1).
type answer struct {
	Access, Refresh, ID secret.Text
	Type                string
	Lifetime            int64
	Scope               []string
	IssuedType          string
}

// token is the token endpoint.
func (i *Issuer) token(w http.ResponseWriter, r *http.Request) error {
	q, c, err := i.clientForm(w, r)
	if err != nil {
		return err
	}
	grantType := q.Get("grant_type")
	if grantType == "" {
		return badRequest("grant_type is missing")
	}
	if !slices.Contains(grantTypes(), grantType) {
		return bad("unsupported_grant_type", "this provider does not have that grant type")
	}
	if !c.may(grantType) {
		return bad("unauthorized_client", "the client is not registered for that grant type")
	}
	a, err := i.issue(r.Context(), c, grantType, q)
	if err != nil {
		return conflict(err)
	}
	i.o.Log.Info("token issued", "op", "token", "client", c.ID, "grant", grantType, "tokid", a.Access.ID())
	return a.write(w)
}

func (i *Issuer) issue(ctx context.Context, c party, grantType string, q url.Values) (answer, error) {
	switch grantType {
	case GrantCode:
		return i.redeemCode(ctx, c, q)
	case GrantRefresh:
		return i.refresh(ctx, c, q)
	case GrantDevice:
		return i.pollDevice(ctx, c, q)
	case GrantExchange:
		return i.exchange(ctx, c, q)
	default:
		return i.clientCredentials(c, q)
	}
}

// conflict tells the caller to try again where the store said so.
func conflict(err error) error {
	if !errors.Is(err, store.ErrConflict) {
		return err
	}
	e := httpd.Refuse(http.StatusServiceUnavailable, "temporarily_unavailable", "try again")
	e.Header, e.Err = http.Header{"Retry-After": {"1"}}, err
	return e
}

func (a answer) write(w http.ResponseWriter) error {
	w.Header().Set("Pragma", "no-cache") // RFC 6749 section 5.1
	return httpd.WriteJSON(w, http.StatusOK, struct {
		Access     string `json:"access_token"`
		Type       string `json:"token_type"`
		Lifetime   int64  `json:"expires_in"`
		Refresh    string `json:"refresh_token,omitempty"`
		ID         string `json:"id_token,omitempty"`
		Scope      string `json:"scope"`
		IssuedType string `json:"issued_token_type,omitempty"`
	}{
		a.Access.Expose(), orDefault(a.Type, "Bearer"), a.Lifetime, a.Refresh.Expose(), a.ID.Expose(),
		strings.Join(a.Scope, " "), a.IssuedType,
	})
}

// family is a grant that is about to be written, with its first refresh token if it gets one.
type family struct {
	ID      string
	Row     grant
	Refresh secret.Text // empty: none
}

// newFamily prepares a grant. A refresh token comes with offline_access, to a client that may use it.
func (i *Issuer) newFamily(id string, c party, g grant) family {
	now := i.o.Now()
	g.Client, g.Expires = c.ID, now.Add(i.o.AccessTTL).Unix()
	f := family{ID: id, Row: g}
	if slices.Contains(g.Scope, scopeOffline) && c.may(GrantRefresh) {
		var hash string
		f.Refresh, hash = i.newRefreshToken(id)
		f.Row.Live = []live{{Hash: hash}}
		f.Row.Expires = now.Add(i.o.RefreshTTL).Unix()
	}
	return f
}

// answer signs what a family gets: an access token, and an ID token with the scope openid.
func (i *Issuer) answer(t wanted, nonce string, rt secret.Text) (answer, error) {
	at, life, err := i.mintAccess(t)
	if err != nil {
		return answer{}, err
	}
	a := answer{Access: at, Lifetime: life, Refresh: rt, Scope: t.Scope}
	if t.User != nil && slices.Contains(t.Scope, scopeOpenID) {
		a.ID, err = i.mintID(t, nonce, at)
	}
	return a, err
}

// subject returns the person a grant is about, nil when it is a client.
func (i *Issuer) subject(sub string) *User {
	if u, ok := i.userOf(sub); ok {
		return &u
	}
	return nil
}

func (i *Issuer) clientCredentials(c party, q url.Values) (answer, error) {
	asked, err := parseScope(q.Get("scope"))
	if err != nil {
		return answer{}, err
	}
	aud, err := readAudience(q)
	if err != nil {
		return answer{}, err
	}
	if len(asked) == 0 {
		asked = c.Scope
	}
	t := wanted{Client: c.ID, Subject: c.ID, Scope: i.allowed(c, nil, asked), Audience: aud}
	return i.answer(t, "", secret.Text{})
}

// in is the time d from now, in seconds since 1970.
func (i *Issuer) in(d time.Duration) int64 { return i.o.Now().Add(d).Unix() }
