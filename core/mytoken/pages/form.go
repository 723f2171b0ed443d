package pages

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/oidcbox/oidcbox/core/mytoken"
	"github.com/oidcbox/oidcbox/core/mytoken/desk"
	"github.com/oidcbox/oidcbox/core/mytoken/rules"
)

// input is one field of a form with its label and what is wrong with it.
type input struct {
	Name, Label, Hint, Value, Error string
	Type                            string // of the element input, or "select", "area"
	Max                             int
	Options                         []option
	Required                        bool
	Off                             bool // no autocompletion: it is a secret, or never the same
}

type option struct {
	Value, Text string
	Chosen      bool
}

// box is a checkbox.
type box struct {
	Name, Value, Label, Code string
	Checked                  bool
	Deep                     bool // a part of the one above
}

// termsForm is a form for what a mytoken is to be. The same form comes back with errors next to its fields.
type termsForm struct {
	Issuer       input
	Name         input
	Capabilities []box
	Parts        []box // capabilities that are a part of one of those
	PartsOpen    bool
	CapError     string
	Clauses      []clauseForm
	Rotation     []box
	Lifetime     input
	Unit         input
	Count        int
	Faults       []string // what is wrong with no field in particular
	Wrong        int      // fields with errors
	Full         bool     // no clause can be added
}

// clauseForm is one clause in a form.
type clauseForm struct {
	N      int // 1 is the first
	Inputs []input
	Faults []string
}

const (
	maxName  = 256
	maxField = 4096
)

// builder makes forms of terms.
type builder struct {
	providers []desk.ProviderInfo
	supported []string // keys of clauses; nil: all
	clauses   int      // as many there may be
	errs      map[string]string
	faults    map[int][]string // of clauses, 0: of none
}

// form shows terms in a form.
func (b builder) form(t desk.Terms) termsForm {
	f := termsForm{
		Issuer: b.issuer(t.Issuer),
		Name: b.input(input{
			Name: "name", Label: "Name", Value: t.Name, Max: maxName, Off: true,
			Hint: "to find it again in your list; optional",
		}),
		CapError: b.errs["cap"],
		Count:    len(t.Restrictions), Faults: b.faults[0], Wrong: len(b.errs) + len(b.faults),
		Full: len(t.Restrictions) >= b.clauses,
	}
	f.capabilities(t.Capabilities)
	for i, r := range t.Restrictions {
		f.Clauses = append(f.Clauses, b.clause(i, r))
	}
	b.rotation(&f, t.Rotation)
	return f
}

func (b builder) input(in input) input {
	if in.Type == "" {
		in.Type = "text"
	}
	if in.Max == 0 {
		in.Max = maxField
	}
	in.Error = b.errs[in.Name]
	return in
}

func (b builder) issuer(chosen string) input {
	in := input{
		Name: "issuer", Label: "Provider", Type: "select", Required: true,
		Hint: "where you log in, and which gives the access tokens",
	}
	for _, p := range b.providers {
		in.Options = append(in.Options, option{
			Value: p.Issuer, Text: providerName(p), Chosen: mytoken.SameIssuer(p.Issuer, chosen),
		})
	}
	return b.input(in)
}

func providerName(p desk.ProviderInfo) string {
	text := plain(p.Name)
	if text == "" {
		text = hostOf(p.Issuer)
	}
	if p.Down {
		text += " (does not answer at present)"
	}
	return text
}

// capabilities makes a box for each capability there is, and for those that are asked for and are none. Parts of others
// are apart, so that the list is short for those who do not need them.
func (f *termsForm) capabilities(held mytoken.Capabilities) {
	add := func(name string) {
		x := box{
			Name: "cap", Value: name, Code: name, Label: capabilityMeans(name), Checked: slices.Contains(held, name),
		}
		if rules.Known(name) && (strings.Contains(name, ":") || strings.HasPrefix(name, rules.ReadOnly)) {
			f.Parts = append(f.Parts, x)
			f.PartsOpen = f.PartsOpen || x.Checked
			return
		}
		f.Capabilities = append(f.Capabilities, x)
	}
	for _, c := range rules.KnownCapabilities() {
		add(c.Name)
		if c.ReadOnly {
			add(rules.ReadOnly + c.Name)
		}
	}
	for _, name := range held {
		if !rules.Known(name) {
			add(name)
		}
	}
}

// clause shows the clause with the number i, 0 is the first, in the fields of the keys that the server looks at.
func (b builder) clause(i int, r mytoken.Restriction) clauseForm {
	f := clauseForm{N: i + 1, Faults: b.faults[i+1]}
	add := func(key string, in input) {
		if b.supported == nil || slices.Contains(b.supported, key) {
			in.Name = clauseField(i, key)
			in.Off = true
			f.Inputs = append(f.Inputs, b.input(in))
		}
	}
	add("nbf", input{
		Label: "Usable from (UTC)", Value: momentValue(r.NotBefore), Type: "datetime-local", Hint: "empty: at once",
	})
	add("exp", input{
		Label: "Usable until (UTC)", Value: momentValue(r.Expires), Type: "datetime-local", Hint: "empty: without end",
	})
	add("scope", input{
		Label: "Scopes of access tokens", Value: r.Scope, Hint: "with blanks between; empty: any" + b.offered(),
	})
	add("audience", input{
		Label: "Services that take the access tokens (audience)", Value: strings.Join(r.Audience, " "),
		Hint: "with blanks between; empty: any",
	})
	add("hosts", input{
		Label: "Used from these addresses or hosts", Value: strings.Join(r.Hosts, " "),
		Hint: "such as 192.0.2.7, 198.51.100.0/24, *.example.org, this; empty: from anywhere",
	})
	add("geoip_allow", input{
		Label: "Used from these countries", Value: strings.Join(r.GeoIPAllow, " "), Hint: "two letters each: BE NL",
	})
	add("geoip_disallow", input{
		Label: "Not from these countries", Value: strings.Join(r.GeoIPDisallow, " "), Hint: "two letters each",
	})
	add("usages_AT", input{
		Label: "How many access tokens", Value: countValue(r.UsagesAT), Type: "number", Hint: "empty: any number",
	})
	add("usages_other", input{
		Label: "How many other uses", Value: countValue(r.UsagesOther), Type: "number", Hint: "empty: any number",
	})
	return f
}

func (b builder) offered() string {
	var all []string
	for _, p := range b.providers {
		for _, s := range p.Scopes {
			if !slices.Contains(all, s) && len(all) < 30 {
				all = append(all, s)
			}
		}
	}
	if len(all) == 0 {
		return ""
	}
	return ". Offered: " + plain(strings.Join(all, " "))
}

func clauseField(i int, key string) string { return "c" + strconv.Itoa(i) + "." + key }

// momentValue is a time as the element input has it. Seconds are there where they are not 0.
func momentValue(m mytoken.Moment) string {
	t, ok := m.Time()
	switch {
	case !ok:
		return m.Text()
	case t.Second() == 0:
		return t.UTC().Format("2006-01-02T15:04")
	}
	return t.UTC().Format("2006-01-02T15:04:05")
}

func countValue(n *int64) string {
	if n == nil {
		return ""
	}
	return strconv.FormatInt(*n, 10)
}

// units of a rotation's lifetime, the longest first.
func units() []struct {
	name string
	size time.Duration
} {
	return []struct {
		name string
		size time.Duration
	}{{"days", 24 * time.Hour}, {"hours", time.Hour}, {"minutes", time.Minute}, {"seconds", time.Second}}
}

func (b builder) rotation(f *termsForm, r *mytoken.Rotation) {
	if r == nil {
		r = &mytoken.Rotation{}
	}
	f.Rotation = []box{
		{Name: "rotate", Value: "on_AT", Label: "with each access token", Checked: r.OnAT},
		{Name: "rotate", Value: "on_other", Label: "with each other use", Checked: r.OnOther},
		{Name: "rotate", Value: "auto_revoke", Label: "end it when a replaced one is used again", Checked: r.AutoRevoke},
	}
	value, unit := "", "days"
	if r.Lifetime > 0 {
		for _, u := range units() {
			if r.Lifetime%u.size == 0 {
				value, unit = strconv.FormatInt(int64(r.Lifetime/u.size), 10), u.name
				break
			}
		}
	}
	f.Lifetime = b.input(input{
		Name: "lifetime", Label: "Each one is good for at most", Value: value, Type: "number", Off: true,
		Hint: "empty: as long as the mytoken",
	})
	f.Unit = input{Name: "unit", Label: "Unit of this time", Type: "select"}
	for _, u := range units() {
		f.Unit.Options = append(f.Unit.Options, option{Value: u.name, Text: u.name, Chosen: u.name == unit})
	}
}
