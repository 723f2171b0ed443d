package profiles

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/oidcbox/oidcbox/core/mytoken"
)

// Lookup returns the payload of a template; ok is false when there is none of that name. kind is one of the kinds of
// core/mytoken.
type Lookup func(kind string, name Name) (payload []byte, ok bool, err error)

// Limits of one expansion.
const (
	maxNesting  = 8
	maxIncludes = 128
	maxClauses  = 64
)

// expander does one expansion.
type expander struct {
	lookup Lookup
	open   []string // templates that are being expanded, each with its kind
	count  int
}

// Request returns the JSON of a request for a mytoken with everything it names in it. Members that have nothing to do
// with templates stay as they are. Errors are ErrRequest, ErrName, ErrUnknown and ErrLoop, and those of lookup.
func Request(request []byte, lookup Lookup) ([]byte, error) {
	return expandObject(request, mytoken.Profiles, lookup)
}

// Restrictions returns restrictions, in any form a request has them in, as an array of clauses.
func Restrictions(payload []byte, lookup Lookup) (mytoken.Restrictions, error) {
	b, err := Expand(mytoken.RestrictionTemplates, payload, lookup)
	if err != nil {
		return nil, err
	}
	var rs mytoken.Restrictions
	if err := rs.UnmarshalJSON(b); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRequest, err)
	}
	return rs, nil
}

// Expand returns the JSON of a template of a kind, or of a member of a request that is of that kind, with everything it
// names in it: an object of a profile or rotation, an array of clauses or of capabilities.
func Expand(kind string, payload []byte, lookup Lookup) ([]byte, error) {
	switch kind {
	case mytoken.Profiles, mytoken.RotationTemplates:
		return expandObject(payload, kind, lookup)
	case mytoken.CapabilityTemplates, mytoken.RestrictionTemplates:
	default:
		return nil, ErrKind
	}
	v, err := parse(payload)
	if err != nil {
		return nil, err
	}
	x := &expander{lookup: lookup}
	var list []any
	if kind == mytoken.CapabilityTemplates {
		list, err = x.capabilities(v)
	} else {
		list, err = x.clauseList(v)
	}
	if err != nil {
		return nil, err
	}
	if list == nil {
		list = []any{}
	}
	return write(list)
}

func expandObject(payload []byte, kind string, lookup Lookup) ([]byte, error) {
	v, err := parse(payload)
	if err != nil {
		return nil, err
	}
	x := &expander{lookup: lookup}
	if kind == mytoken.Profiles {
		v, err = x.profile(v)
	} else {
		v, err = x.rotation(v)
	}
	if err != nil {
		return nil, err
	}
	return write(v)
}

// template reads a template and has it expanded by expand.
func (x *expander) template(kind, text string, expand func(any) (any, error)) (any, error) {
	name, err := ParseName(text)
	if err != nil {
		return nil, err
	}
	id := kind + ":" + name.String()
	if x.count++; x.count > maxIncludes || len(x.open) == maxNesting || slices.Contains(x.open, id) {
		return nil, ErrLoop
	}
	payload, ok, err := x.lookup(kind, name)
	if err != nil {
		return nil, fmt.Errorf("look up template %s: %w", name, err)
	}
	if !ok {
		return nil, &UnknownError{name.String()}
	}
	v, err := parse(payload)
	if err != nil {
		return nil, fmt.Errorf("template %s: %w", name, err)
	}
	x.open = append(x.open, id)
	defer func() { x.open = x.open[:len(x.open)-1] }()
	return expand(v)
}

// profile expands a whole request: what its own members name first, then the profiles it includes.
func (x *expander) profile(v any) (any, error) {
	o, ok := v.(object)
	if !ok {
		return nil, fmt.Errorf("%w: a profile is an object", ErrRequest)
	}
	out, err := x.members(o)
	if err != nil {
		return nil, err
	}
	names, err := namesIn(o["include"])
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		included, err := x.template(mytoken.Profiles, name, x.profile)
		if err != nil {
			return nil, err
		}
		out = mergeRequests(out, included.(object))
	}
	return out, nil
}

// members expands the members of a request that can name templates.
func (x *expander) members(o object) (object, error) {
	out := object{}
	for name, v := range o {
		var err error
		switch {
		case name == "include" || v == nil:
			continue
		case name == "capabilities":
			v, err = x.capabilities(v)
		case name == "restrictions":
			v, err = x.clauseForm(v)
		case name == "rotation":
			v, err = x.rotation(v)
		}
		if err != nil {
			return nil, err
		}
		out[name] = v
	}
	return finish(out)
}

// finish drops what an expansion has left empty.
func finish(o object) (object, error) {
	if r, ok := o["restrictions"]; ok {
		if list := clausesOf(r); len(list) == 0 {
			delete(o, "restrictions")
		} else if len(list) > maxClauses {
			return nil, errTooMany()
		}
	}
	return o, nil
}

// mergeRequests merges a profile into a request. One clause and one clause are one clause; otherwise clauses are
// listed.
func mergeRequests(own, included object) object {
	a, b := own["restrictions"], included["restrictions"]
	out := merge(own, included).(object)
	_, aOne := a.(object)
	_, bOne := b.(object)
	if a != nil && b != nil && aOne != bOne {
		out["restrictions"] = join(clausesOf(a), clausesOf(b))
	}
	return out
}

// capabilities expands a list of capabilities, in which templates have "@" in front, or a text of names of templates.
func (x *expander) capabilities(v any) ([]any, error) {
	if s, ok := v.(string); ok {
		var out []any
		for name := range strings.FieldsSeq(s) {
			list, err := x.capabilityTemplate(name)
			if err != nil {
				return nil, err
			}
			out = join(out, list)
		}
		return out, nil
	}
	list, ok := v.([]any)
	if !ok {
		return nil, fmt.Errorf("%w: capabilities are a list or names of templates", ErrRequest)
	}
	var out []any
	for _, e := range list {
		s, ok := e.(string)
		if !ok {
			return nil, fmt.Errorf("%w: a capability is no text", ErrRequest)
		}
		add := []any{s}
		if strings.HasPrefix(s, "@") {
			var err error
			if add, err = x.capabilityTemplate(s); err != nil {
				return nil, err
			}
		}
		out = join(out, add)
	}
	return out, nil
}

func (x *expander) capabilityTemplate(name string) ([]any, error) {
	v, err := x.template(mytoken.CapabilityTemplates, name, func(v any) (any, error) { return x.capabilities(v) })
	if err != nil {
		return nil, err
	}
	return v.([]any), nil
}

// rotation expands an object, or a text of names of templates.
func (x *expander) rotation(v any) (any, error) {
	own := object{}
	names, err := namesIn(v)
	if o, ok := v.(object); ok {
		own = o
		names, err = namesIn(o["include"])
	}
	if err != nil {
		return nil, errors.Join(ErrRequest, err)
	}
	out := withoutInclude(own)
	for _, name := range names {
		included, err := x.template(mytoken.RotationTemplates, name, x.rotation)
		if err != nil {
			return nil, err
		}
		out = merge(out, included).(object)
	}
	return out, nil
}

func withoutInclude(o object) object {
	out := object{}
	for name, v := range o {
		if name != "include" && v != nil {
			out[name] = v
		}
	}
	return out
}
