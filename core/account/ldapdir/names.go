package ldapdir

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/go-ldap/ldap/v3"

	"github.com/oidcbox/oidcbox/core/account/names"
	"github.com/oidcbox/oidcbox/core/secret"
)

// NamesOptions are what NewNames needs.
type NamesOptions struct {
	Servers  []string
	StartTLS bool
	CAFile   string
	BindDN   string
	Password secret.Text
	Timeout  time.Duration
	Base     string
	// Filter finds the entry of a person: {sub}, {iss}, {id} (both, as names.Encode writes them), {preferred_username} and
	// {email} stand for what the issuer says. Only sub and iss are certain to be the person's own.
	Filter    string
	Attribute string // with the names; "": uid
}

// Names is a directory that knows what people are called.
type Names struct {
	dir               *Dir
	base, filter, get string
}

var _ names.External = (*Names)(nil)

// NewNames returns the source. It asks nobody. The error is ErrOptions.
func NewNames(o NamesOptions) (*Names, error) {
	n := &Names{base: o.Base, filter: o.Filter, get: o.Attribute}
	if n.get == "" {
		n.get = "uid"
	}
	if !strings.Contains(o.Filter, "{sub}") && !strings.Contains(o.Filter, "{id}") {
		return nil, fmt.Errorf("%w: a filter without {sub} and {id} finds the same entry for everybody", ErrOptions)
	}
	if filter, _ := n.fill("s", "i", names.Person{PreferredUsername: "p", Email: "e"}); !isFilter(filter) {
		return nil, fmt.Errorf("%w: %q is not a filter", ErrOptions, o.Filter)
	}
	var err error
	n.dir, err = New(Options{
		Servers: o.Servers, StartTLS: o.StartTLS, CAFile: o.CAFile, BindDN: o.BindDN, Password: o.Password,
		Timeout: o.Timeout, UserBase: o.Base, GroupBase: o.Base, NameAttribute: n.get,
	})
	return n, err
}

func isFilter(s string) bool {
	_, err := ldap.CompileFilter(s)
	return err == nil && !strings.ContainsAny(s, "{}")
}

// fill puts claims into the filter, each escaped. It reports false when one that the filter needs is missing.
func (n *Names) fill(sub, iss string, p names.Person) (string, bool) {
	id, err := names.Encode(sub, iss)
	if err != nil {
		return "", false
	}
	var pairs []string
	for word, value := range map[string]string{
		"{sub}": sub, "{iss}": iss, "{id}": id, "{preferred_username}": p.PreferredUsername, "{email}": p.Email,
	} {
		if value == "" && strings.Contains(n.filter, word) {
			return "", false
		}
		pairs = append(pairs, word, ldap.EscapeFilter(value))
	}
	return strings.NewReplacer(pairs...).Replace(n.filter), true
}

// Names implements names.External: the values of the attribute in the person's entry. Nobody is found under a filter that
// needs a claim the person has not. More entries than one are an error: then nobody knows who is meant.
func (n *Names) Names(ctx context.Context, sub, iss string, p names.Person) ([]string, error) {
	filter, ok := n.fill(sub, iss, p)
	if !ok {
		return nil, nil
	}
	var found []entry
	err := n.dir.ask(ctx, func(s *session) error {
		var err error
		found, err = n.dir.search(ctx, s, query{base: n.base, filter: filter, attrs: []string{n.get}})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("ask the directory for names: %w", err)
	}
	if len(found) > 1 {
		return nil, fmt.Errorf("ask the directory for names: %w: %s and %s match", ErrEntry, found[0].DN, found[1].DN)
	}
	var list []string
	for _, e := range found {
		for _, name := range e.GetEqualFoldAttributeValues(n.get) {
			if names.Check(name) == nil {
				list = append(list, name)
			}
		}
	}
	return list, nil
}

// Close ends the connections that lie idle.
func (n *Names) Close() { n.dir.Close() }
