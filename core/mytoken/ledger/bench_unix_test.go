//go:build unix

package ledger

import (
	"context"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/mytoken"
	"github.com/oidcbox/oidcbox/core/oidc/custody"
	"github.com/oidcbox/oidcbox/core/oidc/flow"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/store"
)

// swift is a provider that keeps refresh tokens and answers at once.
type swift struct{ access string }

func (s swift) Refresh(context.Context, secret.Text, flow.Request) (flow.Tokens, error) {
	return flow.Tokens{Access: secret.FromString(s.access), Type: "Bearer"}, nil
}

var _ custody.Refresher = swift{}

// BenchmarkLedger is one access token, and one look at a mytoken, without HTTP and without what a provider takes: on a
// file with fsync and on PostgreSQL.
func BenchmarkLedger(b *testing.B) {
	kinds := map[string]func() store.Engine{
		"boltstore": func() store.Engine { return openBolt(b, boltPath(b)) },
		"pgstore":   func() store.Engine { return openPostgres(b, postgres(b), newSchema()) },
	}
	many := int64(1 << 40)
	for name, open := range kinds {
		for what, rs := range map[string]mytoken.Restrictions{"unlimited": nil, "limited": limit(many)} {
			b.Run(name+"/"+what, func(b *testing.B) {
				w := newBed(b, open(), Options{})
				var tokens []secret.Text
				for range 500 {
					jwt, _ := w.begin(rs, nil)
					tokens = append(tokens, jwt)
				}
				for _, clients := range []int{1, 32} {
					b.Run("access_"+strconv.Itoa(clients), func(b *testing.B) {
						rate(b, clients, func(n int) error {
							_, _, err := access(b.Context(), w.Ledger, swift{"at"}, tokens[n%len(tokens)])
							return err
						})
					})
					b.Run("present_"+strconv.Itoa(clients), func(b *testing.B) {
						rate(b, clients, func(n int) error {
							p, err := w.Present(b.Context(), tokens[n%len(tokens)], origin())
							if err == nil {
								p.Close()
							}
							return err
						})
					})
				}
			})
		}
	}
}

// cpu is the time that this process has taken of the processors: it depends less on what else runs.
func cpu() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// rate does b.N of something from several sides.
func rate(b *testing.B, clients int, do func(n int) error) {
	b.Helper()
	b.ReportAllocs()
	var (
		next atomic.Int64
		wg   sync.WaitGroup
		mu   sync.Mutex
		took []time.Duration
	)
	b.ResetTimer()
	begin, busy := time.Now(), cpu()
	for range clients {
		wg.Go(func() {
			var own []time.Duration
			for n := next.Add(1); n <= int64(b.N); n = next.Add(1) {
				at := time.Now()
				if err := do(int(n)); err != nil {
					b.Error(err)
					return
				}
				own = append(own, time.Since(at))
			}
			mu.Lock()
			defer mu.Unlock()
			took = append(took, own...)
		})
	}
	wg.Wait()
	slices.Sort(took)
	b.ReportMetric(float64((cpu()-busy).Microseconds())/float64(b.N), "cpu-µs/op")
	b.ReportMetric(float64(b.N)/time.Since(begin).Seconds(), "op/s")
	if len(took) > 0 {
		b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "ms-p99")
	}
}
