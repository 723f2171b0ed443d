package provision

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/oidcbox/oidcbox/core/account/backend"
	"github.com/oidcbox/oidcbox/core/account/state"
	"github.com/oidcbox/oidcbox/store"
)

// recordVersion is in every record. A program that finds a higher one leaves the record alone.
const recordVersion = 1

// Tables. All keys are hidden: who has the file and not its key learns how many rows there are.
const (
	tableAccounts = "provision.accounts" // identity -> what a login has to read
	tableDetails  = "provision.details"  // identity -> the rest
	tableRequests = "provision.requests" // identity -> request that waits
	tableNames    = "provision.names"    // local name -> identity
	tableUIDs     = "provision.uids"     // uid -> identity
	tableOpen     = "provision.open"     // identity -> there is an unfinished operation
	tablePools    = "provision.pools"    // prefix -> last number that was given
	tableJobs     = "provision.jobs"     // bulk jobs
	tableJobItems = "provision.jobitems" // what is left of one
	tableNodes    = "provision.nodes"    // who works on this ledger
)

func table(name string) store.Table { return store.Table{Name: name, HideKeys: true} }

// key is that of an identity: names.Encode writes more than a key may have.
func key(id string) store.Key { return store.Key{digest(id)} }

func digest(id string) string {
	sum := sha256.Sum256([]byte(id))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// phase is how far an account is.
type phase string

const (
	none     phase = ""         // there is none; a name may be reserved by a request
	reserved phase = "reserved" // the account system was asked for one, and its answer is not here
	made     phase = "made"     // it is there
	gone     phase = "gone"     // it was, and name and uid stay with the identity
)

// mark says that an account is stopped, and by whom.
type mark struct {
	At     time.Time `json:"at"`
	By     string    `json:"by,omitzero"`
	Reason string    `json:"reason,omitzero"`
	Job    string    `json:"job,omitzero"`
}

// operation is what the account system was or will be asked for, and has not confirmed. Deploying has none: the phase
// says the same.
type operation struct {
	Request state.Request `json:"request"`
	Since   time.Time     `json:"since"`
	By      string        `json:"by,omitzero"`
}

// account is what a login has to read, and no more.
type account struct {
	Version   int        `json:"v"`
	ID        string     `json:"id"`
	Name      string     `json:"name,omitzero"`
	UID       uint32     `json:"uid,omitzero"`
	GID       uint32     `json:"gid,omitzero"`
	Phase     phase      `json:"phase,omitzero"`
	Had       bool       `json:"had,omitzero"` // there is or was an account: name and uid are of this identity for ever
	Suspended *mark      `json:"suspended,omitzero"`
	Limited   *mark      `json:"limited,omitzero"`
	Rejected  *mark      `json:"rejected,omitzero"`
	Pending   bool       `json:"pending,omitzero"` // a request waits
	Op        *operation `json:"op,omitzero"`
	Rev       uint64     `json:"rev"` // grows with every change
	Created   time.Time  `json:"created"`
	Changed   time.Time  `json:"changed"`
}

// details are the rest of what is known of an identity.
type details struct {
	Version int            `json:"v"`
	Person  backend.Person `json:"person"`
	Primary string         `json:"primary,omitzero"`
	Groups  []string       `json:"groups,omitempty"`
	Tier    backend.Tier   `json:"tier,omitzero"`
	VOs     []string       `json:"vos,omitempty"`
	VOsCut  bool           `json:"vos_cut,omitzero"` // there were more
	Seen    time.Time      `json:"seen,omitzero"`    // last deployment, to the day
	Request *request       `json:"-"`                // in a row of its own, there while account.Pending is set
	// Declined is the revision of a change that an administrator did not grant: it is not submitted again.
	Declined string `json:"declined,omitzero"`
}

// owned is a row of tableNames and tableUIDs.
type owned struct {
	Version int       `json:"v"`
	ID      string    `json:"id"`
	Since   time.Time `json:"since"`
}

// facts are those that the ledger has.
func (a account) facts() state.Facts {
	exists := a.Phase == made
	return state.Facts{
		Suspended: a.Suspended != nil, Exists: exists, NoLogin: exists && a.Limited != nil,
		Rejected: a.Rejected != nil, Pending: a.Pending && !exists,
	}
}

// known reports whether there is a record at all.
func (a account) known() bool { return a.Rev > 0 }

// versioned is every record.
type versioned interface{ version() int }

func (a account) version() int { return a.Version }
func (d details) version() int { return d.Version }
func (o owned) version() int   { return o.Version }
func (r request) version() int { return r.Version }

func get[T versioned](tx store.Tx, name string, k store.Key) (T, bool, error) {
	r, err := tx.Get(table(name), k)
	return decode[T](r, err, name)
}

func lock[T versioned](tx store.WTx, name string, k store.Key) (T, bool, error) {
	r, err := tx.GetForUpdate(table(name), k)
	return decode[T](r, err, name)
}

func decode[T versioned](r store.Record, err error, name string) (value T, found bool, _ error) {
	switch {
	case errors.Is(err, store.ErrNotFound):
		return value, false, nil
	case err != nil:
		return value, false, fmt.Errorf("read %s: %w", name, err)
	}
	if err := json.Unmarshal(r.Value, &value); err != nil {
		return value, false, fmt.Errorf("read %s: %w: %w", name, ErrRecord, err)
	}
	if v := value.version(); v < 1 || v > recordVersion {
		return value, false, fmt.Errorf("read %s: %w: version %d", name, ErrRecord, v)
	}
	return value, true, nil
}

func put(tx store.WTx, name string, k store.Key, value any) error {
	return putUntil(tx, name, k, value, time.Time{})
}

func putUntil(tx store.WTx, name string, k store.Key, value any, until time.Time) error {
	raw, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	if err := tx.Put(table(name), store.Record{Key: k, Value: raw, Expires: until}); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}

func remove(tx store.WTx, name string, k store.Key) error {
	if err := tx.Delete(table(name), k); err != nil {
		return fmt.Errorf("remove from %s: %w", name, err)
	}
	return nil
}
