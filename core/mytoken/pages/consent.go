package pages

import (
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/oidcbox/oidcbox/core/mytoken"
	"github.com/oidcbox/oidcbox/core/mytoken/desk"
	"github.com/oidcbox/oidcbox/core/secret"
)

// consentBody is the page on which a person decides about a request.
type consentBody struct {
	Code        string
	Application string
	From        string // the address of the one who asks, and where that is
	Agent       string // the program, as it calls itself
	Here        bool   // it has the address of this browser
	Provider    string
	Created     time.Time
	Expires     time.Time
	SSH         bool
	Bound       bool   // good only with a key of the one who asks
	Kind        string // what it is answered with, "" for the mytoken itself
	Site        string // the web site that the browser goes on to, "" for a program or for these pages
	Terms       termsView
	Form        termsForm
	Open        bool     // the person is changing it
	Changed     bool     // it is not what was asked for any more
	Wider       []string // in what it is more than that
	Agreed      string   // digest of the terms that are shown as wider
}

// termsView is what a mytoken is to be, for reading.
type termsView struct {
	Name         string
	Capabilities []word
	Clauses      []clauseView
	Rotation     []string
	Unlimited    bool      // no clause
	Until        time.Time // zero: never ends
}

func viewTerms(t desk.Terms) termsView {
	return termsView{
		Name: plain(t.Name), Capabilities: capabilityWords(t.Capabilities), Clauses: clauseViews(t.Restrictions, nil),
		Rotation: rotationWords(t.Rotation), Unlimited: len(t.Restrictions) == 0, Until: lifeWords(t.Restrictions),
	}
}

func termsOf(a desk.Asked) desk.Terms {
	return desk.Terms{
		Issuer: a.Issuer, Name: a.Name, Capabilities: a.Capabilities, Restrictions: a.Restrictions, Rotation: a.Rotation,
	}
}

// asked looks a request up.
func (v *visit) asked() (desk.Asked, secret.Text, error) {
	code := secret.FromString(v.r.PathValue("code"))
	a, err := v.p.o.Logins.Asked(v.r.Context(), code)
	var e *desk.Error
	if errors.As(err, &e) && e.Status == http.StatusNotFound {
		err = &desk.Error{Status: http.StatusNotFound, Code: codeRequest, Err: err}
	}
	return a, code, err
}

func (p *Pages) showConsent(v *visit) error {
	a, _, err := v.asked()
	if err != nil {
		return err
	}
	t := termsOf(a)
	return v.consent(http.StatusOK, a, consentBody{Terms: viewTerms(t), Form: p.builder(a.Providers).form(t)}, "")
}

func (p *Pages) builder(providers []desk.ProviderInfo) builder {
	return builder{providers: providers, supported: p.o.Supported, clauses: p.o.Clauses}
}

// consent shows the page; body has what was decided so far.
func (v *visit) consent(status int, a desk.Asked, body consentBody, problem string) error {
	body.Code, body.Application, body.Agent = v.r.PathValue("code"), plain(a.Application), plain(a.From.UserAgent)
	body.From, body.Here = v.p.placeWords(a.From.Client), a.From.Client == v.from.Client
	body.Provider, body.Created, body.Expires = providerOf(a), a.Created, a.Expires
	body.SSH, body.Bound, body.Kind = a.Purpose == "ssh", a.Bound, kindWords(a.ResponseType)
	if a.Web {
		body.Site = siteOf(a.RedirectURI, v.p.o.Issuer)
	}
	return v.show(status, "consent", sheet{Title: "Allow a mytoken?", Problem: problem, Body: body})
}

// siteOf is the host of a web site that began a login, "" for our own.
func siteOf(redirectURI, issuer string) string {
	if redirectURI == "" || strings.HasPrefix(redirectURI, issuer+"/") {
		return ""
	}
	return hostOf(redirectURI)
}

// kindWords says what a login is answered with, "" for the mytoken itself.
func kindWords(responseType string) string {
	switch responseType {
	case mytoken.KindShortToken:
		return "a short form of the mytoken"
	case mytoken.KindTransferCode:
		return "a transfer code, with which the mytoken can be fetched once"
	}
	return ""
}

func providerOf(a desk.Asked) string {
	for _, p := range a.Providers {
		if p.Issuer == a.Issuer {
			return providerName(p)
		}
	}
	return hostOf(a.Issuer)
}

// decide takes what a person says on the consent page.
func (p *Pages) decide(v *visit) error {
	a, code, err := v.asked()
	if err != nil {
		return err
	}
	do := v.form.Get("do")
	if do == "decline" {
		next, err := p.o.Logins.Decline(v.r.Context(), code, v.from)
		if err != nil {
			return err
		}
		return v.redirectTo(next)
	}
	d := newReader(v.form, p.o.Now(), p.o.Supported)
	t := d.terms()
	body := consentBody{Open: true, Changed: true, Terms: viewTerms(t)}
	if edit(&t, do) {
		body.Wider = p.widerSettled(a, d, t)
		body.Terms = viewTerms(t)
		if do != "check" {
			d.faults = map[int][]string{} // their numbers may have changed
		}
		body.Form = d.back(p.builder(a.Providers), t)
		return v.consent(http.StatusOK, a, body, "")
	}
	if do != "accept" {
		return &desk.Error{Status: http.StatusBadRequest, Code: desk.CodeRequest, Description: "no decision"}
	}
	settled := d.settle(t, resourceOnly(a.Providers, t.Issuer))
	if !d.ok() {
		body.Form = d.back(p.builder(a.Providers), t)
		return v.consent(http.StatusUnprocessableEntity, a, body, "Some of what you wrote cannot be. See below, next to it.")
	}
	return v.accept(a, code, settled, body)
}

// widerSettled says in what terms go beyond those asked for, nothing while they cannot be settled.
func (p *Pages) widerSettled(a desk.Asked, d *reader, t desk.Terms) []string {
	settled := d.settle(t, resourceOnly(a.Providers, t.Issuer))
	if !d.ok() {
		return nil
	}
	return wider(termsOf(a), settled, p.o.Now())
}

func resourceOnly(providers []desk.ProviderInfo, issuer string) bool {
	for _, p := range providers {
		if p.Issuer == issuer {
			return p.ResourceOnly
		}
	}
	return false
}

// accept agrees to settled terms. Where they are wider than those asked for, the person has to have seen in what.
func (v *visit) accept(a desk.Asked, code secret.Text, t desk.Terms, body consentBody) error {
	sum, err := digest(t)
	if err != nil {
		return err
	}
	more := wider(termsOf(a), t, v.p.o.Now())
	if len(more) > 0 && v.form.Get("agreed") != sum {
		body.Wider, body.Agreed, body.Terms = more, sum, viewTerms(t)
		body.Form = v.p.builder(a.Providers).form(t)
		return v.consent(http.StatusOK, a, body,
			"You would allow more than was asked for. Nothing is allowed yet: look at it, and allow it once more if you want.")
	}
	to, err := v.p.o.Logins.Accept(v.r.Context(), code, t, v.from)
	var e *desk.Error
	if errors.As(err, &e) && e.Status == http.StatusBadRequest {
		body.Form, body.Terms = v.p.builder(a.Providers).form(t), viewTerms(t)
		return v.consent(http.StatusUnprocessableEntity, a, body, say(e))
	}
	if err != nil {
		return err
	}
	return v.depart(to)
}

// redirectTo sends the browser to a path of ours that the server names.
func (v *visit) redirectTo(path string) error {
	path = strings.TrimPrefix(path, v.p.o.Issuer)
	if !strings.HasPrefix(path, "/") || strings.HasPrefix(path, "//") || !plainURL(path) {
		path = "/"
	}
	return v.redirect(path)
}
