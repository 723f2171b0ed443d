package applets

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/testdata/services"
)

// Budgets of one binary that plays many small commands.
const (
	maxBinary   = 28 << 20
	maxInitTime = 0.5    // ms, of one package
	maxInitHeap = 256000 // bytes, of one package
	maxOurHeap  = 1024   // bytes, of one package of ours: a few sync.OnceValue, nothing that runs
)

// build makes the binary as a release is made.
func build(tb testing.TB) string {
	tb.Helper()
	if testing.CoverMode() != "" {
		tb.Skip("coverage counters are not part of the budget")
	}
	path := filepath.Join(tb.TempDir(), program)
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", path, "github.com/oidcbox/oidcbox")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		tb.Fatalf("build: %v\n%s", err, out)
	}
	return path
}

// TestStartup holds the two rules that keep a tiny role tiny: packages of ours do next to nothing before main, and no
// other package does much.
func TestStartup(t *testing.T) {
	bin := build(t)
	fi, err := os.Stat(bin)
	if err != nil {
		t.Fatal(err)
	}
	if fi.Size() > maxBinary {
		t.Errorf("binary is %d bytes, the budget is %d", fi.Size(), maxBinary)
	}
	cmd := exec.Command(bin, "self", "version")
	cmd.Env = []string{"GODEBUG=inittrace=1"}
	var trace bytes.Buffer
	cmd.Stderr = &trace
	if err := cmd.Run(); err != nil {
		t.Fatalf("self version: %v\n%s", err, trace.String())
	}
	line := regexp.MustCompile(`^init (\S+) @\S+ ms, (\S+) ms clock, (\d+) bytes`)
	for l := range strings.Lines(trace.String()) {
		m := line.FindStringSubmatch(l)
		if m == nil {
			continue
		}
		ms, _ := strconv.ParseFloat(m[2], 64)
		heap, _ := strconv.Atoi(m[3])
		switch {
		case strings.HasPrefix(m[1], "github.com/oidcbox/") && heap > maxOurHeap:
			t.Errorf("%s works before main: %s", m[1], l)
		case heap > maxInitHeap:
			t.Errorf("%s allocates %d bytes before main", m[1], heap)
		case ms > maxInitTime:
			// One loaded machine makes any package slow once; heap is the measure that repeats.
			t.Logf("%s took %s ms before main", m[1], m[2])
		}
	}
}

// BenchmarkStart times whole processes in turn: a bare Go program, then the tiny roles. The budget is 3 x bare.
func BenchmarkStart(b *testing.B) {
	bin := installed(b, build(b))
	times := inTurn(b, nil, map[string][]string{
		"bare": {bareProgram(b)}, "self-version": {bin, "self", "version"}, "token-without-agent": {bin, "token", "x"},
	})
	bare := float64(quantile(times["bare"], 0.5))
	b.ReportMetric(bare/1e6, "bare-ms")
	b.ReportMetric(float64(quantile(times["self-version"], 0.5))/bare, "self-version-x-bare")
	b.ReportMetric(float64(quantile(times["token-without-agent"], 0.5))/bare, "token-x-bare")
}

// inTurn runs each command once in every round and returns how long its processes took. What a command exits with is
// its own affair; that it starts is not.
func inTurn(b *testing.B, env []string, commands map[string][]string) map[string][]time.Duration {
	b.Helper()
	times := map[string][]time.Duration{}
	for b.Loop() {
		for name, argv := range commands {
			cmd := exec.Command(argv[0], argv[1:]...)
			cmd.Env = append([]string{"PATH=" + os.Getenv("PATH")}, env...)
			begin := time.Now()
			err := cmd.Run()
			times[name] = append(times[name], time.Since(begin))
			var exit *exec.ExitError
			if err != nil && !errors.As(err, &exit) {
				b.Fatalf("%v: %v", argv, err)
			}
		}
	}
	return times
}

// bareProgram is the physical limit: a Go program that does nothing.
func bareProgram(b *testing.B) string {
	b.Helper()
	dir := b.TempDir()
	src := filepath.Join(dir, "main.go")
	if err := os.WriteFile(src, []byte("package main\n\nfunc main() {}\n"), 0o600); err != nil {
		b.Fatal(err)
	}
	exe := filepath.Join(dir, "bare")
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", exe, src)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+runtime.GOOS)
	if out, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("build: %v\n%s", err, out)
	}
	return installed(b, exe)
}

// installed is a program as an installation leaves it. The linker writes through a mapping, which leaves single pages
// in the page cache; a large program that is mapped from those starts a quarter slower than its copy.
func installed(b *testing.B, path string) string {
	b.Helper()
	services.Need(b, "install")
	to := filepath.Join(b.TempDir(), filepath.Base(path))
	if out, err := exec.Command("install", "-m", "755", path, to).CombinedOutput(); err != nil {
		b.Fatalf("install: %v\n%s", err, out)
	}
	return to
}
