package desk

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"net/http"
	"time"

	"github.com/oidcbox/oidcbox/core/mytoken"
	"github.com/oidcbox/oidcbox/core/mytoken/ledger"
	"github.com/oidcbox/oidcbox/core/mytoken/mint"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/token/dpop"
)

// bearer is a mytoken that somebody came with, and the form it came in.
type bearer struct {
	*ledger.Presented
	kind string      // mytoken.KindToken or mytoken.KindShortToken
	text secret.Text // as it came; the caller's
}

// present looks up the mytoken of a caller, and has the key proved that it is bound to.
func (d *Desk) present(ctx context.Context, c Caller) (*bearer, error) {
	b, err := d.identify(ctx, c)
	if err != nil {
		return nil, err
	}
	err = d.prove(c, b.Claims.KeyThumbprint)
	if err == nil {
		err = d.allow(b.Presented)
	}
	if err != nil {
		b.Close()
		return nil, err
	}
	return b, nil
}

// identify is present without a proof: for what does no more to a mytoken than look at it or end it.
func (d *Desk) identify(ctx context.Context, c Caller) (*bearer, error) {
	jwt, kind, err := d.unfold(ctx, c.Mytoken)
	if err != nil {
		return nil, err
	}
	if kind == mytoken.KindShortToken {
		defer jwt.Wipe()
	}
	p, err := d.o.Ledger.Present(ctx, jwt, c.Origin)
	if err != nil {
		d.tellReuse(ctx, jwt, c.Origin, err)
		return nil, presentError(err)
	}
	return &bearer{p, kind, c.Mytoken}, nil
}

// tellReuse tells the person that a mytoken has ended because one that it had replaced was used. That the mytoken is
// authentic is known from why.
func (d *Desk) tellReuse(ctx context.Context, jwt secret.Text, from Origin, why error) {
	if d.o.Notify == nil || !errors.Is(why, ledger.ErrReplaced) && !errors.Is(why, ledger.ErrStale) {
		return
	}
	c, err := mytoken.ReadClaims(jwt)
	if err != nil || c.Rotation == nil || !c.Rotation.AutoRevoke {
		return
	}
	t, err := d.o.Ledger.Find(ctx, c.MOMID())
	if err != nil || t.Condition != ledger.Ended {
		return
	}
	d.tell(ctx, Notice{
		User: t.User, MOMID: t.MOMID, Name: t.Name, Class: ClassRevoked, Event: ledger.EventRevoked, Comment: t.Reason,
		From: from, Expires: t.Expires,
	})
}

// allow bounds how often a person makes requests.
func (d *Desk) allow(p *ledger.Presented) error {
	if d.o.Allow == nil {
		return nil
	}
	retry, ok := d.o.Allow(p.User, p.MOMID)
	if ok {
		return nil
	}
	e := tooMany(nil)
	e.Description, e.RetryAfter = "too many requests of this person", retry
	return e
}

// unfold returns the JWT for a mytoken in either form. That of a short token is the caller's to wipe.
func (d *Desk) unfold(ctx context.Context, mt secret.Text) (jwt secret.Text, kind string, err error) {
	switch n := mt.Len(); {
	case n == 0:
		return jwt, "", badToken("no mytoken found in request", nil)
	case n < minToken || n > mint.MaxSize:
		return jwt, "", badRequest("token not valid", ledger.ErrInvalid)
	}
	if isJWT(mt) {
		return mt, mytoken.KindToken, nil
	}
	c, err := d.o.Ledger.LookCode(ctx, ledger.ShortToken, mt)
	c.Handle.Key.Wipe()
	if errors.Is(err, ledger.ErrUnknown) {
		return jwt, "", badToken("token not valid", err)
	}
	return c.Secret, mytoken.KindShortToken, err
}

func isJWT(t secret.Text) (dots bool) {
	_ = t.Use(func(b []byte) error { dots = bytes.Count(b, []byte(".")) == 2; return nil })
	return dots
}

// presentError turns what the ledger says of a mytoken into the API's words. What is unknown, forged or revoked is told
// apart for nobody who does not hold an authentic mytoken.
func presentError(err error) error {
	switch {
	case errors.Is(err, ledger.ErrInvalid), errors.Is(err, ledger.ErrUnknown):
		return badToken("token not valid", err)
	case errors.Is(err, ledger.ErrRevoked), errors.Is(err, ledger.ErrErased):
		return badToken("token was revoked", err)
	case errors.Is(err, ledger.ErrReplaced):
		return badToken("token was replaced by a newer one", err)
	case errors.Is(err, ledger.ErrStale), errors.Is(err, mint.ErrExpired):
		return badToken("token is expired", err)
	case errors.Is(err, mint.ErrNotYet):
		return badToken("token is not valid yet", err)
	case errors.Is(err, ledger.ErrNoLogin):
		return badToken("No refresh token attached", err)
	case errors.Is(err, ledger.ErrTooMany):
		return tooMany(err)
	}
	return err
}

func tooMany(err error) *Error {
	e := refuse(http.StatusTooManyRequests, CodeTooMany, "too many requests at once", err)
	e.RetryAfter = time.Second
	return e
}

// prove checks the proof of the key that a mytoken is bound to, "" for none (RFC 9449 section 7.1).
func (d *Desk) prove(c Caller, key string) error {
	if key == "" {
		return nil
	}
	if d.o.DPoP == nil {
		return badToken("this server takes no tokens that are bound to a key", nil)
	}
	r := dpop.Request{Key: key}
	_ = c.Mytoken.Use(func(b []byte) error { r.Token = sha256.Sum256(b); return nil })
	var headers []string
	if c.Proof != nil {
		headers, r.Method, r.URL = c.Proof.Headers, c.Proof.Method, c.Proof.URL
	}
	return d.proofError(d.o.DPoP.Check(headers, r))
}

func (d *Desk) proofError(err error) error {
	if err == nil {
		return nil
	}
	var next *dpop.NonceError
	switch {
	case errors.As(err, &next):
		e := refuse(http.StatusUnauthorized, CodeNonce, "a nonce of this server is needed in the DPoP proof", err)
		e.Nonce = next.Next
		return e
	case errors.Is(err, dpop.ErrTooMany):
		return tooMany(err)
	}
	e := refuse(http.StatusUnauthorized, CodeProof, err.Error(), err)
	e.Nonce = d.o.DPoP.Nonce()
	return e
}
