package proto

import (
	"encoding/json"

	"github.com/oidcbox/oidcbox/core/secret"
)

// The values of Reply.Status.
const (
	StatusSuccess          = "success"
	StatusFailure          = "failure"
	StatusAccepted         = "accepted"
	StatusNotFound         = "NotFound"
	StatusFoundButReceived = "FoundButReceived"
)

// Reply is one answer. Members that are empty are left out, with two exceptions: an answer with AccessToken has
// "issuer" and "expires_at" always, one with IDToken has "issuer". "error" is only there for failures.
//
// Serve wipes the secrets of a reply once it is written: a handler hands over clones of what it keeps.
type Reply struct {
	Status string
	Error  string // decides: with it the request failed, whatever Status says
	Info   Info

	AccessToken secret.Text
	IDToken     secret.Text
	Issuer      string // also of a failure that is about a provider
	ExpiresAt   int64  // Unix seconds; 0 unknown
	// Scope is what the provider said it granted, "" when it said nothing. Only our agent sends it (granted_scope); the
	// original's clients look over members they do not know.
	Scope string
	// Narrowed says that the token has less than its login could get, because of the request or of the login's usual
	// scopes. Only our agent sends it.
	Narrowed bool

	Config secret.Text // account JSON object of gen, code_exchange, state_lookup and device
	URI    string
	State  string
	Device secret.Text // oidc_device object

	Client    secret.Text // the provider's answer to a registration, a JSON object
	MaxScopes string
	Data      secret.Text // base64url text of file_read

	// Mytoken is a JSON object whose members become members of the answer, "status" and "error" excepted.
	Mytoken secret.Text

	// Ask names a question that the agent has for the person at the client's terminal; it waits at the control socket.
	// The answer to this request comes when the client repeats it. See Request.Relay.
	Ask string
}

// Info is the "info" member: any JSON value. The protocol has a string in most answers, an array for loaded_accounts,
// an object for account_info and status_json.
type Info json.RawMessage

// InfoText is an Info for people to read; "" is none.
func InfoText(s string) Info {
	if s == "" {
		return nil
	}
	return Info(appendString(nil, s))
}

// InfoValue is an Info of any value that encodes to JSON; nil when it does not.
func InfoValue(v any) Info {
	b, err := json.Marshal(v)
	if err != nil {
		return nil
	}
	return Info(b)
}

// Text is the info when it is a string, else "".
func (i Info) Text() string {
	var s string
	if len(i) == 0 || json.Unmarshal(i, &s) != nil {
		return ""
	}
	return s
}

// Into decodes the info into v.
func (i Info) Into(v any) error { return json.Unmarshal(i, v) }

// Success is the bare success, with info for the person when it is not "".
func Success(info string) Reply { return Reply{Status: StatusSuccess, Info: InfoText(info)} }

// Failure is an error answer; help is the "info" text, "" for none.
func Failure(text, help string) Reply {
	return Reply{Status: StatusFailure, Error: text, Info: InfoText(help)}
}

// Err is nil for an answer without "error", else an *AgentError.
func (r Reply) Err() error {
	if r.Error == "" {
		return nil
	}
	return &AgentError{Text: r.Error, Help: r.Info.Text(), Issuer: r.Issuer}
}

// Wipe clears the secrets.
func (r *Reply) Wipe() {
	for _, t := range []secret.Text{r.AccessToken, r.IDToken, r.Config, r.Device, r.Client, r.Data, r.Mytoken} {
		t.Wipe()
	}
}
