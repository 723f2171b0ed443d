package httpapi

import (
	"cmp"
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"github.com/oidcbox/oidcbox/core/mytoken/desk"
	"github.com/oidcbox/oidcbox/core/mytoken/rules"
	"github.com/oidcbox/oidcbox/core/secret"
)

// inspector is a way to ask what a mytoken is.
type inspector func(ctx context.Context, c desk.Caller) (desk.Introspection, error)

// Types of tokens (RFC 8693 section 3). A mytoken is a JWT, and in the hands of a client what a refresh token is.
const (
	typeAccess  = "urn:ietf:params:oauth:token-type:access_token"
	typeRefresh = "urn:ietf:params:oauth:token-type:refresh_token"
	typeJWT     = "urn:ietf:params:oauth:token-type:jwt"
	typeMytoken = "urn:oidcbox:params:oauth:token-type:mytoken"
)

// codeTarget is the refusal of an audience (RFC 8693 section 2.2.2).
const codeTarget = "invalid_target"

// exchangeRequest is a request for token exchange.
type exchangeRequest struct {
	subject, subjectType, wanted string
	scope, name                  string
	audience                     []string
}

// exchange answers a token exchange (RFC 8693) with a mytoken as subject_token: an access token of the provider, or,
// where a refresh token or mytoken is wanted, a mytoken with less.
func (a *API) exchange(c *Call) (Answer, error) {
	if a.o.Features.NoExchange {
		return Answer{}, refuse(http.StatusBadRequest, "unsupported_grant_type", "")
	}
	q, err := readExchange(c.Body)
	if err != nil {
		return Answer{}, err
	}
	who := desk.Caller{Mytoken: secret.FromString(q.subject), Origin: c.Origin, Proof: c.proof()}
	defer who.Mytoken.Wipe()
	if err := a.o.Gate.token(who.Mytoken); err != nil {
		return Answer{}, err
	}
	var out Answer
	switch q.wanted {
	case typeAccess:
		out, err = a.exchangeAccess(c, q, who)
	case typeRefresh, typeMytoken:
		if !a.o.Features.Subtokens {
			return Answer{}, badRequest("requested_token_type is not supported")
		}
		out, err = a.exchangeMytoken(c, q, who)
	default:
		return Answer{}, badRequest("requested_token_type is not supported")
	}
	if e, ok := isRefusal(err); ok && e.Code == desk.CodeToken {
		return Answer{}, refuse(http.StatusBadRequest, desk.CodeRequest, cmp.Or(e.Description, "subject_token is not valid"))
	}
	return out, err
}

func readExchange(b Body) (q exchangeRequest, err error) {
	var actor string
	err = b.Texts(map[string]*string{
		"subject_token": &q.subject, "subject_token_type": &q.subjectType, "requested_token_type": &q.wanted,
		"scope": &q.scope, "name": &q.name, "actor_token": &actor,
	})
	if err != nil {
		return q, err
	}
	for _, name := range []string{"audience", "resource"} { // each may be there several times
		list, err := b.List(name)
		if err != nil {
			return q, err
		}
		q.audience = append(q.audience, list...)
	}
	q.wanted = cmp.Or(q.wanted, typeAccess)
	q.subject = strings.TrimSpace(q.subject) // from a file, it ends with a line end
	switch {
	case actor != "":
		return q, badRequest("actor_token is not supported")
	case q.subject == "":
		return q, badRequest("required parameter 'subject_token' is missing")
	case !slices.Contains([]string{typeAccess, typeRefresh, typeJWT, typeMytoken}, q.subjectType):
		return q, badRequest("subject_token_type is not that of a mytoken")
	case !tokenLike(q.subject):
		return q, badRequest("subject_token is not valid")
	case slices.ContainsFunc(q.audience, func(s string) bool { return s == "" || strings.ContainsAny(s, " \t\r\n") }):
		return q, refuse(http.StatusBadRequest, codeTarget, "an audience is empty or has blanks in it")
	}
	return q, nil
}

func (a *API) exchangeAccess(c *Call, q exchangeRequest, who desk.Caller) (Answer, error) {
	req := desk.AccessRequest{Scope: strings.Fields(q.scope), Audience: q.audience, Comment: "token exchange"}
	at, err := a.o.Desk.Access(c.Context(), req, who)
	if err != nil {
		return Answer{}, err
	}
	out := a.accessAnswer(at, grantExchange)
	out.Body.(*accessBody).IssuedType = typeAccess
	return out, nil
}

// exchanged is the answer with a mytoken in the place of an access token (RFC 8693 section 2.2.1).
type exchanged struct {
	Token      string `json:"access_token"`
	IssuedType string `json:"issued_token_type"`
	Type       string `json:"token_type"`
	ExpiresIn  int64  `json:"expires_in,omitempty"`
	MOMID      string `json:"mom_id"`
}

// exchangeMytoken makes a mytoken from the one that came, with less scope or audience where that is asked for.
func (a *API) exchangeMytoken(c *Call, q exchangeRequest, who desk.Caller) (Answer, error) {
	request, err := a.narrowed(c, q, who)
	if err != nil {
		return Answer{}, err
	}
	i, err := a.o.Desk.Sub(c.Context(), request, who)
	if err != nil {
		return Answer{}, err
	}
	body := exchanged{
		Token: i.Token.Expose(), IssuedType: q.wanted, Type: "N_A", ExpiresIn: i.ExpiresIn(), MOMID: i.MOMID,
	}
	out := Answer{Body: body, Update: i.Update, wipe: i.Token.Wipe}
	return out, nil
}

// narrowed is the request for a mytoken with less: each clause of the parent with what is asked for.
func (a *API) narrowed(c *Call, q exchangeRequest, who desk.Caller) ([]byte, error) {
	members := map[string]any{"error_on_restrictions": true}
	if q.name != "" {
		members["name"] = q.name
	}
	for _, name := range []string{"restrictions", "capabilities", "rotation"} {
		if raw := c.Body.Raw(name); raw != nil {
			members[name] = raw
		}
	}
	if q.scope != "" || len(q.audience) > 0 {
		if c.Body.Has("restrictions") {
			return nil, badRequest("scope and audience stand in the restrictions where there are any")
		}
		held, err := a.o.Desk.Remaining(c.Context(), who)
		if err != nil {
			return nil, err
		}
		rs := rules.Narrow(held, strings.Fields(q.scope), q.audience, a.o.Now())
		if len(rs) == 0 {
			return nil, refuse(http.StatusBadRequest, "invalid_scope", "no restriction of the mytoken admits this")
		}
		members["restrictions"] = rs
	}
	return json.Marshal(members)
}
