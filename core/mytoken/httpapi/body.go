package httpapi

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/oidcbox/oidcbox/core/token/jose"
)

// Limits of a body. What is stored of it has to fit into a record.
const (
	maxBody    = 128 << 10
	maxDepth   = 16
	maxMembers = 2000
	maxFields  = 200 // of a form
)

// Body is what a request says, in whatever encoding it came: one JSON object, read strictly. What is null is absent.
type Body struct{ o jose.Object }

// errBody is a body that cannot be read. Its text goes to the caller and repeats nothing of the body.
var errBody = errors.New("the body of the request cannot be read")

// readJSON reads a body that is JSON whatever its content type says. Nothing at all is an empty object.
func readJSON(b []byte) (Body, error) {
	if len(bytes.TrimSpace(b)) == 0 {
		return Body{}, nil
	}
	o, err := jose.StrictObject(b, maxDepth, maxMembers)
	if err != nil {
		return Body{}, fmt.Errorf("%w: %w", errBody, err)
	}
	return Body{o.WithoutNull()}, nil
}

// readBody reads a body by its content type: JSON, a form, or XML. Where there is none the first character tells.
func readBody(contentType string, b []byte) (Body, error) {
	kind, params, err := mime.ParseMediaType(contentType)
	if contentType == "" || err != nil {
		kind = guess(b)
	}
	if charset := params["charset"]; charset != "" && !strings.EqualFold(charset, "utf-8") {
		return Body{}, fmt.Errorf("%w: its character set is not UTF-8", errBody)
	}
	switch kind {
	case "application/x-www-form-urlencoded":
		return readForm(b)
	case "application/xml", "text/xml":
		return readXML(b)
	}
	return readJSON(b)
}

func guess(b []byte) string {
	b = bytes.TrimSpace(b)
	switch {
	case bytes.HasPrefix(b, []byte("<")):
		return "application/xml"
	case len(b) > 0 && b[0] != '{':
		return "application/x-www-form-urlencoded"
	}
	return "application/json"
}

func readForm(b []byte) (Body, error) {
	if bytes.Count(b, []byte("&")) >= maxFields {
		return Body{}, fmt.Errorf("%w: the form has too many fields", errBody)
	}
	form, err := url.ParseQuery(string(b))
	if err != nil {
		return Body{}, fmt.Errorf("%w: it is not a form", errBody)
	}
	return fromFields(form)
}

// readXML reads one element with elements of text in it.
func readXML(b []byte) (Body, error) {
	fields := url.Values{}
	d := xml.NewDecoder(bytes.NewReader(b))
	d.Entity = map[string]string{}
	var (
		depth, seen int
		name        string
		text        strings.Builder
	)
	for n := 0; ; n++ {
		t, err := d.Token()
		if errors.Is(err, io.EOF) && depth == 0 && seen > 0 {
			return fromFields(fields)
		}
		if err != nil || n > 4*maxFields {
			return Body{}, fmt.Errorf("%w: it is not the XML that is expected", errBody)
		}
		switch t := t.(type) {
		case xml.StartElement:
			seen++
			if depth++; depth > 2 {
				return Body{}, fmt.Errorf("%w: elements of the XML are nested too deep", errBody)
			}
			name = t.Name.Local
			text.Reset()
		case xml.EndElement:
			if depth--; depth == 1 {
				fields[name] = append(fields[name], text.String())
			}
		case xml.CharData:
			if depth == 2 {
				text.Write(t)
			}
		case xml.Directive:
			return Body{}, fmt.Errorf("%w: the XML has a document type", errBody)
		}
	}
}

// structured are the members that a form carries as JSON.
func structured() []string { return []string{"restrictions", "capabilities", "rotation"} }

// fromFields makes the object that fields stand for: one that is there more than once is a list, which members that are
// no lists refuse (RFC 6749 section 3.2).
func fromFields(fields url.Values) (Body, error) {
	members := make(map[string]any, len(fields))
	for name, values := range fields {
		if !utf8.ValidString(name + strings.Join(values, "")) {
			return Body{}, fmt.Errorf("%w: it is not UTF-8", errBody)
		}
		switch {
		case len(values) > 1:
			members[name] = values
		case slices.Contains(structured(), name) && strings.ContainsAny(values[0][:min(1, len(values[0]))], "[{") &&
			json.Valid([]byte(values[0])):
			members[name] = json.RawMessage(values[0])
		case values[0] != "": // RFC 6749 section 3.1: without a value it is as if it were not there
			members[name] = values[0]
		}
	}
	b, err := json.Marshal(members)
	if err != nil {
		return Body{}, fmt.Errorf("%w: %w", errBody, err)
	}
	return readJSON(b)
}

// Text returns a member that is a string, "" where it is absent.
func (b Body) Text(name string) (string, error) {
	s, err := b.o.String(name)
	if err != nil {
		return "", wrongType(err)
	}
	return s, nil
}

// Texts reads several members that are strings.
func (b Body) Texts(into map[string]*string) error {
	for name, to := range into {
		s, err := b.Text(name)
		if err != nil {
			return err
		}
		*to = s
	}
	return nil
}

// Flag returns a member that is a boolean: in forms it is the word.
func (b Body) Flag(name string) (bool, error) {
	raw, ok := b.o.Raw(name)
	if !ok {
		return false, nil
	}
	if strings.HasPrefix(raw, `"`) {
		s, err := b.o.String(name)
		if err != nil {
			return false, wrongType(err)
		}
		v, err := strconv.ParseBool(s)
		if err != nil && s != "on" && s != "" {
			return false, wrongType(&jose.MemberError{Name: name, Want: "true or false"})
		}
		return v || s == "on", nil
	}
	v, err := b.o.Bool(name)
	if err != nil {
		return false, wrongType(err)
	}
	return v, nil
}

// OptionalFlag is Flag for a member whose absence means something else than false.
func (b Body) OptionalFlag(name string) (*bool, error) {
	if !b.o.Has(name) {
		return nil, nil
	}
	v, err := b.Flag(name)
	return &v, err
}

// List returns a member that is an array of strings, or one string. nil where it is absent.
func (b Body) List(name string) ([]string, error) {
	l, err := b.o.OneOrMore(name)
	if err != nil {
		return nil, wrongType(err)
	}
	return l, nil
}

// Raw returns the JSON of a member, nil where it is absent.
func (b Body) Raw(name string) json.RawMessage {
	raw, ok := b.o.Raw(name)
	if !ok {
		return nil
	}
	return json.RawMessage(raw)
}

// Has reports whether a member is there.
func (b Body) Has(name string) bool { return b.o.Has(name) }

// Empty reports whether there is no member at all.
func (b Body) Empty() bool { return b.o.Len() == 0 }

// JSON returns the body as one JSON object, without the members of these names.
func (b Body) JSON(without ...string) ([]byte, error) { return b.o.Without(without...).MarshalJSON() }

func wrongType(err error) error { return fmt.Errorf("%w: %w", errBody, err) }
