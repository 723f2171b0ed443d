package mint

import "errors"

var (
	// ErrForm says that a text is no mytoken of this profile: not a JWS, another header, claims that are missing or wrong.
	ErrForm = errors.New("not a mytoken")
	// ErrSignature says that no key of the server has signed a mytoken.
	ErrSignature = errors.New("signature of the mytoken does not match")
	// ErrIssuer says that a mytoken is one of another server.
	ErrIssuer = errors.New("mytoken of another server")
	// ErrExpired says that the time of a mytoken is over.
	ErrExpired = errors.New("mytoken has expired")
	// ErrNotYet says that the time of a mytoken has not come.
	ErrNotYet = errors.New("mytoken is not valid yet")
	// ErrAlgorithm says that mytokens are not signed with the algorithm of a key.
	ErrAlgorithm = errors.New("mytokens are not signed with this algorithm")
	// ErrOrder says that what a mytoken is to be made of is not complete: a fault of the caller.
	ErrOrder = errors.New("mytoken cannot be made")
)
