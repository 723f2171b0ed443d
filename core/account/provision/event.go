package provision

import (
	"encoding/json"
	"time"

	"github.com/oidcbox/oidcbox/core/account/state"
	"github.com/oidcbox/oidcbox/core/audit"
)

// Kind is what an Event tells of, in the words of the audit log.
type Kind string

// The kinds.
const (
	Deployed   Kind = "deploy"         // an account was made, or its groups changed
	Undeployed Kind = "undeploy"       // an account was taken away
	Suspended  Kind = "suspend"        // somebody was stopped
	Resumed    Kind = "resume"         // and is let in again
	Limited    Kind = "limit"          // the shell lets nobody work
	Unlimited  Kind = "unlimit"        // it does again
	Submitted  Kind = "request"        // a request waits for an administrator
	Updated    Kind = "request_update" // it waited, and is about something else now
	Accepted   Kind = "approve"        // it was granted
	Rejected   Kind = "reject"         // or was not
	Refused    Kind = "refused"        // a request, or a group in a claim, was refused
	Bulk       Kind = "bulk"           // a bulk job began or ended
	Rebuilt    Kind = "rebuild"        // an account was taken into the ledger
	Mended     Kind = "mend"           // what had been interrupted was finished
	Burned     Kind = "otp"            // one-time passwords of somebody were made useless
)

// Event is something that happened, for the audit log and for the mail about requests. Nothing in it is secret; texts
// of the person and of claims are a stranger's.
type Event struct {
	Time   time.Time
	Kind   Kind
	ID     string
	Name   string // the local one
	State  state.State
	By     string
	Remote string
	Reason string

	Created        bool
	Added, Removed []string // groups
	Refused        []string // groups that claims asked for and nobody gets, by the name they would have

	// Request is what is to be decided, or was: with Submitted, Updated, Accepted and Rejected.
	Request Request
}

// By is on whose word something is done.
type By struct {
	Who    string // an identity, or a user of this host
	Remote string // address, "" on this host
	Reason string // for the audit log
	Job    string // the bulk job that does it
}

// line is the form of the audit log.
type line struct {
	Event   Kind        `json:"event"`
	ID      string      `json:"id,omitzero"`
	Name    string      `json:"name,omitzero"`
	State   state.State `json:"state,omitzero"`
	By      string      `json:"by,omitzero"`
	Remote  string      `json:"remote,omitzero"`
	Reason  string      `json:"reason,omitzero"`
	Created bool        `json:"created,omitzero"`
	Added   []string    `json:"added,omitempty"`
	Removed []string    `json:"removed,omitempty"`
	Refused []string    `json:"refused,omitempty"`
	Request string      `json:"request,omitzero"`
}

// AppendTo appends e as one line of the audit log without its end, for audit.Log.Record.
func (e Event) AppendTo(b, stamp []byte) []byte {
	l := line{
		Event: e.Kind, ID: e.ID, Name: e.Name, State: e.State, By: e.By, Remote: e.Remote, Reason: e.Reason,
		Created: e.Created, Added: e.Added, Removed: e.Removed, Refused: e.Refused, Request: e.Request.Revision,
	}
	raw, err := json.Marshal(l)
	if err != nil { // texts and lists of texts always encode
		raw = []byte(`{}`)
	}
	b = append(append(append(b, `{"time":"`...), stamp...), `",`...)
	return append(b, audit.Visible(raw)[1:]...)
}
