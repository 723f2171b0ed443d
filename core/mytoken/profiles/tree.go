package profiles

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/oidcbox/oidcbox/core/token/jose"
)

// Limits of one request and of one template.
const (
	maxDepth   = 16
	maxMembers = 1000
	maxBytes   = 64 << 10
)

// tree is a JSON value: nil, bool, json.Number, string, []any or object.
type object = map[string]any

// parse reads one JSON value strictly.
func parse(b []byte) (any, error) {
	if len(b) > maxBytes {
		return nil, fmt.Errorf("%w: it is too long", ErrRequest)
	}
	const name = "value"
	wrapped := slices.Concat([]byte(`{"`+name+`":`), b, []byte("}"))
	o, err := jose.StrictObject(wrapped, maxDepth+1, maxMembers)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRequest, err)
	}
	if o.Len() != 1 { // the value closed the object and went on
		return nil, fmt.Errorf("%w: %w", ErrRequest, jose.ErrJSON)
	}
	raw, _ := o.Raw(name)
	d := json.NewDecoder(strings.NewReader(raw))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRequest, jose.ErrJSON)
	}
	return v, nil
}

// write is the JSON of a value, members in the order of their names.
func write(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, fmt.Errorf("write what was expanded: %w", err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// merge returns own with what it does not say itself taken from included.
func merge(own, included any) any {
	switch o := own.(type) {
	case object:
		i, ok := included.(object)
		if !ok {
			return own
		}
		out := maps.Clone(o)
		for name, v := range i {
			if have, there := out[name]; there && have != nil {
				out[name] = merge(have, v)
			} else {
				out[name] = v
			}
		}
		return out
	case []any:
		if i, ok := included.([]any); ok {
			return join(o, i)
		}
	}
	return own
}

// join returns both lists, each entry once.
func join(a, b []any) []any {
	out := make([]any, 0, len(a)+len(b))
	for _, v := range slices.Concat(a, b) {
		if !slices.ContainsFunc(out, func(have any) bool { return reflect.DeepEqual(have, v) }) {
			out = append(out, v)
		}
	}
	return out
}

// namesIn reads a value that names templates: one text with blanks between, or a list of such texts.
func namesIn(v any) ([]string, error) {
	switch v := v.(type) {
	case nil:
		return nil, nil
	case string:
		return strings.Fields(v), nil
	case []any:
		var out []string
		for _, e := range v {
			s, ok := e.(string)
			if !ok {
				return nil, fmt.Errorf("%w: include has something that is no name", ErrRequest)
			}
			out = append(out, strings.Fields(s)...)
		}
		return out, nil
	}
	return nil, fmt.Errorf("%w: include is no name and no list of names", ErrRequest)
}
