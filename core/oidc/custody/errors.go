package custody

import "errors"

var (
	// ErrLoginAgain is returned when the provider has refused the refresh token: a person has to log in again. It
	// wraps what the provider said.
	ErrLoginAgain = errors.New("the provider wants a new login")
	// ErrUnknownLogin is returned for an id that nothing was put under, or that was forgotten.
	ErrUnknownLogin = errors.New("no refresh token is kept under this name")
	// ErrSuperseded is returned by Put for a refresh token that was already replaced by a newer one, which is kept.
	ErrSuperseded = errors.New("refresh token was already replaced by a newer one")
	// ErrBusy is returned when another process held the login's refresh for too long; trying again later helps.
	ErrBusy = errors.New("another process is refreshing this login")
	// ErrNotSaved is returned by Close when a new refresh token could not be saved until the end: it is lost with the
	// process. While the process lives, Refresh goes on with the token in memory and State says so.
	ErrNotSaved = errors.New("a new refresh token could not be saved")
	// ErrClosed is returned by Refresh after Close.
	ErrClosed = errors.New("the keeper of refresh tokens was closed")
	// ErrBadToken is returned by Put for an empty refresh token or one too large to keep, and by every method for an
	// unusable id.
	ErrBadToken = errors.New("unusable refresh token or login id")

	// errRecord is returned for a record that this version cannot read.
	errRecord = errors.New("record of the login is damaged or of a newer version")
	// errAbandoned ends a refresh that nobody waits for any more and that was not sent yet.
	errAbandoned = errors.New("nobody waits for this refresh any more")
)
