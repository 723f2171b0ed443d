package store

import (
	"errors"
	"fmt"
)

var (
	// ErrNotFound is returned by Get when there is no such record, or it has expired.
	ErrNotFound = errors.New("record not found")
	// ErrConflict is returned by Update when concurrent changes kept it from committing: try the whole request again.
	ErrConflict = errors.New("too many concurrent changes")
	// ErrFenced is returned when a lease is held by somebody else by now.
	ErrFenced = errors.New("lease was lost to another holder")
	// ErrUnknown is returned by Update when the commit was sent and its outcome is not known.
	ErrUnknown = errors.New("outcome of the change is unknown")
	// ErrUnavailable is returned when the server of an engine does not answer just now. Nothing was changed: try later.
	ErrUnavailable = errors.New("store is not available just now")
	// ErrClosed is returned by every call after Close.
	ErrClosed = errors.New("store is closed")
	// ErrTooLarge is returned by Put for a key or value above the limits, and for one write too many in an Update.
	ErrTooLarge = errors.New("record or transaction exceeds the limits of the store")
	// ErrKey is returned for a table, lease or key without a name: a mistake of the caller.
	ErrKey = errors.New("record is not named")
	// ErrSealed is returned when a sealed value does not open: wrong key, moved between rows, or changed on disk.
	ErrSealed = errors.New("sealed value does not open")
	// ErrReadOnly is returned by Update on a store opened for reading.
	ErrReadOnly = errors.New("store is open for reading only")
	// ErrNoSpace is returned when the disk or the quota is full; nothing was changed.
	ErrNoSpace = errors.New("no space left for the store")
	// ErrCorrupt is returned when the file is damaged or is no store at all.
	ErrCorrupt = errors.New("store file is damaged")
	// ErrUnsafe is returned by Open when owner or mode of the file or its directory would let others in.
	ErrUnsafe = errors.New("store file or directory is open to others")
	// ErrWrongRole is returned by Open when the file belongs to another role.
	ErrWrongRole = errors.New("store belongs to another role")
	// ErrVersion is returned by Open when the file was written by another, usually newer, format version.
	ErrVersion = errors.New("store has another format version")
)

// InUseError says who holds the file. It matches no sentinel; use errors.As.
type InUseError struct {
	Path   string
	Holder string // such as "oidc-agent (pid 4711)"; empty when unknown
}

func (e *InUseError) Error() string {
	if e.Holder == "" {
		return fmt.Sprintf("%s is in use by another process", e.Path)
	}
	return fmt.Sprintf("%s is in use by %s", e.Path, e.Holder)
}
