package pages

import (
	"errors"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/oidcbox/oidcbox/core/mytoken"
	"github.com/oidcbox/oidcbox/core/mytoken/desk"
	"github.com/oidcbox/oidcbox/core/mytoken/ledger"
	"github.com/oidcbox/oidcbox/core/mytoken/rules"
)

// maxCapabilities is how many capabilities a form can have.
const maxCapabilities = 128

// reader takes a form of terms apart. What is wrong with a field stands under its name; a field that is wrong keeps
// what was written in it only on the page, never in the terms.
type reader struct {
	form      url.Values
	now       time.Time
	supported []string
	errs      map[string]string
	faults    map[int][]string
	raw       map[string]string // what was written into fields that are wrong
}

func newReader(form url.Values, now time.Time, supported []string) *reader {
	return &reader{
		form: form, now: now.UTC(), supported: supported,
		errs: map[string]string{}, faults: map[int][]string{}, raw: map[string]string{},
	}
}

// ok reports whether nothing is wrong.
func (d *reader) ok() bool { return len(d.errs) == 0 && len(d.faults) == 0 }

func (d *reader) fail(name, why string) {
	d.errs[name] = why
	d.raw[name] = d.form.Get(name)
}

// text is what stands in a field, without blanks around it.
func (d *reader) text(name string, most int) string {
	s := strings.TrimSpace(d.form.Get(name))
	switch {
	case !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }):
		d.fail(name, "There are characters in it that cannot be.")
	case utf8.RuneCountInString(s) > most:
		d.fail(name, "This is too long: at most "+strconv.Itoa(most)+" characters.")
	default:
		return s
	}
	return ""
}

// terms reads the whole form. Clauses stay in their places, also those that say nothing.
func (d *reader) terms() desk.Terms {
	t := desk.Terms{Issuer: d.text("issuer", maxField), Name: d.text("name", maxName)}
	caps := d.form["cap"]
	if len(caps) > maxCapabilities {
		caps = caps[:maxCapabilities]
		d.errs["cap"] = "These are too many."
	}
	for _, c := range caps {
		if utf8.ValidString(c) && len(c) <= maxName && !slices.Contains(t.Capabilities, c) {
			t.Capabilities = append(t.Capabilities, c)
		}
	}
	for i := range d.count() {
		t.Restrictions = append(t.Restrictions, d.clause(i))
	}
	t.Rotation = d.rotation()
	return t
}

// count is how many clauses the form has.
func (d *reader) count() int {
	n, err := strconv.Atoi(d.form.Get("clauses"))
	if err != nil || n < 0 {
		return 0
	}
	return min(n, ledger.MaxClauses)
}

func (d *reader) clause(i int) mytoken.Restriction {
	has := func(key string) bool { return d.supported == nil || slices.Contains(d.supported, key) }
	var r mytoken.Restriction
	if has("nbf") {
		r.NotBefore = d.moment(clauseField(i, "nbf"))
	}
	if has("exp") {
		r.Expires = d.moment(clauseField(i, "exp"))
	}
	if has("scope") {
		r.Scope = strings.Join(d.words(clauseField(i, "scope")), " ")
	}
	for _, l := range []struct {
		key string
		to  *[]string
	}{
		{"audience", &r.Audience},
		{"hosts", &r.Hosts},
		{"geoip_allow", &r.GeoIPAllow},
		{"geoip_disallow", &r.GeoIPDisallow},
	} {
		if has(l.key) {
			*l.to = d.words(clauseField(i, l.key))
		}
	}
	if has("usages_AT") {
		r.UsagesAT = d.number(clauseField(i, "usages_AT"))
	}
	if has("usages_other") {
		r.UsagesOther = d.number(clauseField(i, "usages_other"))
	}
	return r
}

// words are separated by blanks or commas; none is nil, which limits nothing.
func (d *reader) words(name string) []string {
	all := strings.FieldsFunc(d.text(name, maxField), func(r rune) bool { return r == ' ' || r == ',' })
	if len(all) == 0 {
		return nil
	}
	return all
}

// moment reads what the element input sends, and what people write where it is a plain field.
func (d *reader) moment(name string) mytoken.Moment {
	s := d.text(name, 64)
	if s == "" {
		return mytoken.Moment{}
	}
	const wrong = "This is no time. Write it like 2027-01-31 12:00, in UTC, or like +1d."
	for _, layout := range []string{"2006-01-02T15:04", "2006-01-02T15:04:05"} {
		if t, err := time.Parse(layout, s); err == nil {
			if t.Unix() < 1 {
				d.fail(name, wrong)
				return mytoken.Moment{}
			}
			return mytoken.At(t)
		}
	}
	m, err := rules.Reckon(mytoken.TimeText(s), d.now)
	if err != nil {
		d.fail(name, wrong)
		return mytoken.Moment{}
	}
	return m
}

func (d *reader) number(name string) *int64 {
	s := d.text(name, 32)
	if s == "" {
		return nil
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 0 || n > 1<<53 {
		d.fail(name, "This is no number of uses: 0 or more.")
		return nil
	}
	return &n
}

func (d *reader) rotation() *mytoken.Rotation {
	var r mytoken.Rotation
	for _, v := range d.form["rotate"] {
		switch v {
		case "on_AT":
			r.OnAT = true
		case "on_other":
			r.OnOther = true
		case "auto_revoke":
			r.AutoRevoke = true
		}
	}
	if s := d.text("lifetime", 16); s != "" {
		n, err := strconv.ParseInt(s, 10, 32)
		size := time.Second
		for _, u := range units() {
			if u.name == d.form.Get("unit") {
				size = u.size
			}
		}
		if err != nil || n < 1 || n > int64(100*365*24*time.Hour/size) {
			d.fail("lifetime", "This is no length of time: 1 or more, and at most 100 years.")
		} else {
			r.Lifetime = time.Duration(n) * size
		}
	}
	if !r.OnAT && !r.OnOther && !r.AutoRevoke && r.Lifetime == 0 {
		return nil
	}
	return &r
}

// settle checks terms by the rules, as the server will do it again: what is wrong is told here, next to its clause.
func (d *reader) settle(t desk.Terms, resourceOnly bool) desk.Terms {
	if len(t.Capabilities) == 0 {
		d.errs["cap"] = "Choose at least one: a mytoken that can do nothing is of no use."
	}
	settled, err := rules.Settle(t.Restrictions, rules.Setting{
		Now: d.now, Supported: d.supported, ResourceOnly: resourceOnly,
	})
	var wrong *rules.ClausesError
	if errors.As(err, &wrong) {
		for _, f := range wrong.Faults {
			d.faults[f.Clause] = append(d.faults[f.Clause], plain(f.Reason))
		}
		return t
	}
	if err != nil {
		d.faults[0] = append(d.faults[0], plain(err.Error()))
		return t
	}
	t.Restrictions = settled
	return t
}

// edit does what a button of the form says other than to send it: it adds a clause or takes one away. It reports
// whether it was such a button.
func edit(t *desk.Terms, do string) bool {
	if do == "add" {
		if len(t.Restrictions) < ledger.MaxClauses {
			t.Restrictions = append(t.Restrictions, mytoken.Restriction{})
		}
		return true
	}
	number, remove := strings.CutPrefix(do, "remove-")
	if !remove {
		return do == "check"
	}
	if n, err := strconv.Atoi(number); err == nil && n >= 1 && n <= len(t.Restrictions) {
		t.Restrictions = slices.Delete(t.Restrictions, n-1, n)
	}
	return true
}

// back is the form again, as it was written, with what is wrong next to its fields.
func (d *reader) back(b builder, t desk.Terms) termsForm {
	b.errs, b.faults = d.errs, d.faults
	f := b.form(t)
	for i := range f.Clauses {
		for j := range f.Clauses[i].Inputs {
			d.restore(&f.Clauses[i].Inputs[j])
		}
	}
	d.restore(&f.Name)
	d.restore(&f.Lifetime)
	return f
}

func (d *reader) restore(in *input) {
	if raw, wrong := d.raw[in.Name]; wrong {
		in.Value = strings.ToValidUTF8(raw, "\ufffd")
	}
}
