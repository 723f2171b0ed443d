package claims

import (
	"errors"
	"fmt"
)

var (
	// ErrTwoProfiles: the token claims to be a WLCG token and a SciToken at once.
	ErrTwoProfiles = errors.New("token has both wlcg.ver and ver")
	// ErrVersion: a profile version whose major number we do not know.
	ErrVersion = errors.New("profile version is not supported")
	// ErrUnknownClaim: a SciToken of version 1.0 has a claim that version does not define.
	ErrUnknownClaim = errors.New("a SciToken of version 1.0 has a claim unknown to that version")
	// ErrScopePath: a scope's path is missing, relative or not safe; it makes the whole token invalid.
	ErrScopePath = errors.New("path of a scope is not valid")
	// ErrRequestPath: a requested path is relative or not safe.
	ErrRequestPath = errors.New("requested path is not valid")
	// ErrIDToken: an ID token, a refresh token or a logout token was presented as an access token.
	ErrIDToken = errors.New("this is an ID, refresh or logout token, not an access token")
	// ErrSenderConstrained: the token is bound to a key (cnf) and came without the proof, or is bound in a way for which
	// there is no proof here.
	ErrSenderConstrained = errors.New("token is bound to a key (cnf) and cannot be used as a plain bearer token")
	// ErrNoKeyID: the profile requires kid in the header.
	ErrNoKeyID = errors.New("header has no kid, which the profile requires")
	// ErrProfileAlgorithm: the profile does not allow the token's algorithm.
	ErrProfileAlgorithm = errors.New("algorithm is not allowed by the profile")
)

// MissingError: a claim that the profile requires is absent or empty.
type MissingError struct{ Claim string }

func (e *MissingError) Error() string { return fmt.Sprintf("claim %s is missing", e.Claim) }

// ValueError: a claim has the right type and a value that is not allowed. The value is not kept.
type ValueError struct{ Claim, Want string }

func (e *ValueError) Error() string { return fmt.Sprintf("claim %s is not %s", e.Claim, e.Want) }

// ProfileError: the token is of a profile that its issuer may not use here, or of none that was asked for.
type ProfileError struct {
	Want []Profile
	Got  Profile
}

func (e *ProfileError) Error() string {
	return fmt.Sprintf("token is of profile %s, wanted is %v", e.Got, e.Want)
}
