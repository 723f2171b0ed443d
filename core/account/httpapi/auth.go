package httpapi

import (
	"context"
	"encoding/hex"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/oidcbox/oidcbox/core/account/names"
	"github.com/oidcbox/oidcbox/core/account/otp/form"
	"github.com/oidcbox/oidcbox/core/account/provision"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/token/claims"
	"github.com/oidcbox/oidcbox/core/token/gate"
	"github.com/oidcbox/oidcbox/core/token/jose"
	"github.com/oidcbox/oidcbox/core/token/policy"
	"github.com/oidcbox/oidcbox/core/token/remote"
	"github.com/oidcbox/oidcbox/core/token/verify"
)

// What clients of motley-cue are told about tokens.
const (
	noIdentity   = "User identity could not be determined"
	unverified   = "Could not verify JWT: "
	noIssuer     = unverified + "No 'iss' claim in body"
	expired      = unverified + "Signature has expired"
	badSignature = unverified + "Signature verification failed"
	notYet       = unverified + "The token is not yet valid (nbf)"
	notOurs      = "Issuer is not trusted: "
)

// bearer reads the Authorization header. Its refusals are those of motley-cue: 403, and no challenge.
func bearer(h http.Header) (secret.Text, error) {
	values := h["Authorization"]
	if len(values) == 0 {
		return secret.Text{}, detail(http.StatusForbidden, "Not authenticated")
	}
	scheme, token, _ := strings.Cut(values[0], " ")
	token = strings.Trim(token, " ")
	switch {
	case scheme == "" || token == "":
		return secret.Text{}, detail(http.StatusForbidden, "Not authenticated")
	case len(values) > 1 || !strings.EqualFold(scheme, "Bearer"):
		return secret.Text{}, detail(http.StatusForbidden, "Invalid authentication credentials")
	}
	return secret.FromString(token), nil
}

// known is who a token speaks for. Of the Subject only the identity is there; the rest is made where it is needed.
type known struct {
	provision.Subject
	issuer *Issuer
	claims policy.Subject
	token  string // its name in the audit
}

func (k *known) String() string { return k.Sub + "@" + k.Iss }

// believe finds out who a token speaks for, whatever that person may do. The error is an *Error.
func (a *API) believe(ctx context.Context, token secret.Text) (known, error) {
	service := a.service
	var said *gate.Claimed
	read := func() *gate.Claimed {
		if said == nil {
			said = claimed(token)
		}
		return said
	}
	if service == "" {
		if _, ours := a.issuers[read().Issuer]; ours {
			service = said.Issuer
		}
	}
	out, err := a.check(ctx, token, service)
	if err != nil {
		no := refused(gate.RefusalOf(err), read())
		if no.Name == "Unauthenticated" && !signed(token) {
			no.Description = noIdentity
		}
		return known{}, no
	}
	iss := a.issuers[out.Identity.Issuer]
	switch {
	case iss == nil:
		return known{}, unauthenticated(notOurs+out.Identity.Issuer, verify.ErrUntrustedIssuer)
	case out.Identity.Subject == "":
		return known{}, unauthenticated(noIdentity, &claims.MissingError{Claim: "sub"})
	case a.service == "" && service != iss.URL && !meant(out.Identity.Claims.Audience, iss.Audiences):
		no := &verify.AudienceError{Want: iss.Audiences, Got: out.Identity.Claims.Audience}
		return known{}, notForUs(out.Identity.Subject, out.Identity.Issuer, no)
	}
	who := provision.Subject{Sub: out.Identity.Subject, Iss: out.Identity.Issuer}
	if who.ID, err = names.Encode(who.Sub, who.Iss); err != nil {
		return known{}, unauthenticated(noIdentity, err)
	}
	return known{
		Subject: who, issuer: iss, claims: out.Subject, token: hex.EncodeToString(out.Identity.Digest[:8]),
	}, nil
}

// signed reports whether a token has the form of a signed one.
func signed(token secret.Text) (yes bool) {
	_ = token.Use(func(b []byte) error {
		yes = form.LooksLike(b) == form.JWT
		return nil
	})
	return yes
}

// meant reports whether a token for got is for one of ours. It is asked only about tokens that the gate judged by the
// names of all services, since nobody knew the issuer before.
func meant(got, ours []string) bool {
	return len(ours) == 0 || slices.ContainsFunc(ours, func(name string) bool { return slices.Contains(got, name) })
}

// claimed is what a token says of itself, never nil.
func claimed(token secret.Text) *gate.Claimed {
	said := &gate.Claimed{}
	_ = token.Use(func(t []byte) error {
		if c := gate.ClaimedBy(t, jose.MaxToken); c != nil {
			said = c
		}
		return nil
	})
	return said
}

// refused puts a refusal of the gate into the words of motley-cue. An issuer that cannot be reached is told like one
// that is not known, as motley-cue tells it, but with a time after which to ask again.
func refused(no *gate.Refusal, said *gate.Claimed) *Error {
	var audience *verify.AudienceError
	switch {
	case errors.As(no, &audience):
		return notForUs(said.Subject, said.Issuer, audience)
	case no.Status == http.StatusServiceUnavailable:
		e := unauthenticated(noIssuer, no)
		e.RetryAfter = max(no.RetryAfter, time.Second)
		return e
	case no.Status >= http.StatusInternalServerError:
		return &Error{Status: http.StatusInternalServerError, Detail: "Something went wrong.", Err: no}
	}
	return unauthenticated(words(no, said), no)
}

func words(no *gate.Refusal, said *gate.Claimed) string {
	switch {
	case errors.Is(no, remote.ErrInactive), errors.Is(no, remote.ErrContradiction):
		return noIdentity
	case errors.Is(no, verify.ErrExpired):
		return expired
	case errors.Is(no, verify.ErrNotYet), errors.Is(no, verify.ErrIssuedAhead):
		return notYet
	case errors.Is(no, verify.ErrUntrustedIssuer) && strings.HasPrefix(said.Issuer, "https://"):
		return notOurs + said.Issuer
	case errors.Is(no, verify.ErrUntrustedIssuer):
		return noIssuer
	case errors.Is(no, jose.ErrSignature), errors.Is(no, verify.ErrNoKey):
		return badSignature
	}
	return unverified + no.Description
}

func notForUs(sub, iss string, why *verify.AudienceError) *Error {
	return forbidden(unmet(sub, iss), "The token is for another audience", why)
}

func unmet(sub, iss string) string {
	if sub == "" && iss == "" { // an opaque token does not say whose it is
		return "User does not meet requirements"
	}
	return "User " + sub + "@" + iss + " does not meet requirements"
}

// user is believe for who may have an account.
func (a *API) user(ctx context.Context, token secret.Text) (known, error) {
	who, err := a.believe(ctx, token)
	if err != nil {
		return known{}, err
	}
	if d := decide(who.issuer.Users, who.claims); !d.Allowed {
		return who, forbidden(unmet(who.Sub, who.Iss), d.Reason, &gate.DecisionError{Decision: d})
	}
	return who, nil
}

// admin is believe for who may stop people of the issuer iss.
func (a *API) admin(ctx context.Context, token secret.Text, iss string) (known, error) {
	who, err := a.believe(ctx, token)
	if err != nil {
		return known{}, err
	}
	return a.mayManage(who, iss)
}

// mayManage refuses who is no administrator, or not for people of the issuer iss.
func (a *API) mayManage(who known, iss string) (known, error) {
	if d := decide(who.issuer.Admins, who.claims); !d.Allowed {
		return who, forbidden(unmet(who.Sub, who.Iss), d.Reason, &gate.DecisionError{Decision: d})
	}
	if iss != who.Iss && !who.issuer.AdminsForAll {
		return who, forbidden("Request from user "+who.String()+" does not meet requirements", []string{
			"Admin from issuer " + who.Iss + " is not authorised to manage users of issuer '" + iss + "'",
		}, errOtherIssuer)
	}
	return who, nil
}

var errOtherIssuer = errors.New("administrator of another issuer")

func decide(p *policy.Policy, who policy.Subject) policy.Decision {
	if p == nil {
		return policy.Decision{Reason: "nobody is authorised"}
	}
	return p.Decide(who, policy.Request{})
}

// Judge says who an access token speaks for, when that person may have an account here. The error is an *Error, with
// RetryAfter when the issuer could not be asked.
func (a *API) Judge(ctx context.Context, token secret.Text) (provision.Subject, error) {
	who, err := a.user(ctx, token)
	if err != nil {
		return provision.Subject{}, err
	}
	return a.person(who)
}

// person is the Subject of who asked, with all that the issuer said.
func (a *API) person(who known) (provision.Subject, error) {
	subject, err := provision.SubjectOf(who.claims, a.o.Claims)
	if err != nil {
		return provision.Subject{}, unauthenticated(noIdentity, err)
	}
	return subject, nil
}

// asking runs judge for the token of a request: who sent too many wrong ones is not looked at, and what is refused is
// in the audit.
func (a *API) asking(c *call, judge func() (known, error)) (known, error) {
	key := a.o.Limiter.guesser(c.from, "")
	if err := a.o.Limiter.blocked(key); err != nil {
		return known{}, err
	}
	who, err := judge()
	if err == nil {
		return who, nil
	}
	var no *Error
	if errors.As(err, &no) {
		if no.Status == http.StatusUnauthorized && no.RetryAfter == 0 {
			a.o.Limiter.guessed(key)
		}
		e := Event{Kind: "refused", ID: who.ID, Remote: c.remote(), Reason: no.Reason()}
		if signed(c.token) { // what is no token may be somebody's password, whose digest says too much
			e.Token = c.token.ID()
		}
		a.tell(c, key, e)
	}
	return known{}, err
}

func (c *call) remote() string {
	if !c.from.IsValid() {
		return ""
	}
	return c.from.String()
}
