package execdir

import (
	"github.com/oidcbox/oidcbox/core/account/backend"
	"github.com/oidcbox/oidcbox/core/account/state"
)

// Requests that the adapter's form has no word for.
const (
	list   state.Request = "list"   // all accounts of the program
	holder state.Request = "holder" // who has a name
)

// Form is what the program gets.
type Form struct {
	Target  state.Request  `json:"state_target"`
	Reason  string         `json:"reason,omitempty"`
	User    User           `json:"user"`
	Answers map[string]any `json:"answers"`
	// Account is what is to be there, in words of ours.
	Account *Account `json:"account,omitempty"`
	// EndSessions asks with "suspended" and "not_deployed" for the end of what runs.
	EndSessions bool `json:"end_sessions,omitempty"`
}

// User is the person.
type User struct {
	Info        Info        `json:"userinfo"`
	Credentials Credentials `json:"credentials"`
}

// Info has the claims that the program may use. Groups are names of local groups, not the provider's.
type Info struct {
	Sub               string   `json:"sub"`
	Iss               string   `json:"iss"`
	PreferredUsername string   `json:"preferred_username,omitempty"`
	GivenName         string   `json:"given_name,omitempty"`
	FamilyName        string   `json:"family_name,omitempty"`
	Name              string   `json:"name,omitempty"`
	Email             string   `json:"email,omitempty"`
	Groups            []string `json:"groups,omitempty"`
}

// Credentials are the keys of the person; nil leaves all keys alone.
type Credentials struct {
	Keys []backend.Key `json:"ssh_key,omitempty"`
}

// Account is what the provisioner decided.
type Account struct {
	ID      string       `json:"id,omitempty"`
	Name    string       `json:"name"`
	Primary string       `json:"primary,omitempty"`
	Groups  []string     `json:"groups,omitempty"`
	Tier    backend.Tier `json:"tier,omitempty"`
	UID     uint32       `json:"uid,omitempty"`
	GID     uint32       `json:"gid,omitempty"`
	// KeepKeys says that no word about keys is meant, and not that there are none.
	KeepKeys bool `json:"keep_keys,omitempty"`
}

// Result is what the program answers. State, Message and Credentials are the adapter's.
type Result struct {
	State       state.State       `json:"state"`
	Message     string            `json:"message"`
	Credentials map[string]string `json:"credentials"`

	Account       *backend.Account  `json:"account"`
	Created       *bool             `json:"created"`
	Added         []string          `json:"added"`
	Removed       []string          `json:"removed"`
	SessionsEnded bool              `json:"sessions_ended"`
	Accounts      []backend.Account `json:"accounts"` // list
	Holder        *backend.Holder   `json:"holder"`   // holder
}
