package notices

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/oidcbox/oidcbox/store"
)

// recordVersion is in every record. A program that finds a higher one leaves the record alone.
const recordVersion = 1

// table is the only one. Its keys are hidden: addresses and persons are among them.
func table() store.Table { return store.Table{Name: "mytoken.notices", HideKeys: true} }

// kind is the first part of every key. Whatever takes several rows for a change takes that of the person first.
type kind string

const (
	kindPerson   kind = "person"   // user
	kindSub      kind = "sub"      // user, id
	kindCalendar kind = "cal"      // user, id
	kindToken    kind = "tok"      // user, mom_id
	kindOut      kind = "out"      // user, id: a mail that waits
	kindBody     kind = "body"     // user, id: what is in it
	kindDigest   kind = "dig"      // user, id of the notification
	kindCode     kind = "code"     // SHA-256 of a code
	kindOwned    kind = "own"      // user, SHA-256 of a code: for finding the codes of a person
	kindAddress  kind = "addr"     // SHA-256 of an address: how many confirmations it got
	kindMeta     kind = "meta"     // name
	metaOutbox        = "outbox"   // how full it is
	metaSchedule      = "schedule" // when it was gone through
)

// personRecord is what is kept of a person. Its row is locked for everything that makes mails.
type personRecord struct {
	Version  int    `json:"v"`
	Address  string `json:"address,omitzero"`
	Verified bool   `json:"verified,omitzero"`
	HTML     bool   `json:"html,omitzero"`
	// Previous is an address that was confirmed and gets the mails until Address is.
	Previous string `json:"previous,omitzero"`
	NextID   int    `json:"next_id,omitzero"` // of notifications
	// Confirmations are when mails for confirming an address were sent, those of the last hour.
	Confirmations []time.Time `json:"confirmations,omitzero"`
	Hour, Day     window
}

// window counts mails in a stretch of time.
type window struct {
	Since time.Time `json:"since,omitzero"`
	Count int       `json:"count,omitzero"`
}

// take counts one more within at most limit in each stretch of length d.
func (w *window) take(now time.Time, d time.Duration, limit int) bool {
	if now.Sub(w.Since) >= d || now.Before(w.Since) {
		*w = window{Since: now}
	}
	if w.Count >= limit {
		return false
	}
	w.Count++
	return true
}

// deliver is where mails go, "" for nowhere.
func (p *personRecord) deliver() string {
	if p.Verified {
		return p.Address
	}
	return p.Previous
}

// about is a mytoken in a notification or calendar.
type about struct {
	MOMID    string    `json:"mom_id"`
	Children bool      `json:"children,omitzero"`
	Comment  string    `json:"comment,omitzero"`
	Code     string    `json:"code,omitzero"` // that takes it from a calendar
	Since    time.Time `json:"since"`
}

// subRecord is a notification that somebody has subscribed to.
type subRecord struct {
	Version int       `json:"v"`
	ID      int       `json:"id"`
	Type    string    `json:"type"`
	Code    string    `json:"code"` // that manages it: the owner can list it
	End     string    `json:"end"`  // that ends it, for mails
	Wide    bool      `json:"wide,omitzero"`
	Classes []string  `json:"classes"`
	Tags    []string  `json:"tags,omitzero"`
	Tokens  []about   `json:"tokens,omitzero"`
	Comment string    `json:"comment,omitzero"`
	Created time.Time `json:"created"`
}

// calendarRecord is a calendar. Its id is the address of the feed.
type calendarRecord struct {
	Version int       `json:"v"`
	ID      string    `json:"id"`
	Name    string    `json:"name,omitzero"`
	Tags    []string  `json:"tags,omitzero"`
	Tokens  []about   `json:"tokens,omitzero"`
	Created time.Time `json:"created"`
}

// tokenRecord is what was announced of a mytoken, and the code of the link that makes another like it.
type tokenRecord struct {
	Version int       `json:"v"`
	Expires time.Time `json:"expires,omitzero"` // that Step is of
	Step    int       `json:"step,omitzero"`    // the last one announced, from 1
	Muted   bool      `json:"muted,omitzero"`   // its end is not announced any more
	Again   string    `json:"again,omitzero"`
	Mute    string    `json:"mute,omitzero"`
}

// codeRecord is what a code is good for.
type codeRecord struct {
	Version  int       `json:"v"`
	User     string    `json:"user"`
	Purpose  purpose   `json:"purpose"`
	Sub      int       `json:"sub,omitzero"`
	Calendar string    `json:"calendar,omitzero"`
	MOMID    string    `json:"mom_id,omitzero"`
	Address  string    `json:"address,omitzero"`
	Expires  time.Time `json:"expires,omitzero"`
}

// countRecord is for kindAddress and kindMeta.
type countRecord struct {
	Version int         `json:"v"`
	Times   []time.Time `json:"times,omitzero"`
	Count   int         `json:"count,omitzero"`
}

func key(k kind, parts ...string) store.Key { return append(store.Key{string(k)}, parts...) }

// id is the key part of a number.
func id(n int) string { return fmt.Sprintf("%08d", n) }

func get[T any](tx store.Tx, k kind, parts ...string) (*T, error) {
	return decode[T](tx.Get(table(), key(k, parts...)))
}

func getForUpdate[T any](tx store.WTx, k kind, parts ...string) (*T, error) {
	return decode[T](tx.GetForUpdate(table(), key(k, parts...)))
}

func decode[T any](r store.Record, err error) (*T, error) {
	if errors.Is(err, store.ErrNotFound) {
		return nil, ErrUnknown
	}
	if err != nil {
		return nil, err
	}
	return parse[T](r.Value)
}

func parse[T any](value []byte) (*T, error) {
	var head struct {
		Version int `json:"v"`
	}
	if err := json.Unmarshal(value, &head); err != nil || head.Version < 1 || head.Version > recordVersion {
		return nil, fmt.Errorf("version %d: %w", head.Version, ErrRecord)
	}
	v := new(T)
	if err := json.Unmarshal(value, v); err != nil {
		return nil, ErrRecord // what the decoder says may repeat the record
	}
	return v, nil
}

func put(tx store.WTx, v any, expires time.Time, k kind, parts ...string) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("write a record: %w", err)
	}
	return tx.Put(table(), store.Record{Key: key(k, parts...), Value: b, Expires: expires})
}

func remove(tx store.WTx, k kind, parts ...string) error { return tx.Delete(table(), key(k, parts...)) }

// scan calls fn with each record of a kind below a prefix, with the rest of its key.
func scan[T any](tx store.Tx, fn func(parts []string, v *T) error, k kind, parts ...string) error {
	for row, err := range tx.Scan(table(), key(k, parts...)) {
		if err != nil {
			return err
		}
		v, err := parse[T](row.Value)
		if err != nil {
			return err
		}
		if err := fn(row.Key[1:], v); err != nil {
			return err
		}
	}
	return nil
}

// person returns the locked record of a person, a new one where there is none.
func person(tx store.WTx, user string) (*personRecord, error) {
	p, err := getForUpdate[personRecord](tx, kindPerson, user)
	if errors.Is(err, ErrUnknown) {
		return &personRecord{Version: recordVersion}, nil
	}
	return p, err
}

func savePerson(tx store.WTx, user string, p *personRecord) error {
	return put(tx, p, time.Time{}, kindPerson, user)
}
