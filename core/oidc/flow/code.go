package flow

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"

	"golang.org/x/oauth2"

	"github.com/oidcbox/oidcbox/core/secret"
)

// CodeRequest starts a login in a browser.
type CodeRequest struct {
	Request
	RedirectURI string // as registered
	State       string // "" = random; whoever sets it makes it unguessable
	Prompt      string // "" = "consent" when offline_access is asked for (OpenID Connect Core 11), else nothing
	LoginHint   string
	// Nonce and Verifier are made when they are empty. Whoever sets them, to finish the login elsewhere with ResumeCode,
	// makes them unguessable; the verifier has 43 to 128 characters (RFC 7636 4.1). It stays the caller's.
	Nonce    string
	Verifier secret.Text
}

// CodeLogin is a login that waits for its redirect. It is good for one Finish.
type CodeLogin struct {
	URL         string // for the browser
	State       string
	RedirectURI string

	client   *Client
	audience []string
	verifier secret.Text
	nonce    string
	used     atomic.Bool
}

// StartCode makes the authorization URL of a code grant with PKCE S256 (RFC 7636), state, and a nonce where an ID token
// is expected. It sends nothing, unless the request has to be pushed (Options.Push): then the provider gets it first,
// and its refusal is the error.
func (c *Client) StartCode(ctx context.Context, r CodeRequest) (*CodeLogin, error) {
	target, err := c.endpoint("authorization_endpoint", c.md.AuthorizationEndpoint)
	if err != nil {
		return nil, fmt.Errorf("start login: %w", err)
	}
	if u, err := url.Parse(r.RedirectURI); err != nil || !u.IsAbs() {
		return nil, errors.New("start login: redirect URI is not an absolute URI")
	}
	if c.cc.ID == "" {
		return nil, fmt.Errorf("start login: %w", ErrNoClient)
	}
	verifier, err := r.verifier()
	if err != nil {
		return nil, fmt.Errorf("start login: %w", err)
	}
	l := &CodeLogin{
		State: cmp.Or(r.State, rand.Text()), RedirectURI: r.RedirectURI, client: c, audience: r.Audience,
		verifier: secret.FromString(verifier),
	}
	if !c.cc.OAuth2 && slices.Contains(r.Scope, "openid") {
		l.nonce = cmp.Or(r.Nonce, rand.Text())
	}
	more, err := c.codeParameters(r, l.nonce)
	if err != nil {
		return nil, fmt.Errorf("start login: %w", err)
	}
	conf := oauth2.Config{
		ClientID: c.cc.ID, RedirectURL: r.RedirectURI, Scopes: r.Scope, Endpoint: oauth2.Endpoint{AuthURL: target},
	}
	l.URL = conf.AuthCodeURL(l.State, oauth2.S256ChallengeOption(verifier)) + more
	if c.pushes() {
		if l.URL, err = c.push(ctx, l.URL, r.Extra); err != nil {
			l.verifier.Wipe()
			return nil, err
		}
	}
	return l, nil
}

// verifier returns the one that was handed in, or a new one.
func (r CodeRequest) verifier() (string, error) {
	if r.Verifier.Empty() {
		return oauth2.GenerateVerifier(), nil
	}
	v := r.Verifier.Expose()
	if len(v) < 43 || len(v) > 128 || strings.ContainsFunc(v, notVerifier) {
		return "", ErrVerifier
	}
	return v, nil
}

func notVerifier(r rune) bool {
	return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-._~", r))
}

// codeParameters are those that x/oauth2 cannot write: some appear several times.
func (c *Client) codeParameters(r CodeRequest, nonce string) (string, error) {
	form := url.Values{}
	if r.Prompt == "" && slices.Contains(r.Scope, "offline_access") {
		r.Prompt = "consent"
	}
	for name, value := range map[string]string{"prompt": r.Prompt, "login_hint": r.LoginHint, "nonce": nonce} {
		if value != "" {
			form.Set(name, value)
		}
	}
	if err := c.audience(form, r.Audience); err != nil {
		return "", err
	}
	c.addExtra(form, RequestAuthURL, r.Extra)
	if len(form) == 0 {
		return "", nil
	}
	return "&" + form.Encode(), nil
}

// Finish takes the query of the redirect and exchanges the code for tokens.
//
// State is compared in constant time; iss must be the provider's when it is there, and must be there when the metadata
// promise it (RFC 9207 2.4). A refusal by the person is ErrAccessDenied, another refusal an *Error. An ID token is
// validated before anything is returned. A redirect that does not belong to this login (ErrState) leaves it open; any
// other outcome ends it.
func (l *CodeLogin) Finish(ctx context.Context, query url.Values) (Tokens, error) {
	c := l.client
	if err := l.belongs(query); err != nil {
		return Tokens{}, fmt.Errorf("login at %s: %w", c.md.Issuer, err)
	}
	if l.used.Swap(true) {
		return Tokens{}, fmt.Errorf("login at %s: %w", c.md.Issuer, ErrUsed)
	}
	defer l.verifier.Wipe()
	if err := l.answered(query); err != nil {
		return Tokens{}, err
	}
	form := url.Values{
		"grant_type":    {"authorization_code"},
		"code":          {query.Get("code")},
		"redirect_uri":  {l.RedirectURI},
		"code_verifier": {l.verifier.Expose()},
	}
	// RFC 8707 2.2: the resource is named again, else the token may be for all that was consented to.
	if err := c.audience(form, l.audience); err != nil {
		return Tokens{}, err
	}
	t, id, err := c.token(ctx, call{op: "code exchange", request: RequestCode, form: form})
	if err != nil {
		return t, err
	}
	return c.loggedIn(ctx, t, idCheck{raw: id, nonce: l.nonce})
}

func (l *CodeLogin) belongs(query url.Values) error {
	for _, name := range []string{"state", "code", "iss", "error"} {
		if len(query[name]) > 1 {
			return fmt.Errorf("%w: %s is there twice", ErrState, name)
		}
	}
	if subtle.ConstantTimeCompare([]byte(query.Get("state")), []byte(l.State)) != 1 {
		return ErrState
	}
	return nil
}

// answered checks who answers and whether the answer is yes.
func (l *CodeLogin) answered(query url.Values) error {
	md := l.client.md
	switch iss := query.Get("iss"); {
	case query.Has("iss") && iss != md.Issuer:
		return fmt.Errorf("login at %s: %w", md.Issuer, ErrIssuer)
	case !query.Has("iss") && md.ResponseIssSupported:
		return fmt.Errorf("login at %s: %w: it does not say which", md.Issuer, ErrIssuer)
	}
	if query.Has("error") {
		return &Error{
			Op: "login", Issuer: md.Issuer, Code: code(query.Get("error")),
			Description: describe(query.Get("error_description"), nil),
			URI:         describe(query.Get("error_uri"), nil),
		}
	}
	if strings.TrimSpace(query.Get("code")) == "" {
		return &Error{Op: "login", Issuer: md.Issuer, Err: fmt.Errorf("%w: neither code nor error", ErrAnswer)}
	}
	return nil
}
