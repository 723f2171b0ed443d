package applets

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/agent/control"
	"github.com/oidcbox/oidcbox/core/agent/proto"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/testdata/agentload"
)

// originalAgent starts Debian's agent with the logins of the house that are named, moved there with their refresh
// tokens and their access tokens cached, and returns its socket and pid.
func originalAgent(b *testing.B, h *house, logins ...string) (socket string, pid int) {
	b.Helper()
	socket = h.path("original.sock")
	dir := h.path("original")
	if err := os.Mkdir(dir, 0o700); err != nil {
		b.Fatal(err)
	}
	cmd := exec.Command(original(b, "oidc-agent"), "--console", "-a", socket)
	cmd.Env = []string{"PATH=" + os.Getenv(pathVariable), "HOME=" + dir, "OIDC_CONFIG_DIR=" + dir, "TMPDIR=" + h.dir}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	})
	agent := proto.Client{Path: socket}
	ask := func(r proto.Request) error {
		rep, err := agent.Call(b.Context(), r)
		if err == nil {
			err = rep.Err()
		}
		return err
	}
	for deadline := time.Now().Add(10 * time.Second); ask(proto.Request{Type: proto.TypeCheck}) != nil; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			b.Fatal("the original's agent does not answer")
		}
	}
	admin := h.control()
	for _, name := range logins {
		config, err := admin.ExportLogin(b.Context(), name)
		if err != nil {
			b.Fatal(err)
		}
		if err := admin.RemoveLogin(b.Context(), name); err != nil {
			b.Fatal(err)
		}
		// The original pastes the issuer and the path of the discovery document together.
		slash := strings.Replace(config.Expose(), h.issuer, h.issuer+"/", 1)
		if err := ask(proto.Request{Type: proto.TypeAdd, Config: secret.FromString(slash)}); err != nil {
			b.Fatalf("load %s into the original's agent: %v", name, err)
		}
		if err := ask(proto.Request{Type: proto.TypeAccessToken, Account: name}); err != nil {
			b.Fatalf("token of %s from the original's agent: %v", name, err)
		}
	}
	return socket, cmd.Process.Pid
}

func (h *house) control() control.Client {
	return control.Client{Path: control.Place(func(k string) string {
		if k == "XDG_RUNTIME_DIR" {
			return h.runDir
		}
		return ""
	})}
}

// BenchmarkAgentRates compares successful answers per second of our agent with those of the original's, a connection
// per request, the two in turn in every round.
func BenchmarkAgentRates(b *testing.B) {
	h, ca := newTLSHouse(b)
	h.startAgent()
	h.gen("ours", "--cp", ca)
	h.gen("theirs", "--cp", ca)
	theirs, _ := originalAgent(b, h, "theirs")
	h.must("token", "ours")
	for _, encrypted := range []bool{false, true} {
		for _, clients := range []int{1, 32} {
			dialect := "plain"
			if encrypted {
				dialect = "encrypted"
			}
			b.Run(fmt.Sprintf("%s/%d", dialect, clients), func(b *testing.B) {
				plan := agentload.Plan{Clients: clients, Encrypted: encrypted, Length: time.Second}
				var ours, original, ratio []float64
				for b.Loop() {
					their := playAt(b, plan, theirs, "theirs")
					our := playAt(b, plan, h.socket(), "ours")
					ours, original = append(ours, our.PerSecond()), append(original, their.PerSecond())
					ratio = append(ratio, our.PerSecond()/their.PerSecond())
				}
				b.ReportMetric(median(ours), "ours/s")
				b.ReportMetric(median(original), "original/s")
				b.ReportMetric(median(ratio), "x-original")
			})
		}
	}
}

func playAt(b *testing.B, p agentload.Plan, socket, login string) agentload.Result {
	b.Helper()
	p.Socket, p.Login = socket, login
	r, err := agentload.Run(p)
	if err != nil {
		b.Fatal(err)
	}
	b.Logf("%s: %d answers, p50 %v, p99 %v, failed %v, generator used %v", login, r.Answers, r.P50, r.P99, r.Failed, r.CPU)
	if r.Answers == 0 {
		b.Fatalf("%s answered nothing: %v", login, r.Failed)
	}
	return r
}

func median(v []float64) float64 {
	slices.Sort(v)
	return v[len(v)/2]
}
