package userinfo

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

// FuzzPrint: what is shown of any token is JSON that says what the token does, in nothing but printable ASCII and line
// ends: no escape sequence of a stranger reaches a terminal.
func FuzzPrint(f *testing.F) {
	for _, s := range []string{`{"a":"ü\u001b[31m\u2028","n":[1e400,-0,5e-324,12345678901234567890]}`, `{"":{"":[]},"x":null}`, `{}`} {
		f.Add([]byte(`{"alg":"ES256"}`), []byte(s), "sig\x1b[2J")
	}
	f.Fuzz(func(t *testing.T, header, body []byte, signature string) {
		part := base64.RawURLEncoding.EncodeToString
		p := decode([]byte(part(header) + "." + part(body) + "." + signature))
		if p == nil {
			return
		}
		o, err := p.object()
		if err != nil {
			t.Fatalf("%q was read, and cannot be shown: %v", body, err)
		}
		var out bytes.Buffer
		writeJSON(&out, o, ": ")
		if strings.ContainsFunc(out.String(), func(r rune) bool { return r != '\n' && (r < ' ' || r > '~') }) {
			t.Fatalf("%q", out.String())
		}
		back, want := object{}, object{}
		if err := decodeNumbers(out.Bytes(), &back); err != nil {
			t.Fatalf("%s: %v", out.String(), err)
		}
		if err := decodeNumbers(body, &want); err != nil {
			t.Fatal(err)
		}
		if got := names(back["body"]); !reflect.DeepEqual(got, names(want)) {
			t.Fatalf("members %v of %s became %v", names(want), body, got)
		}
	})
}

func decodeNumbers(b []byte, to *object) error {
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	return dec.Decode(to)
}

// names are the members of an object.
func names(v any) map[string]bool {
	out := map[string]bool{}
	o, _ := v.(object)
	for name := range o {
		out[name] = true
	}
	return out
}
