package pages

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"

	"github.com/oidcbox/oidcbox/core/mytoken"
	"github.com/oidcbox/oidcbox/core/mytoken/desk"
	"github.com/oidcbox/oidcbox/core/mytoken/rules"
	"github.com/oidcbox/oidcbox/core/secret"
)

// createBody is the form that makes a mytoken.
type createBody struct {
	Form     termsForm
	From     []option // from what it is made: a login, the session, another mytoken
	Mytoken  input    // the other one
	Kind     []option
	Sub      bool // mytokens can be made from mytokens here
	Imported bool // the form was filled by a link
}

// Ways to make a mytoken.
const (
	fromLogin   = "login"
	fromSession = "session"
	fromMytoken = "mytoken"
)

func (p *Pages) showCreate(v *visit) error {
	return v.showNew(http.StatusOK, mytoken.Request{}, nil, "")
}

// showNew shows the form, filled with a request; d has what was wrong with an earlier try.
func (v *visit) showNew(status int, r mytoken.Request, d *reader, problem string) error {
	p := v.p
	providers := p.o.Logins.Providers()
	t := desk.Terms{
		Issuer: r.Issuer, Name: r.Name, Capabilities: r.Capabilities, Restrictions: r.Restrictions, Rotation: r.Rotation,
	}
	imported := d == nil && !r.Empty()
	if d == nil {
		d = newReader(url.Values{}, p.o.Now(), p.o.Supported)
		if len(t.Capabilities) == 0 {
			t.Capabilities = rules.DefaultCapabilities()
		}
		if !imported {
			t.Restrictions = mytoken.Restrictions{{Expires: mytoken.At(p.o.Now().Add(7 * 24 * time.Hour).Truncate(time.Minute))}}
		}
		t.Restrictions = d.reckon(t.Restrictions)
	}
	body := createBody{Form: d.back(p.builder(providers), t), Imported: imported, Sub: p.o.Mytokens != nil}
	body.choices(v, d)
	return v.show(status, "create", sheet{Title: "New mytoken", Nav: "create", Problem: problem, Body: body})
}

// reckon turns the times of a request, which may be relative, into those of a form.
func (d *reader) reckon(rs mytoken.Restrictions) mytoken.Restrictions {
	out := make(mytoken.Restrictions, 0, len(rs))
	for _, r := range rs {
		for _, m := range []*mytoken.Moment{&r.NotBefore, &r.Expires} {
			if at, err := rules.Reckon(*m, d.now); err == nil {
				*m = at
			}
		}
		out = append(out, r)
	}
	return out
}

func (b *createBody) choices(v *visit, d *reader) {
	way := d.form.Get("from")
	b.From = []option{{fromLogin, "a new login at the provider: it can last as long as you like", way == fromLogin ||
		way == ""}}
	if b.Sub && v.session != "" {
		b.From = append(b.From, option{
			fromSession, "your session here, at once: it ends with the session at the latest", way == fromSession,
		})
	}
	if b.Sub {
		b.From = append(b.From, option{fromMytoken, "another mytoken, which you paste below", way == fromMytoken})
	}
	b.Mytoken = input{
		Name: "mytoken", Label: "The other mytoken", Type: "password", Off: true, Max: maxToken,
		Hint: "only for a mytoken from another one; it needs the capability create_mytoken", Error: d.errs["mytoken"],
	}
	kind := d.form.Get("kind")
	b.Kind = []option{
		{mytoken.KindToken, "the mytoken itself", kind == mytoken.KindToken || kind == ""},
		{mytoken.KindShortToken, "a short one, for places that take few characters", kind == mytoken.KindShortToken},
	}
	if v.p.o.Transfer {
		b.Kind = append(b.Kind, option{
			mytoken.KindTransferCode, "a transfer code, to type it on another machine", kind == mytoken.KindTransferCode,
		})
	}
}

// maxToken is how many characters of a mytoken are taken.
const maxToken = 16 << 10

// create makes a mytoken, or sends the browser to the login that it needs.
func (p *Pages) create(v *visit) error {
	d := newReader(v.form, p.o.Now(), p.o.Supported)
	t := d.terms()
	again := func(status int, problem string) error {
		return v.showNew(status, mytoken.Request{
			Issuer: t.Issuer, Name: t.Name, Capabilities: t.Capabilities, Restrictions: t.Restrictions, Rotation: t.Rotation,
		}, d, problem)
	}
	if do := v.form.Get("do"); edit(&t, do) {
		if do == "check" {
			d.settle(t, false)
		}
		return again(http.StatusOK, "")
	}
	way := v.form.Get("from")
	settled := d.settle(t, resourceOnly(p.o.Logins.Providers(), t.Issuer))
	if way == fromMytoken && strings.TrimSpace(v.form.Get("mytoken")) == "" {
		d.errs["mytoken"] = "Paste the mytoken that the new one is made from."
	}
	if !d.ok() {
		return again(http.StatusUnprocessableEntity, "Some of what you wrote cannot be. See below, next to it.")
	}
	err := v.make(way, settled)
	var e *desk.Error
	if errors.As(err, &e) && e.Status >= 400 && e.Status < 500 && (e.Status != http.StatusUnauthorized ||
		way == fromMytoken) {
		return again(e.Status, say(e))
	}
	return err
}

func (v *visit) make(way string, t desk.Terms) error {
	request, err := v.request(t)
	if err != nil {
		return err
	}
	c := v.caller()
	switch {
	case way == fromMytoken && v.p.o.Mytokens != nil:
		c.Mytoken = secret.FromString(strings.TrimSpace(v.form.Get("mytoken")))
		defer c.Mytoken.Wipe()
	case way == fromSession && v.p.o.Mytokens != nil:
		if out, err := v.need(); out {
			return err
		}
	default:
		return v.makeByLogin(request, t)
	}
	i, err := v.p.o.Mytokens.Sub(v.r.Context(), request, c)
	if err != nil {
		return err
	}
	defer i.Wipe()
	if way == fromSession {
		v.renewed(i.Update)
		i.Update = nil
	}
	return v.showIssued(i)
}

// request is the JSON of a request for a mytoken with these terms.
func (v *visit) request(t desk.Terms) ([]byte, error) {
	kind := v.form.Get("kind")
	if kind != mytoken.KindShortToken && kind != mytoken.KindTransferCode {
		kind = mytoken.KindToken
	}
	b, err := json.Marshal(map[string]any{
		"grant_type": "oidc_flow", "oidc_flow": "authorization_code", "client_type": "native",
		"oidc_issuer": t.Issuer, "name": t.Name, "capabilities": t.Capabilities, "restrictions": t.Restrictions,
		"rotation": t.Rotation, "response_type": kind, "application_name": "the pages of this service",
		"error_on_restrictions": true,
	})
	if err != nil {
		return nil, fmt.Errorf("write a request for a mytoken: %w", err)
	}
	return b, nil
}

// makeByLogin begins a login whose terms the person has just written: there is no consent page in between.
func (v *visit) makeByLogin(request []byte, t desk.Terms) error {
	ctx := v.r.Context()
	b, err := v.p.o.Logins.Begin(ctx, request, desk.Caller{Origin: v.from})
	if err != nil {
		return err
	}
	defer b.PollingCode.Wipe()
	to, err := v.p.o.Logins.Accept(ctx, secret.FromString(path.Base(b.ConsentURI)), t, v.from)
	if err != nil {
		return err
	}
	v.await(pendingMytoken, b)
	return v.depart(to)
}

// Kinds of what a browser waits for.
const (
	pendingMytoken = "mytoken"
	pendingSSH     = "ssh"
)

// await keeps the code in this browser that what is being made is fetched with.
func (v *visit) await(kind string, b desk.Begun) {
	v.setCookie(http.Cookie{
		Name: cookiePending, Value: kind + ":" + b.PollingCode.Expose(), SameSite: http.SameSiteStrictMode,
		MaxAge: max(1, int(b.Expires.Sub(v.p.o.Now())/time.Second)),
	})
}

func (v *visit) pending() (kind string, code secret.Text) {
	kind, text, _ := strings.Cut(v.cookie(cookiePending), ":")
	return kind, secret.FromString(text)
}

func (v *visit) doneWaiting() {
	v.setCookie(http.Cookie{Name: cookiePending, MaxAge: -1, SameSite: http.SameSiteStrictMode})
}

// showCreated offers to fetch what was made: a page that is only looked at must not use the code up.
func (p *Pages) showCreated(v *visit) error {
	return v.show(http.StatusOK, "native", sheet{Title: "Done", Body: nativeBody{Pending: v.cookie(cookiePending) != ""}})
}

// created fetches what was made, and shows it once.
func (p *Pages) created(v *visit) error {
	kind, code := v.pending()
	if code.Empty() {
		return &desk.Error{Status: http.StatusNotFound, Code: codeRequest}
	}
	fetch := v.fetchMytoken
	if kind == pendingSSH && p.o.SSH != nil {
		fetch = v.fetchSSH
	}
	show, err := fetch(code)
	var e *desk.Error
	if errors.As(err, &e) && e.Code == desk.CodePending {
		return v.show(http.StatusOK, "native", sheet{
			Title: "Not yet", Problem: "The login at the provider has not ended yet. Finish it, then try again.",
			Body: nativeBody{Pending: true},
		})
	}
	if e != nil && e.Status < http.StatusInternalServerError && e.Status != http.StatusTooManyRequests {
		v.doneWaiting()
		return &desk.Error{Status: http.StatusNotFound, Code: codeRequest, Description: e.Description, Err: err}
	}
	if err != nil {
		return err
	}
	v.doneWaiting()
	return show()
}

// fetchMytoken and fetchSSH fetch what was made, and return what shows it.
func (v *visit) fetchMytoken(code secret.Text) (show func() error, err error) {
	i, err := v.p.o.Logins.Poll(v.r.Context(), code, v.from)
	if err != nil {
		return nil, err
	}
	return func() error {
		defer i.Wipe()
		return v.showIssued(i)
	}, nil
}

func (v *visit) fetchSSH(code secret.Text) (show func() error, err error) {
	l, err := v.p.o.SSH.FinishSSHKey(v.r.Context(), code, v.from)
	if err != nil {
		return nil, err
	}
	return func() error {
		defer l.Wipe()
		return v.show(http.StatusOK, "issued", sheet{Title: "Your ssh key can be used", Body: issuedBody{
			Kind: "ssh user name", User: l.User.Expose(), Config: l.Config.Expose(),
		}})
	}, nil
}

// issuedBody is a mytoken, or what stands for one, on the only page that ever shows it.
type issuedBody struct {
	Kind     string // in words
	Text     string
	Expires  time.Time
	Terms    termsView
	Transfer bool // it is a transfer code
	Code     bool // a transfer code can be made for it
	User     string
	Config   string
}

func (v *visit) showIssued(i *desk.Issued) error {
	body := issuedBody{
		Kind: "mytoken", Text: i.Token.Expose(), Expires: i.Expires, Code: v.p.o.Transfer,
		Terms: viewTerms(desk.Terms{Capabilities: i.Capabilities, Restrictions: i.Restrictions, Rotation: i.Rotation}),
	}
	switch i.Kind {
	case mytoken.KindShortToken:
		body.Kind = "short mytoken"
	case mytoken.KindTransferCode:
		body.Kind, body.Text, body.Transfer, body.Code = "transfer code", i.TransferCode.Expose(), true, false
	}
	return v.show(http.StatusOK, "issued", sheet{Title: "Your " + body.Kind, Body: body})
}
