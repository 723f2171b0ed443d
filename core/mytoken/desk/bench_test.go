package desk_test

import (
	"context"
	"crypto/rand"
	"net/url"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/oidcbox/oidcbox/core/mytoken/desk"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/store/boltstore"
)

// onDisk is a bed whose state is a file.
func onDisk(b *testing.B, f *fake) *bed {
	b.Helper()
	dir := filepath.Join(b.TempDir(), "private")
	if err := os.Mkdir(dir, 0o700); err != nil {
		b.Fatal(err)
	}
	eng, err := boltstore.Open(b.Context(), filepath.Join(dir, "state.keys"), boltstore.Options{Role: "mytoken-server"})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = eng.Close() })
	return faked(b, f, setup{eng: eng, desk: func(o *desk.Options) { o.Notify, o.Audit = nil, nil }})
}

// BenchmarkAccess is the desk's own share of an access token: state on disk, a provider that costs nothing.
func BenchmarkAccess(b *testing.B) {
	bed := onDisk(b, &fake{})
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

// BenchmarkLogin is the whole of a login, from the request to the mytoken: state on disk, a provider that costs nothing.
func BenchmarkLogin(b *testing.B) {
	bed := onDisk(b, &fake{})
	bed.o.Upstream = fakes{bed.o.Upstream.(fakes).Upstream, &fake{Provider: sure{bed.o.Upstream.(fakes).f}}}
	d := bed.another()
	ctx := b.Context()
	b.SetParallelism(32)
	b.ResetTimer()
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			begun, err := d.Begin(ctx, bed.ask(nil), desk.Caller{Origin: home()})
			if err != nil {
				b.Error(err)
				return
			}
			code := codeOf(begun.ConsentURI)
			a, err := d.Asked(ctx, code)
			if err != nil {
				b.Error(err)
				return
			}
			to, err := d.Accept(ctx, code, termsOf(a), home())
			if err != nil {
				b.Error(err)
				return
			}
			u, err := url.Parse(to.URL)
			if err != nil {
				b.Error(err)
				return
			}
			q := url.Values{"state": {u.Query().Get("state")}, "code": {"x"}}
			if _, err := d.LandIn(ctx, desk.Arrival{Query: q, Binding: to.Binding, From: home()}); err != nil {
				b.Error(err)
				return
			}
			if _, err := d.Poll(ctx, begun.PollingCode, home()); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

// sure is a provider where everybody is logged in at once.
type sure struct{ desk.Provider }

func (sure) Finish(context.Context, desk.Finish) (desk.Authenticated, error) {
	who := rand.Text()
	return desk.Authenticated{Refresh: secret.FromString("the-refresh-token-of-" + who), Subject: who}, nil
}
