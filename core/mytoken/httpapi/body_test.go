package httpapi

import (
	"errors"
	"testing"
)

func TestReadBody(t *testing.T) {
	const form = "application/x-www-form-urlencoded"
	for _, c := range []struct{ name, kind, body, want string }{
		{"JSON as it came", "application/json", `{"a":1,"b":null,"c":[{}]}`, `{"a":1,"c":[{}]}`},
		{"JSON of any other type", "text/plain", `{"a":1}`, `{"a":1}`},
		{"nothing", "application/json", " \n", `{}`},
		{"a form", form, "b=x+y&a=%C3%BC", `{"a":"ü","b":"x y"}`},
		{"a form with a character set", form + "; charset=UTF-8", "a=1", `{"a":"1"}`},
		{"a field without a value is none", form, "a=&b=1", `{"b":"1"}`},
		{"a field that is there twice is a list", form, "a=1&a=2", `{"a":["1","2"]}`},
		{"text that looks like JSON stays text", form, `comment={"x":1}&scope=[a]`, `{"comment":"{\"x\":1}","scope":"[a]"}`},
		{
			"what is structured may be JSON", form, `restrictions=[{"exp":1}]&rotation={"on_AT":true}&capabilities=["AT"]`,
			`{"capabilities":["AT"],"restrictions":[{"exp":1}],"rotation":{"on_AT":true}}`,
		},
		{"or names of templates", form, `restrictions=a b`, `{"restrictions":"a b"}`},
		{"or broken", form, `restrictions=[{`, `{"restrictions":"[{"}`},
		{"XML", "text/xml", "<?xml version=\"1.0\"?>\n<r>\n <a>1</a><b>x &amp; y</b><b>z</b><c/></r>", `{"a":"1","b":["x \u0026 y","z"]}`},
		{"a guess: JSON", "", ` {"a":1}`, `{"a":1}`},
		{"a guess: a form", "", `a=1`, `{"a":"1"}`},
		{"a guess: XML", "", `<r><a>1</a></r>`, `{"a":"1"}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			b, err := readBody(c.kind, []byte(c.body))
			if err != nil {
				t.Fatal(err)
			}
			if got, err := b.JSON(); err != nil || string(got) != c.want {
				t.Errorf("got  %s, %v\nwant %s", got, err, c.want)
			}
		})
	}
	for _, c := range []struct{ name, kind, body string }{
		{"another character set", form + "; charset=latin1", "a=1"},
		{"a bad escape", form, "a=%zz"},
		{"a semicolon", form, "a=1;b=2"},
		{"not UTF-8", form, "restrictions=[\"\xff\"]&capabilities=[\"%FF\"]"},
		{"not UTF-8, escaped", form, "a=%ff"},
		{"XML too deep", "text/xml", "<r><a><b>1</b></a></r>"},
		{"XML that is cut", "text/xml", "<r><a>1</a>"},
		{"XML with an entity", "text/xml", "<r><a>&x;</a></r>"},
		{"XML with a document type", "text/xml", "<!DOCTYPE r><r/>"},
		{"no XML", "text/xml", "hello"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if b, err := readBody(c.kind, []byte(c.body)); !errors.Is(err, errBody) {
				got, _ := b.JSON()
				t.Errorf("taken: %s, %v", got, err)
			}
		})
	}
}

func TestFlag(t *testing.T) {
	b, err := readJSON([]byte(`{"t":true,"f":false,"one":"1","on":"on","no":"false","bad":"perhaps","n":1}`))
	must(t, err)
	for name, want := range map[string]bool{"t": true, "f": false, "one": true, "on": true, "no": false, "absent": false} {
		if got, err := b.Flag(name); err != nil || got != want {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	for _, name := range []string{"bad", "n"} {
		if _, err := b.Flag(name); !errors.Is(err, errBody) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if v, err := b.OptionalFlag("absent"); v != nil || err != nil {
		t.Errorf("absent: %v, %v", v, err)
	}
}
