package httpapi

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/oidcbox/oidcbox/core/transport/limit"
)

// Rate is how many there may be in how much time. The zero value is the default of where it stands.
type Rate struct {
	Events int
	Per    time.Duration
}

// Rates are how often something may happen.
type Rates struct {
	// Address bounds requests of one address; zero: they are not bounded.
	Address Rate
	// Guesses bounds tokens and passwords that were wrong: of one address over HTTP, and at a login of one remote host, or
	// of one local user where nobody says where the login comes from. Zero: 60 in a minute; it cannot be switched off.
	Guesses Rate
	// Changes bounds deployments, suspensions and one-time passwords of one person. Zero: 60 in a minute.
	Changes Rate
	// Exempt are addresses that Address does not count, and behind which there are many people: proxies, login nodes.
	// Wrong passwords that come from there at a login count for the local user.
	Exempt []netip.Prefix
	Keys   int // how many addresses and persons are remembered; 0: limit.DefaultKeys of each
}

// Limiter counts, for all generations of an API.
type Limiter struct {
	exempt                      []netip.Prefix
	addresses, guesses, changes *limit.Limiter
	// lines are those of the audit, and gaps the notes that there are not all of them.
	lines, gaps *limit.Limiter
}

// NewLimiter returns one that has counted nothing yet. now may be nil.
func NewLimiter(r Rates, now func() time.Time) *Limiter {
	often, keys := Rate{60, time.Minute}, r.Keys
	of := func(r, otherwise Rate) *limit.Limiter {
		if r.Events <= 0 || r.Per <= 0 {
			r = otherwise
		}
		return limit.New(limit.Options{Events: r.Events, Per: r.Per, Keys: keys, Now: now})
	}
	return &Limiter{
		exempt: r.Exempt, addresses: of(r.Address, Rate{}), guesses: of(r.Guesses, often), changes: of(r.Changes, often),
		lines: of(Rate{300, time.Minute}, Rate{}), gaps: of(Rate{1, time.Minute}, Rate{}),
	}
}

func tooMany(retry time.Duration) *Error {
	return &Error{Status: http.StatusTooManyRequests, Detail: "Too Many Requests", RetryAfter: retry}
}

func (l *Limiter) exempted(from netip.Addr) bool {
	return slices.ContainsFunc(l.exempt, func(p netip.Prefix) bool { return p.Contains(from) })
}

// guesser is for whom wrong tokens and passwords of a request count: the address, or behind one that many people share
// the local user that is tried. "" is nobody.
func (l *Limiter) guesser(from netip.Addr, user string) string {
	switch {
	case !l.exempted(from):
		return limit.Address(from)
	case user == "":
		return ""
	}
	return limit.Address(from) + "\x00" + user[:min(len(user), maxUser)]
}

// loginGuesser is guesser for a login by PAM, of which remote is what PAM_RHOST says: who guesses at many users is one
// guesser. A relay says where its logins come from, and counts by itself: a node that was taken over keeps nobody out of
// others.
func (l *Limiter) loginGuesser(remote, user, via string) string {
	key := l.loginKey(remote, user[:min(len(user), maxUser)])
	if _, node, relayed := strings.Cut(via, "@"); relayed {
		key += "\x00node\x00" + node
	}
	return key
}

func (l *Limiter) loginKey(remote, user string) string {
	addr, err := netip.ParseAddr(remote)
	switch {
	case err == nil:
		return l.guesser(addr.Unmap().WithZone(""), user)
	case remote != "":
		return "host\x00" + remote[:min(len(remote), maxUser)]
	}
	return "user\x00" + user
}

// told is what the audit is told of a decision, false for nothing: who is refused all the time, or has the same token
// verified over and over, must not fill the disk, nor hide among it what others do. Logins through PAM are all told of.
func (l *Limiter) told(key string, e Event) (Event, bool) {
	if e.Kind == "login" && e.By == "" {
		key = "login\x00" + e.ID
	} else if e.Kind != "refused" || key == "" {
		return e, true
	}
	if _, ok := l.lines.Take(key); ok {
		return e, true
	}
	_, ok := l.gaps.Take(key)
	e.Reason = strings.TrimSuffix("too often, not all of it is written down: "+e.Reason, ": ")
	return e, ok
}

// address counts a request by where it comes from.
func (l *Limiter) address(from netip.Addr) error {
	if l.addresses == nil || l.exempted(from) {
		return nil
	}
	if retry, ok := l.addresses.Take(limit.Address(from)); !ok {
		return tooMany(retry)
	}
	return nil
}

// change counts what a person changes.
func (l *Limiter) change(id string) error {
	if retry, ok := l.changes.Take(id); !ok {
		return tooMany(retry)
	}
	return nil
}

// blocked refuses who has guessed too often. It counts nothing: guessed does, for what was wrong.
func (l *Limiter) blocked(key string) error {
	if key == "" {
		return nil
	}
	if retry, full := l.guesses.Full(key); full {
		return tooMany(retry)
	}
	return nil
}

func (l *Limiter) guessed(key string) {
	if key != "" {
		l.guesses.Take(key)
	}
}
