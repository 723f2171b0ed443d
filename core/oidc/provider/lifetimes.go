package provider

import (
	"errors"
	"fmt"
	"net/http"
	"time"
)

// Names of the tables of lifetimes.
const (
	WLCG10 = "wlcg-1.0"
	WLCG13 = "wlcg-1.3"
)

// The times of the cache that are the same for every issuer, and the limits of those that are not.
const (
	MinRefresh    = time.Hour      // default for Lifetimes.MinRefresh
	MaxRefresh    = 6 * time.Hour  // default for Lifetimes.MaxRefresh
	DefaultExpiry = 48 * time.Hour // default for Lifetimes.Expiry
	MaxExpiry     = 96 * time.Hour // the longest that any table knows; nothing is kept longer
	// ForcedEvery is the least time between two fetches that unknown kids cause, for one issuer. Anybody can invent a
	// kid; without this they could make us hammer the issuer.
	ForcedEvery = time.Minute
	// MinRetry and MaxRetry bound how long a failed fetch is remembered; it doubles in between.
	MinRetry = 30 * time.Second
	MaxRetry = 5 * time.Minute
	// fetchTimeout bounds one fetch: a discovery with its alternatives, and the key set.
	fetchTimeout = 20 * time.Second
	// maxWaiting is how many requests may wait for one issuer, maxStrangers how many of those that anybody can make up:
	// tokens with an unknown kid. The others are told to come again. A daemon has room for 1024 connections, all issuers
	// together.
	maxWaiting   = 512
	maxStrangers = 128
)

// ErrLifetimes: lifetimes contradict each other or are out of range.
var ErrLifetimes = errors.New("lifetimes of keys make no sense")

// Lifetimes say how long the key set of an issuer is used. A new one is fetched after the time that the issuer allows
// (Cache-Control: max-age), kept between MinRefresh and MaxRefresh; MinRefresh when the issuer says nothing. A set that
// cannot be renewed is used until Expiry after it was fetched. A key that the issuer has withdrawn is therefore noticed
// within MaxRefresh, or within Expiry while the issuer cannot be reached. Zero values are those of WLCG13.
type Lifetimes struct {
	MinRefresh time.Duration // at least a minute
	MaxRefresh time.Duration // less than Expiry
	Expiry     time.Duration // at most MaxExpiry
}

// LifetimesOf returns the table of that name; "" is the default, WLCG13. The error is ErrLifetimes.
//
// WLCG13 is the table of the WLCG profile 1.3 section 4.3.1: refresh between one and six hours, expiry two days.
// WLCG10 is that of 1.0, which knew one number for both: a set lives six hours. It is renewed after one to three, so
// that an issuer which is down for less than three hours is not noticed.
func LifetimesOf(name string) (Lifetimes, error) {
	switch name {
	case "", WLCG13:
		return Lifetimes{MinRefresh: MinRefresh, MaxRefresh: MaxRefresh, Expiry: DefaultExpiry}, nil
	case WLCG10:
		return Lifetimes{MinRefresh: time.Hour, MaxRefresh: 3 * time.Hour, Expiry: 6 * time.Hour}, nil
	}
	return Lifetimes{}, fmt.Errorf("%w: there is no table of this name, only %s and %s", ErrLifetimes, WLCG13, WLCG10)
}

// Check returns ErrLifetimes with the reason when l cannot be used. What is zero is filled in first.
func (l Lifetimes) Check() error {
	l = l.withDefaults()
	switch {
	case l.MinRefresh < time.Minute:
		return fmt.Errorf("%w: a refresh more often than once a minute would be a burden to the issuer", ErrLifetimes)
	case l.MaxRefresh < l.MinRefresh:
		return fmt.Errorf("%w: the longest time to a refresh (%v) is shorter than the shortest (%v)",
			ErrLifetimes, l.MaxRefresh, l.MinRefresh)
	case l.Expiry <= l.MaxRefresh:
		return fmt.Errorf("%w: keys would expire (%v) before they are refreshed (%v)", ErrLifetimes, l.Expiry, l.MaxRefresh)
	case l.Expiry > MaxExpiry:
		return fmt.Errorf("%w: keys would be used for %v without hearing from the issuer, at most %v is allowed",
			ErrLifetimes, l.Expiry, MaxExpiry)
	}
	return nil
}

func (l Lifetimes) withDefaults() Lifetimes {
	if l.MinRefresh == 0 {
		l.MinRefresh = MinRefresh
		if l.MaxRefresh > 0 {
			l.MinRefresh = min(MinRefresh, l.MaxRefresh)
		}
	}
	if l.Expiry == 0 {
		l.Expiry = DefaultExpiry
	}
	if l.MaxRefresh == 0 {
		l.MaxRefresh = max(MaxRefresh, l.MinRefresh)
		if l.Expiry <= l.MaxRefresh {
			l.MaxRefresh = max(l.MinRefresh, l.Expiry/2)
		}
	}
	return l
}

// refresh is when to fetch again, after an answer that may be kept for maxAge.
func (l Lifetimes) refresh(maxAge time.Duration) time.Duration {
	return min(max(maxAge, l.MinRefresh), l.MaxRefresh)
}

// maxAgeOf is how long the issuer allows its answer to be kept, 0 when it says nothing.
func maxAgeOf(h http.Header) time.Duration { return min(maxAge(h), MaxExpiry) }
