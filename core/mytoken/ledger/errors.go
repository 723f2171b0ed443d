package ledger

import "errors"

var (
	// ErrUnknown is returned for a mytoken, login, person or code that is not kept here: it never was, or is gone.
	ErrUnknown = errors.New("not known here")
	// ErrInvalid is returned for a text that is no mytoken of this server. It wraps what the checker said.
	ErrInvalid = errors.New("not a mytoken of this server")
	// ErrRevoked is returned for a mytoken that was ended, or that was made from one that was ended with all below it.
	ErrRevoked = errors.New("mytoken was revoked")
	// ErrReplaced is returned for a mytoken that rotation has replaced, after its window.
	ErrReplaced = errors.New("mytoken was replaced by a newer one")
	// ErrStale is returned for the newest mytoken of a line that is older than its rotation lets it become.
	ErrStale = errors.New("mytoken has not been replaced in time")
	// ErrExists is returned by Begin and Sub for a mytoken that is kept already.
	ErrExists = errors.New("mytoken is kept already")
	// ErrTooMany is returned when a bound of this package is reached: uses under way on one mytoken, depth of the tree,
	// clauses, attempts with short codes. Trying again later may help.
	ErrTooMany = errors.New("too many at once")
	// ErrSettled is returned for a reservation that was committed, burned or given back before.
	ErrSettled = errors.New("reservation was settled already")
	// ErrCalled is returned by GiveBack for a use for which the provider was called. It stays open: burn it.
	ErrCalled = errors.New("the provider was called for this use")
	// ErrNoLogin is returned where the login behind a mytoken has ended.
	ErrNoLogin = errors.New("the login behind the mytoken has ended")
	// ErrErased is returned for what belongs to a person whose data are being erased.
	ErrErased = errors.New("the data of this person are being erased")
	// ErrRecord is returned for a record that this version cannot read.
	ErrRecord = errors.New("record of the ledger cannot be read")
	// ErrClosed is returned after Close.
	ErrClosed = errors.New("ledger is closed")
)
