// Package backend is what an account system has to offer for federated accounts: find the account of an identity, say
// who has a name, bring an account into the state that is wanted, stop it, wake it up, take it away.
//
// A System does as little as it can and checks what it is handed as if it came from a stranger; who may have an account,
// under which name and in which groups was decided before. It touches only accounts that it marked as its own: an account
// without an identity, or with another one, is nobody's business here. Systems are in packages of their own (unixdir,
// ldapdir, regapp, execdir, dryrun); core/account/worker puts one behind a socket.
//
// Standards: RFC 2307 for the words of an account (uid, gid, gecos, home, shell).
//
// Not a public API.
package backend

import "context"

// Account is an account as its system has it.
type Account struct {
	ID      string   `json:"id"` // the identity as names.Encode writes it; "" for one that is not ours
	Name    string   `json:"name"`
	UID     uint32   `json:"uid"`
	GID     uint32   `json:"gid"`
	Home    string   `json:"home,omitempty"`
	Shell   string   `json:"shell,omitempty"`
	Primary string   `json:"primary,omitempty"` // name of the primary group, "" when the system does not say
	Groups  []string `json:"groups,omitempty"`  // the supplementary ones, sorted

	Suspended bool `json:"suspended,omitempty"` // nobody may log in
	NoLogin   bool `json:"no_login,omitempty"`  // the shell lets nobody work
}

// Tier is which of the configured shells an account gets.
type Tier string

// The tiers. A tier for which no shell is configured is NoShell.
const (
	Full       Tier = "full"
	Limited    Tier = "limited"
	Restricted Tier = "restricted"
	NoShell    Tier = "none" // nologin
)

// Key is an ssh public key of the person, as an authorized_keys line without options: Type and Base64 alone count.
type Key struct {
	Name  string `json:"name,omitempty"`
	ID    string `json:"id,omitempty"`
	Value string `json:"value"`
}

// Person is what an account system may want to know of somebody. Every text is a stranger's.
type Person struct {
	Given  string `json:"given,omitempty"`
	Family string `json:"family,omitempty"`
	Full   string `json:"full,omitempty"`
	Email  string `json:"email,omitempty"`
}

// Wanted is the account that shall be there afterwards.
type Wanted struct {
	ID      string   `json:"id"`
	Name    string   `json:"name"`    // of an account that is to be made; an account that is there keeps its own
	Primary string   `json:"primary"` // name of the primary group, of an account that is to be made
	Groups  []string `json:"groups"`  // exactly these supplementary groups; missing ones are made
	Tier    Tier     `json:"tier"`
	// Keys replace those that Deploy put there before; nil leaves all keys alone.
	Keys   []Key  `json:"keys,omitempty"`
	Person Person `json:"person"`
	// UID and GID are those a former account of this identity had (Undeploy), 0 for none: it gets them back.
	UID uint32 `json:"uid,omitempty"`
	GID uint32 `json:"gid,omitempty"`
}

// Done is what Deploy did.
type Done struct {
	Account Account  `json:"account"`
	Created bool     `json:"created,omitempty"`
	Added   []string `json:"added,omitempty"`   // names of groups
	Removed []string `json:"removed,omitempty"` // likewise
	Keys    []Key    `json:"keys,omitempty"`    // those that are in place now
}

// Ref names an account by identity and name: both have to be those of one account, else the answer is ErrMismatch.
type Ref struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// Holder says who has a name.
type Holder struct {
	Taken bool `json:"taken"`
	// ID is the identity that has the name, or had it (the account may be gone: a name is never given to another
	// identity); "" for a local account, or a group that has the name.
	ID string `json:"id,omitempty"`
}

// System is an account system. Methods are safe for concurrent use, idempotent, and mend what a call that was killed
// left behind. Errors are those of this package, wrapped, or passing failures.
type System interface {
	// Find looks an account up by identity, ErrNoAccount when there is none.
	Find(ctx context.Context, id string) (Account, error)
	// Holder says who has a name, as user or group, through NSS and the system's own records.
	Holder(ctx context.Context, name string) (Holder, error)
	// Deploy makes the account, or brings the one that is there to what is wanted. It does not wake up one that is
	// suspended. Two calls at once for one identity are one account.
	Deploy(ctx context.Context, w Wanted) (Done, error)
	// SetTier changes the shell.
	SetTier(ctx context.Context, r Ref, t Tier) error
	// Suspend keeps the person out. With kill running sessions and processes are ended before it returns.
	Suspend(ctx context.Context, r Ref, kill bool) error
	// Resume is the opposite of Suspend.
	Resume(ctx context.Context, r Ref) error
	// Undeploy removes keys, sessions and the account; home stays, and name and uid are given to no other identity.
	Undeploy(ctx context.Context, r Ref) error
	// All gives every account that has an identity, in no order. It stops when each returns an error, and returns that.
	All(ctx context.Context, each func(Account) error) error
	// Trust says whether the identity in an account may be believed when the ledger is lost: nil, or why a user could
	// have written it (ErrEditable).
	Trust(ctx context.Context) error
}
