package login

import (
	_ "embed"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// embedded are the issuers that are known without any file: names and addresses, no clients. It is parsed when somebody
// asks, never at start.
//
//go:embed issuers.json
var embedded []byte

// Catalogue is what is known of issuers. It only suggests: an account's own configuration wins. The zero value knows
// none. It is not changed after it was made, so copies may be used by several goroutines.
type Catalogue struct {
	issuers []Issuer
	lines   []PublicClient
	params  []Parameter
}

// LoadCatalogue joins the files of the directories, the person's first ("" for none), over the embedded list:
// issuer.config, issuer.config.d, pubclients.config and custom_parameters.config. What makes no sense is left out and
// named in the error, which wraps ErrIssuers; the catalogue is good beside it.
func LoadCatalogue(dirs ...string) (Catalogue, error) {
	var (
		entries []issuerEntry
		faults  []error
	)
	for i, dir := range dirs {
		list, err := issuersIn(dir, i > 0)
		entries, faults = append(entries, list...), append(faults, err)
	}
	known, err := parseIssuers(embedded, true)
	if err != nil {
		return Catalogue{}, fmt.Errorf("embedded list of issuers: %w", err)
	}
	list, mergeErr := merge(append(entries, known...))
	lines, linesErr := LoadPublicClients(dirs...)
	params, paramsErr := loadParameters(dirs...)
	c := Catalogue{issuers: list, lines: lines, params: params}
	if err := errors.Join(append(faults, mergeErr)...); err != nil {
		return c, errors.Join(fmt.Errorf("%w: %w", ErrIssuers, err), linesErr, paramsErr)
	}
	return c, errors.Join(linesErr, paramsErr)
}

// Parameters returns those that a person adds to requests; see [Parameter.For].
func (c Catalogue) Parameters() []Parameter { return slices.Clone(c.params) }

// All returns the issuers in the order in which they are offered to people: those with the most accounts first, then
// those of files, then the embedded ones.
func (c Catalogue) All() []Issuer { return slices.Clone(c.issuers) }

// Find returns the entry of an issuer, compared as [SameIssuer] does.
func (c Catalogue) Find(issuer string) (Issuer, bool) {
	i := slices.IndexFunc(c.issuers, func(i Issuer) bool { return SameIssuer(i.URL, issuer) })
	if i < 0 {
		return Issuer{}, false
	}
	return c.issuers[i], true
}

// Public returns the public client of an issuer: the one of its entry, else the first line of pubclients.config.
func (c Catalogue) Public(issuer string) (Client, bool) {
	return FindPublicClient(issuer, c.issuers, c.lines)
}

// Match returns the issuer that a login of this name is probably for: the first whose address or name has the short
// name in it, else the first word of the short name. ok is false when there is none.
func (c Catalogue) Match(short string) (i Issuer, ok bool) {
	short = strings.ToLower(short)
	word, _, _ := strings.Cut(strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) {
			return r
		}
		return ' '
	}, short), " ")
	for _, part := range []string{short, word} {
		if len(part) < minMatch {
			continue
		}
		at := slices.IndexFunc(c.issuers, func(i Issuer) bool {
			_, where, _ := strings.Cut(strings.ToLower(i.URL), "://")
			return strings.Contains(where, part) || strings.Contains(strings.ToLower(i.Name), part)
		})
		if at >= 0 {
			return c.issuers[at], true
		}
	}
	return Issuer{}, false
}

// minMatch is how many letters say something: "a" is in every address.
const minMatch = 3
