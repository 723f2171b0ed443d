// Command bench times the check of an access token by the verifier beside other libraries that a service might use and
// beside the bare check of the signature, all in one process and in turn, so that other work on the machine hits all
// alike. Each takes the same token and is told the same: issuer, audience, algorithm, key, and to keep all claims.
package main

import (
	"context"
	"crypto/sha256"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

func main() {
	rounds := flag.Int("rounds", 2000, "how often each is timed")
	only := flag.String("only", "", "names of contestants, separated by commas; all without")
	flag.Parse()
	if err := run(*rounds, *only); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// contestant checks one token and fails when it is refused.
type contestant struct {
	name  string
	check func() error
	batch int // calls between two looks at the clock
}

func run(rounds int, only string) error {
	for _, alg := range []string{"RS256", "ES256", "EdDSA"} {
		t, err := newToken(alg, payload)
		if err != nil {
			return err
		}
		list, err := t.contestants(context.Background())
		if err != nil {
			return err
		}
		if only != "" {
			names := strings.Split(only, ",")
			list = slices.DeleteFunc(list, func(c contestant) bool { return !slices.Contains(names, c.name) })
		}
		if err := compare(alg, list, rounds); err != nil {
			return err
		}
	}
	return nil
}

// compare times all in turn and prints their medians as multiples of the first one's.
func compare(alg string, list []contestant, rounds int) error {
	times := make([][]time.Duration, len(list))
	for range rounds {
		for i, c := range list {
			begin := time.Now()
			for range c.batch {
				if err := c.check(); err != nil {
					return fmt.Errorf("%s %s: %w", alg, c.name, err)
				}
			}
			times[i] = append(times[i], time.Since(begin)/time.Duration(c.batch))
		}
	}
	var first time.Duration
	for i, c := range list {
		slices.Sort(times[i])
		median := times[i][len(times[i])/2]
		if i == 0 {
			first = median
		}
		allocs := testing.AllocsPerRun(100, func() { _ = c.check() })
		fmt.Printf("%-6s %-34s %9.2f µs  %6.3f x  %4.0f allocations\n", alg, c.name, float64(median.Nanoseconds())/1000,
			float64(median)/float64(first), allocs)
	}
	return nil
}

// What the others are measured against.
const (
	bare = "signature alone (crypto)"
	hash = "SHA-256 of the token"
)

// contestants are the bare check of the signature, ours, and the others.
func (t *token) contestants(ctx context.Context) ([]contestant, error) {
	list := []contestant{{bare, t.bare, 1}}
	ours, err := t.ours(ctx)
	if err != nil {
		return nil, err
	}
	list = append(list, ours...)
	text := []byte(t.text)
	list = append(list, contestant{hash, func() error {
		if sha256.Sum256(text) == [sha256.Size]byte{} {
			return errRefused
		}
		return nil
	}, 50})
	others, err := t.others()
	return append(list, others...), err
}
