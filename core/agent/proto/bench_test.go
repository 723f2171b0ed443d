package proto

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/testdata/services"
)

// BenchmarkCall is one request with its connection: ns/op is the time of a lone client.
func BenchmarkCall(b *testing.B) {
	for _, plain := range []bool{true, false} {
		name := "encrypted"
		if plain {
			name = "plain"
		}
		b.Run(name, func(b *testing.B) {
			path := start(b, ServeOptions{}, fake)
			b.ReportAllocs()
			for b.Loop() {
				call(b, Client{Path: path, Plain: plain})
			}
		})
	}
}

func call(tb testing.TB, c Client) {
	r, err := c.Call(context.Background(), Request{Type: TypeAccessToken, Account: "acc"})
	if err != nil || r.Err() != nil {
		tb.Fatal(r.Err(), err)
	}
}

// TestSilentClientDelaysNobody asks 1 000 times a second while another client has connected and says nothing.
func TestSilentClientDelaysNobody(t *testing.T) {
	const (
		rate  = 1000
		limit = 50 * time.Millisecond
	)
	path := start(t, ServeOptions{}, fake)
	for _, said := range []string{"", "x", `{"request":`} {
		c := dial(t, path)
		_, _ = c.Write([]byte(said))
	}
	n := 2 * rate
	if testing.Short() || strings.Contains(os.Getenv("GOFLAGS"), "-race") {
		n = rate / 2
	}
	took := make(chan time.Duration, n)
	tick := time.NewTicker(time.Second / rate)
	defer tick.Stop()
	for range n {
		<-tick.C
		go func() {
			begin := time.Now()
			call(t, Client{Path: path})
			took <- time.Since(begin)
		}()
	}
	all := make([]time.Duration, 0, n)
	for range n {
		all = append(all, <-took)
	}
	slices.Sort(all)
	p999 := all[len(all)*999/1000-1]
	t.Logf("%d requests at %d/s: median %v, p99 %v, p99.9 %v", n, rate, all[n/2], all[n*99/100], p999)
	if p999 >= limit {
		t.Errorf("p99.9 is %v, want less than %v", p999, limit)
	}
}

// BenchmarkOriginal is BenchmarkCall with Debian's oidc-agent at the other end: the figure to compare with.
func BenchmarkOriginal(b *testing.B) {
	services.Need(b, "oidc-agent")
	dir := b.TempDir()
	path := filepath.Join(dir, "a")
	cmd := exec.CommandContext(b.Context(), "oidc-agent", "--console", "-a", path)
	cmd.Env = append(os.Environ(), "HOME="+dir, "OIDC_CONFIG_DIR="+dir)
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	})
	for range 100 {
		if r, err := (Client{Path: path, Plain: true}).Call(b.Context(), Request{Type: TypeCheck}); err == nil && r.Err() == nil {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	for _, plain := range []bool{true, false} {
		name := "encrypted"
		if plain {
			name = "plain"
		}
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				r, err := (Client{Path: path, Plain: plain}).Call(b.Context(), Request{Type: TypeLoadedAccounts})
				if err != nil || r.Err() != nil {
					b.Fatal(r.Err(), err)
				}
			}
		})
	}
}
