package applets

import (
	"context"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/agent/proto"
	"github.com/oidcbox/oidcbox/testdata/services"
)

const benchLogins = 10

func benchHouse(b *testing.B) *house {
	b.Helper()
	h := newHouse(b)
	h.startAgent()
	for i := range benchLogins {
		h.gen(fmt.Sprintf("bench%d", i))
	}
	h.must("token", "bench0")
	return h
}

// BenchmarkTokenProcess times oidc-token with a cached token as a whole process: a bare Go program as the floor, the
// original's client and ours, all against the same agent, one after the other in every round.
func BenchmarkTokenProcess(b *testing.B) {
	theirs := original(b, "oidc-token")
	h := benchHouse(b)
	bare := bareProgram(b)
	argvs := map[string][]string{
		"bare": {bare}, "original": {theirs, "bench0"}, "ours": {installed(b, h.bin), "token", "bench0"},
	}
	h.must("token", "bench0")
	if o := h.exec(theirs, "bench0"); o.code != 0 {
		b.Fatalf("the original's oidc-token: %s", o.errOut)
	}
	times := inTurn(b, h.environ(), argvs)
	median := func(name string) float64 { return float64(quantile(times[name], 0.5)) }
	b.ReportMetric(median("ours")/1e6, "ours-ms")
	b.ReportMetric(median("original")/1e6, "original-ms")
	b.ReportMetric(median("ours")/median("original"), "x-original")
	b.ReportMetric(median("ours")/median("bare"), "x-bare")
	b.ReportMetric(peakMiB(b, h, argvs["ours"]), "ours-MiB")
}

// peakMiB is the largest resident set of one run. It is measured by a small program in between: what the kernel reports
// for a child of a large process begins with the size of that process.
func peakMiB(b *testing.B, h *house, argv []string) float64 {
	b.Helper()
	services.Need(b, "time")
	o := h.exec("time", append([]string{"-f", "%M"}, argv...)...)
	lines := strings.Fields(o.errOut)
	if o.code != 0 || len(lines) == 0 {
		b.Fatalf("time %v: %d %s", argv, o.code, o.errOut)
	}
	kib, err := strconv.ParseFloat(lines[len(lines)-1], 64)
	if err != nil {
		b.Fatal(err)
	}
	return kib / 1024
}

// BenchmarkAgentLoad asks for cached tokens at 1000 requests a second, a connection each, while one client has
// connected and says nothing.
func BenchmarkAgentLoad(b *testing.B) {
	h := benchHouse(b)
	silent, err := net.Dial("unix", h.socket())
	if err != nil {
		b.Fatal(err)
	}
	defer silent.Close()
	const rate = 1000
	client := proto.Client{Path: h.socket()}
	for b.Loop() {
		took := load(b, client, rate, 3*time.Second)
		b.ReportMetric(float64(quantile(took, 0.5))/1e6, "p50-ms")
		b.ReportMetric(float64(quantile(took, 0.999))/1e6, "p99.9-ms")
		b.ReportMetric(float64(len(took)), "requests")
	}
	b.ReportMetric(float64(residentKiB(b, h.agent.Process.Pid))/1024, "agent-MiB")
}

// load sends requests on a fixed schedule: one that has to wait for its turn counts the wait.
func load(b *testing.B, c proto.Client, rate int, length time.Duration) []time.Duration {
	b.Helper()
	var (
		mu   sync.Mutex
		wg   sync.WaitGroup
		took []time.Duration
	)
	begin := time.Now()
	for i := range int(length.Seconds() * float64(rate)) {
		due := begin.Add(time.Duration(i) * time.Second / time.Duration(rate))
		time.Sleep(time.Until(due))
		wg.Go(func() {
			r, err := c.Call(context.Background(), proto.Request{Type: proto.TypeAccessToken, Account: "bench0"})
			if err == nil {
				err = r.Err()
			}
			if err != nil {
				b.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			took = append(took, time.Since(due))
		})
	}
	wg.Wait()
	return took
}

// BenchmarkAgentIdle reports the resident memory of an agent with ten logins that has had nothing to do for a while.
func BenchmarkAgentIdle(b *testing.B) {
	h := benchHouse(b)
	time.Sleep(5 * time.Second)
	for b.Loop() {
		b.ReportMetric(float64(residentKiB(b, h.agent.Process.Pid))/1024, "agent-MiB")
	}
}

func quantile(d []time.Duration, q float64) time.Duration {
	if len(d) == 0 {
		return 0
	}
	slices.Sort(d)
	return d[min(len(d)-1, int(q*float64(len(d))))]
}

func residentKiB(tb testing.TB, pid int) int64 {
	tb.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		tb.Skip("no /proc")
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			n, _ := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			return n
		}
	}
	return 0
}
