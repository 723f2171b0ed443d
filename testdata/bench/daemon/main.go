// Command daemon measures how many requests a second the verifier daemon decides on one processor, beside nginx
// answering 204 without being asked anything and beside apache2 with mod_auth_openidc checking the same tokens as a
// resource server. The generator runs on the other processor; the servers are asked in turn, and the medians count.
package main

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
)

func main() {
	var o options
	flag.StringVar(&o.binary, "oidcbox", "", "the program to measure")
	flag.StringVar(&o.audit, "audit", "audit.log", "where the daemon writes its audit lines; none: nowhere")
	flag.DurationVar(&o.length, "length", 3*time.Second, "of one measurement")
	flag.IntVar(&o.rounds, "rounds", 3, "how often each is measured")
	flag.IntVar(&o.clients, "clients", 32, "connections")
	flag.StringVar(&o.only, "only", "", "measure the rates of those whose name has one of these, between commas")
	flag.Parse()
	if err := run(o); err != nil {
		fmt.Fprintln(os.Stderr, "daemon:", err)
		os.Exit(1)
	}
}

type options struct {
	binary, audit   string
	only            string
	length          time.Duration
	rounds, clients int
}

func run(o options) error {
	dir, err := os.MkdirTemp("", "bench-daemon")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil { // apache's workers run as somebody else
		return err
	}
	s, err := start(o, dir)
	defer s.stop()
	if err != nil {
		return err
	}
	warm := s.signer.token(0)
	if err := s.agree(warm); err != nil {
		return err
	}
	peak, err := s.rates(warm)
	if err != nil {
		return err
	}
	return s.latencies(warm, peak)
}

// rates prints requests a second, and returns that of the daemon with tokens it knows.
func (s *site) rates(warm string) (float64, error) {
	contestants := []contestant{
		{"nginx, 204 by itself", s.nginx, []string{warm}},
		{"verifier, one token", s.verifier, []string{warm}},
		{"verifier, 1000 tokens", s.verifier, s.signer.tokens(1000)},
		{"verifier, each time another token", s.verifier, nil},
		{"apache2, mod_auth_openidc, one token", s.apache, []string{warm}},
	}
	contestants = slices.DeleteFunc(contestants, func(c contestant) bool {
		return !slices.ContainsFunc(strings.Split(s.o.only, ","), func(o string) bool { return strings.Contains(c.name, o) })
	})
	rates := make([][]float64, len(contestants))
	for range s.o.rounds {
		for i, c := range contestants {
			tokens := c.tokens
			if tokens == nil {
				tokens = s.signer.tokens(int(s.o.length.Seconds() * 20_000))
			}
			rate, err := s.wrk(c.server, tokens)
			if err != nil {
				return 0, fmt.Errorf("%s: %w", c.name, err)
			}
			rates[i] = append(rates[i], rate)
		}
	}
	for i, c := range contestants {
		slices.Sort(rates[i])
		fmt.Printf("%-38s %9.0f requests/s  %6.3f x\n", c.name, median(rates[i]), median(rates[i])/median(rates[0]))
	}
	return median(rates[min(1, len(rates)-1)]), nil
}

// contestant is a server and what it is asked about; nil tokens are made anew for every round.
type contestant struct {
	name   string
	server *server
	tokens []string
}

func median(sorted []float64) float64 { return sorted[len(sorted)/2] }

// latencies asks at half of the peak rate, at fixed times whether or not the answer before has come.
func (s *site) latencies(token string, peak float64) error {
	for _, c := range []struct {
		name   string
		server *server
	}{{"nginx", s.nginx}, {"verifier", s.verifier}} {
		l, err := s.pace(c.server, token, peak/2)
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		fmt.Printf("%-38s %9.0f requests/s  p50 %v  p99 %v  p99.9 %v\n", c.name+" at half of the verifier's peak", peak/2,
			at(l, 0.5), at(l, 0.99), at(l, 0.999))
	}
	return nil
}

func at(sorted []time.Duration, share float64) time.Duration {
	return sorted[int(float64(len(sorted)-1)*share)].Round(time.Microsecond)
}
