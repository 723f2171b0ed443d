package service

import "errors"

var (
	// ErrLocked is returned while the agent is locked with a password.
	ErrLocked = errors.New("agent is locked")
	// ErrNotLocked is returned by an unlock of an agent that is not locked.
	ErrNotLocked = errors.New("agent is not locked")
	// ErrNoKeystore is returned for what needs a keystore by an agent that was told to use none.
	ErrNoKeystore = errors.New("this agent uses no keystore")
	// ErrKeystoreLocked is returned for what needs the keystore's keys before it was unlocked.
	ErrKeystoreLocked = errors.New("the keystore is locked")
	// ErrKeystoreExists is returned by Create when there is a keystore already.
	ErrKeystoreExists = errors.New("there is a keystore already")
	// ErrUnknownLogin is returned for a name that neither keystore nor memory holds.
	ErrUnknownLogin = errors.New("no such login")
	// ErrTooMany is returned when a bound on entries kept for clients is reached.
	ErrTooMany = errors.New("too many entries of this kind; try again later")
	// ErrNoRefreshToken is returned when a flow ended well but the provider gave no refresh token.
	ErrNoRefreshToken = errors.New("the provider gave no refresh token")
)
