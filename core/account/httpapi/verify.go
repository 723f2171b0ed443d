package httpapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/oidcbox/oidcbox/core/account/login"
	"github.com/oidcbox/oidcbox/core/account/otp"
	"github.com/oidcbox/oidcbox/core/account/otp/form"
	"github.com/oidcbox/oidcbox/core/account/provision"
	"github.com/oidcbox/oidcbox/core/account/state"
	"github.com/oidcbox/oidcbox/core/secret"
)

type verifyBody struct {
	State    state.State `json:"state"`
	Verified bool        `json:"verified"`
}

// verifyUser answers whether a token, or a one-time password in its place, is that of a local user. No other route
// takes a one-time password.
func (a *API) verifyUser(c *call) error {
	user := c.arg("username")
	q := attempt{secret: c.token, user: user, remote: c.remote(), key: a.o.Limiter.guesser(c.from, user)}
	ctx, cancel := context.WithTimeout(c, loginTime)
	defer cancel()
	v, err := a.attempt(ctx, &q)
	if err != nil {
		return err
	}
	return c.json(http.StatusOK, verifyBody{v.State, v.Verified})
}

// attempt is one try to log in.
type attempt struct {
	secret secret.Text
	user   string
	remote string // where from, for the audit
	key    string // whose wrong guesses are counted
	via    string

	kind  form.Kind // found out
	token string
}

// maxUser bounds the local name that is asked for.
const maxUser = 256

// attempt judges a login. The error is an *Error; a no about the account is no error. Everything is in the audit.
func (a *API) attempt(ctx context.Context, q *attempt) (provision.Verdict, error) {
	if err := a.o.Limiter.blocked(q.key); err != nil {
		a.tell(ctx, q.key, q.event(provision.Verdict{}, err))
		return provision.Verdict{}, err
	}
	_ = q.secret.Use(func(b []byte) error {
		q.kind = form.LooksLike(b)
		return nil
	})
	var v provision.Verdict
	var err error
	switch {
	case len(q.user) > maxUser:
		err = unauthenticated(noIdentity, errUser)
	case q.kind == form.Own, q.kind == form.CompatForm:
		v, err = a.redeem(ctx, q)
	default:
		v, err = a.verifyToken(ctx, q, q.secret)
	}
	var no *Error
	if err != nil && !errors.As(err, &no) {
		no = &Error{Status: http.StatusInternalServerError, Detail: "Something went wrong.", Err: err}
		err = no
	}
	if no != nil && no.Status == http.StatusUnauthorized && no.RetryAfter == 0 {
		a.o.Limiter.guessed(q.key)
	}
	a.tell(ctx, q.key, q.event(v, err))
	return v, err
}

// tell tells the audit of what was decided for somebody whose refusals count for key.
func (a *API) tell(ctx context.Context, key string, e Event) {
	if e, ok := a.o.Limiter.told(key, e); ok {
		a.o.Audit(ctx, e)
	}
}

var errUser = errors.New("name of the local user is too long")

// verifyToken judges an access token by policy and account.
func (a *API) verifyToken(ctx context.Context, q *attempt, token secret.Text) (provision.Verdict, error) {
	who, err := a.user(ctx, token)
	if err != nil {
		return provision.Verdict{ID: who.ID}, err
	}
	q.token = who.token
	return a.o.Desk.Verify(ctx, who.ID, q.user)
}

// redeem judges a one-time password. Only a login that is right uses it up.
func (a *API) redeem(ctx context.Context, q *attempt) (provision.Verdict, error) {
	var v provision.Verdict
	_, err := a.o.Book.Redeem(ctx, q.secret, func(ctx context.Context, found otp.Found) (err error) {
		switch {
		case !found.Token.Empty():
			v, err = a.verifyToken(ctx, q, found.Token)
		default:
			v, err = a.o.Desk.Verify(ctx, found.ID, q.user)
		}
		switch {
		case err != nil:
			return err
		case v.ID != found.ID || found.Name != "" && found.Name != q.user || !v.Verified || !v.Allowed:
			return otp.ErrNotRight
		}
		return nil
	})
	switch {
	case errors.Is(err, otp.ErrNotRight): // what the account says is the answer
		v.Allowed = false
		if v.Name != q.user {
			v.Verified = false
		}
		return v, nil
	case errors.Is(err, otp.ErrUnknown), errors.Is(err, otp.ErrOff):
		return provision.Verdict{}, unauthenticated(noIdentity, err)
	case err != nil:
		return provision.Verdict{ID: v.ID}, err
	}
	return v, nil
}

func (q *attempt) event(v provision.Verdict, err error) Event {
	e := Event{
		Kind: "refused", ID: v.ID, Name: q.user, Remote: q.remote, State: string(v.State), Reason: v.Reason,
		Token: q.token, Form: q.kind.String(), By: q.via,
	}
	var no *Error
	switch {
	case errors.As(err, &no):
		e.Reason = no.Reason()
	case v.Allowed:
		e.Kind = "login"
	case e.Reason == "":
		e.Reason = "the account does not allow it"
	}
	return e
}

// Login answers the PAM helper: with a secret whether it opens the door for that user, without one whether a user who
// was let in otherwise may come in. Only a clear yes is one. Reason is for the log of the host.
func (a *API) Login(ctx context.Context, question login.Question) login.Answer {
	switch question.Phase {
	case login.Auth:
		return a.loginAuth(ctx, question)
	case login.Account:
		return a.loginAccount(ctx, question)
	}
	return login.Answer{Reason: "there is no such phase of a login"}
}

func (a *API) loginAuth(ctx context.Context, question login.Question) login.Answer {
	ctx, cancel := context.WithTimeout(ctx, loginTime)
	defer cancel()
	q := attempt{
		secret: question.Secret, user: question.User, remote: question.Remote, via: question.Via,
		key: a.o.Limiter.loginGuesser(question.Remote, question.User, question.Via),
	}
	if q.secret.Empty() {
		return login.Answer{Reason: "no secret came with the question"}
	}
	v, err := a.attempt(ctx, &q)
	answer := login.Answer{State: string(v.State), ID: v.ID}
	var no *Error
	switch {
	case errors.As(err, &no):
		answer.Reason = no.Reason()
	case err != nil:
		answer.Reason = "it could not be decided"
	case !v.Allowed || !v.Verified || v.ID == "":
		answer.Reason = v.Reason
		if answer.Reason == "" {
			answer.Reason = fmt.Sprintf("the %s is not for this user", q.kind)
		}
	default:
		answer.Allowed = true
	}
	return answer
}

func (a *API) loginAccount(ctx context.Context, question login.Question) login.Answer {
	v, err := a.o.Desk.ByName(ctx, question.User)
	answer := login.Answer{State: string(v.State), ID: v.ID, Reason: v.Reason}
	switch {
	case err != nil:
		a.o.Log.Error("account could not be looked up", "err", err)
		answer.Reason = err.Error()
	case v.Allowed && v.ID != "":
		answer.Allowed = true
		return answer
	case answer.Reason == "":
		answer.Reason = "the account does not allow it"
	}
	a.o.Audit(ctx, Event{
		Kind: "refused", ID: v.ID, Name: question.User, Remote: question.Remote, State: string(v.State),
		Reason: answer.Reason, By: question.Via,
	})
	return answer
}
