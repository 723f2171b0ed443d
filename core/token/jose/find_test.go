package jose

import "testing"

// FuzzFindString: it finds in strict JSON what the strict reader finds, and survives everything else.
func FuzzFindString(f *testing.F) {
	for _, s := range []string{
		`{"t":"v"}`, `{"a":{"t":"no"},"t":"v\u00e9\n"}`, `{"t":"v"`, `{"t":"v`, `{"t":1,"t":"v"}{`, "\ufeff{\"t\":\"v\"}",
		`[{"t":"v"}]`, `{"t":{"t":"v"}}`, `{"t":"v","x":tru`, "{\"x\":\"\xff\",\"t\":\"v\"}", ``, `{`, `{"t"`, `{"t":`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		got, ok := FindString(b, "t")
		o, err := StrictObject(b, 1000, 1000)
		if err != nil {
			return
		}
		want, err := o.String("t")
		if ok != (o.Has("t") && err == nil) || got != want {
			t.Fatalf("found %q %v, strict reader %q %v", got, ok, want, err)
		}
	})
}

func TestWithout(t *testing.T) {
	o, err := StrictObject([]byte(`{"a":1,"b":"x","c":[2]}`), 4, 10)
	if err != nil {
		t.Fatal(err)
	}
	b, err := o.Without("b", "z").MarshalJSON()
	if err != nil || string(b) != `{"a":1,"c":[2]}` || o.Len() != 3 {
		t.Fatalf("%s, %v, %d members left in the original", b, err, o.Len())
	}
}
