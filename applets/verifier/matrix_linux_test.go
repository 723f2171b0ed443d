package verifier

import (
	"bufio"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/oidcbox/oidcbox/core/cli"
)

var showMatrix = flag.Bool("matrix.show", false, "print what the other programs said")

// Bounds under which the comparison would say little: the questions, and those that each counterpart has words for.
const (
	leastQuestions = 250
	leastScitokens = 200
	leastXRootD    = 200
)

// TestScitokensMatrix asks "verifier scope", Debian's scitokens-test-access and an XRootD with SciTokens the questions
// of testdata/scitokens/matrix.txt. Ours has to give the answer that is written there, by the profile. Where another
// answers differently, docs/scitokens-matrix.md says so and why; a difference that is not in its table fails, and so
// does a row of it that nothing needs.
func TestScitokensMatrix(t *testing.T) {
	questions := readMatrix(t, filepath.Join("..", "..", "testdata", "scitokens", "matrix.txt"))
	if len(questions) < leastQuestions {
		t.Errorf("%d questions, there have to be at least %d", len(questions), leastQuestions)
	}
	w := newWorld(t, "")
	for _, q := range questions {
		if q.op == wholeToken {
			continue
		}
		if got := w.scope(t, q); got != q.want {
			t.Errorf("%s: ours says %s, the profile %s", q, yesNo(got), yesNo(q.want))
		}
	}
	theirs := newScitokensWorld(t)
	tokens := tokenQuestions(questions)
	theirs.askOurs(t, tokens)
	answers := theirs.testAccess(questions)
	if len(answers) < leastScitokens {
		t.Errorf("scitokens-test-access was asked %d questions, it has to be at least %d", len(answers), leastScitokens)
	}
	requests := theirs.xrootd(questions)
	if len(requests) < leastXRootD {
		t.Errorf("XRootD was asked %d questions, it has to be at least %d", len(requests), leastXRootD)
	}
	compareMatrix(t, slices.Concat(answers, theirs.verify(tokens), requests))
}

// compareMatrix holds what was answered against the page, both ways: its table, and the numbers it gives.
func compareMatrix(t *testing.T, answers []theirAnswer) {
	t.Helper()
	page := filepath.Join("..", "..", "docs", "scitokens-matrix.md")
	rows := readMatrixRows(t, page)
	all, differ := map[string]int{}, map[string]int{}
	for _, a := range answers {
		program, _, _ := strings.Cut(a.who, " ")
		all[program]++
		if a.says == yesNo(a.want) {
			continue
		}
		differ[program]++
		if !slices.ContainsFunc(rows, func(r *matrixRow) bool { return r.takes(a) }) {
			t.Errorf("%s says %s, ours %s, and no row says why: %s", a.who, a.says, yesNo(a.want), a.question)
		}
	}
	for _, r := range rows {
		if r.used == 0 {
			t.Errorf("docs/scitokens-matrix.md has a row that nothing needs: %s", r.text)
		}
	}
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	for program, n := range all {
		want := fmt.Sprintf("| %s | %d | %d |", program, n, differ[program])
		if !strings.Contains(string(text), want) {
			t.Errorf("docs/scitokens-matrix.md should say: %s", want)
		}
	}
}

// wholeToken is the operation of a question whether the token is valid at all.
const wholeToken = "token"

// tokenQuestions asks that once for each token: it is valid where the matrix does not say otherwise.
func tokenQuestions(all []question) []question {
	var out []question
	for _, q := range all {
		same := func(o question) bool { return o.profile == q.profile && o.scope == q.scope }
		if !slices.ContainsFunc(out, same) {
			out = append(out, question{profile: q.profile, scope: q.scope, op: wholeToken, want: true})
		}
		if i := slices.IndexFunc(out, same); q.op == wholeToken {
			out[i].want = q.want
		}
	}
	return out
}

// question is one of the matrix: may a token of this profile with this scope do op on path.
type question struct {
	profile, scope, op, path string
	want                     bool
}

func (q question) String() string {
	return strings.TrimSpace(fmt.Sprintf("%s %q: %s %s", q.profile, q.scope, q.op, q.path))
}

func yesNo(b bool) string { return map[bool]string{true: "yes", false: "no"}[b] }

// theirAnswer is what somebody else says to a question.
type theirAnswer struct {
	who string // "scitokens-test-access", "xrootd GET" ...
	question
	says string // "yes" or "no"
}

// scope asks ours.
func (w *world) scope(t *testing.T, q question) bool {
	t.Helper()
	args := []string{"scope", "--profile", q.profile, "--scope", q.scope, "--op", q.op}
	if q.path != "" {
		args = append(args, "--path", q.path)
	}
	code, _, stderr := w.run("", args...)
	if code != cli.OK && code != cli.No {
		t.Errorf("%s: exit %d: %s", q, code, stderr)
	}
	return code == cli.OK
}

func readMatrix(t *testing.T, path string) []question {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var all []question
	var profile, scope string
	for line := range strings.Lines(string(b)) {
		line = strings.TrimSuffix(line, "\n")
		if strings.TrimSpace(line) == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if !strings.HasPrefix(line, "\t") {
			profile, scope, _ = strings.Cut(line, " ")
			continue
		}
		op, asked, _ := strings.Cut(strings.TrimSpace(line), " ")
		for _, a := range strings.Fields(asked) {
			if a[0] != '+' && a[0] != '-' {
				t.Fatalf("%s: %q is neither + nor -", path, a)
			}
			q := question{profile, scope, op, a[1:], a[0] == '+'}
			if slices.Contains(all, q) {
				t.Errorf("%s asks twice: %s", path, q)
			}
			all = append(all, q)
		}
	}
	return all
}

// matrixRow is a row of docs/scitokens-matrix.md: the first four columns are regular expressions.
type matrixRow struct {
	text                 string
	who, token, op, path *regexp.Regexp
	says                 string
	used                 int
}

func (r *matrixRow) takes(a theirAnswer) bool {
	ok := a.says == r.says && r.who.MatchString(a.who) && r.token.MatchString(a.profile+" "+a.scope) &&
		r.op.MatchString(a.op) && r.path.MatchString(a.path)
	if ok {
		r.used++
	}
	return ok
}

// readMatrixRows reads | who | profile and scope | operation | path | they say | right | why |. A bar within a cell is
// written "\|", as Markdown wants it.
func readMatrixRows(t *testing.T, path string) []*matrixRow {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var rows []*matrixRow
	for in := bufio.NewScanner(f); in.Scan(); {
		cells := strings.Split(strings.Trim(in.Text(), "|"), " | ")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		if len(cells) != 7 || !strings.HasPrefix(cells[0], "`") {
			continue
		}
		r := &matrixRow{text: in.Text(), says: cells[4]}
		for i, into := range []**regexp.Regexp{&r.who, &r.token, &r.op, &r.path} {
			e, err := regexp.Compile(strings.ReplaceAll(strings.Trim(cells[i], "`"), `\|`, "|"))
			if err != nil {
				t.Fatalf("%s: %s: %v", path, in.Text(), err)
			}
			*into = e
		}
		if !slices.Contains([]string{"yes", "no"}, cells[4]) || !slices.Contains([]string{"ours", "open"}, cells[5]) ||
			cells[6] == "" {
			t.Errorf("%s: a row has to say yes or no, who is right (ours, open) and why: %s", path, in.Text())
		}
		rows = append(rows, r)
	}
	return rows
}
