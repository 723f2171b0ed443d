package provider

import (
	"errors"
	"fmt"
	"time"
)

// usable reports whether a set from the directory may be used at now.
func (f *fetched) usable(now time.Time, l Lifetimes) bool {
	return f != nil && now.Before(f.at.Add(l.Expiry))
}

// errSpared says that no fetch was made, because another process has just made one for an unknown kid.
var errSpared = errors.New("another process has just fetched")

// kept answers a from the directory, which other processes write to as well: with the set there, with the failure that
// another process has just met, with errSpared, or with nothing, which means that the issuer is to be asked.
func (k *Keys) kept(e *entry, a ask, have *held) (*fetched, error) {
	if k.dir == nil || a.why == order {
		return nil, nil
	}
	e.mu.Lock()
	life := e.life
	e.mu.Unlock()
	now := k.now()
	got := k.dir.load(e.issuer, k.log)
	if !got.usable(now, life) || have != nil && !got.at.After(have.fetched) {
		got = nil
	}
	switch {
	case got == nil:
	case a.why == need, a.why == force && got.set.HasID(a.kid):
		return got, nil
	case a.why == renew && now.Before(got.at.Add(life.refresh(got.maxAge))):
		return got, nil
	}
	t := k.dir.tries(e.issuer)
	switch {
	case recent(t.Failed, now, MinRetry):
		return nil, &earlierError{reason: t.Reason, ago: now.Sub(t.Failed)}
	case a.why == force && recent(t.Forced, now, ForcedEvery) && have.usable(now):
		return nil, errSpared
	}
	return nil, nil
}

// recent reports whether at lies less than d before now. What lies ahead says nothing.
func recent(at, now time.Time, d time.Duration) bool {
	return !at.IsZero() && !at.After(now.Add(dirAhead)) && now.Before(at.Add(d))
}

// earlierError is a failure that another process met and wrote down.
type earlierError struct {
	reason string
	ago    time.Duration
}

func (e *earlierError) Error() string {
	return fmt.Sprintf("%s (%v ago, by another process)", e.reason, e.ago.Round(time.Second))
}

// keep writes the result of a fetch to the directory.
func (k *Keys) keep(issuer string, got *fetched, failure error) {
	if k.dir == nil {
		return
	}
	var err error
	var earlier *earlierError
	switch {
	case failure == nil && !got.fromDisk:
		err = k.dir.save(issuer, got)
	case failure == nil, errors.Is(failure, errSpared), errors.As(failure, &earlier), k.isClosed(): // nothing new
	default:
		err = k.dir.changeTries(issuer, func(t *tries) {
			t.Failed, t.Reason = k.now().UTC(), cut(failure.Error(), maxNote/2)
		})
	}
	if err != nil {
		k.log.Warn("key set cannot be kept on disk", "iss", issuer, "err", err)
	}
}

// noteForced tells other processes that the issuer was asked for an unknown kid.
func (k *Keys) noteForced(issuer string) {
	if k.dir == nil {
		return
	}
	if err := k.dir.changeTries(issuer, func(t *tries) { t.Forced = k.now().UTC() }); err != nil {
		k.log.Warn("key set cannot be kept on disk", "iss", issuer, "err", err)
	}
}

func (k *Keys) isClosed() bool {
	select {
	case <-k.done:
		return true
	default:
		return false
	}
}

func cut(s string, n int) string { return s[:min(len(s), n)] }
