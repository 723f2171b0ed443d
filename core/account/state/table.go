package state

// Request is what somebody wants of an account, in the word of the feudal adapter where it has one.
type Request string

// The requests.
const (
	Deploy   Request = "deployed"     // have an account, with the groups of now
	Undeploy Request = "not_deployed" // have none; the home directory stays
	Suspend  Request = "suspended"
	Resume   Request = "resumed"
	Limit    Request = "limited"
	Unlimit  Request = "unlimited" // ours: the adapter has no word for it
	Accept   Request = "accepted"  // the administrator grants what waits
	Reject   Request = "rejected"  // or does not
	Status   Request = "get_status"
)

func requests() []Request {
	return []Request{Deploy, Undeploy, Suspend, Resume, Limit, Unlimit, Accept, Reject, Status}
}

// ParseRequest reads the word of a request. It reports false for every other word.
func ParseRequest(word string) (Request, bool) {
	for _, r := range requests() {
		if word == string(r) {
			return r, true
		}
	}
	return "", false
}

// ByUser reports whether a person may ask that for an account of their own. The rest is the administrator's.
func (r Request) ByUser() bool { return r == Deploy || r == Suspend || r == Status }

// Circumstances are what a step depends on besides state and request.
type Circumstances struct {
	Approval bool // an administrator decides about new accounts
	NoLogin  bool // Resume: the shell of the account lets nobody work
}

// Step is where a request leads.
type Step struct {
	To      State // what the account is after it
	Answer  State // what the client is told; it differs from To in what clients of motley-cue expect
	Allowed bool  // false: nothing was changed, and the request was not possible from that state
}

// Next says where request leads from a state. What the table does not have is not allowed and changes nothing.
//
// Only Resume ends a suspension: an account is not undeployed out of one, else it could be deployed again without it. A
// rejection is ended by Undeploy alone: a link for accepting that is found later in the mail does not.
func Next(from State, request Request, c Circumstances) Step {
	if request == Status {
		return Step{To: from, Answer: from, Allowed: true}
	}
	to, ok := to(from, request, c)
	if !ok {
		to = from
	}
	step := Step{To: to, Answer: to, Allowed: ok}
	switch {
	case request == Deploy && (from == Suspended || from == Limited):
		step.Answer = Deployed // GET /user/get_status says what it is
	case request == Deploy && from == Unknown:
		step.Answer = Failed
	}
	return step
}

// to is the table, by the state an account is in.
func to(from State, request Request, c Circumstances) (State, bool) {
	switch from {
	case NotDeployed:
		return fromNotDeployed(request, c)
	case Pending:
		return fromPending(request, c)
	case Deployed, Limited:
		return fromAccount(from, request)
	case Rejected:
		return NotDeployed, request == Undeploy
	case Suspended:
		return fromSuspended(request, c)
	case Unknown: // an officer who has to stop somebody need not wait for the account system: the ledger has the mark
		return Suspended, request == Suspend
	}
	return "", false
}

func fromNotDeployed(request Request, c Circumstances) (State, bool) {
	switch {
	case request == Undeploy:
		return NotDeployed, true
	case request == Deploy && c.Approval:
		return Pending, true
	}
	return Deployed, request == Deploy
}

// fromPending deploys at once what waits when there is no approval any more.
func fromPending(request Request, c Circumstances) (State, bool) {
	switch request {
	case Deploy:
		if c.Approval {
			return Pending, true
		}
		return Deployed, true
	case Accept:
		return Deployed, true
	case Reject:
		return Rejected, true
	case Undeploy:
		return NotDeployed, true
	}
	return "", false
}

// fromAccount is for accounts that are there. Accept and Reject are about a change of groups and leave the state.
func fromAccount(from State, request Request) (State, bool) {
	switch request {
	case Deploy, Accept, Reject:
		return from, true
	case Suspend:
		return Suspended, true
	case Limit:
		return Limited, true
	case Unlimit:
		return Deployed, true
	case Undeploy:
		return NotDeployed, true
	}
	return "", false
}

func fromSuspended(request Request, c Circumstances) (State, bool) {
	switch {
	case request == Suspend:
		return Suspended, true
	case request == Resume && c.NoLogin:
		return Limited, true
	}
	return Deployed, request == Resume
}
