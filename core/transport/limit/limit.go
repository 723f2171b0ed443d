package limit

import (
	"container/list"
	"math"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// DefaultKeys is how many keys are remembered where Options say nothing: some 300 bytes each.
const DefaultKeys = 20_000

// Options of a Limiter.
type Options struct {
	// Per and Events: so many events in so much time, for each key, and as many at once. Events 0: no limit at all.
	Events int
	Per    time.Duration
	Keys   int // 0: DefaultKeys
	Now    func() time.Time
}

// Limiter decides, for each key, whether one more event is within bounds. The nil Limiter allows everything. It is safe
// for concurrent use.
type Limiter struct {
	o       Options
	every   rate.Limit
	mu      sync.Mutex
	buckets map[string]*list.Element
	order   *list.List // of *bucket, the one asked for last in front
}

type bucket struct {
	key string
	lim *rate.Limiter
}

// New returns a limiter without any history; nil, which allows everything, when there is nothing to limit.
func New(o Options) *Limiter {
	if o.Events <= 0 || o.Per <= 0 {
		return nil
	}
	if o.Keys <= 0 {
		o.Keys = DefaultKeys
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	every := rate.Limit(float64(o.Events) / o.Per.Seconds())
	return &Limiter{o: o, every: every, buckets: make(map[string]*list.Element), order: list.New()}
}

// Take counts one event of key. When it is one too many nothing is counted, and retry is when the next one fits: whole
// seconds, 1 at least, as Retry-After wants it.
func (l *Limiter) Take(key string) (retry time.Duration, ok bool) {
	if l == nil {
		return 0, true
	}
	now := l.o.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	r := l.bucket(key).lim.ReserveN(now, 1)
	wait := r.DelayFrom(now)
	if wait <= 0 {
		return 0, true
	}
	r.CancelAt(now)
	return wholeSeconds(wait), false
}

// Full reports whether one more event of key would be one too many, and when the next one fits. It counts nothing: it
// is for events of which only those count that went wrong, taken after.
func (l *Limiter) Full(key string) (retry time.Duration, full bool) {
	if l == nil {
		return 0, false
	}
	now := l.o.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	e, ok := l.buckets[key]
	if !ok {
		return 0, false
	}
	missing := 1 - e.Value.(*bucket).lim.TokensAt(now)
	if missing <= 0 {
		return 0, false
	}
	return wholeSeconds(time.Duration(missing / float64(l.every) * float64(time.Second))), true
}

// wholeSeconds rounds up, to 1 at least.
func wholeSeconds(d time.Duration) time.Duration {
	return max(time.Second, time.Duration(math.Ceil(d.Seconds()))*time.Second)
}

// Len is how many keys are remembered.
func (l *Limiter) Len() int {
	if l == nil {
		return 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.order.Len()
}

func (l *Limiter) bucket(key string) *bucket {
	if e, ok := l.buckets[key]; ok {
		l.order.MoveToFront(e)
		return e.Value.(*bucket)
	}
	if l.order.Len() >= l.o.Keys {
		last := l.order.Back()
		delete(l.buckets, last.Value.(*bucket).key)
		l.order.Remove(last)
	}
	b := &bucket{key: key, lim: rate.NewLimiter(l.every, l.o.Events)}
	l.buckets[key] = l.order.PushFront(b)
	return b
}

// ipv6Network is what one customer has at least.
const ipv6Network = 64

// Address is the key of an address: IPv4 as it is, also inside IPv6, and of IPv6 the network.
func Address(a netip.Addr) string {
	a = a.Unmap().WithZone("")
	if a.Is6() {
		if p, err := a.Prefix(ipv6Network); err == nil {
			return p.String()
		}
	}
	return a.String()
}
