package jose

import "testing"

// FuzzFindString: it finds in strict JSON what the strict reader finds, and survives everything else.
func FuzzFindString(f *testing.F) {
	for _, s := range []string{
		`{"t":"v"}`, `{"a":{"t":"no"},"t":"v\u00e9\n"}`, `{"t":"v"`, `{"t":"v`, `{"t":1,"t":"v"}{`, "\ufeff{\"t\":\"v\"}", `[{"t":"v"}]`,
		`{"t":{"t":"v"}}`, `{"t":"v","x":tru`, "{\"x\":\"\xff\",\"t\":\"v\"}", ``, `{`, `{"t"`, `{"t":`,
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
