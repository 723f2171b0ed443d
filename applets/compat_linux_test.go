package applets

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/testdata/services"
)

// TestCompat types the same command lines at four pairs of programs, Debian's oidc-agent 4.2.6 and ours, as clients and
// as agent, and compares exit code, standard output, the Error: line and what reached the provider with what
// Debian's clients do with Debian's agent. What may differ, and why, is the table in docs/differences.md; a difference
// that is not in it fails, and so does a row of it that nothing needs. .ci/compat runs it.
func TestCompat(t *testing.T) {
	if os.Getenv("OIDCBOX_COMPAT") == "" {
		t.Skip("OIDCBOX_COMPAT is not set: .ci/compat takes most of a minute")
	}
	t.Parallel()
	for _, name := range []string{"oidc-agent", "oidc-gen", "oidc-add", "oidc-token"} {
		original(t, name)
	}
	services.Need(t, "cc", "go")
	if _, err := os.Stat("/usr/include/oidc-agent/api.h"); err != nil {
		services.Missing(t, "liboidc-agent-dev is not installed")
	}
	pairs := []pair{{theirs, theirs}, {theirs, ours}, {ours, theirs}, {ours, ours}}
	played := make([][]scene, len(pairs))
	var wg sync.WaitGroup
	for i, p := range pairs {
		w := newCompatWorld(t, p)
		wg.Go(func() { played[i] = w.play(compatLines()) })
	}
	wg.Wait()
	if t.Failed() {
		return
	}
	rows := readDifferences(t, filepath.Join("..", "docs", "differences.md"))
	for i, p := range pairs[1:] {
		for n, got := range played[i+1] {
			for _, d := range differ(played[0][n].facts, got.facts) {
				if !slices.ContainsFunc(rows, func(r *difference) bool { return r.takes(p, got.line, d) }) {
					t.Errorf("%s: %s\n\t%s", p, got.line, d)
				}
			}
		}
	}
	for _, r := range rows {
		if !r.used {
			t.Errorf("docs/differences.md has a row that nothing needs: %s, %s, %s", r.who, r.line, r.what)
		}
	}
	t.Logf("%d command lines with each of %d pairs of programs", len(played[0]), len(pairs))
	if *showScenes {
		t.Log("\n" + transcript(pairs, played))
	}
}

// maker says whose program it is.
type maker string

const (
	theirs maker = "theirs"
	ours   maker = "ours"
)

// pair is who made the clients and who the agent.
type pair struct{ clients, agent maker }

func (p pair) String() string { return fmt.Sprintf("clients %s, agent %s", p.clients, p.agent) }

// scene is one command line and what came of it.
type scene struct {
	line  string
	took  time.Duration
	facts []string
}

// differ lists what one has and the other has not, in the order of the facts: "- " gone, "+ " new.
func differ(want, got []string) []string {
	var out []string
	for _, f := range minus(want, got) {
		out = append(out, "- "+f)
	}
	for _, f := range minus(got, want) {
		out = append(out, "+ "+f)
	}
	return out
}

// minus keeps the facts of a that b lacks, each as often as it is missing.
func minus(a, b []string) []string {
	b = slices.Clone(b)
	return slices.DeleteFunc(slices.Clone(a), func(f string) bool {
		i := slices.Index(b, f)
		if i >= 0 {
			b = slices.Delete(b, i, i+1)
		}
		return i >= 0
	})
}

// difference is a row of docs/differences.md.
type difference struct {
	who  string // "our agent", "our clients", "ours"
	line *regexp.Regexp
	what *regexp.Regexp
	used bool
}

func (r *difference) takes(p pair, line, d string) bool {
	switch r.who {
	case "our agent":
		if p.agent != ours {
			return false
		}
	case "our clients":
		if p.clients != ours {
			return false
		}
	}
	if !r.line.MatchString(line) || !r.what.MatchString(d) {
		return false
	}
	r.used = true
	return true
}

// readDifferences reads the table: | who | command | difference | why |, the middle two as expressions in backquotes.
func readDifferences(t *testing.T, path string) []*difference {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var rows []*difference
	for in := bufio.NewScanner(f); in.Scan(); {
		cells := strings.Split(strings.Trim(in.Text(), "|"), " | ")
		who := strings.TrimSpace(cells[0])
		if len(cells) != 4 || who != "our agent" && who != "our clients" && who != "ours" {
			continue
		}
		if strings.TrimSpace(cells[3]) == "" {
			t.Errorf("%s: a row without a reason: %s", path, in.Text())
		}
		r := &difference{who: who}
		for i, into := range []**regexp.Regexp{&r.line, &r.what} {
			e, err := regexp.Compile(strings.Trim(strings.TrimSpace(cells[i+1]), "`"))
			if err != nil {
				t.Fatalf("%s: %s: %v", path, in.Text(), err)
			}
			*into = e
		}
		rows = append(rows, r)
	}
	if len(rows) == 0 {
		t.Fatalf("%s has no rows", path)
	}
	return rows
}

// transcript is everything that was seen, for whoever writes a row.
func transcript(pairs []pair, played [][]scene) string {
	var b strings.Builder
	for n, base := range played[0] {
		fmt.Fprintf(&b, "%s\n", base.line)
		for i := range pairs {
			fmt.Fprintf(&b, "    took %.1f s", played[i][n].took.Seconds())
		}
		b.WriteString("\n")
		for _, f := range base.facts {
			fmt.Fprintf(&b, "    %s\n", f)
		}
		for i, p := range pairs[1:] {
			for _, d := range differ(base.facts, played[i+1][n].facts) {
				fmt.Fprintf(&b, "  [%s] %s\n", p, d)
			}
		}
	}
	return b.String()
}
