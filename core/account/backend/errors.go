package backend

import "errors"

var (
	// ErrNoAccount: the identity has no account here.
	ErrNoAccount = errors.New("no account")
	// ErrTaken: the name, or the number, belongs to somebody else. Nothing was made.
	ErrTaken = errors.New("name is taken")
	// ErrMismatch: the account of that name is not the account of that identity. Nothing was changed.
	ErrMismatch = errors.New("account belongs to another identity")
	// ErrRefused: what was asked for is outside of what this system may do (a reserved name, a number below the floor, a
	// group that is not allowed, too often). Nothing was changed, and asking again changes nothing.
	ErrRefused = errors.New("refused by the account system")
	// ErrReadOnly: this system makes no accounts, or not this one.
	ErrReadOnly = errors.New("account system is read-only")
	// ErrUnsupported: this system cannot do that at all (LDAP has no suspension of its own).
	ErrUnsupported = errors.New("not supported by this account system")
	// ErrUnavailable: the account system did not answer, or not in time. Try again.
	ErrUnavailable = errors.New("account system is not available")
	// ErrEditable: users can change the field that says whose an account is, so it proves nothing.
	ErrEditable = errors.New("users can edit the field with their identity")
)
