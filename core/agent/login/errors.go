package login

import "errors"

var (
	// ErrName is returned for a short name that cannot be the name of an account file.
	ErrName = errors.New("unusable account name")
	// ErrConfig is returned for an account configuration that is no JSON object of the expected shape.
	ErrConfig = errors.New("not an account configuration")
	// ErrFormat is returned for a file that is no account file, or a damaged one.
	ErrFormat = errors.New("not an account file")
	// ErrParams is returned for an account file that asks for more memory or time than any real one does.
	ErrParams = errors.New("account file asks for unreasonable key derivation")
	// ErrWrongPassword is returned when the password does not fit the account file.
	ErrWrongPassword = errors.New("wrong password")
	// ErrPGP is returned for an account file that is encrypted with OpenPGP: it needs gpg and no password.
	ErrPGP = errors.New("account file is encrypted with OpenPGP")
	// ErrTooLarge is returned for a file above MaxFile.
	ErrTooLarge = errors.New("file is too large")
	// ErrUnsafe is returned when a file is no regular file, or a link that leads out of its directory.
	ErrUnsafe = errors.New("not a regular file of the directory")
	// ErrIssuers is returned for a file of issuers or public clients with entries that make no sense; the others are
	// returned beside it.
	ErrIssuers = errors.New("list of issuers or public clients has faults")
	// ErrSettings is returned for a file "config" that is no JSON object, or has a member that makes no sense.
	ErrSettings = errors.New("settings cannot be read")
)
