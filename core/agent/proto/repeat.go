package proto

import (
	"bytes"

	"github.com/go-json-experiment/json/jsontext"
)

// once returns a copy of the JSON object b in which a member that comes twice with the same value comes once. oidc-gen
// 4 writes and sends "audience" so when it has registered a client. Different values, or anything else that eachMember
// refuses, are not ok. The copy may hold secrets.
func once(b []byte) (copied []byte, ok bool) {
	return rewrite(b, func(_ string, value, before []byte) (keep []byte, ok bool) {
		if before != nil {
			return nil, bytes.Equal(value, before)
		}
		return value, jsontext.Value(value).IsValid()
	})
}

// configOnce is once for the member "config" of the message b; the message itself repeats nothing.
func configOnce(b []byte) (copied []byte, ok bool) {
	return rewrite(b, func(name string, value, before []byte) (keep []byte, ok bool) {
		switch {
		case before != nil:
			return nil, false
		case name == "config" && value[0] == '{':
			return once(value)
		}
		return value, jsontext.Value(value).IsValid()
	})
}

// rewrite copies the members of an object by way of edit, which gets the value that the same name had before, if any,
// and returns nil to leave the member out.
func rewrite(b []byte, edit func(name string, value, before []byte) (keep []byte, ok bool)) ([]byte, bool) {
	values := map[string][]byte{}
	o := newObject(len(b) + 1) // a copy is never longer
	err := eachMemberOf(jsontext.NewDecoder(bytes.NewBuffer(b), jsontext.AllowDuplicateNames(true)),
		func(name string, value []byte) error {
			keep, ok := edit(name, value, values[name])
			if !ok {
				return ErrMalformed
			}
			values[name] = value
			if keep != nil {
				o.key(name)
				o.buf = append(o.buf, keep...)
			}
			return nil
		})
	if err != nil {
		clear(o.buf)
		return nil, false
	}
	b, err = o.finish()
	return b, err == nil
}
