package pages

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/mytoken"
	"github.com/oidcbox/oidcbox/core/mytoken/rules"
)

// when is a time for a page: for machines, for people, and how far away it is.
type when struct {
	ISO, Text, Away string
}

func whenOf(t, now time.Time) when {
	if t.IsZero() {
		return when{}
	}
	t = t.UTC()
	w := when{ISO: t.Format(time.RFC3339), Text: t.Format("2 Jan 2006, 15:04:05 UTC")}
	if t.Second() == 0 {
		w.Text = t.Format("2 Jan 2006, 15:04 UTC")
	}
	switch d := t.Sub(now); {
	case d > -time.Second && d < time.Second:
		w.Away = "now"
	case d > 0:
		w.Away = "in " + inWords(d)
	default:
		w.Away = inWords(-d) + " ago"
	}
	return w
}

// inWords is a length of time, rounded as people do.
func inWords(d time.Duration) string {
	const day = 24 * time.Hour
	for _, u := range []struct {
		size time.Duration
		name string
	}{{365 * day, "year"}, {30 * day, "month"}, {7 * day, "week"}, {day, "day"}, {time.Hour, "hour"}, {
		time.Minute,
		"minute",
	}} {
		if d >= 2*u.size || u.name != "month" && u.name != "week" && d >= u.size {
			return plural(int64((d+u.size/2)/u.size), u.name)
		}
	}
	return plural(int64(d/time.Second), "second")
}

func plural(n int64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return strconv.FormatInt(n, 10) + " " + noun + "s"
}

// word is a technical name with what it means.
type word struct {
	Name, Means string
}

// scopeWords puts scopes into words, as far as they are known ones.
func scopeWords(scopes string) []word {
	var out []word
	for _, s := range strings.Fields(scopes) {
		out = append(out, word{Name: s, Means: scopeMeans(s)})
	}
	return out
}

func scopeMeans(scope string) string {
	switch scope {
	case "openid":
		return "who you are"
	case "profile":
		return "your name and the like"
	case "email":
		return "your mail address"
	case "address":
		return "your postal address"
	case "phone":
		return "your phone number"
	case "offline_access":
		return "use while you are away"
	case "eduperson_entitlement", "entitlements", "wlcg.groups", "groups":
		return "your groups and rights"
	case "eduperson_assurance":
		return "how well your identity was checked"
	case "voperson_id":
		return "your identifier in your community"
	}
	name, path, below := strings.Cut(scope, ":")
	means := ""
	switch name {
	case "storage.read":
		means = "read stored data"
	case "storage.write", "storage.modify":
		means = "change and delete stored data"
	case "storage.create":
		means = "store new data"
	case "storage.stage":
		means = "bring data from tape"
	case "storage.poll":
		means = "see whether data came from tape"
	case "compute.read":
		means = "see your jobs"
	case "compute.modify":
		means = "change your jobs"
	case "compute.create":
		means = "start jobs"
	case "compute.cancel":
		means = "stop your jobs"
	}
	if means != "" && below {
		means += " below " + path
	}
	return means
}

// capabilityWords puts capabilities into words.
func capabilityWords(cs mytoken.Capabilities) []word {
	var out []word
	for _, name := range cs {
		out = append(out, word{Name: name, Means: capabilityMeans(name)})
	}
	return out
}

func capabilityMeans(name string) string {
	path, readOnly := strings.CutPrefix(name, rules.ReadOnly)
	for _, c := range rules.KnownCapabilities() {
		if c.Name == path {
			if readOnly {
				return c.Description + " (only to look at)"
			}
			return c.Description
		}
	}
	return "this server does not know it: it allows nothing"
}

// clauseView is one clause for reading: the words first, the clause itself below.
type clauseView struct {
	N           int // 1 is the first
	From, Until time.Time
	Scopes      []word
	Audience    []string
	Hosts       []string
	Allow, Deny []string
	Access      string // how often
	Other       string
	Technical   string // as JSON
}

// clauseViews puts restrictions into words; counters say what is left of them, where they are known.
func clauseViews(rs mytoken.Restrictions, counters rules.Counters) []clauseView {
	var out []clauseView
	for i, r := range rs {
		c := clauseView{
			N: i + 1, Scopes: scopeWords(r.Scope), Audience: r.Audience,
			Hosts: hostWords(r.Hosts), Allow: countryWords(r.GeoIPAllow), Deny: countryWords(r.GeoIPDisallow),
		}
		c.From, _ = r.NotBefore.Time()
		c.Until, _ = r.Expires.Time()
		c.Access = usesWords(r, rules.Access, counters, "access token")
		c.Other = usesWords(r, rules.Other, counters, "other use")
		if b, err := r.MarshalJSON(); err == nil {
			c.Technical = string(b)
		}
		out = append(out, c)
	}
	return out
}

func usesWords(r mytoken.Restriction, k rules.Kind, counters rules.Counters, noun string) string {
	limit := k.Limit(r)
	if limit == nil {
		return ""
	}
	if *limit == 0 {
		return "no " + noun
	}
	text := "at most " + plural(*limit, noun)
	if counters == nil {
		return text
	}
	left, _ := counters[rules.CounterKey{Clause: rules.KeyOf(r), Kind: k}].Left(limit)
	return fmt.Sprintf("%s, %d left", text, left)
}

func hostWords(hosts []string) []string {
	var out []string
	for _, h := range hosts {
		switch {
		case h == "this":
			h = "this (the address of your browser now)"
		case strings.HasPrefix(h, "*."):
			h += " (all names below it)"
		}
		out = append(out, h)
	}
	return out
}

// placeWords says where an address is.
func (p *Pages) placeWords(a netip.Addr) string {
	switch {
	case !a.IsValid():
		return "an unknown address"
	case a.IsLoopback():
		return a.String() + ", this machine"
	case a.IsPrivate(), a.IsLinkLocalUnicast():
		return a.String() + ", a private network"
	}
	if c := countryWords(nonEmpty(p.o.Country(a))); len(c) == 1 {
		return a.String() + ", " + c[0]
	}
	return a.String() + ", country not known"
}

func nonEmpty(list ...string) []string {
	return slices.DeleteFunc(list, func(s string) bool { return s == "" })
}

// rotationWords puts a rotation into words, nil for none.
func rotationWords(r *mytoken.Rotation) []string {
	if r == nil {
		return nil
	}
	var out []string
	if r.OnAT {
		out = append(out, "replaced by a new one with each access token")
	}
	if r.OnOther {
		out = append(out, "replaced by a new one with each other use")
	}
	if r.Lifetime > 0 {
		out = append(out, "each one is good for "+inWords(r.Lifetime)+" at most")
	}
	if r.AutoRevoke {
		out = append(out, "if a replaced one is used again, all of them end")
	}
	return out
}

// lifeWords says how long a mytoken with these restrictions can be used at most.
func lifeWords(rs mytoken.Restrictions) time.Time { return rules.Ends(rs) }

// maxText is how many characters of a text of a stranger are shown.
const maxText = 300

// plain makes a text of a stranger safe to look at: what cannot be seen or turns the order of letters around becomes
// visible, and it ends somewhere.
func plain(s string) string {
	s = strings.ToValidUTF8(s, "\ufffd")
	if r := []rune(s); len(r) > maxText {
		s = string(r[:maxText]) + "…"
	}
	return strings.ReplaceAll(cli.Printable(s), "\n", " ")
}
