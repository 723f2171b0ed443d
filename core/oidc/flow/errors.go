package flow

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/oidcbox/oidcbox/core/oidc/provider"
	"github.com/oidcbox/oidcbox/core/transport/httpc"
)

var (
	// ErrAuthorizationPending says that the person has not yet decided about a device code; poll again (RFC 8628 3.5).
	ErrAuthorizationPending = errors.New("authorization is pending")

	// ErrSlowDown is ErrAuthorizationPending with the wish that the interval grows by 5 s for all polls to come.
	ErrSlowDown = errors.New("polling too fast")

	// ErrAccessDenied says that the person or the provider said no.
	ErrAccessDenied = errors.New("access was denied")

	// ErrExpiredCode says that a device code was not approved in time.
	ErrExpiredCode = errors.New("the device code has expired")

	// ErrNoEndpoint says that the provider's metadata lack what the request needs; nothing was sent.
	ErrNoEndpoint = errors.New("provider does not offer this")

	// ErrAudience says that an audience cannot be asked for in the provider's style; nothing was sent.
	ErrAudience = errors.New("audience cannot be asked for")

	// ErrAuthMethod says that a client authentication method is not known here; nothing was sent.
	ErrAuthMethod = errors.New("client authentication method is not supported")

	// ErrNoClient says that there is no client ID to make the request with; nothing was sent.
	ErrNoClient = errors.New("client ID is empty")

	// ErrAnswer says that an answer is not what the protocol prescribes: HTML, broken JSON, members missing.
	ErrAnswer = errors.New("answer makes no sense")

	// ErrTokenType says that the token is none to be sent as a bearer token: DPoP, MAC.
	ErrTokenType = errors.New("not a bearer token")

	// ErrState says that a redirect does not belong to this login (RFC 6749 10.12).
	ErrState = errors.New("state does not match: this answer belongs to another login")

	// ErrIssuer says that a redirect comes from another provider than asked, or does not say from which (RFC 9207 2.4).
	ErrIssuer = errors.New("answer comes from another issuer")

	// ErrUsed says that a login was already finished: a code is good for one exchange.
	ErrUsed = errors.New("this login was already finished")

	// ErrVerifier says that a PKCE verifier that was handed in is none (RFC 7636 4.1); nothing was sent.
	ErrVerifier = errors.New("not a PKCE code verifier")

	// ErrIDToken says that an ID token failed a check of OpenID Connect Core 3.1.3.7. What wraps it says which.
	ErrIDToken = errors.New("ID token is not acceptable")
)

// Error is a request that the provider refused, or answered in a way that is no success. Its texts come from the
// provider and are made printable, cut, and cleared of every secret the request had.
type Error struct {
	Op          string // "refresh", "exchange the code", ...
	Issuer      string
	Status      int    // HTTP status; 0 when the refusal came with a redirect
	Code        string // RFC 6749 5.2 "error"; "" when the answer has none
	Description string
	URI         string
	RetryAfter  time.Duration // what the provider asks for; 0 when it does not
	Err         error         // ErrAnswer, or nil
}

func (e *Error) Error() string {
	var what string
	switch {
	case e.Code != "" && e.Description != "":
		what = e.Code + ": " + e.Description
	case e.Code != "":
		what = e.Code
	case e.Status >= 300 && e.Status < 400:
		what = fmt.Sprintf("provider answered with a redirect (%d), which is not followed", e.Status)
	case e.Status >= 400:
		what = strings.TrimSpace(fmt.Sprintf("provider answered %d %s", e.Status, http.StatusText(e.Status)))
	}
	if e.Err != nil {
		what = strings.TrimPrefix(what+": "+e.Err.Error(), ": ")
	}
	return e.Op + " at " + e.Issuer + ": " + what
}

// Unwrap returns ErrAnswer and its details where the answer could not be read.
func (e *Error) Unwrap() error { return e.Err }

// Is maps the codes of RFC 6749 and RFC 8628 onto the sentinels of this package.
func (e *Error) Is(target error) bool {
	switch target {
	case ErrAuthorizationPending:
		return e.Code == "authorization_pending"
	case ErrSlowDown:
		return e.Code == "slow_down"
	case ErrAccessDenied:
		return e.Code == "access_denied"
	case ErrExpiredCode:
		return e.Code == "expired_token"
	}
	return false
}

// NeedsLogin reports whether only a person can help: the refresh token or code is expired, revoked or unknown, or the
// provider wants to see the person. A server fault never counts, whatever its body says.
func NeedsLogin(err error) bool {
	e, ok := refusal(err)
	if !ok {
		return false
	}
	switch e.Code {
	case "invalid_grant", "invalid_token", "login_required", "interaction_required", "consent_required":
		return true
	}
	return false
}

// UnknownClient reports whether the provider refuses the client registration itself: it has lost or never had it, or
// the secret is wrong. No login can help before the client is registered again.
func UnknownClient(err error) bool {
	e, ok := refusal(err)
	return ok && (e.Code == "invalid_client" || e.Code == "unauthorized_client")
}

func refusal(err error) (*Error, bool) {
	var e *Error
	if !errors.As(err, &e) || e.Status >= 500 {
		return nil, false
	}
	return e, true
}

// Temporary reports whether trying again later may succeed: network faults, 408, 429, 5xx, the codes
// temporarily_unavailable and server_error, and keys for an ID token that could not be fetched.
func Temporary(err error) bool {
	var e *Error
	if !errors.As(err, &e) {
		return httpc.Temporary(err) || errors.Is(err, provider.ErrUnavailable)
	}
	if httpc.TemporaryStatus(e.Status) {
		return true
	}
	return e.Code == "temporarily_unavailable" || e.Code == "server_error"
}

// RetryAfter returns how long the provider asked to wait, 0 when it did not.
func RetryAfter(err error) time.Duration {
	var e *Error
	if errors.As(err, &e) {
		return e.RetryAfter
	}
	return 0
}
