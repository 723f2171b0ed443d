package mytoken

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/token/jose"
)

// Limits of JSON from elsewhere. The bytes are limited by httpc.
const (
	maxDepth   = 32
	maxMembers = 5000
)

// object writes one JSON object, members in the order in which they are put.
type object struct {
	buf []byte
	err error
}

// put adds a member whatever its value.
func (o *object) put(name string, v any) {
	if o.err != nil {
		return
	}
	b, err := encode(v)
	if err != nil {
		o.err = fmt.Errorf("write member %s: %w", name, err)
		return
	}
	o.raw(name, b)
}

func (o *object) raw(name string, value []byte) {
	quoted, err := encode(name)
	if err != nil {
		o.err = err
		return
	}
	if len(o.buf) == 0 {
		o.buf = append(o.buf, '{')
	} else {
		o.buf = append(o.buf, ',')
	}
	o.buf = append(append(append(o.buf, quoted...), ':'), value...)
}

func (o *object) text(name, v string) {
	if v != "" {
		o.put(name, v)
	}
}

func (o *object) list(name string, v []string) {
	if len(v) > 0 {
		o.put(name, v)
	}
}

func (o *object) flag(name string, set bool) {
	if set {
		o.put(name, true)
	}
}

func (o *object) secret(name string, t secret.Text) {
	if !t.Empty() {
		o.put(name, t.Expose())
	}
}

// rest adds the members that were kept unread.
func (o *object) rest(kept jose.Object) {
	for name, value := range kept.All() {
		o.raw(name, []byte(value))
	}
}

// bytes is the finished text. With an error the buffer is cleared: it may hold a secret.
func (o *object) bytes() ([]byte, error) {
	if o.err != nil {
		clear(o.buf)
		return nil, o.err
	}
	if len(o.buf) == 0 {
		return []byte("{}"), nil
	}
	return append(o.buf, '}'), nil
}

// encode is json.Marshal that leaves <, > and & as they are.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// readObject reads one JSON object strictly; what is null counts as absent.
func readObject(b []byte) (jose.Object, error) {
	o, err := jose.StrictObject(b, maxDepth, maxMembers)
	return o.WithoutNull(), err
}

// elements splits an array that was read strictly before as part of an object.
func elements(o jose.Object, name string) ([][]byte, error) {
	raw, ok := o.Raw(name)
	if !ok {
		return nil, nil
	}
	var list []json.RawMessage
	if err := json.Unmarshal([]byte(raw), &list); err != nil {
		return nil, &jose.MemberError{Name: name, Want: "an array"}
	}
	out := make([][]byte, len(list))
	for i, e := range list {
		out[i] = e
	}
	return out, nil
}

// namesIn reads a member that is a list of names: an array, or one string with blanks between.
func namesIn(o jose.Object, name string) ([]string, error) {
	list, err := o.OneOrMore(name)
	if err != nil {
		return nil, err
	}
	return fields(list), nil
}

func fields(list []string) []string {
	var out []string
	for _, s := range list {
		out = append(out, splitNames(s)...)
	}
	return out
}
