package mytoken

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/oidcbox/oidcbox/core/token/jose"
)

// Capabilities are what a mytoken may be used for: "AT", "create_mytoken", "tokeninfo:history" and so on. In what is
// asked for, "@name" is a template of the server.
type Capabilities []string

// UnmarshalJSON reads an array, or one string of template names.
func (c *Capabilities) UnmarshalJSON(b []byte) error {
	o, err := wrapped(b)
	if err != nil {
		return fmt.Errorf("%w: capabilities: %w", ErrRequest, err)
	}
	*c = nil
	if raw, _ := o.Raw(member); strings.HasPrefix(raw, `"`) {
		s, err := o.String(member)
		for _, name := range splitNames(s) {
			*c = append(*c, "@"+strings.TrimPrefix(name, "@"))
		}
		return err
	}
	list, err := o.Strings(member)
	if err != nil {
		return fmt.Errorf("%w: capabilities: %w", ErrRequest, err)
	}
	*c = list
	return nil
}

// member is the name under which a value that is no object is read strictly.
const member = "value"

func wrapped(b []byte) (jose.Object, error) {
	return readObject(slices.Concat([]byte(`{"`+member+`":`), b, []byte("}")))
}

// splitNames takes names of templates apart: separated by blanks.
func splitNames(s string) []string { return strings.Fields(s) }

// Restriction is one clause: all of what it names has to hold.
type Restriction struct {
	NotBefore, Expires        Moment
	Scope                     string   // separated by blanks
	Audience                  []string // of access tokens
	Hosts                     []string // address, network, name, "*.suffix"; "this" in what is asked for
	GeoIPAllow, GeoIPDisallow []string // countries
	UsagesAT, UsagesOther     *int64   // nil: any number
	UsedAT, UsedOther         *int64   // how often it was used, where the server says so
	Include                   []string // names of templates, in what is asked for
	noScope                   bool     // there is a scope, with nothing in it
	rest                      jose.Object
}

// ParseRestriction reads a clause. The members it does not know are kept.
func ParseRestriction(b []byte) (Restriction, error) {
	o, err := readObject(b)
	if err == nil {
		var r Restriction
		if r, err = readRestriction(o); err == nil {
			return r, nil
		}
	}
	return Restriction{}, fmt.Errorf("%w: restriction: %w", ErrRequest, err)
}

func readRestriction(o jose.Object) (r Restriction, err error) {
	hosts := "hosts"
	if !o.Has(hosts) && o.Has("ip") { // its name in tokens before 0.7
		hosts = "ip"
	}
	for _, m := range []struct {
		name string
		to   *Moment
	}{{"nbf", &r.NotBefore}, {"exp", &r.Expires}} {
		if raw, ok := o.Raw(m.name); ok {
			if err := m.to.UnmarshalJSON([]byte(raw)); err != nil {
				return r, fmt.Errorf("%s: %w", m.name, err)
			}
		}
	}
	for _, m := range []struct {
		name string
		to   *[]string
	}{{"audience", &r.Audience}, {hosts, &r.Hosts}, {"geoip_allow", &r.GeoIPAllow}, {"geoip_disallow", &r.GeoIPDisallow}} {
		if *m.to, err = o.OneOrMore(m.name); err != nil {
			return r, err
		}
	}
	for _, m := range []struct {
		name string
		to   **int64
	}{
		{"usages_AT", &r.UsagesAT},
		{"usages_other", &r.UsagesOther},
		{"usages_AT_done", &r.UsedAT},
		{"usages_other_done", &r.UsedOther},
	} {
		if *m.to, err = count(o, m.name); err != nil {
			return r, err
		}
	}
	if r.Scope, err = o.String("scope"); err != nil {
		return r, err
	}
	r.noScope = r.Scope == "" && o.Has("scope")
	if r.Include, err = namesIn(o, "include"); err != nil {
		return r, err
	}
	r.rest = o.Without("nbf", "exp", "scope", "audience", hosts, "geoip_allow", "geoip_disallow", "usages_AT",
		"usages_other", "usages_AT_done", "usages_other_done", "include")
	return r, nil
}

func count(o jose.Object, name string) (*int64, error) {
	n, ok, err := o.Int(name)
	if err != nil || !ok {
		return nil, err
	}
	if n < 0 {
		return nil, &jose.MemberError{Name: name, Want: "a count"}
	}
	return &n, nil
}

// MarshalJSON writes the clause in the server's order of members.
func (r Restriction) MarshalJSON() ([]byte, error) {
	var o object
	if !r.NotBefore.IsZero() {
		o.put("nbf", r.NotBefore)
	}
	if !r.Expires.IsZero() {
		o.put("exp", r.Expires)
	}
	if r.Scope != "" || r.noScope {
		o.put("scope", r.Scope)
	}
	for _, m := range r.lists() {
		if m.values != nil { // an empty one says something else than none, and it is not ours to drop it
			o.put(m.name, m.values)
		}
	}
	for _, m := range []struct {
		name string
		v    *int64
	}{
		{"usages_AT", r.UsagesAT},
		{"usages_other", r.UsagesOther},
		{"usages_AT_done", r.UsedAT},
		{"usages_other_done", r.UsedOther},
	} {
		if m.v != nil {
			o.put(m.name, *m.v)
		}
	}
	o.list("include", r.Include)
	o.rest(r.rest)
	return o.bytes()
}

type namedList struct {
	name   string
	values []string
}

func (r Restriction) lists() []namedList {
	return []namedList{
		{"audience", r.Audience},
		{"hosts", r.Hosts},
		{"geoip_allow", r.GeoIPAllow},
		{"geoip_disallow", r.GeoIPDisallow},
	}
}

// Vacant returns the names of the members that are there with nothing in them: a clause that was meant to limit
// something and does not say to what.
func (r Restriction) Vacant() []string {
	var names []string
	if r.noScope || r.Scope != "" && strings.TrimSpace(r.Scope) == "" {
		names = append(names, "scope")
	}
	for _, m := range r.lists() {
		if m.values != nil && len(m.values) == 0 {
			names = append(names, m.name)
		}
	}
	return names
}

// Unknown returns the names of the members that this package has no meaning for.
func (r Restriction) Unknown() []string {
	var names []string
	for name := range r.rest.All() {
		names = append(names, name)
	}
	return names
}

// Empty reports whether the clause limits nothing.
func (r Restriction) Empty() bool {
	b, err := r.MarshalJSON()
	return err == nil && string(b) == "{}"
}

// String is the clause for a person, on one line.
func (r Restriction) String() string {
	var parts []string
	add := func(label, v string) {
		if v != "" {
			parts = append(parts, label+" "+v)
		}
	}
	add("from", r.NotBefore.String())
	add("until", r.Expires.String())
	add("scope", r.Scope)
	add("audience", strings.Join(r.Audience, " "))
	add("from hosts", strings.Join(r.Hosts, " "))
	add("in", strings.Join(r.GeoIPAllow, " "))
	add("not in", strings.Join(r.GeoIPDisallow, " "))
	if r.UsagesAT != nil {
		add("access tokens", strconv.FormatInt(*r.UsagesAT, 10))
	}
	if r.UsagesOther != nil {
		add("other uses", strconv.FormatInt(*r.UsagesOther, 10))
	}
	add("template", strings.Join(r.Include, " "))
	for name := range r.rest.All() {
		parts = append(parts, name)
	}
	return strings.Join(parts, ", ")
}

// Restrictions are alternatives: a use is allowed where one clause allows it. None at all is no restriction.
type Restrictions []Restriction

// UnmarshalJSON reads an array of clauses, one clause, or a string of template names.
func (rs *Restrictions) UnmarshalJSON(b []byte) error {
	*rs = nil
	o, err := wrapped(bytes.TrimSpace(b))
	if err != nil {
		return fmt.Errorf("%w: restrictions: %w", ErrRequest, err)
	}
	raw, _ := o.Raw(member)
	switch {
	case strings.HasPrefix(raw, `"`):
		names, err := namesIn(o, member)
		*rs = Restrictions{{Include: names}}
		return err
	case strings.HasPrefix(raw, "{"):
		r, err := ParseRestriction([]byte(raw))
		*rs = Restrictions{r}
		return err
	}
	clauses, err := elements(o, member)
	if err != nil {
		return fmt.Errorf("%w: restrictions: %w", ErrRequest, err)
	}
	for _, c := range clauses {
		r, err := ParseRestriction(c)
		if err != nil {
			return err
		}
		*rs = append(*rs, r)
	}
	return nil
}
