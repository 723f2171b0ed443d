package rules

import (
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/oidcbox/oidcbox/core/mytoken"
	"github.com/oidcbox/oidcbox/core/token/claims"
)

// Limits of what may be asked for. A token is sent with every request and has to fit into a header.
const (
	maxClauses  = 64
	maxEntries  = 128 // of one list in a clause
	maxAudience = 1024
	maxUsages   = 1 << 40
)

// Keys returns the members of a clause that limit something, in the order of the API.
func Keys() []string {
	return []string{
		"nbf", "exp", "scope", "audience", "hosts", "geoip_allow", "geoip_disallow", "usages_AT",
		"usages_other",
	}
}

// Setting is what a request for restrictions is settled by.
type Setting struct {
	Now    time.Time  // its zone is that of times without one
	Client netip.Addr // what "this" stands for; the zero Addr: nothing yet, the word stays
	// Supported are the keys of clauses that the server looks at. nil: all. What it would not look at is refused.
	Supported []string
	// ResourceOnly says that the provider takes audiences as resource only. One that it could not be asked for is refused
	// here, before anybody logs in.
	ResourceOnly bool
}

// Resource reports whether an audience can be asked for as resource: an absolute URI without fragment (RFC 8707
// section 2). "fedcloud" and "se.example.org" are none, nor is "se.example.org:8443", which a parser takes for a
// scheme and a rest.
func Resource(audience string) bool {
	u, err := url.Parse(audience)
	if err != nil || !u.IsAbs() || strings.Contains(audience, "#") {
		return false
	}
	port, _, _ := strings.Cut(u.Opaque, "/")
	return u.Host != "" || strings.Trim(port, "0123456789") != ""
}

// Settle returns the restrictions that a token can carry for those asked for: times are numbers, "this" is an address,
// every value has its one spelling and stands once, clauses that say the same as an earlier one or nothing at all are
// left out. No clause is no restriction, in what is asked for and in what is returned.
//
// Refused with a *ClausesError, which has every fault: a clause that nothing can ever use (no time in it, over
// already, an empty list, countries that are all forbidden, no use of either kind), and one that could not be kept to
// (an unknown member, a key that is not supported, a template that was not expanded).
func Settle(asked mytoken.Restrictions, s Setting) (mytoken.Restrictions, error) {
	if len(asked) > maxClauses {
		return nil, &ClausesError{[]Fault{{maxClauses + 1, "there may be " + strconv.Itoa(maxClauses) + " clauses"}}}
	}
	var (
		out    mytoken.Restrictions
		faults []Fault
		seen   = map[Key]bool{}
	)
	for i, r := range asked {
		c, reasons := settle(r, s)
		for _, reason := range reasons {
			faults = append(faults, Fault{i + 1, reason})
		}
		if len(reasons) > 0 || c.Empty() {
			continue
		}
		if k := KeyOf(c); !seen[k] {
			seen[k] = true
			out = append(out, c)
		}
	}
	if len(faults) > 0 {
		return nil, &ClausesError{faults}
	}
	return out, nil
}

// settle settles one clause and says what is wrong with it.
func settle(r mytoken.Restriction, s Setting) (mytoken.Restriction, []string) {
	var faults []string
	for _, name := range r.Unknown() {
		faults = append(faults, "member "+quote(name)+" is not known")
	}
	for _, name := range r.Vacant() {
		faults = append(faults, name+" is empty; leave it out where there is no limit")
	}
	if len(r.Include) > 0 {
		faults = append(faults, "it names templates")
	}
	out := mytoken.Restriction{UsagesAT: r.UsagesAT, UsagesOther: r.UsagesOther}
	for _, part := range []func(in mytoken.Restriction, out *mytoken.Restriction, s Setting) string{
		settleTimes, settleScope, settleAudience, settleHosts, settleCountries, settleUsages, supported,
	} {
		if fault := part(r, &out, s); fault != "" {
			faults = append(faults, fault)
		}
	}
	return out, faults
}

func settleTimes(in mytoken.Restriction, out *mytoken.Restriction, s Setting) string {
	var err error
	if out.NotBefore, err = Reckon(in.NotBefore, s.Now); err != nil {
		return "nbf is " + err.Error()
	}
	if out.Expires, err = Reckon(in.Expires, s.Now); err != nil {
		return "exp is " + err.Error()
	}
	return timeFault(*out, s.Now)
}

// timeFault says why a clause has no time left, "" when it has.
func timeFault(r mytoken.Restriction, now time.Time) string {
	switch exp := r.Expires.Unix(); {
	case exp == 0:
		return ""
	case !r.NotBefore.IsZero() && exp <= r.NotBefore.Unix():
		return "exp (" + r.Expires.String() + ") is not after nbf (" + r.NotBefore.String() + ")"
	case exp <= now.Unix():
		return "exp (" + r.Expires.String() + ") is past"
	}
	return ""
}

func settleScope(in mytoken.Restriction, out *mytoken.Restriction, _ Setting) string {
	var list claims.Scopes
	for _, s := range strings.Fields(in.Scope) {
		if fault := scopeFault(s); fault != "" {
			return fault
		}
		list = appendNew(list, s)
	}
	out.Scope = list.String()
	return tooMany("scope", len(list))
}

func settleAudience(in mytoken.Restriction, out *mytoken.Restriction, s Setting) string {
	for _, a := range in.Audience {
		if a == "" || len(a) > maxAudience || strings.ContainsFunc(a, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
			return "an audience is empty, too long, or has blanks in it"
		}
		if s.ResourceOnly && !Resource(a) {
			return "audience " + quote(a) + " is no absolute URI, and the provider takes no other"
		}
		out.Audience = appendNew(out.Audience, a)
	}
	return tooMany("audience", len(out.Audience))
}

func settleHosts(in mytoken.Restriction, out *mytoken.Restriction, s Setting) string {
	for _, e := range in.Hosts {
		if strings.TrimSpace(e) == This {
			if !s.Client.IsValid() {
				out.Hosts = appendNew(out.Hosts, This)
				continue
			}
			e = s.Client.String()
		}
		h, ok := parseHost(e)
		if !ok {
			return "host " + quote(e) + " is no address, no network and no name"
		}
		out.Hosts = appendNew(out.Hosts, h.String())
	}
	return tooMany("hosts", len(out.Hosts))
}

func settleCountries(in mytoken.Restriction, out *mytoken.Restriction, _ Setting) string {
	for _, m := range []struct {
		from []string
		to   *[]string
	}{{in.GeoIPAllow, &out.GeoIPAllow}, {in.GeoIPDisallow, &out.GeoIPDisallow}} {
		for _, code := range m.from {
			c := strings.ToUpper(strings.TrimSpace(code))
			if len(c) != 2 || c[0] < 'A' || c[0] > 'Z' || c[1] < 'A' || c[1] > 'Z' {
				return "country " + quote(code) + " is no two-letter code of ISO 3166"
			}
			*m.to = appendNew(*m.to, c)
		}
	}
	forbidden := func(c string) bool { return slices.Contains(out.GeoIPDisallow, c) }
	if len(out.GeoIPAllow) > 0 && !slices.ContainsFunc(out.GeoIPAllow, func(c string) bool { return !forbidden(c) }) {
		return "geoip_disallow has every country of geoip_allow"
	}
	return tooMany("countries", max(len(out.GeoIPAllow), len(out.GeoIPDisallow)))
}

func settleUsages(in mytoken.Restriction, _ *mytoken.Restriction, _ Setting) string {
	for _, n := range []*int64{in.UsagesAT, in.UsagesOther} {
		if n != nil && (*n < 0 || *n > maxUsages) {
			return "a number of usages is out of range"
		}
	}
	if in.UsagesAT != nil && in.UsagesOther != nil && *in.UsagesAT == 0 && *in.UsagesOther == 0 {
		return "usages_AT and usages_other are both 0"
	}
	return ""
}

// supported refuses what this server would not look at: a limit that is not kept to is none.
func supported(in mytoken.Restriction, _ *mytoken.Restriction, s Setting) string {
	if s.Supported == nil {
		return ""
	}
	for _, key := range used(in) {
		if !slices.Contains(s.Supported, key) {
			return key + " is not supported by this server"
		}
	}
	return ""
}

// used returns the keys that limit something in r.
func used(r mytoken.Restriction) []string {
	var out []string
	for i, set := range []bool{
		!r.NotBefore.IsZero(), !r.Expires.IsZero(), r.Scope != "", len(r.Audience) > 0, len(r.Hosts) > 0,
		len(r.GeoIPAllow) > 0, len(r.GeoIPDisallow) > 0, r.UsagesAT != nil, r.UsagesOther != nil,
	} {
		if set {
			out = append(out, Keys()[i])
		}
	}
	return out
}

func tooMany(what string, n int) string {
	if n <= maxEntries {
		return ""
	}
	return what + " has more than " + strconv.Itoa(maxEntries) + " entries"
}

// quote makes a stranger's text fit for an error.
func quote(s string) string {
	const most = 64
	if len(s) > most {
		s = s[:most] + "..."
	}
	return strconv.QuoteToASCII(s)
}
