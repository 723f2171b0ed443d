package state

// State is what an account is, in the word that clients know. The zero value is no state and lets nobody in.
type State string

// The states. Failed is an answer only: no account stays in it.
const (
	NotDeployed State = "not_deployed" // there is no account, and nothing that asks for one
	Pending     State = "pending"      // a request for one waits for the administrator
	Rejected    State = "rejected"     // the administrator said no
	Deployed    State = "deployed"     // usable
	Limited     State = "limited"      // there is one, and its shell lets nobody work
	Suspended   State = "suspended"    // stopped, whatever else is true of it
	Unknown     State = "unknown"      // it could not be found out
	Failed      State = "failed"       // what was asked for went wrong
)

// states are those an account can be in.
func states() []State {
	return []State{NotDeployed, Pending, Rejected, Deployed, Limited, Suspended, Unknown}
}

// Parse reads the word of a state an account can be in. It reports false for every other word.
func Parse(word string) (State, bool) {
	for _, s := range states() {
		if word == string(s) {
			return s, true
		}
	}
	return "", false
}

// MayLogIn reports whether a login may go on. A limited account's shell is what stops the person there.
func (s State) MayLogIn() bool { return s == Deployed || s == Limited }

// Facts are what ledger and account system say about one identity.
type Facts struct {
	Suspended bool // the ledger has the mark, or the account has expired
	Unread    bool // ledger or account system did not answer: the other facts may be wrong
	Exists    bool // there is an account
	NoLogin   bool // and its shell lets nobody work
	Rejected  bool // a request for one was rejected
	Pending   bool // a request for one waits
}

// State is the state that follows: a suspension wins over everything, and what could not be read is never deployed.
func (f Facts) State() State {
	switch {
	case f.Suspended:
		return Suspended
	case f.Unread:
		return Unknown
	case f.Exists && f.NoLogin:
		return Limited
	case f.Exists:
		return Deployed
	case f.Rejected:
		return Rejected
	case f.Pending:
		return Pending
	}
	return NotDeployed
}
