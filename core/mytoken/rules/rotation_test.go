package rules

import (
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/mytoken"
)

func TestPresent(t *testing.T) {
	const window = 10 * time.Second
	auto := &mytoken.Rotation{OnAT: true, AutoRevoke: true, Lifetime: time.Hour}
	lax := &mytoken.Rotation{OnAT: true}
	dies := &mytoken.Rotation{Lifetime: time.Hour}
	third := Line{SeqNo: 3, Since: start}
	for _, tt := range []struct {
		name   string
		line   Line
		r      *mytoken.Rotation
		seq    int64
		after  time.Duration
		want   Verdict
		revoke bool
	}{
		{"never_rotates", Line{SeqNo: 1, Since: start}, nil, 1, 1e6 * time.Hour, Current, false},
		{"newest", third, auto, 3, time.Minute, Current, false},
		{"last_second_of_its_life", third, auto, 3, time.Hour, Current, false},
		{"past_its_life", third, auto, 3, time.Hour + time.Second, Stale, false},
		{"first_past_its_life", Line{SeqNo: 1, Since: start}, auto, 1, time.Hour + time.Second, Stale, true},
		{"first_past_its_life_lax", Line{SeqNo: 1, Since: start}, dies, 1, 2 * time.Hour, Stale, false},
		{"answer_lost", third, auto, 2, window, Replayed, false},
		{"answer_lost_clock_back", third, auto, 2, -time.Second, Replayed, false},
		{"too_late", third, auto, 2, window + time.Second, Reused, true},
		{"too_late_lax", third, lax, 2, window + time.Second, Reused, false},
		{"two_back_in_the_window", third, auto, 1, time.Second, Reused, true},
		{"revoked", Line{SeqNo: 3, Since: start, Revoked: true}, auto, 3, 0, Refused, false},
		{"replaced_and_revoked", Line{SeqNo: 3, Since: start, Revoked: true}, auto, 2, 0, Refused, false},
		{"ahead_of_the_store", third, auto, 4, 0, Refused, false},
		{"number_of_nonsense", third, auto, 0, 0, Refused, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := Present(tt.line, tt.r, Presentation{SeqNo: tt.seq, Now: start.Add(tt.after), Window: window})
			if got.Verdict != tt.want || got.Revoke != tt.revoke {
				t.Errorf("%v, revoke %v", got.Verdict, got.Revoke)
			}
			if got.Verdict.Usable() && got.Revoke {
				t.Error("usable, and ends everything")
			}
		})
	}
	if got := Present(third, auto, Presentation{SeqNo: 2, Now: start}); got.Verdict != Reused {
		t.Errorf("without a window: %v", got.Verdict)
	}
}

func TestRotate(t *testing.T) {
	now := start.Add(time.Minute)
	l := Line{SeqNo: 1, Since: start}
	for _, tt := range []struct {
		name string
		r    *mytoken.Rotation
		k    Kind
		want bool
	}{
		{"none", nil, Access, false},
		{"on_at", &mytoken.Rotation{OnAT: true}, Access, true},
		{"on_at_other", &mytoken.Rotation{OnAT: true}, Other, false},
		{"on_other", &mytoken.Rotation{OnOther: true}, Other, true},
		{"lifetime_alone", &mytoken.Rotation{Lifetime: time.Hour}, Access, false},
	} {
		got, rotated := Rotate(l, tt.r, tt.k, now)
		if rotated != tt.want || rotated && got != (Line{SeqNo: 2, Since: now}) || !rotated && got != l {
			t.Errorf("%s: %+v, %v", tt.name, got, rotated)
		}
	}
	dead := Line{SeqNo: 1, Revoked: true}
	if got, rotated := Rotate(dead, &mytoken.Rotation{OnAT: true}, Access, now); rotated || got != dead {
		t.Error("a revoked one rotates")
	}
}

// TestEightAtOnce: of requests that come together with one mytoken the first rotates it, the others get the same new
// one, and nothing is revoked. When the new one was used in turn, the old one is a stolen one.
func TestEightAtOnce(t *testing.T) {
	r := &mytoken.Rotation{OnAT: true, AutoRevoke: true}
	l, present := Line{SeqNo: 1, Since: start}, Presentation{SeqNo: 1, Now: start, Window: 5 * time.Second}
	rotations := 0
	for range 8 {
		j := Present(l, r, present)
		if !j.Verdict.Usable() {
			t.Fatal(j.Verdict)
		}
		if j.Verdict == Current {
			l, _ = Rotate(l, r, Access, start)
			rotations++
		}
	}
	if rotations != 1 || l.SeqNo != 2 {
		t.Errorf("%d rotations, %+v", rotations, l)
	}
	l, _ = Rotate(l, r, Access, start)
	if j := Present(l, r, present); j.Verdict != Reused || !j.Revoke {
		t.Errorf("%+v", j)
	}
}

func TestExpiry(t *testing.T) {
	day := &mytoken.Rotation{Lifetime: 24 * time.Hour}
	hour := parse(t, `{"exp":1800003600}`)
	for _, tt := range []struct {
		name string
		rs   mytoken.Restrictions
		r    *mytoken.Rotation
		old  time.Time
		want int64
	}{
		{"nothing", nil, nil, time.Time{}, 0},
		{"restrictions", hour, nil, time.Time{}, 1800003600},
		{"stays", hour, nil, time.Unix(1800000060, 0), 1800000060},
		{"lifetime", nil, day, time.Unix(1800000060, 0), 1800086400},
		{"lifetime_past_the_restrictions", hour, day, time.Unix(1800000060, 0), 1800003600},
	} {
		got := Expiry(tt.rs, tt.r, tt.old, start)
		if got.IsZero() != (tt.want == 0) || tt.want != 0 && got.Unix() != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
}

func TestSettleRotation(t *testing.T) {
	if r, err := SettleRotation(&mytoken.Rotation{}); r != nil || err != nil {
		t.Error(r, err)
	}
	if r, err := SettleRotation(nil); r != nil || err != nil {
		t.Error(r, err)
	}
	if _, err := SettleRotation(&mytoken.Rotation{OnAT: true, Include: []string{"daily"}}); err == nil {
		t.Error("a template was not expanded, and nobody minds")
	}
	var asked mytoken.Rotation
	if err := asked.UnmarshalJSON([]byte(`{"on_AT":true,"lifetime":60,"nonsense":1}`)); err != nil {
		t.Fatal(err)
	}
	if r, err := SettleRotation(&asked); err != nil || text(r) != `{"on_AT":true,"lifetime":60}` {
		t.Error(text(r), err)
	}
}
