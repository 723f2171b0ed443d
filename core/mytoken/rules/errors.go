package rules

import (
	"errors"
	"fmt"
	"strings"
)

var (
	// ErrNoCapability says that a mytoken would be able to do nothing that was asked for. Its text is the API's.
	ErrNoCapability = errors.New("mytoken to be issued cannot have any of the requested capabilities")
	// ErrRestricted says that no clause allows a use. A *RestrictedError tells of each clause why.
	ErrRestricted = errors.New("the restrictions of this token do not allow this use")
	// ErrClauses says that clauses that were asked for cannot be. A *ClausesError has the clauses and the reasons.
	ErrClauses = errors.New("restrictions cannot be used")
	// ErrNotSubset says that restrictions go beyond those they have to stay inside. Its text is the API's.
	ErrNotSubset = errors.New("requested restrictions are not subset of original restrictions")
	// ErrLifetime says that restrictions last longer than a mytoken may. Its text is the API's.
	ErrLifetime = errors.New("requested restrictions do not respect maximum mytoken lifetime")
	// ErrNothingLeft says that the mytoken another was to be made from has nothing left to hand on.
	ErrNothingLeft = errors.New("the mytoken has no use left that it could hand on")
	// ErrUsedUp says that a clause was used as often as it may be.
	ErrUsedUp = errors.New("used as often as allowed")
	// ErrNotHeld says that a use is to be settled that was not reserved: a fault of the caller.
	ErrNotHeld = errors.New("no such use is reserved")
	// ErrWithheld says that the provider did not give what was asked for.
	ErrWithheld = errors.New("the provider did not give what was asked for")
	// ErrExcess says that the provider gave more than was asked for. A token like that is not handed out.
	ErrExcess = errors.New("the provider gave more than was asked for")
)

// Fault is why one clause cannot be.
type Fault struct {
	Clause int // 1 is the first one; 0: it is about no clause
	Reason string
}

func (f Fault) String() string {
	if f.Clause == 0 {
		return f.Reason
	}
	return fmt.Sprintf("clause %d: %s", f.Clause, f.Reason)
}

// ClausesError has all faults of what was asked for. What it repeats of the request is cut and quoted.
type ClausesError struct{ Faults []Fault }

func (e *ClausesError) Error() string { return ErrClauses.Error() + ": " + list(e.Faults) }

// Unwrap returns ErrClauses.
func (e *ClausesError) Unwrap() error { return ErrClauses }

// RestrictedError says of each clause why it does not allow a use.
type RestrictedError struct{ Faults []Fault }

func (e *RestrictedError) Error() string { return ErrRestricted.Error() + ": " + list(e.Faults) }

// Unwrap returns ErrRestricted.
func (e *RestrictedError) Unwrap() error { return ErrRestricted }

func list(faults []Fault) string {
	texts := make([]string, len(faults))
	for i, f := range faults {
		texts[i] = f.String()
	}
	return strings.Join(texts, "; ")
}

// WithheldError says what the provider did not give.
type WithheldError struct{ Scopes, Audiences []string }

func (e *WithheldError) Error() string {
	var parts []string
	if len(e.Scopes) > 0 {
		parts = append(parts, "scope "+quote(strings.Join(e.Scopes, " ")))
	}
	if len(e.Audiences) > 0 {
		parts = append(parts, "audience "+quote(strings.Join(e.Audiences, " ")))
	}
	return ErrWithheld.Error() + ": " + strings.Join(parts, ", ")
}

// Unwrap returns ErrWithheld.
func (e *WithheldError) Unwrap() error { return ErrWithheld }

// NotSubsetError says of each clause in what it goes beyond those it has to stay inside.
type NotSubsetError struct{ Faults []Fault }

func (e *NotSubsetError) Error() string { return ErrNotSubset.Error() + ": " + list(e.Faults) }

// Unwrap returns ErrNotSubset.
func (e *NotSubsetError) Unwrap() error { return ErrNotSubset }

// ExcessError names one thing that the provider gave and that was not asked for.
type ExcessError struct{ Scope, Audience string }

func (e *ExcessError) Error() string {
	if e.Scope != "" {
		return ErrExcess.Error() + ": scope " + quote(e.Scope)
	}
	return ErrExcess.Error() + ": audience " + quote(e.Audience)
}

// Unwrap returns ErrExcess.
func (e *ExcessError) Unwrap() error { return ErrExcess }
