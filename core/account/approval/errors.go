package approval

import "errors"

var (
	// ErrOptions is returned by New for options that do not go together.
	ErrOptions = errors.New("approval is not configured")
	// ErrTemplate is returned by New for a template that cannot be read or has another form.
	ErrTemplate = errors.New("template of a mail cannot be used")
	// ErrLink is returned for a link that was not signed here, or has expired.
	ErrLink = errors.New("link is not one of ours, or has expired")
	// ErrOver is returned for a link to a request that was decided, or has another content by now.
	ErrOver = errors.New("nothing waits any more that the link is about")
	// ErrRecord is returned for a record of the office that cannot be read.
	ErrRecord = errors.New("record of the approvals cannot be read")
)
