package applets

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/agent/control"
	"github.com/oidcbox/oidcbox/core/agent/proto"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/testdata/agentload"
)

// originalAgent starts Debian's agent and returns its socket and pid.
func originalAgent(b *testing.B, h *house) (socket string, pid int) {
	b.Helper()
	dir, err := os.MkdirTemp(h.dir, "original")
	if err != nil {
		b.Fatal(err)
	}
	socket = filepath.Join(dir, "s")
	cmd := exec.Command(original(b, "oidc-agent"), "--console", "-a", socket)
	cmd.Env = []string{"PATH=" + os.Getenv(pathVariable), "HOME=" + dir, "OIDC_CONFIG_DIR=" + dir, "TMPDIR=" + h.dir}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	})
	check := proto.Request{Type: proto.TypeCheck}
	for deadline := time.Now().Add(10 * time.Second); asked(b, socket, check) != nil; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			b.Fatal("the original's agent does not answer")
		}
	}
	return socket, cmd.Process.Pid
}

func asked(b *testing.B, socket string, r proto.Request) error {
	b.Helper()
	rep, err := proto.Client{Path: socket}.Call(b.Context(), r)
	if err == nil {
		err = rep.Err()
	}
	return err
}

// load puts the login of a configuration into an agent under a name, and an access token into its cache.
func (h *house) load(b *testing.B, socket, name, config string) {
	b.Helper()
	config = strings.Replace(config, `"name":"source"`, `"name":"`+name+`"`, 1)
	for _, r := range []proto.Request{
		{Type: proto.TypeAdd, Config: secret.FromString(config)},
		{Type: proto.TypeAccessToken, Account: name},
	} {
		if err := asked(b, socket, r); err != nil {
			b.Fatalf("%s of %s: %v", r.Type, name, err)
		}
	}
}

// sourceLogin sets a login up at a provider that does not rotate, so that two agents may have it, and returns its
// configuration.
func sourceLogin(b *testing.B) (h *house, config string) {
	b.Helper()
	h, ca := newTLSHouse(b, "--rotation", "off")
	h.startAgent()
	h.gen("source", "--cp", ca)
	text, err := h.control().ExportLogin(b.Context(), "source")
	if err != nil {
		b.Fatal(err)
	}
	return h, text.Expose()
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
	h, config := sourceLogin(b)
	theirs, _ := originalAgent(b, h)
	h.load(b, h.socket(), "ours", config)
	h.load(b, theirs, "theirs", config)
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

// BenchmarkAgentSilent asks as fast as it goes while another client has connected and says nothing, or half a word.
func BenchmarkAgentSilent(b *testing.B) {
	h, config := sourceLogin(b)
	theirs, _ := originalAgent(b, h)
	h.load(b, h.socket(), "ours", config)
	h.load(b, theirs, "theirs", config)
	for _, socket := range []string{h.socket(), theirs} {
		for _, said := range []string{"", "x"} {
			c, err := net.Dial("unix", socket)
			if err != nil {
				b.Fatal(err)
			}
			defer c.Close()
			if _, err := c.Write([]byte(said)); err != nil {
				b.Fatal(err)
			}
		}
	}
	// Their agent answers nobody meanwhile: its clients are given three seconds.
	plan := agentload.Plan{Clients: 4, Encrypted: true, Length: 3 * time.Second, Patience: 3 * time.Second}
	for b.Loop() {
		our := playAt(b, plan, h.socket(), "ours")
		b.ReportMetric(float64(our.P99)/1e6, "ours-p99-ms")
		plan.Socket, plan.Login = theirs, "theirs"
		their, err := agentload.Run(plan)
		if err != nil {
			b.Fatal(err)
		}
		b.Logf("theirs: %d answers in %.1f s, failed %v", their.Answers, their.Seconds, their.Failed)
		b.ReportMetric(float64(their.Answers), "original-answers")
	}
}

// BenchmarkAgentMemory reports the resident memory of both agents with logins whose tokens are cached, some seconds
// after the last request; the original's is that of its two processes.
func BenchmarkAgentMemory(b *testing.B) {
	h, config := sourceLogin(b)
	h.endAgent()
	for _, logins := range []int{0, 10, 100} {
		b.Run(strconv.Itoa(logins), func(b *testing.B) {
			theirs, pid := originalAgent(b, h)
			h.startAgent("--no-keystore")
			defer h.endAgent()
			for i := range logins {
				name := fmt.Sprintf("login%d", i)
				h.load(b, h.socket(), name, config)
				h.load(b, theirs, name, config)
			}
			time.Sleep(5 * time.Second)
			for b.Loop() {
				b.ReportMetric(float64(residentKiB(b, h.agent.Process.Pid))/1024, "ours-MiB")
				b.ReportMetric(float64(residentKiB(b, pid)+residentKiB(b, childOf(b, pid)))/1024, "original-MiB")
			}
		})
	}
}

// childOf is the only child of a process.
func childOf(b *testing.B, pid int) int {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		b.Fatal(err)
	}
	child, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		b.Fatal(err)
	}
	return child
}

func median(v []float64) float64 {
	slices.Sort(v)
	return v[len(v)/2]
}
