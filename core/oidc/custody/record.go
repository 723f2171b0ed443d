package custody

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/oidcbox/oidcbox/core/oidc/flow"
	"github.com/oidcbox/oidcbox/core/secret"
)

const (
	recordVersion = 1

	// maxOld bounds each of the two lists of hashes of replaced refresh tokens.
	maxOld = 256
	// maxSpares and maxTokens bound the refresh tokens that a provider gave beside the current one: their number, and
	// the bytes of all that are kept of a login.
	maxSpares = 8
	maxTokens = 40 << 10
	// learned is how many answers in a row without a new refresh token make a provider one that keeps them.
	learned = 3
	// maxReason bounds what is kept of a provider's words.
	maxReason = 300
)

// hash is the first half of the SHA-256 of a refresh token: enough to recognise it, useless to send.
type hash [16]byte

func hashOf(t secret.Text) hash {
	var h hash
	_ = t.Use(func(b []byte) error {
		sum := sha256.Sum256(b)
		copy(h[:], sum[:])
		return nil
	})
	return h
}

// id is the name of the token in logs, the same as secret.Text.ID.
func (h hash) id() string { return hex.EncodeToString(h[:8]) }

func (h hash) MarshalText() ([]byte, error) { return []byte(hex.EncodeToString(h[:])), nil }

func (h *hash) UnmarshalText(b []byte) error {
	if hex.DecodedLen(len(b)) != len(h) {
		return errRecord
	}
	_, err := hex.Decode(h[:], b)
	return err
}

// hashes is a list, newest first, that encodes as one string of bytes.
type hashes []hash

func (l hashes) MarshalJSON() ([]byte, error) {
	flat := make([]byte, 0, len(l)*len(hash{}))
	for _, h := range l {
		flat = append(flat, h[:]...)
	}
	return json.Marshal(flat)
}

func (l *hashes) UnmarshalJSON(b []byte) error {
	var flat []byte
	if err := json.Unmarshal(b, &flat); err != nil {
		return err
	}
	if len(flat)%len(hash{}) != 0 {
		return errRecord
	}
	*l = nil
	for c := range slices.Chunk(flat, len(hash{})) {
		*l = append(*l, hash(c))
	}
	return nil
}

func (l hashes) with(h hash) hashes {
	l = slices.DeleteFunc(slices.Clone(l), func(o hash) bool { return o == h })
	l = slices.Insert(l, 0, h)
	return l[:min(len(l), maxOld)]
}

// record is what the store keeps of a login. Its rules are methods without I/O; the tokens are not in the JSON.
type record struct {
	RT     secret.Text   `json:"-"`
	Spares []secret.Text `json:"-"` // newest first

	Family     string `json:"family"`     // drawn anew by each Put: answers to older families are void
	Generation uint64 `json:"generation"` // grows with each change of RT
	// Outside says that RT was put in or exported, so that a copy may lie in an account file. The hashes of such
	// tokens have a list of their own, which the rotations that only we have seen do not push out.
	Outside    bool   `json:"outside,omitzero"`
	Parent     hash   `json:"parent,omitzero"` // of the token whose use gave RT
	OldOutside hashes `json:"old_outside,omitzero"`
	OldInside  hashes `json:"old_inside,omitzero"`

	Habit Habit `json:"habit,omitzero"`
	Kept  int   `json:"kept,omitzero"` // answers in a row without a new refresh token

	Intent  *intent  `json:"intent,omitzero"`
	Refused *refusal `json:"refused,omitzero"`
	Last    int64    `json:"last,omitzero"` // milliseconds since 1970
}

type intent struct {
	Sent    hash  `json:"sent"`
	At      int64 `json:"at"`
	Attempt int   `json:"attempt"`
}

// refusal is the mark "log in again".
type refusal struct {
	At int64 `json:"at"`
	// Request is the one that was refused. nil: any. Some providers say invalid_grant to a scope they do not like, and
	// one such request must not end the login for all others.
	Request *hash      `json:"request,omitzero"`
	Said    flow.Error `json:"said"`
	Lost    bool       `json:"lost,omitzero"` // there was an intent pending: an answer got lost
}

// frame is the outer form: the JSON of the record, then the tokens, so that no token is ever in a string.
//
//	version (1 byte) · length of JSON (4 bytes, big endian) · JSON with the lengths · RT · spares
type frame struct {
	record
	Lengths []int `json:"lengths"`
}

func (r *record) encode() ([]byte, error) {
	f := frame{record: *r}
	tokens := append([]secret.Text{r.RT}, r.Spares...)
	total := 0
	for _, t := range tokens {
		f.Lengths = append(f.Lengths, t.Len())
		total += t.Len()
	}
	meta, err := json.Marshal(f)
	if err != nil {
		return nil, fmt.Errorf("encode the record of a login: %w", err)
	}
	b := make([]byte, 0, 5+len(meta)+total)
	b = append(b, recordVersion)
	b = binary.BigEndian.AppendUint32(b, uint32(len(meta)))
	b = append(b, meta...)
	for _, t := range tokens {
		if err := t.Use(func(s []byte) error { b = append(b, s...); return nil }); err != nil {
			clear(b)
			return nil, fmt.Errorf("encode the record of a login: %w", err)
		}
	}
	return b, nil
}

func decode(b []byte) (*record, error) {
	if len(b) < 5 || b[0] != recordVersion {
		return nil, errRecord
	}
	n, rest := uint64(binary.BigEndian.Uint32(b[1:5])), b[5:]
	if n > uint64(len(rest)) {
		return nil, errRecord
	}
	var f frame
	if err := json.Unmarshal(rest[:n], &f); err != nil {
		return nil, fmt.Errorf("%w: %w", errRecord, err)
	}
	rest = rest[n:]
	var tokens []secret.Text
	for _, n := range f.Lengths {
		if n < 0 || n > len(rest) {
			return nil, errRecord
		}
		tokens = append(tokens, secret.New(slices.Clone(rest[:n])))
		rest = rest[n:]
	}
	if len(tokens) == 0 || len(rest) != 0 {
		return nil, errRecord
	}
	f.RT, f.Spares = tokens[0], tokens[1:]
	return &f.record, nil
}

func (r *record) wipe() {
	r.RT.Wipe()
	for _, s := range r.Spares {
		s.Wipe()
	}
}

func (r *record) superseded(h hash) bool {
	if h == hashOf(r.RT) {
		return false
	}
	return slices.Contains(r.OldOutside, h) || slices.Contains(r.OldInside, h)
}

// set makes rt the current token, notes the one before as replaced and wipes it.
func (r *record) set(rt secret.Text, outside bool) {
	switch {
	case r.RT.Empty():
	case r.Outside:
		r.OldOutside = r.OldOutside.with(hashOf(r.RT))
	default:
		r.OldInside = r.OldInside.with(hashOf(r.RT))
	}
	r.RT.Wipe()
	r.RT, r.Outside = rt, outside
	r.Generation++
}

// replace is a new authentication: a new family of tokens.
func (r *record) replace(rt secret.Text) error {
	h := hashOf(rt)
	switch {
	case r.superseded(h):
		return ErrSuperseded
	case h == hashOf(r.RT):
		r.Refused, r.Outside = nil, true
		return nil
	}
	r.set(rt.Clone(), true)
	r.dropSpares(0)
	r.Family, r.Parent = rand.Text(), hash{}
	r.Intent, r.Refused, r.Kept = nil, nil, 0
	if r.Habit == HabitKeeps {
		r.Kept = learned
	}
	return nil
}

func (r *record) markOutside(rt secret.Text) {
	h := hashOf(rt)
	if h == hashOf(r.RT) {
		r.Outside = true
		return
	}
	if i := slices.Index(r.OldInside, h); i >= 0 {
		r.OldInside = slices.Delete(r.OldInside, i, i+1)
		r.OldOutside = r.OldOutside.with(h)
	}
}

func (r *record) tell(h Habit) {
	r.Habit, r.Kept = h, 0
	if h == HabitKeeps {
		r.Kept = learned
	}
}

// begin records that the current token is about to be sent, and returns the intent that was pending before.
func (r *record) begin(now time.Time) (before *intent) {
	sent := hashOf(r.RT)
	before = r.Intent
	r.Intent = &intent{Sent: sent, At: now.UnixMilli(), Attempt: 1}
	if before != nil && before.Sent == sent {
		r.Intent.Attempt = before.Attempt + 1
	}
	return before
}

// doubt is begin after the fact, for a token that was sent without an intent because its provider keeps them.
func (r *record) doubt(s sending, now time.Time) {
	if r.Family == s.family && hashOf(r.RT) == s.hash {
		r.begin(now)
	}
}

// sending is what a call to the provider must remember of the record it began with.
type sending struct {
	token   secret.Text
	hash    hash    // of token
	stored  hash    // of the token that was current in the store: another one when token could not be saved yet
	family  string  // of the record
	before  *intent // pending when it began
	request hash
	bare    bool // no scope, audience or other parameter was asked for
	repeat  bool // side by side: the provider keeps refresh tokens, and may see one twice
}

// answered takes in an answer with tokens. fresh is empty when it held no new refresh token.
func (r *record) answered(s sending, fresh secret.Text, now time.Time) {
	if r.Family != s.family {
		return // of a login that was replaced meanwhile
	}
	r.Last = now.UnixMilli()
	if r.Intent != nil && r.Intent.Sent == s.stored {
		r.Intent = nil
	}
	if fresh.Empty() {
		fresh = s.token
	}
	h, current := hashOf(fresh), hashOf(r.RT)
	switch {
	case h == s.stored:
		r.keptOne(current == s.stored)
	case h == current || r.isSpare(h): // saved before, and the outcome of that was unknown
		r.Refused = nil
	case current == s.stored:
		r.set(fresh.Clone(), false)
		r.Parent = s.stored
		if s.hash != s.stored && s.hash != h {
			r.OldInside = r.OldInside.with(s.hash)
		}
		r.Habit, r.Kept, r.Refused = HabitRotates, 0, nil
	case !r.superseded(h):
		r.sibling(s, fresh)
	}
}

// sibling takes in a second answer to one refresh token: two refreshes ran side by side, or another node was faster
// than its lease. Both answers may be good, or only the later one. So the later one goes first, unless the earlier one
// has been used meanwhile; the other steps in should the first be refused.
func (r *record) sibling(s sending, fresh secret.Text) {
	r.Habit, r.Kept = HabitRotates, 0
	first := fresh.Clone()
	if r.Parent == s.stored {
		if r.Outside {
			r.OldOutside = r.OldOutside.with(hashOf(r.RT))
		}
		r.RT, first, r.Outside = first, r.RT, false
		r.Generation++
	}
	r.Spares = slices.Insert(r.Spares, 0, first)
	total := r.RT.Len()
	for i, t := range r.Spares {
		total += t.Len()
		if i >= maxSpares || total > maxTokens {
			r.dropSpares(i)
			return
		}
	}
}

func (r *record) isSpare(h hash) bool {
	return slices.ContainsFunc(r.Spares, func(t secret.Text) bool { return hashOf(t) == h })
}

// dropSpares notes the spares from the i-th on as replaced.
func (r *record) dropSpares(i int) {
	for _, t := range r.Spares[i:] {
		r.OldInside = r.OldInside.with(hashOf(t))
		t.Wipe()
	}
	r.Spares = r.Spares[:i]
}

// keptOne learns from an answer without a new refresh token.
func (r *record) keptOne(current bool) {
	if !current {
		return
	}
	r.Refused = nil
	if r.Habit != HabitUnknown {
		return
	}
	if r.Kept++; r.Kept >= learned {
		r.Habit = HabitKeeps
	}
}

// undone takes back begin, when nothing was sent or the provider's answer shows that the token was not used up.
func (r *record) undone(s sending) {
	if r.Intent != nil && r.Intent.Sent == s.stored {
		r.Intent = s.before
	}
}

// refused takes in that the provider wants a new login. It reports whether there is another token to try instead.
func (r *record) refused(s sending, err error, now time.Time) (again bool) {
	if r.Family != s.family || hashOf(r.RT) != s.stored {
		return true
	}
	lost := s.before != nil && s.before.Sent == s.stored
	r.Intent = nil
	if len(r.Spares) > 0 {
		next := r.Spares[0]
		r.Spares = r.Spares[1:]
		r.set(next, false)
		return true
	}
	m := &refusal{At: now.UnixMilli(), Said: words(err), Lost: lost}
	if !s.bare && !lost && (r.Refused == nil || r.Refused.Request != nil && *r.Refused.Request == s.request) {
		m.Request = &s.request
	}
	r.Refused = m
	return false
}

// covers reports whether a request need not be sent, because it was refused before.
func (m *refusal) covers(request hash) bool {
	return m != nil && (m.Request == nil || *m.Request == request)
}

func (r *record) state() State {
	s := State{Habit: r.Habit, LastRefresh: when(r.Last), Generation: r.Generation, TokenID: r.RT.ID()}
	s.TokenExpires = expiryOf(r.RT)
	if r.Intent != nil {
		s.Pending = &Intent{TokenID: r.Intent.Sent.id(), At: when(r.Intent.At), Attempt: r.Intent.Attempt}
	}
	if r.Refused != nil {
		s.NeedsLogin, s.RefusedAt = true, when(r.Refused.At)
		s.Reason = r.Refused.Said.Error()
	}
	return s
}

func when(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}
