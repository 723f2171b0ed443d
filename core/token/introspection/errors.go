package introspection

import "errors"

// ErrConfig is returned by New when nobody could ask, or a client could not be told from a stranger.
var ErrConfig = errors.New("introspection is not configured")
