package cli

import (
	"errors"
	"os/exec"
	"strings"
	"testing"
)

func TestParseAssignment(t *testing.T) {
	for line, want := range map[string]string{
		`A=1`: "1", `A=`: "", `export A=1`: "1", "  A=1  # why": "1", `A=1;`: "1", `A=1 ; # why`: "1",
		`A="two words"`: "two words", `A='$HOME'`: "$HOME", `A=a"b c"'d'e`: "ab cde", `A=-c --lifetime`: "",
		`A=/usr/bin/oidc-agent`: "/usr/bin/oidc-agent", `A=x=y`: "x=y",
	} {
		name, value, ok, err := ParseAssignment(line)
		if want == "" && strings.Contains(line, " --") {
			// "A=-c --lifetime" runs --lifetime with A set, in a shell.
			if !errors.Is(err, ErrNoAssignment) {
				t.Errorf("%s: %q, %v", line, value, err)
			}
			continue
		}
		if err != nil || !ok || name != "A" || value != want {
			t.Errorf("%s: %q=%q, %v, %v; want %q", line, name, value, ok, err, want)
		}
	}
	for _, line := range []string{"", "   ", "# A=1", "\t# x"} {
		if _, _, ok, err := ParseAssignment(line); ok || err != nil {
			t.Errorf("%q: %v, %v", line, ok, err)
		}
	}
}

// TestParseAssignmentRefuses what a shell would run, look up or expand.
func TestParseAssignmentRefuses(t *testing.T) {
	for _, line := range []string{
		`touch x`, `A=$(touch x)`, "A=`touch x`", `A=$HOME`, `A="$HOME"`, "A=\"`x`\"", `A=1; touch x`, `A=1 && touch x`,
		`A=1|x`, `A=1>x`, `A=1 touch x`, `A=~`, `A=*`, `A={a,b}`, `A=a\ b`, `A='open`, `A="open`, `1A=1`, `A B=1`, `=1`,
		`if true; then A=1; fi`, `. ./other`, `A=(1 2)`, "A=1\x00", `A+=1`, `A[0]=1`, `export A`, `A=1 export B=2`,
	} {
		if name, value, ok, err := ParseAssignment(line); !errors.Is(err, ErrNoAssignment) || ok {
			t.Errorf("%s: %q=%q, %v, %v", line, name, value, ok, err)
		}
	}
}

// FuzzParseAssignment compares with a shell: what is taken for an assignment gives the same value there.
func FuzzParseAssignment(f *testing.F) {
	for _, s := range []string{`A=1`, `export A="x y" # c`, `A='a'b"c";`, `A=a#b`, `A=é`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, line string) {
		name, value, ok, err := ParseAssignment(line)
		if err != nil || !ok || strings.ContainsAny(line, "\n\r\x00") || !strings.HasPrefix(name, "A") {
			return
		}
		out, err := exec.Command("sh", "-c", line+"\nprintf %s \"$"+name+"\"").Output()
		if err != nil || string(out) != value {
			t.Errorf("%q: %q here, %q in a shell (%v)", line, value, out, err)
		}
	})
}

func TestShellQuote(t *testing.T) {
	for _, s := range []string{"", "/run/user/1000/a.sock", "two words", "it's", "$HOME", "a;b", "\n", "é", "-x"} {
		out, err := exec.Command("sh", "-c", "printf %s "+"--"+ShellQuote(s)).Output()
		if err != nil || string(out) != "--"+s {
			t.Errorf("%q as %s gives %q (%v)", s, ShellQuote(s), out, err)
		}
	}
}
