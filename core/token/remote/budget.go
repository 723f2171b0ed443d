package remote

import (
	"math"
	"time"
)

// budget is a token bucket.
type budget struct {
	rate  float64 // units a second
	burst float64
	left  float64
	at    time.Time // when left was right; zero: full
}

// newBudget allows rate units a second, and twice as many at once after a rest, at least 4.
func newBudget(rate float64) budget {
	burst := math.Max(2*rate, 4)
	return budget{rate: rate, burst: burst, left: burst}
}

// take takes n units, or says how long it takes until they are there. A clock that was set back costs nothing.
func (b *budget) take(now time.Time, n float64) (wait time.Duration) {
	if past := now.Sub(b.at).Seconds(); past > 0 && !b.at.IsZero() {
		b.left = math.Min(b.left+past*b.rate, b.burst)
	}
	b.at = now
	if b.left < n {
		return max(time.Duration((n-b.left)/b.rate*float64(time.Second)), time.Millisecond)
	}
	b.left -= n
	return 0
}
