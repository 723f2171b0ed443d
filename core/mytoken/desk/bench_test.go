package desk_test

import (
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/oidcbox/oidcbox/core/mytoken/desk"
	"github.com/oidcbox/oidcbox/store/boltstore"
)

// BenchmarkAccess is the desk's own share of an access token: state on disk, a provider that costs nothing.
func BenchmarkAccess(b *testing.B) {
	dir := filepath.Join(b.TempDir(), "private")
	if err := os.Mkdir(dir, 0o700); err != nil {
		b.Fatal(err)
	}
	eng, err := boltstore.Open(b.Context(), filepath.Join(dir, "state.keys"), boltstore.Options{Role: "mytoken-server"})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = eng.Close() })
	bed := faked(b, &fake{}, setup{eng: eng, desk: func(o *desk.Options) { o.Notify, o.Audit = nil, nil }})
	tokens := make([]*desk.Issued, 64)
	for n := range tokens {
		tokens[n] = bed.login(nil)
	}
	var next atomic.Int64
	b.ReportAllocs()
	b.ResetTimer()
	b.SetParallelism(16)
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			c := bed.caller(tokens[next.Add(1)%64])
			if _, err := bed.Access(b.Context(), desk.AccessRequest{}, c); err != nil {
				b.Error(err)
			}
		}
	})
}
