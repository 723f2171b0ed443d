package provision

import (
	"path/filepath"
	"testing"

	"github.com/oidcbox/oidcbox/store/boltstore"
)

// BenchmarkVerify is what a login costs the ledger: a record of a file read and judged, the host's word remembered.
func BenchmarkVerify(b *testing.B) {
	eng, err := boltstore.Open(b.Context(), filepath.Join(b.TempDir(), "ledger", "file"), boltstore.Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = eng.Close() })
	rules := testRules()
	rules.Naming = Naming{Mode: Pooled, Prefix: "user"}
	d, err := New(Options{Store: eng, System: newHost(), Rules: rules})
	if err != nil {
		b.Fatal(err)
	}
	people := crowd(50)
	for _, s := range people {
		if _, err := d.Deploy(b.Context(), s); err != nil {
			b.Fatal(err)
		}
	}
	name := map[string]string{}
	for _, s := range people {
		e, err := d.Show(b.Context(), s.ID)
		if err != nil {
			b.Fatal(err)
		}
		name[s.ID] = e.Name
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		s := people[i%len(people)]
		i++
		if v, err := d.Verify(b.Context(), s.ID, name[s.ID]); err != nil || !v.Allowed {
			b.Fatal(v, err)
		}
	}
}
