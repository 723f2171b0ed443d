package names

import (
	"errors"
	"strings"
)

var (
	// ErrAlphabet: the text is not 1 to 32 characters of a-z, 0-9, "_", "-", ".", beginning with a letter or "_" and
	// with a letter or digit in it.
	ErrAlphabet = errors.New("not a name for a local user or group")
	// ErrReserved: the name belongs to the system, or stands on the administrator's list.
	ErrReserved = errors.New("name is reserved")
	// ErrFloor: the uid or gid lies outside of the range for federated accounts.
	ErrFloor = errors.New("number is outside of the range for federated accounts")
	// ErrTooLong: the text cannot be shortened to a name by the rule that was asked for.
	ErrTooLong = errors.New("too long for a name")
	// ErrIdentity: sub or iss is empty or too long, or a text is not what Encode writes.
	ErrIdentity = errors.New("not an encoded identity")
	// ErrTooMany: the claims give more groups than are allowed. None is given then.
	ErrTooMany = errors.New("too many groups")
	// ErrRule: a rule for names is not well formed: a rewriting line, a row of a table, a pool.
	ErrRule = errors.New("bad rule for names")
	// ErrNoPrimary: neither configuration nor claims name a primary group.
	ErrNoPrimary = errors.New("no primary group")
)

// NoNameError says that no candidate was free. Tried has the first ones, all of them in the alphabet.
type NoNameError struct{ Tried []string }

func (e *NoNameError) Error() string { return "no local name is free, tried " + e.list() }

// Message is the same in the words existing clients show.
func (e *NoNameError) Message() string {
	return "I cannot create usernames. The list of tried ones is: " + e.list()
}

func (e *NoNameError) list() string { return strings.Join(e.Tried, ", ") }
