package httpapi

import (
	"net/http"

	"github.com/oidcbox/oidcbox/core/mytoken/desk"
	"github.com/oidcbox/oidcbox/core/secret"
)

func (a *API) revokeRoutes() []Route {
	if !a.o.Features.Revocation {
		return nil
	}
	return []Route{
		{Method: http.MethodPost, Path: pathRevoke, API: a.revoke, Forms: true},
		{Method: http.MethodPost, Path: pathRevocation, API: a.revoke7009, Forms: true},
	}
}

const memberToken = "token"

// revoke answers POST /token/revoke. A client that gives the hint of RFC 7009 gets the status of that.
func (a *API) revoke(c *Call) (Answer, error) {
	r, err := revocation(c.Body)
	if err != nil {
		return Answer{}, err
	}
	text, err := c.revoked()
	if err != nil {
		return Answer{}, err
	}
	update, err := a.end(c, text, r)
	if err != nil {
		return Answer{}, err
	}
	out := Answer{Update: update}
	if c.found == inCookie && r.MOMID == "" {
		out.Cookies = []*http.Cookie{sessionCookie(a.base, "", 0)}
	}
	if c.Body.Has("token_type_hint") && update == nil {
		out.Status = http.StatusOK
	}
	return out, nil
}

func revocation(b Body) (r desk.Revocation, err error) {
	if err = b.Texts(map[string]*string{"mom_id": &r.MOMID, "oidc_issuer": &r.Issuer}); err != nil {
		return r, err
	}
	r.Recursive, err = b.Flag("recursive")
	return r, err
}

// revoked is the text that a request wants to end: of the body, else of the header or cookie.
func (c *Call) revoked() (string, error) {
	text, err := c.Body.Text(memberToken)
	if err != nil {
		return "", err
	}
	if text != "" {
		return text, nil
	}
	if text = bearerOf(c.Request); text == "" {
		if text = c.api.cookieOf(c.Request); text != "" {
			c.found = inCookie
		}
	}
	if text == "" {
		return "", badRequest("no token given")
	}
	return text, nil
}

// end has a text ended that may be anything. What is no mytoken is a success, as with one that has ended.
func (a *API) end(c *Call, text string, r desk.Revocation) (*desk.Issued, error) {
	who := desk.Caller{Mytoken: secret.FromString(text), Origin: c.Origin, Proof: c.proof()}
	defer who.Mytoken.Wipe()
	if len(text) < minUnguessable {
		if err := a.o.Gate.Guess(c.Origin.Client); err != nil {
			return nil, err
		}
	} else if err := a.o.Gate.token(who.Mytoken); err != nil {
		return nil, err
	}
	return a.o.Desk.End(c.Context(), who, r)
}

// revoke7009 answers as RFC 7009 wants it: always 200, and with a mytoken ends what was made from it, as everything
// does that hangs on a refresh token (section 2.1).
func (a *API) revoke7009(c *Call) (Answer, error) {
	text, err := c.Body.Text(memberToken)
	if err != nil {
		return Answer{}, err
	}
	if text == "" {
		return Answer{}, badRequest("no token given")
	}
	if _, err := a.end(c, text, desk.Revocation{Recursive: true}); err != nil {
		return Answer{}, err
	}
	return Answer{Status: http.StatusOK}, nil
}
