package ldapdir

import (
	"context"
	"fmt"
	"strings"

	"github.com/oidcbox/oidcbox/core/account/backend"
)

// schema is what classes and attributes a directory knows, by name in lower case.
type schema struct {
	classes, attributes map[string]bool
}

func (s *schema) class(name string) bool     { return s.classes[strings.ToLower(name)] }
func (s *schema) attribute(name string) bool { return s.attributes[strings.ToLower(name)] }

// readSchema asks the directory once. Where it does not say (no right to read it), it knows nothing.
func (d *Dir) readSchema(ctx context.Context, s *session) (*schema, error) {
	d.schemaMu.Lock()
	defer d.schemaMu.Unlock()
	if d.schema != nil {
		return d.schema, nil
	}
	base, err := d.read(ctx, s, d.opt.UserBase, "subschemaSubentry")
	if err != nil {
		return nil, err
	}
	if base == nil {
		return nil, fmt.Errorf("%w: %s is not there", backend.ErrUnavailable, d.opt.UserBase)
	}
	found := &schema{classes: map[string]bool{}, attributes: map[string]bool{}}
	if dn := base.GetEqualFoldAttributeValue("subschemaSubentry"); dn != "" {
		e, err := d.read(ctx, s, dn, "objectClasses", "attributeTypes")
		if err != nil {
			return nil, err
		}
		if e != nil {
			collect(found.classes, e.GetEqualFoldAttributeValues("objectClasses"))
			collect(found.attributes, e.GetEqualFoldAttributeValues("attributeTypes"))
		}
	}
	d.schema = found
	return found, nil
}

// collect takes the names out of definitions (RFC 4512 4.1): ( OID NAME 'a' ... ) or ( OID NAME ( 'a' 'b' ) ... ).
func collect(into map[string]bool, definitions []string) {
	for _, def := range definitions {
		_, rest, ok := strings.Cut(def, " NAME ")
		if !ok {
			continue
		}
		rest = strings.TrimLeft(rest, " ")
		if inner, many := strings.CutPrefix(rest, "("); many {
			rest, _, _ = strings.Cut(inner, ")")
		} else if quoted := strings.SplitN(rest, "'", 3); len(quoted) == 3 {
			rest = "'" + quoted[1] + "'"
		}
		for i, part := range strings.Split(rest, "'") {
			if i%2 == 1 {
				into[strings.ToLower(part)] = true
			}
		}
	}
}
