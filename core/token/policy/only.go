package policy

import (
	"slices"
	"strconv"

	"github.com/oidcbox/oidcbox/core/config"
)

// ReadFor reads one requirement that stands at a inside another file and is for the persons of one issuer alone: it refuses
// everybody else. Memberships, claims and subjects in it are that issuer's, so no issuer has to stand beside them. It is
// asked with a Request that names nothing. What is wrong is in r; while r.Err is not nil the policy is not to be used.
func ReadFor(r *config.Reader, a config.At, iss string) *Policy {
	x := &builder{
		Reader: r,
		p:      &Policy{services: map[string]*service{}, issuers: map[string]issuer{}, levels: map[string]requirement{}},
		named:  map[string][]config.At{}, levelAt: map[string]config.At{}, only: iss,
	}
	x.p.entitlementClaims = entitlementClaims()
	inner := x.requirement(a)
	x.resolve()
	if len(x.inUse) > 0 {
		x.Fault(x.inUse[0], "storage has no place here: nothing is asked about files")
	}
	x.p.single = &service{require: counted{kind: "all_of", parts: []requirement{issuerIs{iss}, inner}}}
	return x.p
}

// Overview is what a policy for one kind of request comes down to, for telling people who is let in: it leaves out how the
// parts are combined.
type Overview struct {
	Everybody bool     // whoever has a token that was accepted
	VOs       []string // memberships that are asked for, in the order of the file
	Match     string   // how many of them: "all", "one" or a number; of several lists that of the first
	Persons   bool     // some are named one by one
}

// Overview returns that of a policy without services.
func (p *Policy) Overview() (o Overview) {
	if p == nil || p.single == nil {
		return o
	}
	o.Everybody = p.everybody(p.single.require)
	p.look(p.single.require, &o, "")
	return o
}

// everybody reports whether a requirement holds for each person of the issuers it names.
func (p *Policy) everybody(r requirement) bool {
	switch r := r.(type) {
	case issuerIs:
		return true
	case level:
		return r.name == Anyone || r.name == Identified || p.levels[r.name] != nil && p.everybody(p.levels[r.name])
	case counted:
		n := 0
		for _, part := range r.parts {
			if p.everybody(part) {
				n++
			}
		}
		return len(r.parts) > 0 && n >= r.needed()
	}
	return false
}

// look collects what is in r, which stands in a list of which match many have to hold. That levels end was checked before.
func (p *Policy) look(r requirement, o *Overview, match string) {
	switch r := r.(type) {
	case level:
		if inner := p.levels[r.name]; inner != nil {
			p.look(inner, o, match)
		}
	case subjectIs:
		o.Persons = true
	case inVO:
		o.addVO(r.text, match)
	case hasClaim:
		if plainGroups(r.claim) {
			o.addVO(r.want.text, match)
		}
	case counted:
		for _, part := range r.parts {
			p.look(part, o, r.match())
		}
	}
}

func (o *Overview) addVO(text, match string) {
	if slices.Contains(o.VOs, text) {
		return
	}
	if len(o.VOs) == 0 {
		o.Match = match
	}
	o.VOs = append(o.VOs, text)
}

func (c counted) match() string {
	switch {
	case c.need == 0 || c.need == len(c.parts) && c.need > 1:
		return "all"
	case c.need == 1:
		return "one"
	}
	return strconv.Itoa(c.need)
}
