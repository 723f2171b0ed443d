// Package agentload asks an agent for cached tokens as fast as it answers, a connection for each request, for the
// figures of docs/measured.md.
//
// It is the same for every agent and as light as a client can be: blocking system calls on threads of their own, one
// write and one read per message, in a process of its own, so that neither Go's scheduler nor the collector of the test
// is measured. It is for benchmarks only.
package agentload

import (
	"fmt"
	"time"
)

// Plan says what to ask for.
type Plan struct {
	Socket    string
	Login     string
	Clients   int
	Encrypted bool
	Length    time.Duration
	Patience  time.Duration // how long an answer may take; 0 is for ever
}

// Result is what came of a plan.
type Result struct {
	Seconds  float64
	Answers  int            // successful ones
	Failed   map[string]int // by reason
	CPU      time.Duration  // what the generator itself used
	P50, P99 time.Duration  // of the successful ones, connect to last byte
}

// PerSecond is the rate of successful answers.
func (r Result) PerSecond() float64 { return float64(r.Answers) / r.Seconds }

func (p Plan) request() []byte {
	return fmt.Appendf(nil,
		`{"request":"access_token","account":%q,"min_valid_period":0,"application_hint":"oidc-token"}`, p.Login)
}
