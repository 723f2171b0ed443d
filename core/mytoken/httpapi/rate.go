package httpapi

import (
	"crypto/sha256"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/oidcbox/oidcbox/core/mytoken/desk"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/transport/limit"
)

// Rate is how many requests there may be in how much time. The zero value is no limit.
type Rate struct {
	Requests int
	Per      time.Duration
}

// Limits are how often something may be asked. Each is for one address, one mytoken, one person.
type Limits struct {
	Address, Mytoken, Person Rate
	// Guesses bounds what can be guessed: codes that people type, and passwords of groups and clients, by address. Zero:
	// 30 in a minute; it cannot be switched off.
	Guesses Rate
	// Exempt are addresses that Address does not count.
	Exempt []netip.Prefix
	// Keys is how many addresses, mytokens and persons are remembered. 0: limit.DefaultKeys of each.
	Keys int
}

// Gate counts requests, for all interfaces of one server.
type Gate struct {
	exempt                              []netip.Prefix
	addresses, tokens, persons, guesses *limit.Limiter
}

// NewGate returns a gate that has counted nothing yet. now may be nil.
func NewGate(l Limits, now func() time.Time) *Gate {
	if l.Guesses.Requests <= 0 || l.Guesses.Per <= 0 {
		l.Guesses = Rate{30, time.Minute}
	}
	of := func(r Rate) *limit.Limiter {
		return limit.New(limit.Options{Events: r.Requests, Per: r.Per, Keys: l.Keys, Now: now})
	}
	return &Gate{
		exempt: l.Exempt, addresses: of(l.Address), tokens: of(l.Mytoken), persons: of(l.Person), guesses: of(l.Guesses),
	}
}

// tooMany is the refusal of whoever asks too often. The original sends text, which its client cannot read.
func tooMany(retry time.Duration) *desk.Error {
	return &desk.Error{
		Status: http.StatusTooManyRequests, Code: desk.CodeTooMany, Description: "Too Many Requests", RetryAfter: retry,
	}
}

func take(l *limit.Limiter, key string) error {
	if retry, ok := l.Take(key); !ok {
		return tooMany(retry)
	}
	return nil
}

// address counts a request by where it comes from. Files of pages and discovery are not counted.
func (g *Gate) address(r *http.Request) error {
	if strings.HasPrefix(r.URL.Path, "/static/") {
		return nil
	}
	from := OriginOf(r.Context()).Client
	if slices.ContainsFunc(g.exempt, func(p netip.Prefix) bool { return p.Contains(from) }) {
		return nil
	}
	return take(g.addresses, limit.Address(from))
}

// token counts a request by the mytoken that comes with it, authentic or not: nobody has that of another.
func (g *Gate) token(mt secret.Text) error {
	if g.tokens == nil {
		return nil
	}
	var key string
	_ = mt.Use(func(b []byte) error {
		sum := sha256.Sum256(b)
		key = string(sum[:16])
		return nil
	})
	return take(g.tokens, key)
}

// Guess counts an attempt at something that could be guessed, and refuses one too many.
func (g *Gate) Guess(from netip.Addr) error { return take(g.guesses, limit.Address(from)) }

// Blocked refuses whoever has guessed too often. It counts nothing: Guess does, for what was wrong.
func (g *Gate) Blocked(from netip.Addr) error {
	if retry, full := g.guesses.Full(limit.Address(from)); full {
		return tooMany(retry)
	}
	return nil
}

// Person counts a request by the person of a mytoken that was found authentic: desk.Options.Allow.
func (g *Gate) Person(user, _ string) (retry time.Duration, ok bool) { return g.persons.Take(user) }
