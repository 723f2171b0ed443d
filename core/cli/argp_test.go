package cli

import (
	"context"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

// argpGrammar has one option of each kind that the original tools have.
type argpGrammar struct {
	Time    int      `short:"t"`
	Token   *string  `short:"o" optvalue:"-"`
	Issuer  string   `short:"i" optvalue:"OIDC_ISS"`
	Scope   []string `short:"s" sep:"none"`
	Force   bool     `short:"f"`
	All     bool     `short:"a"`
	Auth    bool     `name:"auth-header" aliases:"auth"`
	PwFile  string
	PwCmd   string
	Verbose int      `short:"v" type:"counter"`
	Name    []string `arg:"" optional:""`
}

func (*argpGrammar) Run(context.Context, *Env) error { return nil }

func rewrite(t testing.TB, args []string) ([]string, error) {
	t.Helper()
	p, err := kong.New(&argpGrammar{}, kong.Name("x"))
	if err != nil {
		t.Fatal(err)
	}
	return ArgpRewrite(p.Model, args)
}

func TestArgpRewrite(t *testing.T) {
	for in, want := range map[string]string{
		"acc":                   "acc",
		"--time 5 acc":          "--time=5 acc",
		"--tim=5":               "--time=5",
		"--ti 5 acc":            "--time=5 acc",
		"-t5":                   "--time=5",
		"-t 5":                  "--time=5",
		"-t -5":                 "--time=-5",
		"--time -5":             "--time=-5",
		"-fat60 acc":            "--force --all --time=60 acc",
		"-fa":                   "--force --all",
		"-vvv":                  "--verbose --verbose --verbose",
		"-o acc":                "--token=- acc",
		"-oAT acc":              "--token=AT acc",
		"-oie acc":              "--token=ie acc",
		"--token acc":           "--token=- acc",
		"--token=AT":            "--token=AT",
		"--tok=AT":              "--token=AT",
		"-i -f":                 "--issuer=OIDC_ISS --force",
		"-fi":                   "--force --issuer=OIDC_ISS",
		"--iss":                 "--issuer=OIDC_ISS",
		"-s a -s b":             "--scope=a --scope=b",
		"-s --force":            "--scope=--force",
		"--scope --":            "--scope=--",
		"acc -f":                "acc --force",
		"acc -- -f":             "acc -- -f",
		"-- --time":             "-- --time",
		"-":                     "-",
		"--bogus":               "--bogus",
		"--auth":                "--auth-header",
		"--auth-h":              "--auth-header",
		"--pw-f x":              "--pw-file=x",
		"--he":                  "--help",
		"--time=a=b":            "--time=a=b",
		"--scope=":              "--scope=",
		"--scope= x":            "--scope= x",
		"-s=x":                  "--scope==x",
		"--time":                "--time",
		"-t":                    "--time",
		"--force --time 3 -o x": "--force --time=3 --token=- x",
		"-?":                    "--help",
		"-f?":                   "--force --help",
	} {
		got, err := rewrite(t, strings.Fields(in))
		if err != nil || !reflect.DeepEqual(got, strings.Fields(want)) {
			t.Errorf("%s: %q, %v, want %s", in, got, err, want)
		}
	}
	for in, want := range map[string]string{
		"--pw x": "option '--pw' is ambiguous; possibilities: '--pw-file' '--pw-cmd'",
		"--a":    "option '--a' is ambiguous; possibilities: '--all' '--auth-header'",
		"-Z":     "invalid option -- 'Z'",
		"-fZ":    "invalid option -- 'Z'",
		"-f-":    "invalid option -- '-'",
	} {
		if got, err := rewrite(t, strings.Fields(in)); err == nil || err.Error() != want {
			t.Errorf("%s: %q, %v", in, got, err)
		}
	}
}

// runGrammar is a command that runs another one.
type runGrammar struct {
	Time    int      `short:"t"`
	Command []string `arg:"" optional:"" passthrough:""`
}

func (*runGrammar) Run(context.Context, *Env) error { return nil }

func TestArgpLeavesTheOtherCommandAlone(t *testing.T) {
	p, err := kong.New(&runGrammar{}, kong.Name("x"))
	if err != nil {
		t.Fatal(err)
	}
	for in, want := range map[string]string{
		"--ti 5 ssh -t host --ti": "--time=5 ssh -t host --ti",
		"-t5 -- ssh -t":           "--time=5 -- ssh -t",
		"ssh":                     "ssh",
	} {
		got, err := ArgpRewrite(p.Model, strings.Fields(in))
		if err != nil || !reflect.DeepEqual(got, strings.Fields(want)) {
			t.Errorf("%s: %q, %v", in, got, err)
		}
	}
}

// TestArgpEmptyWords: empty words are values and operands like others.
func TestArgpEmptyWords(t *testing.T) {
	for _, c := range []struct{ in, want []string }{
		{[]string{""}, []string{""}},
		{[]string{"-s", ""}, []string{"--scope="}},
		{[]string{"--scope", "", "x"}, []string{"--scope=", "x"}},
	} {
		if got, err := rewrite(t, c.in); err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%q: %q, %v", c.in, got, err)
		}
	}
}

// FuzzArgpRewrite: rewriting twice changes nothing more, operands after "--" stay, and kong never sees a short option
// that the grammar has.
func FuzzArgpRewrite(f *testing.F) {
	for _, s := range []string{"-fat60\nacc", "--ti=5", "-o\n--\n-o", "-s\n-f", "--pw-f\nx", "-\n--\n", "-ö", "--=x", "-\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		args := strings.Split(s, "\n")
		once, err := rewrite(t, args)
		if err != nil {
			return
		}
		twice, err := rewrite(t, once)
		if err != nil || !slices.Equal(once, twice) {
			t.Fatalf("%q\nonce  %q\ntwice %q, %v", args, once, twice, err)
		}
	})
}
