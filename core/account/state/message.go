package state

import (
	"fmt"
	"strings"
)

// The messages that do not depend on anything. Clients show them, and some compare with them.
const (
	NoMessage        = "No message"
	PendingStatus    = "User deployment is pending approval."
	RejectedStatus   = "User deployment was rejected."
	Submitted        = "Request for deployment was submitted for approval."
	SubmittedAnew    = "Updated request for deployment was submitted for approval."
	SubmittedBefore  = "Request for deployment was already submitted for approval. No new request was sent."
	RejectedBefore   = "User deployment was rejected. No new deployment request will be sent."
	Existed          = "User already existed"
	ExistedNewGroups = "User already existed, but groups changed. " +
		"A request for updating user groups was submitted for approval"
	LowAssurance = "Your assurance level is insufficient to access this resource"
)

// StatusMessage is the message of get_status. Clients split it at blanks and take the second word for the local name,
// so it has one in exactly the states where there is an account.
func StatusMessage(s State, name string) string {
	switch s {
	case Deployed, Limited, Suspended:
		if name != "" {
			return "username " + name
		}
	case Pending:
		return PendingStatus
	case Rejected:
		return RejectedStatus
	}
	return NoMessage
}

// LocalName reads the local name from a message of get_status, as an own client does it: only in a state that has one.
// It reports false for every other message: "User deployment is pending" names no user called deployment.
func LocalName(s State, message string) (string, bool) {
	name, ok := strings.CutPrefix(message, "username ")
	switch s {
	case Deployed, Limited, Suspended:
		return name, ok && name != "" && !strings.ContainsAny(name, " \t\n")
	}
	return "", false
}

// ChangeMessage is the message of a request other than Deploy and Status, for an identity as names.Encode writes it.
func ChangeMessage(id string, request Request, from State, step Step) string {
	doing, done := verbs(request)
	if !step.Allowed {
		return fmt.Sprintf("%s user '%s' was not possible from the '%s' state. User was not changed.", doing, id, from)
	}
	return fmt.Sprintf("User '%s' was %s.", id, done)
}

func verbs(r Request) (doing, done string) {
	switch r {
	case Suspend:
		return "Suspending", "suspended"
	case Resume:
		return "Resuming", "resumed"
	case Limit:
		return "Limiting", "limited"
	case Unlimit:
		return "Unlimiting", "unlimited"
	case Undeploy:
		return "Undeploying", "undeployed"
	case Accept:
		return "Accepting", "accepted"
	case Reject:
		return "Rejecting", "rejected"
	}
	return "Changing", "changed"
}

// Credential is a key that was put in place.
type Credential struct{ Kind, Name, ID string }

// Deployment is what deploying did.
type Deployment struct {
	Created        bool
	Added, Removed []string // names of groups
	Credentials    []Credential
}

// Message is the message of a deployment.
func (d Deployment) Message() string {
	var b strings.Builder
	b.WriteString(Existed)
	if d.Created {
		b.Reset()
		b.WriteString("User was created")
	}
	if len(d.Added) > 0 {
		b.WriteString(" and was added to groups " + strings.Join(d.Added, ","))
	}
	if len(d.Removed) > 0 {
		b.WriteString(" and was removed from groups " + strings.Join(d.Removed, ","))
	}
	b.WriteString(".")
	if len(d.Credentials) > 0 {
		names := make([]string, len(d.Credentials))
		for i, c := range d.Credentials {
			names[i] = plain(c.Kind) + ":" + plain(c.Name) + "/" + plain(c.ID)
		}
		b.WriteString(" Credentials " + strings.Join(names, ",") + " were activated.")
	}
	return b.String()
}

// plain leaves of a text from outside what cannot be taken for another part of a message.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' || r == ',' {
			return '_'
		}
		return r
	}, s[:min(len(s), 128)])
}
