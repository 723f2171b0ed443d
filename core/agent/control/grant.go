package control

import (
	"context"
	"net/http"
	"time"

	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/secret"
)

// Granter makes and ends tokens with the clients of logins, whose secrets stay with it.
type Granter interface {
	// Grant gets a token by a grant that is no refresh. The answer's token may be empty when only a refresh token was
	// issued, which is kept as a login then.
	Grant(ctx context.Context, r GrantRequest) (Granted, error)
	// Revoke ends the refresh token of a login, or another token with its client. An error means that nothing is known to
	// have been revoked.
	Revoke(ctx context.Context, r RevokeRequest) (Revoked, error)
}

// The values of GrantRequest.Kind.
const (
	GrantExchange    = "exchange"           // RFC 8693
	GrantCredentials = "client_credentials" // RFC 6749 4.4
)

// GrantRequest asks for a token with the client of a login.
type GrantRequest struct {
	Login    string // whose client asks
	Kind     string
	Scope    string
	Audience string   // separated by blanks; sent in the form that the provider takes
	Resource []string // absolute URIs, sent as resource
	Hint     string   // who asks, as it says itself

	Subject       secret.Text // of an exchange
	SubjectType   string      // URN; "" = an access token
	RequestedType string      // URN; "" = the provider's choice

	// SaveAs keeps the refresh token of an exchange as a login of this name; "" keeps none.
	SaveAs  string
	Replace bool // also when there is a login of that name
}

// Granted is what a grant gave.
type Granted struct {
	Token
	IssuedType string // URN of RFC 8693
	// Saved is where the login of SaveAs is: SavedKeystore, SavedMemory, or "" for nowhere.
	Saved string
}

// The values of Granted.Saved.
const (
	SavedKeystore = "keystore"
	SavedMemory   = "memory" // it ends with the agent
)

// RevokeRequest says what to end.
type RevokeRequest struct {
	Login string
	// Token is revoked with the login's client; empty means the login's refresh token.
	Token secret.Text
	Hint  string // "access_token", "refresh_token" or "" for the kind of Token

	// DeleteClient removes the client at the provider, where it was registered by us.
	DeleteClient bool
	// Remove deletes the login here once it is revoked.
	Remove bool
}

// Revoked is what came of it.
type Revoked struct {
	Login  string `json:"login"`
	Issuer string `json:"issuer"`
	// Nothing says that the login had no refresh token (any more).
	Nothing bool `json:"nothing,omitempty"`
	// Confirmed is one of the Confirmed constants.
	Confirmed string `json:"confirmed,omitempty"`
	// Client is one of the Client constants.
	Client string `json:"client,omitempty"`
	// Removed says that the login is not here any more.
	Removed bool   `json:"removed,omitempty"`
	Detail  string `json:"detail,omitempty"` // why something of it did not work
}

// The values of Revoked.Confirmed: what the provider says of the token afterwards (RFC 7662).
const (
	ConfirmedInactive   = "inactive"    // it is dead
	ConfirmedActive     = "active"      // it is not: the revocation had no effect
	ConfirmedNotOffered = "not offered" // the provider has no introspection
	ConfirmedUnknown    = "unknown"     // it did not answer, or not to this client
)

// The values of Revoked.Client.
const (
	ClientKept    = "kept" // it was not registered by us
	ClientDeleted = "deleted"
	ClientFailed  = "failed" // Detail says why
)

type (
	grantBody struct {
		Login         string   `json:"login"`
		Kind          string   `json:"kind"`
		Scope         string   `json:"scope,omitempty"`
		Audience      string   `json:"audience,omitempty"`
		Resource      []string `json:"resource,omitempty"`
		Hint          string   `json:"hint,omitempty"`
		Subject       []byte   `json:"subject,omitempty"`
		SubjectType   string   `json:"subject_type,omitempty"`
		RequestedType string   `json:"requested_type,omitempty"`
		SaveAs        string   `json:"save_as,omitempty"`
		Replace       bool     `json:"replace,omitempty"`
	}
	grantedBody struct {
		tokenBody
		IssuedType string `json:"issued_type,omitempty"`
		Saved      string `json:"saved,omitempty"`
	}
	revokeBody struct {
		Login        string `json:"login"`
		Token        []byte `json:"token,omitempty"`
		Hint         string `json:"hint,omitempty"`
		DeleteClient bool   `json:"delete_client,omitempty"`
		Remove       bool   `json:"remove,omitempty"`
	}
)

// bodyOf is a token as it goes over the wire. access is wiped by its owner.
func bodyOf(t Token, access []byte) tokenBody {
	b := tokenBody{Access: access, Issuer: t.Issuer, Scope: t.Scope}
	if !t.Expires.IsZero() {
		b.Expires = t.Expires.Unix()
	}
	return b
}

func (b tokenBody) token() Token {
	t := Token{Access: secret.New(b.Access), Issuer: b.Issuer, Scope: b.Scope}
	if b.Expires > 0 {
		t.Expires = time.Unix(b.Expires, 0)
	}
	return t
}

// Grant gets a token.
func (c Client) Grant(ctx context.Context, r GrantRequest) (Granted, error) {
	var out grantedBody
	err := expose(r.Subject, func(subject []byte) error {
		return c.call(ctx, http.MethodPost, "/v1/grant", grantBody{
			Login: r.Login, Kind: r.Kind, Scope: r.Scope, Audience: r.Audience, Resource: r.Resource, Hint: r.Hint,
			Subject: subject, SubjectType: r.SubjectType, RequestedType: r.RequestedType,
			SaveAs: r.SaveAs, Replace: r.Replace,
		}, &out)
	})
	if err != nil {
		return Granted{}, err
	}
	return Granted{Token: out.token(), IssuedType: out.IssuedType, Saved: out.Saved}, nil
}

// Revoke ends a token.
func (c Client) Revoke(ctx context.Context, r RevokeRequest) (Revoked, error) {
	var out Revoked
	err := expose(r.Token, func(token []byte) error {
		return c.call(ctx, http.MethodPost, "/v1/revoke", revokeBody{
			Login: r.Login, Token: token, Hint: r.Hint, DeleteClient: r.DeleteClient, Remove: r.Remove,
		}, &out)
	})
	return out, err
}

func (h handler) grant(w http.ResponseWriter, r *http.Request) error {
	var body grantBody
	if err := read(r, &body); err != nil {
		return err
	}
	req := GrantRequest{
		Login: body.Login, Kind: body.Kind, Scope: body.Scope, Audience: body.Audience, Resource: body.Resource,
		Hint: body.Hint, Subject: secret.New(body.Subject), SubjectType: body.SubjectType,
		RequestedType: body.RequestedType, SaveAs: body.SaveAs, Replace: body.Replace,
	}
	defer req.Subject.Wipe()
	switch {
	case req.Kind != GrantExchange && req.Kind != GrantCredentials:
		return cli.Failf(cli.Usage, "unknown kind of grant %q", req.Kind)
	case req.Kind == GrantExchange && req.Subject.Empty():
		return cli.Failf(cli.Usage, "an exchange needs a subject token")
	case req.Kind == GrantCredentials && req.SaveAs != "":
		return cli.Failf(cli.Usage, "client credentials give no refresh token that could be kept")
	}
	g, err := h.b.Grant(r.Context(), req)
	if err != nil {
		return err
	}
	defer g.Access.Wipe()
	return expose(g.Access, func(b []byte) error {
		return reply(w, grantedBody{tokenBody: bodyOf(g.Token, b), IssuedType: g.IssuedType, Saved: g.Saved}, nil)
	})
}

func (h handler) revoke(w http.ResponseWriter, r *http.Request) error {
	var body revokeBody
	if err := read(r, &body); err != nil {
		return err
	}
	req := RevokeRequest{
		Login: body.Login, Token: secret.New(body.Token), Hint: body.Hint,
		DeleteClient: body.DeleteClient, Remove: body.Remove,
	}
	defer req.Token.Wipe()
	if !req.Token.Empty() && (req.DeleteClient || req.Remove) {
		return cli.Failf(cli.Usage, "a token that is given is revoked by itself")
	}
	out, err := h.b.Revoke(r.Context(), req)
	return reply(w, out, err)
}
