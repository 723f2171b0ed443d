package httpapi

import (
	"context"
	"errors"
	"net/http"

	"github.com/oidcbox/oidcbox/core/account/otp"
	"github.com/oidcbox/oidcbox/core/account/otp/form"
	"github.com/oidcbox/oidcbox/core/account/provision"
	"github.com/oidcbox/oidcbox/core/account/state"
)

// Forms of one-time passwords, as clients name them.
const (
	formOwn    = "oxp"
	formCompat = "sha512"
)

// answerBody is the account as clients see it.
type answerBody struct {
	State       state.State       `json:"state"`
	Message     string            `json:"message"`
	Credentials map[string]string `json:"credentials"`
}

func (c *call) account(answer provision.Answer) error {
	if answer.Credentials == nil {
		answer.Credentials = map[string]string{}
	}
	return c.json(http.StatusOK, answerBody(answer))
}

// trouble puts an error of the desk into the words of motley-cue; something is what it says of anything else.
func trouble(err error, something string) error {
	var no *provision.Rejection
	var failure *provision.Failure
	switch {
	case errors.As(err, &no):
		return &Error{Status: http.StatusUnauthorized, Detail: "Reached state 'rejected': " + no.Message, Err: err}
	case errors.As(err, &failure):
		return &Error{
			Status: http.StatusInternalServerError, Detail: "Reached state 'failed': " + failure.Message, Err: err,
		}
	}
	return &Error{Status: http.StatusInternalServerError, Detail: something, Err: err}
}

const whenReaching = "Something went wrong when trying to reach state "

func (a *API) getStatus(c *call) error {
	who, err := a.asking(c, func() (known, error) { return a.user(c, c.token) })
	if err != nil {
		return err
	}
	answer, err := a.o.Desk.Status(c, who.Subject)
	if err != nil {
		return trouble(err, whenReaching+string(state.Status))
	}
	return c.account(answer)
}

// changing is asking for a user who changes something.
func (a *API) changing(c *call) (known, error) {
	who, err := a.asking(c, func() (known, error) { return a.user(c, c.token) })
	if err != nil {
		return known{}, err
	}
	return who, a.o.Limiter.change(who.ID)
}

func (a *API) deploy(c *call) error {
	who, err := a.changing(c)
	if err != nil {
		return err
	}
	person, err := a.person(who)
	if err != nil {
		return err
	}
	answer, err := a.o.Desk.Deploy(c, person)
	if err != nil {
		return trouble(err, whenReaching+string(state.Deploy))
	}
	return c.account(answer)
}

func (a *API) suspendSelf(c *call) error {
	who, err := a.changing(c)
	if err != nil {
		return err
	}
	answer, err := a.o.Desk.Suspend(c, who.ID, provision.By{Who: who.ID, Remote: c.remote()})
	if err != nil {
		return trouble(err, whenReaching+string(state.Suspend))
	}
	return c.account(answer)
}

type otpBody struct {
	Supported  bool `json:"supported"`
	Successful bool `json:"successful"`
	// Our own form alone:
	Password string `json:"password,omitempty"`
	Expires  int64  `json:"expires_in,omitempty"` // seconds
}

func (a *API) generateOTP(c *call) error {
	kind := form.CompatForm
	switch c.arg("form") {
	case "", formCompat:
	case formOwn:
		kind = form.Own
	default:
		return detail(http.StatusBadRequest, "1 request validation error: Input should be 'oxp' or 'sha512' (query -> form)")
	}
	who, err := a.changing(c)
	switch {
	case err != nil:
		return err
	case !a.o.Book.Offers(kind):
		return c.json(http.StatusOK, otpBody{})
	}
	body := otpBody{Supported: true}
	if err := a.makePassword(c, c, who, kind, &body); err != nil {
		a.o.Log.Error("one-time password was not made", "id", who.ID, "err", err)
	}
	return c.json(http.StatusOK, body)
}

// makePassword makes a one-time password for who showed a token. Who is stopped gets none. The compatible form is
// also for who has no account yet: clients ask for it before they deploy.
func (a *API) makePassword(ctx context.Context, c *call, who known, kind form.Kind, body *otpBody) error {
	answer, err := a.o.Desk.Status(ctx, who.Subject)
	if err != nil {
		return err
	}
	name, has := state.LocalName(answer.State, answer.Message)
	event := Event{
		Kind: "otp", ID: who.ID, Name: name, Remote: c.remote(), State: string(answer.State), Token: who.token,
		Form: kind.String(),
	}
	switch {
	case has && !answer.State.MayLogIn(), kind == form.Own && !has:
		event.Kind, event.Reason = "refused", "no one-time password for an account that is "+string(answer.State)
	case kind == form.CompatForm:
		err = a.o.Book.Compat(ctx, c.token, who.ID)
		body.Successful = err == nil
	default:
		var p otp.Password
		if p, err = a.o.Book.IssueWith(ctx, who.ID, name, c.token); err == nil {
			defer p.Secret.Wipe()
			body.Successful, body.Password = true, p.Secret.Expose()
			body.Expires = int64(p.Expires.Sub(a.o.Now()).Seconds())
		}
	}
	if err == nil {
		a.o.Audit(ctx, event)
	}
	return err
}
