package ledger

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/oidcbox/oidcbox/core/mytoken"
	"github.com/oidcbox/oidcbox/core/mytoken/rules"
	"github.com/oidcbox/oidcbox/store"
)

// recordVersion is in every record, before all else. A program that finds a higher one leaves the record alone.
const recordVersion = 1

// Tables. All keys are hidden: who has the file and not its key learns how many rows there are.
const (
	tableUsers    = "mytoken.users"
	tableLogins   = "mytoken.logins"
	tableTokens   = "mytoken.tokens"
	tableStates   = "mytoken.states"
	tableMarks    = "mytoken.marks"
	tableOwned    = "mytoken.owned"
	tableEvents   = "mytoken.events"
	tableCodes    = "mytoken.codes"
	tableAliases  = "mytoken.aliases"
	tableSettings = "mytoken.settings"
	tableEscrow   = "mytoken.escrow"
)

func table(name string) store.Table { return store.Table{Name: name, HideKeys: true} }

// userRecord is a person, under mint.Subject of subject and issuer.
type userRecord struct {
	Version int       `json:"v"`
	Issuer  string    `json:"iss"`
	Subject string    `json:"sub"`
	Created time.Time `json:"created"`
	Erasing bool      `json:"erasing,omitzero"`
}

// loginRecord is one login at a provider, and the family of mytokens that live by it. The key of its refresh token is
// nowhere but wrapped in the states of those.
type loginRecord struct {
	Version int       `json:"v"`
	User    string    `json:"user"`
	Created time.Time `json:"created"`
	// Pending: its first mytoken is not kept yet. What stays so belongs to a process that died.
	Pending bool `json:"pending,omitzero"`
	// Ended is set when no mytoken of it lives any more; the refresh token is removed then.
	Ended      time.Time `json:"ended,omitzero"`
	AtProvider bool      `json:"at_provider,omitzero"` // and it was revoked there as well
}

// tokenRecord is what does not change about a mytoken.
type tokenRecord struct {
	Version      int                  `json:"v"`
	User         string               `json:"user"`
	Login        string               `json:"login"`
	Path         []string             `json:"path,omitzero"` // mom_ids of those it was made from, the first one first
	Name         string               `json:"name,omitzero"`
	IP           string               `json:"ip,omitzero"`
	Created      time.Time            `json:"created"`
	Capabilities mytoken.Capabilities `json:"capabilities,omitzero"`
	Restrictions []json.RawMessage    `json:"restrictions,omitzero"`
	Rotation     *mytoken.Rotation    `json:"rotation,omitzero"`
	From         []clauseKey          `json:"from,omitzero"`
	Charges      []chargeRow          `json:"charges,omitzero"`
}

// clauseKey is a rules.Key that is written as text.
type clauseKey rules.Key

func (k clauseKey) MarshalText() ([]byte, error) { return []byte(rules.Key(k).String()), nil }

func (k *clauseKey) UnmarshalText(b []byte) error {
	raw, err := base64.RawURLEncoding.DecodeString(string(b))
	if err != nil || len(raw) != len(k) {
		return ErrRecord
	}
	*k = clauseKey(raw)
	return nil
}

// chargeRow is an allowance that was taken from the parent.
type chargeRow struct {
	Clause clauseKey  `json:"clause"`
	Kind   rules.Kind `json:"kind"`
	Uses   int64      `json:"uses"`
}

func (c chargeRow) key() rules.CounterKey {
	return rules.CounterKey{Clause: rules.Key(c.Clause), Kind: c.Kind}
}

func (t tokenRecord) clauses() (mytoken.Restrictions, error) {
	var rs mytoken.Restrictions
	for _, b := range t.Restrictions {
		r, err := mytoken.ParseRestriction(b)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrRecord, err)
		}
		rs = append(rs, r)
	}
	return rs, nil
}

func rawClauses(rs mytoken.Restrictions) ([]json.RawMessage, error) {
	var out []json.RawMessage
	for _, r := range rs {
		b, err := r.MarshalJSON()
		if err != nil {
			return nil, fmt.Errorf("write a clause: %w", err)
		}
		out = append(out, b)
	}
	return out, nil
}

// stateRecord is what changes about a mytoken, and all that a use of it has to read.
type stateRecord struct {
	Version int       `json:"v"`
	User    string    `json:"user"`
	Login   string    `json:"login"`
	Path    []string  `json:"path,omitzero"`
	SeqNo   int64     `json:"seq"`
	Since   time.Time `json:"since"`
	Expires time.Time `json:"exp,omitzero"`
	Hash    []byte    `json:"hash"`            // SHA-256 of the JWT
	Before  []byte    `json:"before,omitzero"` // of the JWT that it replaced
	// Answer is the JWT under a key that the replaced one yields: a lost answer can be given again.
	Answer   *box         `json:"answer,omitzero"`
	Key      *box         `json:"key,omitzero"` // that of the login, under a key that the JWT yields
	Counters []counterRow `json:"counters,omitzero"`
	Holds    []hold       `json:"holds,omitzero"`
	Revoked  *revocation  `json:"revoked,omitzero"`
	LastUse  time.Time    `json:"last_use,omitzero"`
	Returned bool         `json:"returned,omitzero"` // what it left of its allowance went back to its parent
	// Events are kept under the numbers First to Next-1.
	First int64 `json:"first,omitzero"`
	Next  int64 `json:"next,omitzero"`
}

// counterRow is one counter, as it is stored.
type counterRow struct {
	Clause  clauseKey  `json:"clause"`
	Kind    rules.Kind `json:"kind"`
	Used    int64      `json:"used,omitzero"`
	Held    int64      `json:"held,omitzero"`
	Lost    int64      `json:"lost,omitzero"`
	Charged int64      `json:"charged,omitzero"`
}

func (c counterRow) key() rules.CounterKey {
	return rules.CounterKey{Clause: rules.Key(c.Clause), Kind: c.Kind}
}

// hold is a use that was reserved and is not settled.
type hold struct {
	ID     string     `json:"id"`
	Clause clauseKey  `json:"clause"`
	Kind   rules.Kind `json:"kind"`
	At     time.Time  `json:"at"`
}

func (h hold) key() rules.CounterKey {
	return rules.CounterKey{Clause: rules.Key(h.Clause), Kind: h.Kind}
}

type revocation struct {
	At        time.Time `json:"at"`
	Recursive bool      `json:"recursive,omitzero"`
	Reason    string    `json:"reason,omitzero"`
}

func (s *stateRecord) line() rules.Line {
	return rules.Line{SeqNo: s.SeqNo, Since: s.Since, Revoked: s.Revoked != nil}
}

func (s *stateRecord) counter(k rules.CounterKey) rules.Counter {
	for _, c := range s.Counters {
		if c.key() == k {
			return rules.Counter{Used: c.Used, Held: c.Held, Lost: c.Lost, Charged: c.Charged}
		}
	}
	return rules.Counter{}
}

func (s *stateRecord) setCounter(k rules.CounterKey, c rules.Counter) {
	row := counterRow{clauseKey(k.Clause), k.Kind, c.Used, c.Held, c.Lost, c.Charged}
	for i, o := range s.Counters {
		if o.key() == k {
			s.Counters[i] = row
			return
		}
	}
	s.Counters = append(s.Counters, row)
}

func (s *stateRecord) counters() rules.Counters {
	all := make(rules.Counters, len(s.Counters))
	for _, c := range s.Counters {
		all[c.key()] = s.counter(c.key())
	}
	return all
}

// lapse turns reservations that nobody will settle any more into lost uses, and returns how many there were. It is
// applied whenever a state is read, so that no process has to look for them.
func (s *stateRecord) lapse(now time.Time, after time.Duration) (lost int, err error) {
	open := s.Holds[:0:0]
	for _, h := range s.Holds {
		if now.Sub(h.At) < after {
			open = append(open, h)
			continue
		}
		k := h.key()
		c, err := s.counter(k).Lose(1)
		if err != nil {
			return lost, fmt.Errorf("%w: %w", ErrRecord, err)
		}
		s.setCounter(k, c)
		lost++
	}
	s.Holds = open
	return lost, nil
}

// eventRecord is one line of a mytoken's history.
type eventRecord struct {
	Version   int       `json:"v"`
	At        time.Time `json:"at"`
	Event     string    `json:"event"`
	Comment   string    `json:"comment,omitzero"`
	IP        string    `json:"ip,omitzero"`
	UserAgent string    `json:"agent,omitzero"`
}

// markRecord says that everything made from a mytoken has ended with it.
type markRecord struct {
	Version int       `json:"v"`
	At      time.Time `json:"at"`
}

func read[T any](tx store.Tx, name string, key ...string) (*T, error) {
	return decode[T](tx.Get(table(name), store.Key(key)))
}

func readForUpdate[T any](tx store.WTx, name string, key ...string) (*T, error) {
	return decode[T](tx.GetForUpdate(table(name), store.Key(key)))
}

// decode returns ErrUnknown for a record that is not there.
func decode[T any](row store.Record, err error) (*T, error) {
	if errors.Is(err, store.ErrNotFound) {
		return nil, ErrUnknown
	}
	if err != nil {
		return nil, err
	}
	return parse[T](row.Value)
}

// ownHead is how all records of this version begin.
const ownHead = `{"v":1`

func parse[T any](value []byte) (*T, error) {
	if h := len(ownHead); len(value) <= h || string(value[:h]) != ownHead || value[h] != ',' && value[h] != '}' {
		return nil, ErrRecord
	}
	v := new(T)
	if err := json.Unmarshal(value, v); err != nil {
		return nil, ErrRecord // what the decoder says may repeat the record
	}
	return v, nil
}

func write(tx store.WTx, name string, v any, expires time.Time, key ...string) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("write a record: %w", err)
	}
	return tx.Put(table(name), store.Record{Key: key, Value: b, Expires: expires})
}
