package rules

import (
	"time"

	"github.com/oidcbox/oidcbox/core/mytoken"
)

// Line is where a mytoken stands in the line of its rotations: what a row of the store holds of it.
type Line struct {
	SeqNo   int64     // of the newest, 1 for one that never rotated
	Since   time.Time // when the newest was issued
	Revoked bool
}

// Verdict is what becomes of a mytoken that is presented.
type Verdict int

// The verdicts.
const (
	// Refused: revoked, or a number that the store has not come to (it was put back to an older state). The zero value.
	Refused Verdict = iota
	// Current: the newest of its line. It may be used, and is replaced where Rotate says so.
	Current
	// Replayed: it was replaced just now, and who has it has probably not got the answer. It may be used once more, which
	// counts; it is not rotated again, the answer hands out the newest of the line as it is.
	Replayed
	// Stale: the newest of its line, for longer than it may be.
	Stale
	// Reused: it was replaced, and somebody has kept it.
	Reused
)

func (v Verdict) String() string {
	switch v {
	case Current:
		return "current"
	case Replayed:
		return "replayed"
	case Stale:
		return "stale"
	case Reused:
		return "reused"
	}
	return "refused"
}

// Usable reports whether the mytoken may be used.
func (v Verdict) Usable() bool { return v == Current || v == Replayed }

// Judgement is a verdict with what follows from it.
type Judgement struct {
	Verdict Verdict
	// Revoke says that the mytoken and everything made from it end now.
	Revoke bool
}

// Presentation is a mytoken with a good signature, and when it came.
type Presentation struct {
	SeqNo int64
	Now   time.Time
	// Window is how long after a rotation the replaced mytoken is taken once more, as long as the new one has not been
	// replaced itself. 0: never.
	Window time.Duration
}

// Present judges a mytoken by its line. r is nil for one that does not rotate.
//
// Reuse of a replaced mytoken ends the line where r.AutoRevoke says so, and so does a first one that is used for the
// first time after its lifetime: whoever it was made for would have replaced it by then.
func Present(l Line, r *mytoken.Rotation, p Presentation) Judgement {
	auto := r != nil && r.AutoRevoke
	switch {
	case l.Revoked || p.SeqNo < 1 || p.SeqNo > l.SeqNo:
		return Judgement{Verdict: Refused}
	case p.SeqNo == l.SeqNo:
		if r != nil && r.Lifetime > 0 && p.Now.Unix() > l.Since.Add(r.Lifetime).Unix() {
			return Judgement{Verdict: Stale, Revoke: auto && l.SeqNo == 1}
		}
		return Judgement{Verdict: Current}
	case p.SeqNo == l.SeqNo-1 && p.Window > 0 && p.Now.Sub(l.Since) <= p.Window:
		return Judgement{Verdict: Replayed}
	}
	return Judgement{Verdict: Reused, Revoke: auto}
}

// Rotates reports whether a use of kind k replaces a mytoken.
func Rotates(r *mytoken.Rotation, k Kind) bool {
	if r == nil {
		return false
	}
	return k == Access && r.OnAT || k == Other && r.OnOther
}

// Rotate returns the line after the current mytoken was used for k at now, and whether it was replaced. Only a mytoken
// that was judged Current rotates.
func Rotate(l Line, r *mytoken.Rotation, k Kind, now time.Time) (Line, bool) {
	if l.Revoked || !Rotates(r, k) {
		return l, false
	}
	return Line{SeqNo: l.SeqNo + 1, Since: now}, true
}

// Expiry returns the exp of a mytoken issued at now: the end of its restrictions, or of its lifetime where that comes
// first and it was rotated. old is the exp it had before, which a lifetime replaces. Zero: it does not expire.
func Expiry(rs mytoken.Restrictions, r *mytoken.Rotation, old, now time.Time) time.Time {
	end := Ends(rs)
	if r == nil || r.Lifetime <= 0 {
		if old.IsZero() {
			return end
		}
		return old
	}
	if life := now.Add(r.Lifetime); end.IsZero() || life.Before(end) {
		return life
	}
	return end
}

// SettleRotation returns the rotation that a token can carry for the one asked for: nil when it says nothing. The error
// is a *ClausesError when it names templates.
func SettleRotation(asked *mytoken.Rotation) (*mytoken.Rotation, error) {
	if asked == nil {
		return nil, nil
	}
	if len(asked.Include) > 0 {
		return nil, &ClausesError{[]Fault{{0, "rotation names templates"}}}
	}
	r := mytoken.Rotation{
		OnAT: asked.OnAT, OnOther: asked.OnOther, Lifetime: asked.Lifetime.Truncate(time.Second),
		AutoRevoke: asked.AutoRevoke,
	}
	if !r.OnAT && !r.OnOther && r.Lifetime <= 0 && !r.AutoRevoke {
		return nil, nil
	}
	return &r, nil
}
