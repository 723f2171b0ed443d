package httpapi

import (
	"net/http"
	"strings"
	"time"

	"github.com/oidcbox/oidcbox/core/mytoken"
	"github.com/oidcbox/oidcbox/core/mytoken/desk"
	"github.com/oidcbox/oidcbox/core/secret"
)

// Grant types.
const (
	grantOIDC     = "oidc_flow"
	grantMytoken  = "mytoken"
	grantPolling  = "polling_code"
	grantTransfer = "transfer_code"
	grantRefresh  = "refresh_token"
	grantExchange = "urn:ietf:params:oauth:grant-type:token-exchange" // RFC 8693
)

// flowDevice is the name of a login with a device code (RFC 8628), as a member oidc_flow.
const flowDevice = "device"

const memberGrant = "grant_type"

func (a *API) tokenRoutes() []Route {
	post := http.MethodPost
	all := []Route{
		{Method: post, Path: pathMytoken, API: a.mytoken},
		{Method: post, Path: pathAccess, API: a.access, Forms: true},
	}
	if a.o.Features.Transfer {
		all = append(all, Route{Method: post, Path: pathTransfer, API: a.transfer})
	}
	return all
}

func unsupportedGrant() error {
	return refuse(http.StatusBadRequest, desk.CodeGrant, "Unsupported grant_type")
}

// mytoken answers POST /token/my: every way to a mytoken.
func (a *API) mytoken(c *Call) (Answer, error) {
	grant, err := c.grant()
	if err != nil {
		return Answer{}, err
	}
	f := a.o.Features
	switch {
	case grant == grantOIDC:
		return a.begin(c)
	case (grant == grantMytoken || grant == grantRefresh) && f.Subtokens:
		return a.sub(c)
	case grant == grantPolling && f.Polling:
		return a.poll(c)
	case grant == grantTransfer && f.Transfer:
		return a.redeem(c)
	}
	return Answer{}, unsupportedGrant()
}

// grant is the grant type: that of the query wins.
func (c *Call) grant() (string, error) {
	if g := c.Request.URL.Query().Get(memberGrant); g != "" {
		return g, nil
	}
	return c.Body.Text(memberGrant)
}

// begun is the answer to a request for a login.
type begun struct {
	ConsentURI       string `json:"consent_uri,omitempty"`
	AuthorizationURI string `json:"authorization_uri,omitempty"`
	PollingCode      string `json:"polling_code,omitempty"`
	ExpiresIn        int64  `json:"expires_in,omitempty"`
	Interval         int64  `json:"interval,omitempty"`
	// Of a login with a device code (RFC 8628 section 3.2).
	UserCode        string `json:"user_code,omitempty"`
	VerificationURI string `json:"verification_uri,omitempty"`
	Complete        string `json:"verification_uri_complete,omitempty"`
}

func (a *API) begin(c *Call) (Answer, error) {
	request, err := c.Body.JSON(memberGrant)
	if err != nil {
		return Answer{}, err
	}
	b, err := a.o.Desk.Begin(c.Context(), request, desk.Caller{Origin: c.Origin, Proof: c.proof()})
	if err != nil {
		return Answer{}, err
	}
	return a.begunAnswer(b), nil
}

// begunAnswer is the answer for a login that has begun: the same for every endpoint that begins one.
func (a *API) begunAnswer(b desk.Begun) Answer {
	defer b.PollingCode.Wipe()
	if b.AuthorizationURI != "" {
		out := a.forward("authorization_uri", b.AuthorizationURI)
		out.Cookies = a.bind(b.Binding)
		return out
	}
	body := begun{ConsentURI: b.ConsentURI, PollingCode: b.PollingCode.Expose()}
	if body.PollingCode != "" {
		body.ExpiresIn = a.seconds(b.Expires)
		body.Interval = int64(b.Interval / time.Second)
	}
	if d := b.Device; d != nil {
		body.UserCode, body.VerificationURI, body.Complete = d.UserCode, d.URI, d.URIComplete
	}
	return Answer{Body: body}
}

// seconds is how long it is until something ends, 1 at least.
func (a *API) seconds(until time.Time) int64 {
	return max(1, int64(until.Sub(a.o.Now()).Round(time.Second)/time.Second))
}

// forward is the answer that sends a script on.
func (a *API) forward(name, url string) Answer {
	return Answer{Status: StatusForward, Body: map[string]string{name: url}}
}

// code returns a member that is a code, and counts a short one as something that could be guessed.
func (a *API) code(c *Call, name string) (secret.Text, error) {
	text, err := c.Body.Text(name)
	if err != nil {
		return secret.Text{}, err
	}
	if text == "" || len(text) > maxToken {
		return secret.Text{}, refuse(http.StatusUnauthorized, desk.CodeToken, "Bad polling or transfer code")
	}
	if len(text) < minUnguessable {
		if err := a.o.Gate.Guess(c.Origin.Client); err != nil {
			return secret.Text{}, err
		}
	}
	return secret.FromString(text), nil
}

// minUnguessable is the length from which a code of ours cannot be guessed: 128 bits.
const minUnguessable = 22

func (a *API) poll(c *Call) (Answer, error) {
	code, err := a.code(c, grantPolling)
	if err != nil {
		return Answer{}, err
	}
	defer code.Wipe()
	i, err := a.o.Desk.Poll(c.Context(), code, c.Origin)
	return answerIssued(i, err)
}

func (a *API) redeem(c *Call) (Answer, error) {
	code, err := a.code(c, grantTransfer)
	if err != nil {
		return Answer{}, err
	}
	defer code.Wipe()
	i, err := a.o.Desk.Redeem(c.Context(), code, c.Origin)
	return answerIssued(i, err)
}

func (a *API) sub(c *Call) (Answer, error) {
	who, err := c.Caller()
	if err != nil {
		return Answer{}, err
	}
	defer who.Mytoken.Wipe()
	request, err := c.Body.JSON(memberGrant, memberMytoken)
	if err != nil {
		return Answer{}, err
	}
	i, err := a.o.Desk.Sub(c.Context(), request, who)
	return answerIssued(i, err)
}

func (a *API) transfer(c *Call) (Answer, error) {
	who, err := c.Caller()
	if err != nil {
		return Answer{}, err
	}
	defer who.Mytoken.Wipe()
	i, err := a.o.Desk.Transfer(c.Context(), who)
	if err != nil {
		return Answer{}, err
	}
	defer i.Wipe()
	body := struct {
		Kind      string `json:"mytoken_type"`
		Code      string `json:"transfer_code"`
		ExpiresIn int64  `json:"expires_in"`
	}{mytoken.KindTransferCode, i.TransferCode.Expose(), i.ExpiresIn()}
	return Answer{Body: body}, nil
}

// answerIssued is the answer that hands a mytoken out. The update is taken out of it, so that it also becomes a cookie.
func answerIssued(i *desk.Issued, err error) (Answer, error) {
	if err != nil {
		return Answer{}, err
	}
	out := Answer{Update: i.Update}
	i.Update = nil
	out.wipe = i.Wipe
	out.Body = i
	return out, nil
}

// access answers POST /token/access: access tokens of the provider, asked for as the API or OAuth does.
func (a *API) access(c *Call) (Answer, error) {
	grant, err := c.Body.Text(memberGrant)
	if err != nil {
		return Answer{}, err
	}
	member := memberMytoken
	switch grant {
	case grantMytoken:
	case grantRefresh:
		if !c.Body.Has(memberMytoken) {
			member = grantRefresh
		}
	case grantExchange:
		return a.exchange(c)
	case "":
		return Answer{}, unsupportedGrant()
	default:
		return Answer{}, badRequest("value '" + cutText(plain(grant), 100) + "' not valid for GrantType")
	}
	req, err := accessRequest(c.Body)
	if err != nil {
		return Answer{}, err
	}
	who, err := c.callerIn(member)
	if err != nil {
		return Answer{}, err
	}
	defer who.Mytoken.Wipe()
	at, err := a.o.Desk.Access(c.Context(), req, who)
	if err != nil {
		return Answer{}, err
	}
	return a.accessAnswer(at, grant), nil
}

func accessRequest(b Body) (req desk.AccessRequest, err error) {
	var scope, issuer string
	err = b.Texts(map[string]*string{
		"oidc_issuer": &req.Issuer, "issuer": &issuer, "scope": &scope, "comment": &req.Comment,
	})
	if err != nil {
		return req, err
	}
	if req.Issuer == "" { // its name in forms
		req.Issuer = issuer
	}
	audience, err := b.List("audience")
	req.Scope = strings.Fields(scope)
	for _, s := range audience { // one string with blanks between; a list is taken as well
		req.Audience = append(req.Audience, strings.Fields(s)...)
	}
	return req, err
}

// accessBody is the answer with an access token.
type accessBody struct {
	Token      string   `json:"access_token"`
	IssuedType string   `json:"issued_token_type,omitempty"` // of RFC 8693
	Type       string   `json:"token_type"`
	ExpiresIn  int64    `json:"expires_in,omitempty"`
	Scope      string   `json:"scope,omitempty"`
	Audience   []string `json:"audience,omitempty"`
	// Refresh is the mytoken that replaced the used one, for clients that know refresh tokens only.
	Refresh string `json:"refresh_token,omitempty"`
}

func (a *API) accessAnswer(at desk.Access, grant string) Answer {
	body := &accessBody{Token: at.Token.Expose(), Type: at.Type, Scope: at.Scope, Audience: at.Audience}
	if !at.Expires.IsZero() {
		body.ExpiresIn = a.seconds(at.Expires)
	}
	if grant != grantMytoken && at.Update != nil {
		body.Refresh = at.Update.Token.Expose()
	}
	return Answer{Body: body, Update: at.Update, wipe: at.Token.Wipe}
}
