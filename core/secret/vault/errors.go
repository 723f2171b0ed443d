package vault

import (
	"errors"
	"fmt"
)

var (
	// ErrNoLockedMemory is returned by New in mode Require when the kernel does not let us lock enough memory.
	ErrNoLockedMemory = errors.New("memory cannot be locked")
	// ErrLocked is returned by Keys after Drop or Lock.
	ErrLocked = errors.New("keys are locked")
	// ErrClosed is returned by every call after Close.
	ErrClosed = errors.New("vault is closed")
	// ErrWrongPassword is returned by OpenWithPassword and Keys.Unlock.
	ErrWrongPassword = errors.New("wrong password")
	// ErrParams is returned by Argon2 for cost parameters outside the limits, which happens with hostile files only.
	ErrParams = errors.New("password hashing parameters are outside the limits")
	// ErrNotSealedHere is returned by Open for a value that another vault sealed, or the same before it was closed.
	ErrNotSealedHere = errors.New("value was not sealed by this vault")
)

// LimitError says how much locked memory there is and how much is needed. It wraps ErrNoLockedMemory.
type LimitError struct {
	LimitKiB int64 // RLIMIT_MEMLOCK, -1 when it is not known
	NeedKiB  int64
	Err      error // what the kernel said
}

func (e *LimitError) Error() string {
	if e.LimitKiB < 0 {
		return fmt.Sprintf("%v: need %d kB: %v", ErrNoLockedMemory, e.NeedKiB, e.Err)
	}
	return fmt.Sprintf("%v: limit is %d kB, need %d kB", ErrNoLockedMemory, e.LimitKiB, e.NeedKiB)
}

// Unwrap makes errors.Is(err, ErrNoLockedMemory) true.
func (e *LimitError) Unwrap() []error { return []error{ErrNoLockedMemory, e.Err} }

// Hint is one line for the person or administrator.
func (e *LimitError) Hint() string {
	return fmt.Sprintf("raise it with 'ulimit -l %d', or LimitMEMLOCK=%dK in the service unit", e.NeedKiB, e.NeedKiB)
}
