package bearer

import "errors"

var (
	// ErrNone is returned by Find when there is a token at none of the places.
	ErrNone = errors.New("there is no bearer token")

	// ErrNotToken is returned for what cannot be a bearer token (RFC 6750 2.1): several lines, blanks, control
	// characters, letters beyond ASCII. No other place is looked at then.
	ErrNotToken = errors.New("not a bearer token")

	// ErrUntrusted is returned for a file that others could have written or can read, that is no regular file, or that is
	// reached over a symbolic link where everybody may make one.
	ErrUntrusted = errors.New("file cannot be trusted with a token")

	// ErrEnded is returned by Watch.Run when only a person can make new tokens possible and the last one has expired.
	ErrEnded = errors.New("no new tokens without a person")

	// ErrTooLarge is returned for a file that is larger than any token.
	ErrTooLarge = errors.New("larger than a token can be")
)
