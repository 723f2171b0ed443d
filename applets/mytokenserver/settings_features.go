package mytokenserver

import (
	"errors"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/oidcbox/oidcbox/core/config"
	"github.com/oidcbox/oidcbox/core/mytoken/rules"
)

func featureKeys() []string {
	return []string{
		"polling_codes", "web_logins", "device_codes", "subtokens", "transfer_codes", "short_tokens", "token_exchange",
		"revocation", "tokeninfo", "unsupported_restrictions", "trusted_redirect_uris",
	}
}

func infoKeys() []string {
	return []string{"introspect", "event_history", "subtokens", "list_mytokens"}
}

// features reads what is switched on: everything, unless the file says otherwise.
func (r settingsReader) features(a config.At) {
	f := config.Fields{}
	if a.Present() {
		f = r.Fields(a, featureKeys()...)
	}
	on := &r.s.features
	on.Polling = r.Bool(f["polling_codes"], true)
	on.Web = r.Bool(f["web_logins"], true)
	on.Device = r.Bool(f["device_codes"], false)
	on.Subtokens = r.Bool(f["subtokens"], true)
	on.Transfer = r.Bool(f["transfer_codes"], true)
	on.Short = r.Bool(f["short_tokens"], true)
	r.s.info.tokenExchange = r.Bool(f["token_exchange"], true)
	r.s.info.revocation = r.Bool(f["revocation"], true)
	r.info(f["tokeninfo"])
	if u := f["unsupported_restrictions"]; u.Present() {
		on.Unsupported = r.restrictionKeys(u)
	}
	r.trusted(f["trusted_redirect_uris"])
}

func (r settingsReader) info(a config.At) {
	f := config.Fields{}
	if a.Present() {
		f = r.Fields(a, infoKeys()...)
	}
	i := &r.s.info
	i.introspect = r.Bool(f["introspect"], true)
	i.history = r.Bool(f["event_history"], true)
	i.tree = r.Bool(f["subtokens"], true)
	i.list = r.Bool(f["list_mytokens"], true)
}

func (r settingsReader) restrictionKeys(a config.At) []string {
	list := r.Texts(a)
	for _, k := range list {
		if !slices.Contains(rules.Keys(), k) {
			r.Fault(a, "%q is no key of a restriction: %v", k, rules.Keys())
		}
	}
	return list
}

// trusted reads the pages that may log people in without the consent page: addresses, of which one that ends in a star
// stands for all that begin so.
func (r settingsReader) trusted(a config.At) {
	if !a.Present() {
		return
	}
	list := r.Texts(a)
	for _, s := range list {
		if !soundPattern(s) {
			r.Fault(a, "%q has to be an address with https:// and a path, at its end a star or none "+
				"(https://portal.example.org/mytoken/*)", s)
		}
	}
	r.s.features.Trusted = func(uri string) bool { return matchesAny(list, uri) }
}

func limitKeys() []string {
	return []string{
		"login", "polling_interval", "polling_code_length", "transfer_code", "transfer_code_length", "short_token_length", "request",
		"clauses", "address", "user", "mytoken", "connections", "grace",
	}
}

const (
	defaultGrace       = 10 * time.Second
	defaultConnections = 4096
	maxCode            = 128
)

func (r settingsReader) limits(a config.At) {
	f := config.Fields{}
	if a.Present() {
		f = r.Fields(a, limitKeys()...)
	}
	l := &r.s.limits
	l.Login = r.Duration(f["login"], 5*time.Minute, 30*time.Second, time.Hour)
	l.Interval = r.Duration(f["polling_interval"], 5*time.Second, time.Second, 15*time.Second)
	l.PollingLen = r.Int(f["polling_code_length"], 32, 8, maxCode)
	l.Transfer = r.Duration(f["transfer_code"], 5*time.Minute, 30*time.Second, time.Hour)
	l.TransferLen = r.Int(f["transfer_code_length"], 12, 8, 31)
	l.ShortLen = r.Int(f["short_token_length"], 64, 32, maxCode)
	l.Request = int(r.Size(f["request"], 64<<10, 4<<10, 1<<20))
	l.Clauses = r.Int(f["clauses"], 16, 1, 64)
	r.s.rates.address = r.rate(f["address"], rate{600, time.Minute})
	r.s.rates.user = r.rate(f["user"], rate{})
	r.s.rates.token = r.rate(f["mytoken"], rate{})
	r.s.conns = r.Int(f["connections"], defaultConnections, 16, 1<<20)
	r.s.grace = r.Duration(f["grace"], defaultGrace, time.Second, 10*time.Minute)
}

// rate reads "REQUESTS/TIME", or none.
func (r settingsReader) rate(a config.At, fallback rate) rate {
	s, ok := r.Text(a)
	switch {
	case !ok:
		return fallback
	case s == "none":
		return rate{}
	}
	got, err := parseRate(s)
	if err != nil {
		r.Fault(a, "has to be REQUESTS/TIME, such as 600/1m, or none")
		return fallback
	}
	return got
}

// parseRate reads REQUESTS/TIME.
func parseRate(s string) (rate, error) {
	count, window, ok := strings.Cut(s, "/")
	n, err := strconv.ParseUint(count, 10, 24)
	per, timeErr := time.ParseDuration(window)
	if !ok || err != nil || timeErr != nil || n == 0 || per < time.Second || per > 24*time.Hour {
		return rate{}, errRate
	}
	return rate{int(n), per}, nil
}

var errRate = errors.New("no rate")

// soundPattern reports whether s is a web address with a host and a path, of which only the end may be a star.
func soundPattern(s string) bool {
	u, err := url.Parse(strings.TrimSuffix(s, "*"))
	return err == nil && plainAddress(u) && strings.HasPrefix(u.Path, "/") && !strings.Contains(u.String(), "*")
}

func plainAddress(u *url.URL) bool {
	return (u.Scheme == "https" || u.Scheme == "http" && onThisMachine(u.Hostname())) &&
		u.Host != "" && u.User == nil && u.Fragment == ""
}

// matchesAny reports whether a redirect URI is one of those trusted. What a browser could read in another way than this
// does (dots, backslashes, encoded slashes) is trusted nowhere.
func matchesAny(patterns []string, uri string) bool {
	u, err := url.Parse(uri)
	if err != nil || !plainAddress(u) || strings.ContainsAny(uri, "\\ \t\r\n") || u.EscapedPath() != u.Path ||
		path.Clean(u.Path) != strings.TrimSuffix(u.Path, "/") && u.Path != "/" {
		return false
	}
	for _, p := range patterns {
		begin, open := strings.CutSuffix(p, "*")
		if uri == p && !open || open && strings.HasPrefix(uri, begin) {
			return true
		}
	}
	return false
}
