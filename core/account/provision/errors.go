package provision

import "errors"

var (
	// ErrMismatch: ledger and account system do not agree about whose an account is. Nobody is let in by it, and nothing
	// is changed: an administrator has to look.
	ErrMismatch = errors.New("ledger and account system do not agree about the account")
	// ErrNoIdentity: the ledger knows neither an identity nor a local name of that text.
	ErrNoIdentity = errors.New("not known to the provisioner")
	// ErrNotPending: nothing of this identity waits for a decision.
	ErrNotPending = errors.New("no request waits for a decision")
	// ErrChanged: what waits is not what the decision was about. Nothing was decided.
	ErrChanged = errors.New("the request has changed since")
	// ErrNoJob: there is no such bulk job.
	ErrNoJob = errors.New("no such job")
	// ErrSelector: a bulk job that would be about everybody, or an action that no bulk job has.
	ErrSelector = errors.New("bulk job without a selection, or with an unknown action")
	// ErrBusy: another operation on the same identity did not end in time. Try again.
	ErrBusy = errors.New("another operation on this identity is under way")
	// ErrRecord: a record of the ledger cannot be read, or was written by a newer version.
	ErrRecord = errors.New("record of the ledger cannot be read")
	// ErrRules: the rules contradict themselves.
	ErrRules = errors.New("bad rules for accounts")

	// errOccupied: somebody else was faster with a name.
	errOccupied = errors.New("name was reserved by somebody else")
)

// Rejection is a request that was refused, and will be again until something else changes: assurance, groups, names, a
// read-only account system, a mismatch. Clients of motley-cue get 401 and "Reached state 'rejected': " with Message.
type Rejection struct {
	Message string // for the person
	Err     error  // why, for the log; may be nil
}

func (e *Rejection) Error() string { return described("rejected: "+e.Message, e.Err) }

// Unwrap gives the cause.
func (e *Rejection) Unwrap() error { return e.Err }

// Failure is a request that could not be carried out; asking again may help. Clients of motley-cue get 500 and
// "Reached state 'failed': " with Message.
type Failure struct {
	Message string // for the person
	Err     error  // why, for the log; may be nil
}

func (e *Failure) Error() string { return described("failed: "+e.Message, e.Err) }

// Unwrap gives the cause.
func (e *Failure) Unwrap() error { return e.Err }

func described(message string, err error) string {
	if err == nil {
		return message
	}
	return message + ": " + err.Error()
}
