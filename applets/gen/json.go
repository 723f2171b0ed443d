package gen

import (
	"bytes"
	"encoding/json"
	"errors"
)

// tabbed writes a JSON object as the original prints it: a member on each line behind a tab, and a tab before its
// value. Lists stay on one line.
func tabbed(object []byte) ([]byte, error) {
	d := json.NewDecoder(bytes.NewReader(object))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, errors.New("it is no JSON object")
	}
	out := []byte("{\n")
	for first := true; d.More(); first = false {
		name, err := d.Token()
		if err != nil {
			return nil, err
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return nil, err
		}
		key, err := json.Marshal(name)
		if err != nil {
			return nil, err
		}
		if !first {
			out = append(out, ",\n"...)
		}
		out = append(append(append(append(out, '\t'), key...), ":\t"...), spaced(value)...)
		clear(value)
	}
	return append(out, "\n}"...), nil
}

// spaced puts a blank behind the commas of a list of strings, as the original does.
func spaced(value json.RawMessage) []byte {
	var list []json.RawMessage
	if json.Unmarshal(value, &list) != nil || list == nil {
		return bytes.Clone(value)
	}
	parts := make([][]byte, 0, len(list))
	for _, v := range list {
		parts = append(parts, v)
	}
	return append(append([]byte{'['}, bytes.Join(parts, []byte(", "))...), ']')
}
