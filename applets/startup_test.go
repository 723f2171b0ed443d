package applets

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"
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

// BenchmarkStart times whole processes: a bare Go program, then the tiny roles.
func BenchmarkStart(b *testing.B) {
	bin := build(b)
	for _, c := range []struct {
		name string
		argv []string
	}{
		{"bare", []string{bareProgram(b)}},
		{"self-version", []string{bin, "self", "version"}},
	} {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				if err := exec.Command(c.argv[0], c.argv[1:]...).Run(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
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
	return exe
}
