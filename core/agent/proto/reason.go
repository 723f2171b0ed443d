package proto

import (
	"strings"

	"github.com/oidcbox/oidcbox/core/cli"
)

// Reason is what kind of failure an agent answered, as far as its words tell.
type Reason int

// The reasons. ReasonOther is everything else.
const (
	ReasonOther     Reason = iota
	ReasonNotFound         // no such login, or not loaded
	ReasonLocked           // the agent is locked, or its keystore
	ReasonDenied           // a person or a rule said no
	ReasonLogin            // a person has to log in again
	ReasonTemporary        // the provider or the agent cannot just now
)

// Reason reads the texts of the protocol. Agents of all versions write them, so there is nothing better to go by.
func (e *AgentError) Reason() Reason {
	if e.Text == TextNotLoaded && strings.Contains(e.Help, "--unlock") {
		return ReasonLocked // our agent cannot look into its keystore
	}
	switch e.Text {
	case TextNotLoaded, TextNotConfigured, TextFileNotFound:
		return ReasonNotFound
	case TextLocked:
		return ReasonLocked
	case TextForbidden, TextWrongPassword, TextCancelled:
		return ReasonDenied
	case TextNoRefreshToken:
		return ReasonLogin
	case TextCannotReach, TextTimeout:
		return ReasonTemporary
	}
	code, _, _ := strings.Cut(e.Text, ":")
	switch code {
	case "invalid_grant", "invalid_token":
		return ReasonLogin
	case "access_denied":
		return ReasonDenied
	case "temporarily_unavailable", "server_error", "slow_down":
		return ReasonTemporary
	}
	switch {
	case strings.Contains(e.Help, "--reauthenticate"):
		return ReasonLogin
	case strings.HasPrefix(e.Text, TextBusy), strings.HasPrefix(e.Text, "Received Http Status Code 5"):
		return ReasonTemporary
	}
	return ReasonOther
}

// ExitCode is what a command under our own name ends with when an agent refuses for this reason. A locked agent needs a
// person, as a login that has ended does.
func (r Reason) ExitCode() int {
	switch r {
	case ReasonNotFound:
		return cli.NotFound
	case ReasonDenied:
		return cli.Denied
	case ReasonLogin, ReasonLocked:
		return cli.Human
	case ReasonTemporary:
		return cli.Temporary
	}
	return cli.No
}
