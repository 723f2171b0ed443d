package add

import (
	"bytes"
	"encoding/json"
	"strings"
)

// tabbed lays out a JSON object as the original prints it (the style of the cJSON library): a member per line with tabs
// before it and behind its colon, lists on one line. What is no JSON comes back as it is. The caller clears the result.
func tabbed(b []byte) []byte {
	var out bytes.Buffer
	out.Grow(4*len(b) + 64) // so that no copy of a secret is left behind by growing
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	if tabbedValue(&out, d, 0) != nil {
		out.Reset()
		out.Write(b)
	}
	out.WriteByte('\n')
	return out.Bytes()
}

func tabbedValue(out *bytes.Buffer, d *json.Decoder, depth int) error {
	t, err := d.Token()
	if err != nil {
		return err
	}
	switch t {
	case json.Delim('{'):
		return tabbedObject(out, d, depth+1)
	case json.Delim('['):
		return tabbedList(out, d, depth+1)
	}
	return scalar(out, t)
}

func tabbedObject(out *bytes.Buffer, d *json.Decoder, depth int) error {
	out.WriteString("{")
	for n := 0; d.More(); n++ {
		if n > 0 {
			out.WriteString(",")
		}
		name, err := d.Token()
		if err != nil {
			return err
		}
		out.WriteString("\n" + strings.Repeat("\t", depth))
		if err := scalar(out, name); err != nil {
			return err
		}
		out.WriteString(":\t")
		if err := tabbedValue(out, d, depth); err != nil {
			return err
		}
	}
	out.WriteString("\n" + strings.Repeat("\t", depth-1) + "}")
	_, err := d.Token()
	return err
}

func tabbedList(out *bytes.Buffer, d *json.Decoder, depth int) error {
	out.WriteString("[")
	for n := 0; d.More(); n++ {
		if n > 0 {
			out.WriteString(", ")
		}
		if err := tabbedValue(out, d, depth); err != nil {
			return err
		}
	}
	out.WriteString("]")
	_, err := d.Token()
	return err
}

func scalar(out *bytes.Buffer, v any) error {
	var one bytes.Buffer
	e := json.NewEncoder(&one)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	out.Write(bytes.TrimSuffix(one.Bytes(), []byte("\n")))
	clear(one.Bytes())
	return err
}
