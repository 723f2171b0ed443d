package pages

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/oidcbox/oidcbox/core/account/provision"
	"github.com/oidcbox/oidcbox/core/account/state"
	"github.com/oidcbox/oidcbox/core/secret"
)

// judge asks whose an access token is, and whether that person may use the service. It has to be the one who has logged
// in here.
func (p *Pages) judge(ctx context.Context, iss, sub string, at secret.Text) (provision.Subject, error) {
	s, err := p.o.Judge.Judge(ctx, at)
	if err != nil {
		return provision.Subject{}, judged(err)
	}
	if s.Iss != iss || s.Sub != sub {
		return provision.Subject{}, &fault{
			status: http.StatusForbidden, code: codeForbidden,
			err: errors.New("the access token is not of the person who has logged in"),
		}
	}
	return s, nil
}

// person is who the session is of, as the provider has it now.
func (v *visit) person() (provision.Subject, error) {
	r, err := v.p.load(v.r.Context(), v.session)
	if err != nil {
		return provision.Subject{}, err
	}
	at := r.token()
	defer at.Wipe()
	s, err := v.p.judge(v.r.Context(), r.Issuer, r.Subject, at)
	if f := asFault(err); err != nil && f.code == codeSession {
		err = errors.Join(err, v.p.end(v.r.Context(), v.session))
	}
	return s, err
}

// accountBody is the page of a person's account.
type accountBody struct {
	Who      string // the person, in the words of the provider
	Mail     string
	Provider string
	Subject  string
	Name     string // of the account, "" for none
	Command  string
	State    state.State
	Message  string
	Usable   bool
	Password string
	Until    time.Time
	Life     string
	Keys     []string
}

func (v *visit) body(s provision.Subject, st state.State, name string) accountBody {
	b := accountBody{
		Who: plain(s.Person.Name), Mail: plain(s.Email), Provider: hostOf(s.Iss), Subject: plain(s.Sub),
		Name: name, State: st, Usable: st.MayLogIn() && name != "", Keys: v.p.o.HostKeys,
	}
	if b.Who == "" {
		b.Who = plain(s.Person.PreferredUsername)
	}
	if b.Usable {
		b.Command = "ssh " + name + "@" + v.p.o.Host
	}
	return b
}

// account shows what somebody has here. It changes nothing.
func (p *Pages) account(v *visit) error {
	s, err := v.person()
	if err != nil {
		return err
	}
	return v.showAccount(http.StatusOK, s, "", "")
}

func (v *visit) showAccount(status int, s provision.Subject, notice, problem string) error {
	a, err := v.p.o.Desk.Status(v.r.Context(), s)
	if err != nil {
		return asDesk(err)
	}
	name, _ := state.LocalName(a.State, a.Message)
	return v.show(status, "account", sheet{
		Title: titleOf(a.State, v.p.o.Host), Notice: notice, Problem: problem, Body: v.body(s, a.State, name),
	})
}

func titleOf(s state.State, host string) string {
	switch s {
	case state.NotDeployed:
		return "You have no account on " + host + " yet"
	case state.Pending:
		return "Your account on " + host + " waits for an administrator"
	case state.Rejected:
		return "You get no account on " + host
	case state.Suspended:
		return "Your account on " + host + " is stopped"
	case state.Deployed, state.Limited:
		return "Your account on " + host
	}
	return "Your account cannot be looked at just now"
}

// deploy makes the account, or asks for it.
func (p *Pages) deploy(v *visit) error {
	s, err := v.person()
	if err != nil {
		return err
	}
	if err := v.often(s.ID); err != nil {
		return err
	}
	a, err := p.o.Desk.Deploy(v.r.Context(), s)
	if err != nil {
		return asDesk(err)
	}
	return v.showAccount(http.StatusOK, s, a.Message, "")
}

// often refuses what one person wants too often.
func (v *visit) often(id string) error {
	if retry, ok := v.p.o.Deeds.Take(id); !ok {
		return &fault{status: http.StatusTooManyRequests, code: codeTooMany, retry: retry}
	}
	return nil
}

// password makes a one-time password. The account is brought up to date first, as every login does it: groups may have
// changed since, and what was left half made is mended. A person without an account gets none here, and no password.
func (p *Pages) password(v *visit) error {
	s, err := v.person()
	if err != nil {
		return err
	}
	if err := v.often(s.ID); err != nil {
		return err
	}
	ctx := v.r.Context()
	before, err := p.o.Desk.Status(ctx, s)
	if err != nil {
		return asDesk(err)
	}
	if !before.State.MayLogIn() {
		return v.showAccount(http.StatusConflict, s, "", "There is no password for now: see below.")
	}
	if _, err = p.o.Desk.Deploy(ctx, s); err != nil {
		return asDesk(err)
	}
	now, err := p.o.Desk.Status(ctx, s)
	if err != nil {
		return asDesk(err)
	}
	name, ok := state.LocalName(now.State, now.Message)
	if !ok || !now.State.MayLogIn() {
		return v.showAccount(http.StatusConflict, s, "", "There is no password for now: see below.")
	}
	return v.issue(s, now.State, name)
}

// issue shows a password: on the answer to this one request, and never again.
func (v *visit) issue(s provision.Subject, st state.State, name string) error {
	p, ctx := v.p, v.r.Context()
	pw, err := p.o.Passwords.Issue(ctx, s.ID, name)
	if err != nil {
		return fmt.Errorf("make a one-time password: %w", err)
	}
	defer pw.Secret.Wipe()
	p.audit(ctx, v, Event{Event: EventPassword, ID: s.ID, Name: name, Subject: s.Sub, Issuer: s.Iss})
	b := v.body(s, st, name)
	b.Password, b.Until, b.Life = pw.Secret.Expose(), pw.Expires, inWords(pw.Expires.Sub(p.o.Now()))
	return v.show(http.StatusOK, "account", sheet{Title: "Your password for one login", Body: b})
}

// inWords is a time as people say it, never more than there is.
func inWords(d time.Duration) string {
	switch {
	case d >= 2*time.Minute:
		return fmt.Sprintf("%d minutes", d/time.Minute)
	case d >= 2*time.Second:
		return fmt.Sprintf("%d seconds", d/time.Second)
	}
	return "a moment"
}
