package applets

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/testdata/services"
)

// optionRow is one line of docs/oidc-agent-options.md.
type optionRow struct {
	names            []string // "-t", "--lifetime", or "use" for a word
	v4, here, remark string
}

// optionTable reads the document: rows by program.
func optionTable(t *testing.T) map[string][]optionRow {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "docs", "oidc-agent-options.md"))
	if err != nil {
		t.Fatal(err)
	}
	table, section := map[string][]optionRow{}, ""
	for line := range strings.Lines(string(b)) {
		line = strings.TrimSpace(line)
		if name, ok := strings.CutPrefix(line, "## "); ok {
			section = name
		}
		if !strings.HasPrefix(line, "| `") {
			continue
		}
		cells := strings.Split(strings.Trim(line, "|"), "|")
		if len(cells) != 5 {
			t.Fatalf("%s: %d columns, want 5", line, len(cells))
		}
		for i, c := range cells {
			cells[i] = strings.TrimSpace(c)
		}
		table[section] = append(table[section], optionRow{
			names: optionNames(cells[0]), v4: cells[1], here: cells[3], remark: cells[4],
		})
	}
	return table
}

// optionNames takes "`-t, --lifetime=S`" apart.
func optionNames(cell string) []string {
	var names []string
	for n := range strings.SplitSeq(strings.Trim(cell, "`"), ", ") {
		names = append(names, regexp.MustCompile(`^[^=\[]+`).FindString(n))
	}
	return names
}

// grammar is what a role takes: its options with all their spellings, and the words it knows.
func grammar(t *testing.T, r cli.Role) (options, words []string) {
	t.Helper()
	p, err := kong.New(r.New(), kong.Name(r.Name), kong.Exit(func(int) {}))
	if err != nil {
		t.Fatalf("grammar of %s: %v", r.Name, err)
	}
	for _, f := range p.Model.Flags {
		for _, n := range append([]string{f.Name}, f.Aliases...) {
			options = append(options, "--"+n)
		}
		if f.Short != 0 {
			options = append(options, "-"+string(f.Short))
		}
	}
	for _, c := range p.Model.Children {
		words = append(append(words, c.Name), c.Aliases...)
	}
	for _, pos := range p.Model.Positional {
		words = append(append(words, pos.EnumSlice()...), strings.Split(pos.Tag.Get("words"), ",")...)
	}
	return options, words
}

// unlisted are options that are no part of a program's command line: help, which all have, and what a process says to
// another one of the same program.
func unlisted(option string) bool {
	return slices.Contains([]string{"--help", "-h", "--background", "--for-shell", "--until", "--handover", "--well-known", "--agent-option"}, option)
}

// upstreamRole is the role of a program of the original, if it is there.
func upstreamRole(program string) (cli.Role, bool) {
	i := slices.IndexFunc(All(), func(r cli.Role) bool { return slices.Contains(r.Upstream, program) })
	if i < 0 {
		return cli.Role{}, false
	}
	return All()[i], true
}

// TestOptionTable holds docs/oidc-agent-options.md and the grammars together.
func TestOptionTable(t *testing.T) {
	table := optionTable(t)
	for _, r := range All() {
		if r.Plain { // of another family
			continue
		}
		for _, program := range r.Upstream {
			if len(table[program]) == 0 {
				t.Errorf("%s is not in the document", program)
			}
		}
	}
	for program, rows := range table {
		t.Run(program, func(t *testing.T) { checkOptionTable(t, program, rows) })
	}
}

func checkOptionTable(t *testing.T, program string, rows []optionRow) {
	role, there := upstreamRole(program)
	var options, words, listed []string
	if there {
		options, words = grammar(t, role)
	}
	for _, row := range rows {
		listed = append(listed, row.names...)
		if !slices.Contains([]string{"yes", "ignored", "no"}, row.here) {
			t.Errorf("%v: %q is no state", row.names, row.here)
		}
		if (row.here == "no" || row.here == "ignored") && row.remark == "" {
			t.Errorf("%v: nobody says why it is %q", row.names, row.here)
		}
		if row.here != "yes" && row.here != "ignored" {
			continue
		}
		for _, n := range row.names {
			if !slices.Contains(options, n) && !slices.Contains(words, n) {
				t.Errorf("%s does not take %s, and the document says %q", program, n, row.here)
			}
		}
	}
	for _, o := range options {
		if !slices.Contains(listed, o) && !unlisted(o) {
			t.Errorf("%s takes %s, which is not in the document", program, o)
		}
	}
}

// TestOptionsOfTheOriginal compares the column of 4.2.6 with what the installed programs say.
func TestOptionsOfTheOriginal(t *testing.T) {
	option := regexp.MustCompile(`(?m)(?:^ {2,6}|, )(-\?|-[A-Za-z]|--[A-Za-z][A-Za-z_-]*)`)
	common := []string{"-?", "--help", "--usage", "-V", "--version"}
	services.Need(t, "oidc-agent")
	table := optionTable(t)
	for _, program := range []string{"oidc-agent", "oidc-gen", "oidc-add", "oidc-token"} {
		t.Run(program, func(t *testing.T) {
			help, err := exec.Command("/usr/bin/"+program, "--help").Output()
			if err != nil {
				t.Fatal(err)
			}
			said := []string{}
			for _, m := range option.FindAllStringSubmatch(string(help), -1) {
				if !slices.Contains(common, m[1]) {
					said = append(said, m[1])
				}
			}
			var listed []string
			for _, row := range table[program] {
				listed = append(listed, row.names...)
				for _, n := range row.names {
					if has := slices.Contains(said, n); has != (row.v4 == "yes") {
						t.Errorf("%s: in its help %v, in the document %q", n, has, row.v4)
					}
				}
			}
			for _, n := range said {
				if !slices.Contains(listed, n) {
					t.Errorf("%s is missing in the document", n)
				}
			}
		})
	}
}
