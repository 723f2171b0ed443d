package profiles

import (
	"fmt"

	"github.com/oidcbox/oidcbox/core/mytoken"
)

// clausesOf returns the clauses of expanded restrictions, one or a list.
func clausesOf(v any) []any {
	switch v := v.(type) {
	case object:
		return withoutEmpty([]any{v})
	case []any:
		return withoutEmpty(v)
	}
	return nil
}

func withoutEmpty(list []any) []any {
	var out []any
	for _, c := range list {
		if o, ok := c.(object); !ok || len(o) > 0 {
			out = append(out, c)
		}
	}
	return out
}

// clauseList expands restrictions to a list of clauses.
func (x *expander) clauseList(v any) ([]any, error) {
	expanded, err := x.clauseForm(v)
	if err != nil {
		return nil, err
	}
	list := clausesOf(expanded)
	if len(list) > maxClauses {
		return nil, errTooMany()
	}
	return list, nil
}

// clauseForm expands restrictions and leaves the form in which they came to be: one clause, or a list. Which it is
// decides how they are merged into what includes them.
func (x *expander) clauseForm(v any) (any, error) {
	switch v := v.(type) {
	case string:
		return x.clause(object{"include": v})
	case object:
		return x.clause(v)
	case []any:
		out := []any{}
		for _, e := range v {
			one, err := x.clauseForm(e)
			if err != nil {
				return nil, err
			}
			if _, nested := e.([]any); nested {
				return nil, errClause()
			}
			if out = join(out, clausesOf(one)); len(out) > maxClauses {
				return nil, errTooMany()
			}
		}
		return out, nil
	}
	return nil, errClause()
}

func errClause() error {
	return fmt.Errorf("%w: restrictions are clauses or names of templates", ErrRequest)
}

func errTooMany() error { return fmt.Errorf("%w: there may be %d clauses", ErrRequest, maxClauses) }

// clause expands one clause. An included clause is merged into it. A list of included clauses makes it a list: it is
// merged into each of them, because what a clause says has to hold whatever it includes.
func (x *expander) clause(o object) (any, error) {
	names, err := namesIn(o["include"])
	if err != nil {
		return nil, err
	}
	var (
		out  = []any{withoutInclude(o)}
		many bool
	)
	for _, name := range names {
		included, err := x.template(mytoken.RestrictionTemplates, name, x.clauseForm)
		if err != nil {
			return nil, err
		}
		list := clausesOf(included)
		if _, one := included.(object); one {
			list = []any{included}
		} else if many = true; len(list) == 0 {
			continue
		}
		if len(list)*len(out) > maxClauses {
			return nil, errTooMany()
		}
		out = product(out, list)
	}
	if !many {
		return out[0], nil
	}
	return out, nil
}

func product(own, included []any) []any {
	var out []any
	for _, a := range own {
		for _, b := range included {
			out = join(out, []any{merge(a, b)})
		}
	}
	return out
}
