package control

import (
	"context"
	"io"
	"time"

	"github.com/oidcbox/oidcbox/core/secret"
)

// Backend is what the socket gives access to. Errors made with cli.Fail arrive at the client with their exit code and
// hint. The handler wipes the secrets handed in and those returned once the answer is written: a backend keeps and
// hands out clones.
type Backend interface {
	Status(ctx context.Context) (Status, error)

	// Create makes the keystore, with the passphrase as its first slot, and opens it.
	Create(ctx context.Context, passphrase secret.Text) error
	// Unlock opens the keystore with one credential.
	Unlock(ctx context.Context, u Unlock) error
	// Lock drops the keys of the keystore and whatever was opened with them.
	Lock(ctx context.Context) error

	// Logins lists the logins in the keystore and those loaded in memory, by name.
	Logins(ctx context.Context) ([]Login, error)
	// SaveLogin puts an account JSON object into the keystore, under the name in it; a login of that name is replaced.
	SaveLogin(ctx context.Context, config secret.Text) error
	// LoadLogin makes a login of the keystore usable. It returns a line for the person, or "".
	LoadLogin(ctx context.Context, name string, o LoadOptions) (info string, err error)
	// ExportLogin returns a login as account JSON, current refresh token included.
	ExportLogin(ctx context.Context, name string) (secret.Text, error)
	// RemoveLogin deletes a login from the keystore and from memory.
	RemoveLogin(ctx context.Context, name string) error

	// Backup writes a consistent copy of the keystore file.
	Backup(ctx context.Context, w io.Writer) error
	Slots(ctx context.Context) ([]Slot, error)
	AddSlot(ctx context.Context, n NewSlot) (Slot, error)
	RemoveSlot(ctx context.Context, id string) error

	// Question returns what the agent wants to know from the person at the terminal of a client; see proto.Reply.Ask.
	Question(ctx context.Context, id string) (Question, error)
	// Attend returns when a question is over, whoever answered it. When ctx ends first, nobody looks at the question any
	// more, and it is cancelled.
	Attend(ctx context.Context, id string) error
	// Answer answers a question. It can be done once.
	Answer(ctx context.Context, a AnswerRequest) error

	// Token gives an access token to another agent or tool of the same person.
	Token(ctx context.Context, r TokenRequest) (Token, error)

	Granter
	Importer
	Lender
	Rekeyer
	Sharer

	// Shutdown makes the agent end once it has answered.
	Shutdown(ctx context.Context) error
}

// The values of Status.Keystore.
const (
	KeystoreAbsent = "absent" // no keystore file: logins live in memory
	KeystoreLocked = "locked"
	KeystoreOpen   = "open"
)

// Status is what an agent says of itself. No secrets.
type Status struct {
	Version      string    `json:"version"`
	PID          int       `json:"pid"`
	Started      time.Time `json:"started"`
	Socket       string    `json:"socket"` // of the oidc-agent protocol
	Keystore     string    `json:"keystore"`
	KeystorePath string    `json:"keystore_path,omitempty"`
	Locked       bool      `json:"locked"` // locked by oidc-add -x
	LockedMemory bool      `json:"locked_memory"`
	Loaded       []string  `json:"loaded"`
}

// Login is one login without its secrets.
type Login struct {
	Name     string `json:"name"`
	Issuer   string `json:"issuer"`
	ClientID string `json:"client_id,omitempty"`
	Scope    string `json:"scope,omitempty"`
	Audience string `json:"audience,omitempty"`
	Stored   bool   `json:"stored"` // in the keystore
	// FromFile is set for a login that was loaded from an account file: the keystore has its newest refresh token, but
	// it is its file, with its password, that makes it usable.
	FromFile bool      `json:"from_file,omitempty"`
	Loaded   bool      `json:"loaded"`           // usable now
	Expires  time.Time `json:"expires,omitzero"` // when it is unloaded; zero never
	// NeedsLogin is set when the provider refused the refresh token: a person has to log in again. Reason is what it said.
	NeedsLogin bool   `json:"needs_login,omitempty"`
	Reason     string `json:"reason,omitempty"`

	// How the provider is found, where that is not the usual way.
	MytokenURL     string `json:"mytoken_url,omitempty"`
	ConfigEndpoint string `json:"config_endpoint,omitempty"`
	CertPath       string `json:"cert_path,omitempty"`

	LastRefresh    time.Time `json:"last_refresh,omitzero"`    // that the provider answered
	AccessExpires  time.Time `json:"access_expires,omitzero"`  // of the access token at hand, the longest
	RefreshExpires time.Time `json:"refresh_expires,omitzero"` // as the refresh token says itself, where it does
	// Unsaved is set while the newest refresh token is in the agent's memory only, because saving failed.
	Unsaved bool `json:"unsaved,omitempty"`
	// FileBehind is set while the account file has a refresh token that was replaced.
	FileBehind bool `json:"file_behind,omitempty"`
}

// Unlock is one credential: exactly one member is set.
type Unlock struct {
	Passphrase secret.Text
	KeyFile    string // absolute path of a key file
	Keyring    bool   // the slot kept by the OS keyring
	SSHAgent   string // path of the socket of an ssh-agent
}

// count is how many members are set.
func (u Unlock) count() int {
	n := 0
	for _, set := range []bool{!u.Passphrase.Empty(), u.KeyFile != "", u.Keyring, u.SSHAgent != ""} {
		if set {
			n++
		}
	}
	return n
}

// LoadOptions are the switches of loading a login.
type LoadOptions struct {
	Lifetime           *int64 `json:"lifetime,omitempty"` // seconds, 0 for ever; nil the agent's default
	Confirm            bool   `json:"confirm,omitempty"`
	AlwaysAllowIDToken bool   `json:"always_allow_id_token,omitempty"`
	SkipCheck          bool   `json:"skip_check,omitempty"` // no test refresh
	Force              bool   `json:"force,omitempty"`      // load although loaded
}

// Slot is one way into the keystore.
type Slot struct {
	ID      string    `json:"id"`
	Kind    string    `json:"kind"` // "passphrase", "keyfile", "systemd", "keyring", "ssh-agent"
	Label   string    `json:"label,omitempty"`
	Created time.Time `json:"created,omitzero"`
}

// NewSlot says which slot to add.
type NewSlot struct {
	Kind       string
	Label      string
	Passphrase secret.Text
	KeyFile    string
	SSHAgent   string // path of the socket
	SSHKey     string // fingerprint or comment; "" for the only one
}

// Question is one question for a person. Its members are those of prompt.Question.
type Question struct {
	ID      string   `json:"id"`
	Kind    string   `json:"kind"`
	Title   string   `json:"title,omitempty"`
	Text    string   `json:"text"`
	Label   string   `json:"label,omitempty"`
	Choices []string `json:"choices,omitempty"`
	Default string   `json:"default,omitempty"`
	Retry   string   `json:"retry,omitempty"`
	Seconds int64    `json:"seconds"` // until nobody waits for the answer any more
}

// AnswerRequest is what a person said to a question.
type AnswerRequest struct {
	ID        string
	Text      secret.Text // what was typed or chosen
	Yes       bool
	Chosen    []string
	Cancelled bool // the person gave up
}

// TokenRequest asks for an access token by login name or issuer.
type TokenRequest struct {
	Login    string `json:"login,omitempty"`
	Issuer   string `json:"issuer,omitempty"`
	Scope    string `json:"scope,omitempty"`
	Audience string `json:"audience,omitempty"`
	MinValid int64  `json:"min_valid,omitempty"` // seconds; -1 forces a new one
	Hint     string `json:"hint,omitempty"`
}

// Token is an access token.
type Token struct {
	Access  secret.Text
	Issuer  string
	Expires time.Time // zero unknown
	Scope   string    // what the provider said it granted; "" when it said nothing
}
