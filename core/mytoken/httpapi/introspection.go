package httpapi

import (
	"encoding/json"
	"net/http"
	"strings"

	"github.com/oidcbox/oidcbox/core/mytoken/desk"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/token/jose"
)

// codeClient is the refusal of a client whose password is wrong (RFC 6749 section 5.2).
const codeClient = "invalid_client"

func (a *API) standardRoutes() []Route {
	if !a.o.Features.Introspect {
		return nil
	}
	return []Route{{Method: http.MethodPost, Path: pathIntrospection, API: a.introspection, Forms: true}}
}

// introspection answers RFC 7662: for clients that are configured about any mytoken, and for whoever has a mytoken
// about that one.
func (a *API) introspection(c *Call) (Answer, error) {
	text, err := c.Body.Text(memberToken)
	if err != nil {
		return Answer{}, err
	}
	if text == "" {
		return Answer{}, badRequest("required parameter 'token' is missing")
	}
	ask, err := a.mayInspect(c, text)
	if err != nil {
		return Answer{}, err
	}
	if !tokenLike(text) {
		return inactive(), nil
	}
	who := desk.Caller{Mytoken: secret.FromString(text), Origin: c.Origin, Proof: c.proof()}
	defer who.Mytoken.Wipe()
	i, err := ask(c.Context(), who)
	if e, ok := isRefusal(err); ok && e.Code == desk.CodeToken {
		return inactive(), nil
	}
	if err != nil {
		return Answer{}, err
	}
	body, err := active(i)
	return Answer{Body: body}, err
}

// mayInspect says in which way somebody may ask about a token.
func (a *API) mayInspect(c *Call, text string) (inspector, error) {
	if bearer := bearerOf(c.Request); bearer != "" {
		one, other := secret.FromString(bearer), secret.FromString(text)
		defer one.Wipe()
		defer other.Wipe()
		if !one.Equal(other) {
			return nil, refuse(http.StatusForbidden, desk.CodeCapabilities, "a mytoken can be asked about with itself only")
		}
		return a.o.Desk.Introspect, a.o.Gate.token(one)
	}
	_, err := a.basic(c, a.o.Clients)
	if e, ok := isRefusal(err); ok && e.Code == codeUnauthorized {
		err = refuse(http.StatusUnauthorized, codeClient, "")
	}
	return a.o.Desk.Inspect, err
}

func inactive() Answer { return Answer{Body: map[string]bool{"active": false}} }

// active is what is said of a mytoken that is good (RFC 7662 section 2.2): its claims, with those of the standard in
// its sense.
func active(i desk.Introspection) (json.RawMessage, error) {
	claims, err := jose.StrictObject(i.Token, jose.PayloadDepth, jose.PayloadMembers)
	if err != nil {
		return nil, err
	}
	kind := "Bearer"
	if i.Claims.KeyThumbprint != "" {
		kind = "DPoP"
	}
	head, err := json.Marshal(struct {
		Active bool   `json:"active"`
		Type   string `json:"token_type"`
		Kind   string `json:"mytoken_type"`
		MOMID  string `json:"mom_id"`
		Scope  string `json:"scope,omitempty"`
	}{true, kind, i.Kind, i.MOMID, scopesOf(i)})
	if err != nil {
		return nil, err
	}
	rest, err := claims.Without("active", "token_type", "mytoken_type", "mom_id", "scope").MarshalJSON()
	if err != nil || len(rest) <= len("{}") {
		return head, err
	}
	return append(append(head[:len(head)-1], ','), rest[1:]...), nil
}

// scopesOf is what access tokens of a mytoken can have, where every clause limits it.
func scopesOf(i desk.Introspection) string {
	var all []string
	seen := map[string]bool{}
	for _, r := range i.Claims.Restrictions {
		if r.Scope == "" {
			return ""
		}
		for _, s := range strings.Fields(r.Scope) {
			if !seen[s] {
				seen[s] = true
				all = append(all, s)
			}
		}
	}
	return strings.Join(all, " ")
}
