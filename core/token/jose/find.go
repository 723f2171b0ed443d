package jose

import (
	"bytes"

	"github.com/go-json-experiment/json/jsontext"
)

// FindString returns a string member of the object that b begins with, also when b is no strict JSON: members may be
// repeated (the last one counts), text may be broken, something may follow, the end may be missing. It is for one thing
// that must not be lost from an answer that is refused, and never for deciding what to believe.
func FindString(b []byte, name string) (value string, ok bool) {
	b = bytes.TrimPrefix(b, []byte("\ufeff"))
	dec := jsontext.NewDecoder(bytes.NewBuffer(b), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	if dec.PeekKind() != '{' {
		return "", false
	}
	if _, err := dec.ReadToken(); err != nil {
		return "", false
	}
	for dec.PeekKind() == '"' {
		token, err := dec.ReadToken()
		if err != nil {
			break
		}
		if token.String() != name || dec.PeekKind() != '"' {
			if dec.SkipValue() != nil {
				break
			}
			continue
		}
		if token, err = dec.ReadToken(); err != nil {
			break
		}
		value, ok = token.String(), true
	}
	return value, ok
}
