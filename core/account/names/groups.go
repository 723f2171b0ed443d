package names

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/oidcbox/oidcbox/core/token/entitlement"
)

// DefaultMaxGroups is how many groups one identity gets where GroupRules do not say. More are an error, not a choice
// among them.
const DefaultMaxGroups = 256

// maxValues bounds the values of a claim that are read at all, maxRefusals what is reported of them.
const (
	maxValues   = 20_000
	maxRefusals = 32
)

// Method says how a claim becomes the name of a group.
type Method int

// The methods.
const (
	Classic Method = iota // namespace, "_", group, "_", subgroup: one group for each level
	Regex                 // GroupRules.Rewrites, all of them in order
	Table                 // GroupRules.Table, and nothing that is not in it
)

// GroupRules say which groups of this host the claims of an identity give.
type GroupRules struct {
	Method   Method
	Form     entitlement.Form // by which guideline entitlements are read
	TopOnly  bool             // Classic: the top level only
	Rewrites []Rewrite        // Regex
	Table    []Row            // Table
	Shorten  Shorten

	// Entitlements and Values are the lists of what counts, where only listed claims do: one of the expressions has to be
	// found somewhere in the entitlement, or in the value of the claim "groups". An empty list lets everything count.
	Entitlements, Values []*regexp.Regexp

	Limits Limits
	Max    int // 0: DefaultMaxGroups
}

// Row gives a group to whoever has an entitlement or a group. The zero value gives nothing.
type Row struct {
	required entitlement.Entitlement
	value    string
	group    string
}

// NewRow returns the row for claim: an entitlement, which those satisfy who have it or one below it in exactly its
// namespace, or else a value of the claim "groups", compared exactly. The error is ErrRule.
func NewRow(claim, group string) (Row, error) {
	if err := (Limits{}).CheckName(group); err != nil {
		return Row{}, fmt.Errorf("%w: %q gives %q: %w", ErrRule, claim, group, err)
	}
	if claim == "" {
		return Row{}, fmt.Errorf("%w: nothing gives %q", ErrRule, group)
	}
	if e, err := entitlement.Parse(claim); err == nil {
		return Row{required: e, group: group}, nil
	}
	return Row{value: claim, group: group}, nil
}

// Groups are the outcome for one identity.
type Groups struct {
	Names   []string  // sorted, each once
	Refused []Refusal // the first ones of what was not given, for the audit log
	Omitted int       // how many refusals are not in Refused
}

// Refusal is a group that a claim asked for and that nobody gets.
type Refusal struct {
	Claim string // as the provider wrote it, cut after 200 bytes: not for a terminal as it is
	Name  string // what it would have been, "" when it was no name at all
	Err   error  // ErrReserved, ErrAlphabet or ErrTooLong
}

// claim is one value that counts; parsed is the zero value for one of the claim "groups".
type claim struct {
	text   string
	parsed entitlement.Entitlement
}

// Names gives the groups for the values of the claims eduperson_entitlement and groups. The second counts only when
// nothing of the first is a group entitlement. A name that is reserved or none is refused and the others are given;
// more names than Max are ErrTooMany and give nothing.
func (r GroupRules) Names(entitlements, groups []string) (Groups, error) {
	limit := r.Max
	if limit <= 0 {
		limit = DefaultMaxGroups
	}
	if len(entitlements)+len(groups) > maxValues {
		return Groups{}, ErrTooMany
	}
	var out Groups
	given := map[string]bool{}
	for _, c := range r.claims(entitlements, groups) {
		for _, name := range r.candidates(c, &out) {
			if err := r.Limits.CheckName(name); err != nil {
				out.refuse(c.text, name, err)
				continue
			}
			if given[name] = true; len(given) > limit {
				return Groups{}, ErrTooMany
			}
		}
	}
	for name := range given {
		out.Names = append(out.Names, name)
	}
	slices.Sort(out.Names)
	return out, nil
}

// refuse notes what was refused.
func (g *Groups) refuse(claim, name string, err error) {
	if len(g.Refused) >= maxRefusals {
		g.Omitted++
		return
	}
	if Check(name) != nil {
		name = ""
	}
	g.Refused = append(g.Refused, Refusal{Claim: claim[:min(len(claim), 200)], Name: name, Err: err})
}

// claims are the values that count.
func (r GroupRules) claims(entitlements, groups []string) []claim {
	var out []claim
	parsed := false
	for _, s := range entitlements {
		e, err := entitlement.ParseForm(s, r.Form)
		if err != nil {
			continue
		}
		parsed = true // also one that is not listed: it does not open the other claim
		if listed(r.Entitlements, s) {
			out = append(out, claim{text: s, parsed: e})
		}
	}
	if parsed {
		return out
	}
	for _, s := range groups {
		if s != "" && listed(r.Values, s) {
			out = append(out, claim{text: s})
		}
	}
	return out
}

func listed(list []*regexp.Regexp, s string) bool {
	return len(s) <= maxText &&
		(len(list) == 0 || slices.ContainsFunc(list, func(re *regexp.Regexp) bool { return re.MatchString(s) }))
}

// candidates are the names one claim asks for.
func (r GroupRules) candidates(c claim, out *Groups) []string {
	var texts []string
	switch r.Method {
	case Table:
		return r.rows(c)
	case Regex:
		texts = []string{rewrite(r.Rewrites, c.text)}
	case Classic:
		texts = r.classic(c)
	}
	var found []string
	for _, text := range texts {
		name, err := Convert(text, r.Shorten)
		switch {
		case text == "" && r.Method == Regex: // a rule that deletes
		case text == "":
			out.refuse(c.text, "", ErrAlphabet)
		case err != nil:
			out.refuse(c.text, "", err)
		default:
			found = append(found, name)
		}
	}
	return found
}

func (r GroupRules) rows(c claim) []string {
	var found []string
	for _, row := range r.Table {
		if row.value != "" && row.value == c.text || c.parsed.Satisfies(row.required, true) {
			found = append(found, row.group)
		}
	}
	return found
}

// classic are the texts for each level of a group, the top one first. A role is in none of them.
func (r GroupRules) classic(c claim) []string {
	path := c.parsed.Groups()
	if len(path) == 0 {
		return []string{leadingWord(plain(c.text))}
	}
	if r.TopOnly {
		path = path[:1]
	}
	_, namespace, _ := strings.Cut(c.parsed.Namespace(), ":") // without the NID
	text := plain(strings.ReplaceAll(namespace, ":", "-"))
	var texts []string
	for _, g := range path {
		text += "_" + plain(g)
		texts = append(texts, leadingWord(text))
	}
	return texts
}

// plain writes camelCase as snake_case and every character that no name has as "-".
func plain(s string) string {
	var b strings.Builder
	runes := []rune(s)
	upper := func(i int) bool { return i < len(runes) && 'A' <= runes[i] && runes[i] <= 'Z' }
	lower := func(i int) bool { return i < len(runes) && 'a' <= runes[i] && runes[i] <= 'z' }
	for i, c := range runes {
		switch {
		case upper(i):
			before := i > 0 && (lower(i-1) || '0' <= runes[i-1] && runes[i-1] <= '9')
			if before || i > 0 && upper(i-1) && lower(i+1) {
				b.WriteByte('_')
			}
			b.WriteRune(c + 'a' - 'A')
		case lower(i) || '0' <= c && c <= '9' || c == '_' || c == '-':
			b.WriteRune(c)
		default:
			b.WriteByte('-')
		}
	}
	return b.String()
}

// leadingWord takes what no name begins with from the beginning, and writes a digit there as a word.
func leadingWord(s string) string {
	s = strings.TrimLeft(s, "-_")
	if s == "" || !digit(s[0]) {
		return s
	}
	words := [...]string{"zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"}
	return words[s[0]-'0'] + "_" + s[1:]
}

// Primary is the primary group: the one configured, else the first in the alphabet of those the claims give, else the
// fallback. What is configured is the administrator's word and may be a group of the system. The error is ErrNoPrimary.
func Primary(configured string, given []string, fallback string) (string, error) {
	switch {
	case configured != "":
		return configured, nil
	case len(given) > 0:
		return slices.Min(given), nil
	case fallback != "":
		return fallback, nil
	}
	return "", ErrNoPrimary
}
