package desk

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/oidcbox/oidcbox/core/mytoken"
	"github.com/oidcbox/oidcbox/core/mytoken/ledger"
	"github.com/oidcbox/oidcbox/core/secret"
)

// The states of a polling code.
const (
	statePending  = "pending"
	stateDevice   = "device" // the provider is asked when the client asks
	stateMade     = "made"   // the mytoken lies there, and can be fetched as soon as the ledger has it
	stateDeclined = "refused"
)

// textCode is the description of a refusal of a code that is unknown or was used.
const textCode = "Bad polling or transfer code"

// pollRecord is what lies under a polling code: the mytoken itself opens with the code only.
type pollRecord struct {
	Version      int         `json:"v"`
	State        string      `json:"state"`
	Kind         string      `json:"for,omitzero"`
	Until        time.Time   `json:"until"`
	MOMID        string      `json:"mom_id,omitzero"`
	ResponseType string      `json:"type,omitzero"`
	MaxLen       int64       `json:"len,omitzero"`
	Purpose      Purpose     `json:"purpose,omitzero"`
	Why          *refusal    `json:"why,omitzero"`
	Taken        *taking     `json:"taken,omitzero"`
	Device       *deviceWait `json:"device,omitzero"`
}

// refusal is an Error that is kept.
type refusal struct {
	Status      int    `json:"status"`
	Code        string `json:"code"`
	Description string `json:"description,omitzero"`
}

// taking is when a code was good, and for whom: the same client may ask again for a short time, because an answer can
// be lost and a login with it.
type taking struct {
	At time.Time `json:"at"`
	By string    `json:"by,omitzero"`
}

// again reports whether a code that was taken may be used once more.
func (t *taking) again(now time.Time, by Origin, window time.Duration) bool {
	return now.Before(t.At.Add(window)) && t.By == addressOf(by)
}

func addressOf(o Origin) string {
	if !o.Client.IsValid() {
		return ""
	}
	return o.Client.Unmap().String()
}

func (r *pollRecord) made(a *order, n *minted) {
	r.State, r.Device, r.MOMID = stateMade, nil, n.claims.MOMID()
	r.ResponseType, r.MaxLen, r.Purpose = a.ResponseType, a.MaxLen, a.Purpose
}

func (r *pollRecord) failed(why error) {
	r.State, r.Device = stateDeclined, nil
	r.Why = &refusal{Status: http.StatusInternalServerError, Code: CodeInternal}
	var no *Error
	if errors.As(why, &no) {
		r.Why = &refusal{no.Status, no.Code, no.Description}
	}
}

// errNotPending is returned for a code that has an end already.
var errNotPending = errors.New("the login has ended already")

// editPolling ends the waiting under a polling code, once.
func (d *Desk) editPolling(
	ctx context.Context, h ledger.CodeHandle, what secret.Text, edit func(*pollRecord),
) error {
	return d.o.Ledger.EditCode(ctx, h, what, func(data []byte) ([]byte, error) {
		r, err := readPolling(data)
		if err != nil {
			return nil, err
		}
		if r.State == stateDeclined || r.Taken != nil {
			return nil, errNotPending
		}
		edit(r)
		return json.Marshal(r)
	})
}

func readPolling(b []byte) (*pollRecord, error) {
	r := new(pollRecord)
	if err := json.Unmarshal(b, r); err != nil {
		return nil, fmt.Errorf("read a kept login: %w", err)
	}
	if r.Version != orderVersion {
		return nil, fmt.Errorf("read a kept login of version %d: %w", r.Version, ledger.ErrRecord)
	}
	return r, nil
}

// Poll asks whether a login has ended (grant_type polling_code): authorization_pending, access_denied, expired_token,
// invalid_token for a code that is unknown or was used, or the mytoken.
//
// A code is good once. Should the answer be lost, the same client (by its address) gets it again for Limits.Replay.
func (d *Desk) Poll(ctx context.Context, code secret.Text, from Origin) (*Issued, error) {
	e := AuditEvent{Action: "poll", From: from}
	i, err := d.poll(ctx, code, &e)
	var no *Error
	if !errors.As(err, &no) || no.Code != CodePending {
		d.audit(ctx, e, err)
	}
	return i, err
}

// poll answers with a mytoken in the form that was asked for, and notes whose it is.
func (d *Desk) poll(ctx context.Context, code secret.Text, e *AuditEvent) (*Issued, error) {
	jwt, r, err := d.fetch(ctx, code, "", e.From)
	if err != nil {
		return nil, err
	}
	c, err := mytoken.ReadClaims(jwt)
	if err != nil {
		jwt.Wipe()
		return nil, fmt.Errorf("read a mytoken that was made here: %w", err)
	}
	e.User, e.MOMID, e.Provider = ledger.UserID(c.OIDCIssuer, c.OIDCSubject), c.MOMID(), c.OIDCIssuer
	i := d.issued(jwt, c)
	if err := d.reshape(ctx, i, d.formOf(r.ResponseType, r.MaxLen, i.Token)); err != nil {
		d.o.Log.WarnContext(ctx, "a mytoken is answered with as a JWT", "err", err)
	}
	return i, nil
}

// FinishFor is Poll for a mytoken that BeginFor asked for with a purpose of this kind.
func (d *Desk) FinishFor(ctx context.Context, code secret.Text, kind string, from Origin) (Login, error) {
	jwt, r, err := d.fetch(ctx, code, kind, from)
	if err != nil {
		return Login{}, err
	}
	c, err := mytoken.ReadClaims(jwt)
	if err != nil {
		jwt.Wipe()
		return Login{}, fmt.Errorf("read a mytoken that was made here: %w", err)
	}
	return Login{JWT: jwt, Claims: c, User: ledger.UserID(c.OIDCIssuer, c.OIDCSubject), Purpose: r.Purpose}, nil
}

// fetch takes the mytoken from under a polling code. The caller wipes it.
func (d *Desk) fetch(ctx context.Context, code secret.Text, kind string, from Origin) (
	secret.Text, *pollRecord, error,
) {
	c, err := d.o.Ledger.LookCode(ctx, ledger.PollingCode, code)
	defer c.Handle.Key.Wipe()
	if err != nil {
		return secret.Text{}, nil, codeError(err)
	}
	r, err := readPolling(c.Data)
	if err == nil && r.Kind != kind {
		err = badToken(textCode, nil)
	}
	if err == nil {
		r, err = d.ready(ctx, &c, r, from)
	}
	if err == nil {
		err = d.take(ctx, c, from)
	}
	if err != nil {
		c.Secret.Wipe()
		return secret.Text{}, nil, err
	}
	return c.Secret, r, nil
}

func codeError(err error) error {
	switch {
	case errors.Is(err, ledger.ErrUnknown):
		return badToken(textCode, err)
	case errors.Is(err, ledger.ErrTooMany):
		return tooMany(err)
	}
	return err
}

// ready says whether there is a mytoken under a code; for a device it asks the provider.
func (d *Desk) ready(ctx context.Context, c *ledger.Code, r *pollRecord, from Origin) (*pollRecord, error) {
	pending := refuse(http.StatusPreconditionRequired, CodePending, "", nil)
	over := refuse(http.StatusUnauthorized, CodeExpired, "polling or transfer code is expired", nil)
	switch r.State {
	case stateMade:
		t, err := d.o.Ledger.Find(ctx, r.MOMID)
		switch {
		case err == nil && t.Condition == ledger.Live:
			return r, nil
		case err == nil:
			return nil, badToken("token was revoked", ledger.ErrRevoked)
		case !errors.Is(err, ledger.ErrUnknown):
			return nil, err
		}
	case stateDeclined:
		return nil, refuse(r.Why.Status, r.Why.Code, r.Why.Description, nil)
	}
	if !d.now().Before(r.Until) {
		return nil, over
	}
	if r.State == stateDevice {
		return d.askDevice(ctx, c, r, from)
	}
	return nil, pending
}

// take notes that the mytoken was fetched. Of those who ask for it later only the same client gets it, and not for
// long.
func (d *Desk) take(ctx context.Context, c ledger.Code, from Origin) error {
	now := d.now().UTC()
	late := errors.New("the code was used already")
	err := d.o.Ledger.EditCode(ctx, c.Handle, secret.Text{}, func(data []byte) ([]byte, error) {
		r, err := readPolling(data)
		if err != nil {
			return nil, err
		}
		if r.Taken == nil {
			r.Taken = &taking{At: now, By: addressOf(from)}
		} else if !r.Taken.again(now, from, d.o.Limits.Replay) {
			return nil, late
		}
		return json.Marshal(r)
	})
	if errors.Is(err, late) {
		return badToken(textCode, late)
	}
	return codeError(err)
}
