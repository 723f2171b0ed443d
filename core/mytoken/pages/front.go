package pages

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/oidcbox/oidcbox/core/mytoken"
	"github.com/oidcbox/oidcbox/core/mytoken/desk"
	"github.com/oidcbox/oidcbox/core/mytoken/rules"
	"github.com/oidcbox/oidcbox/core/secret"
)

// frontBody is the page that everybody sees.
type frontBody struct {
	Providers []frontProvider
	Next      string // where a login goes on to
	Create    *createBody
}

type frontProvider struct {
	Issuer, Name, Host string
	Down, Guest        bool
}

// front is the page of the service. With a request in the query it has the form to make such a mytoken.
func (p *Pages) front(v *visit) error {
	raw := v.r.URL.Query().Get("r")
	if raw == "" {
		return v.showFront(http.StatusOK, "", "")
	}
	r, err := readLink(raw)
	if err != nil {
		return v.showFront(http.StatusBadRequest, "",
			"The link has a request that cannot be read. Below you can begin without it.")
	}
	return v.showNew(http.StatusOK, r, nil, "")
}

// readLink reads the request of a link: a profile as base64url of JSON.
func readLink(s string) (mytoken.Request, error) {
	b, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(s, "="))
	if err != nil || len(b) > maxQuery {
		return mytoken.Request{}, errors.New("the request of a link is not base64url")
	}
	var r mytoken.Request
	err = r.UnmarshalJSON(b)
	return r, err
}

func (v *visit) showFront(status int, notice, problem string) error {
	body := frontBody{Next: v.r.URL.Query().Get("next")}
	for _, p := range v.p.o.Logins.Providers() {
		body.Providers = append(body.Providers, frontProvider{
			Issuer: p.Issuer, Name: providerName(p), Host: hostOf(p.Issuer), Down: p.Down, Guest: p.Guest,
		})
	}
	return v.show(status, "front", sheet{
		Title: "Tokens for long jobs", Nav: "front", Notice: notice, Problem: problem,
		Body: body,
	})
}

// need sends a browser that is not logged in to the page where it can do so; it reports whether it did.
func (v *visit) need() (bool, error) {
	if v.session != "" {
		return false, nil
	}
	return true, v.redirect("/?" + url.Values{"next": {strings.TrimPrefix(v.r.URL.Path, v.p.base)}}.Encode())
}

// nexts are the pages that a login can go on to.
func nexts() []string { return []string{"/home", "/settings", "/create"} }

// login begins the session of a browser: a mytoken for these pages, which ends by itself.
func (p *Pages) login(v *visit) error {
	next := v.form.Get("next")
	if !slices.Contains(nexts(), next) {
		next = "/home"
	}
	request, err := p.sessionRequest(v.form.Get("issuer"), next)
	if err != nil {
		return err
	}
	b, err := p.o.Logins.Begin(v.r.Context(), request, desk.Caller{Origin: v.from})
	if err != nil {
		return err
	}
	if b.AuthorizationURI == "" {
		return v.goTo(b.ConsentURI)
	}
	return v.depart(desk.Redirect{URL: b.AuthorizationURI, Binding: b.Binding})
}

// sessionName is the name of the mytokens of sessions in the lists of people.
const sessionName = "web session"

// sessionRequest is the JSON of it. It does not rotate: the API has the same mytoken in a cookie of its own path, and a
// replacement that only one of the two got would end the session.
func (p *Pages) sessionRequest(issuer, next string) ([]byte, error) {
	b, err := json.Marshal(map[string]any{
		"grant_type": "oidc_flow", "oidc_flow": "authorization_code", "client_type": "web",
		"oidc_issuer": issuer, "redirect_uri": p.o.Issuer + next,
		"name": sessionName, "application_name": "the pages of this service",
		"capabilities": []string{rules.AT, rules.CreateMytoken, "tokeninfo", "manage_mytokens", rules.Settings},
		"restrictions": mytoken.Restrictions{{Expires: mytoken.At(p.o.Now().Add(p.o.SessionLife))}},
	})
	if err != nil {
		return nil, fmt.Errorf("write the request for a session: %w", err)
	}
	return b, nil
}

// depart sends the browser to the provider, and has it come back as the same one.
func (v *visit) depart(to desk.Redirect) error {
	v.bind(to, stateOf(to.URL))
	to.Binding.Wipe()
	return v.goTo(to.URL)
}

// land takes a browser that comes back from the provider.
func (p *Pages) land(v *visit) error {
	query := v.r.URL.Query()
	if len(v.r.URL.RawQuery) > maxQuery {
		return &desk.Error{Status: http.StatusRequestURITooLong, Code: desk.CodeRequest}
	}
	name := loginCookie(query.Get("state"))
	binding := v.cookie(name)
	if binding == "" {
		name = cookieLogin
		binding = v.cookie(name)
	}
	l, err := p.o.Logins.LandIn(v.r.Context(), desk.Arrival{
		Query: query, Binding: secret.FromString(binding), From: v.from,
	})
	if binding != "" {
		v.setCookie(http.Cookie{Name: name, MaxAge: -1, SameSite: http.SameSiteLaxMode})
	}
	var e *desk.Error
	if errors.As(err, &e) && e.Status == http.StatusBadRequest && e.Code == desk.CodeRequest {
		return &desk.Error{Status: e.Status, Code: codeLanding, Description: e.Description, Err: err}
	}
	if err != nil {
		return err
	}
	return v.landed(l)
}

func (v *visit) landed(l desk.Landing) error {
	defer l.Session.Wipe()
	if l.Session != nil {
		switch {
		case !l.Session.TransferCode.Empty():
			v.setTransferCookie(l.Session)
		case !l.Session.Token.Empty():
			v.setSession(l.Session.Token, l.Session.Expires, strings.HasPrefix(l.To, v.p.o.Issuer+"/") || l.To == "")
		}
	}
	to := l.To
	if to == "" {
		to = "/home"
	}
	if strings.HasPrefix(to, "/") {
		to = v.p.base + to
	}
	if !plainURL(to) {
		return fmt.Errorf("send a browser on after a login: not a URL of a web page")
	}
	v.headers()
	v.w.Header().Del("Content-Type")
	http.Redirect(v.w, v.r, to, http.StatusSeeOther)
	return nil
}

func (v *visit) setTransferCookie(i *desk.Issued) {
	http.SetCookie(v.w, &http.Cookie{
		Name: "mytoken-transfercode", Value: i.TransferCode.Expose(), Path: v.p.base + "/api",
		MaxAge:   max(1, int(i.Expires.Sub(v.p.o.Now())/time.Second)),
		HttpOnly: true, Secure: v.p.secure, SameSite: http.SameSiteStrictMode,
	})
}

// logout ends the mytoken of the session; what was made from it goes on.
func (p *Pages) logout(v *visit) error {
	c := v.caller()
	had := v.session != ""
	v.forget()
	if had && p.o.Mytokens != nil {
		_, err := p.o.Mytokens.Revoke(v.r.Context(), c, "", false)
		var refused *desk.Error
		if err != nil && !errors.As(err, &refused) {
			return err
		}
	}
	return v.showFront(http.StatusOK, "You are logged out.", "")
}

// native is the last page of a login that a program began.
func (p *Pages) native(v *visit) error {
	return v.show(http.StatusOK, "native", sheet{Title: "Done", Body: nativeBody{
		Application: plain(v.r.URL.Query().Get("application")), Pending: v.cookie(cookiePending) != "",
	}})
}

type nativeBody struct {
	Application string
	Pending     bool // this browser began it, and can fetch what was made
}

func (p *Pages) aborted(v *visit) error {
	return v.show(http.StatusOK, "aborted", sheet{Title: "Nothing was allowed", Body: nativeBody{
		Application: plain(v.r.URL.Query().Get("application")),
	}})
}

func (p *Pages) privacy(v *visit) error {
	return v.show(http.StatusOK, "privacy", sheet{Title: "Privacy", Nav: "privacy", Body: map[string]string{
		"Retention": retentionWords(p.o.Retention), "Session": inWords(p.o.SessionLife),
	}})
}

func retentionWords(d time.Duration) string {
	if d <= 0 {
		return ""
	}
	return inWords(d)
}
