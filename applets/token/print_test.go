package token

import (
	"os/exec"
	"testing"
)

// TestQuotedForShell: what a shell makes of an assignment is what the provider sent.
func TestQuotedForShell(t *testing.T) {
	sh, err := exec.LookPath("sh")
	if err != nil {
		t.Skip("no sh")
	}
	for _, word := range []string{
		"abc.DEF-_09", "https://op.example.org/a:b@c%20,d+e=f", "~", "~root", "a:~root:~", "~+", "", "a b", "$HOME", "`id`",
		"it's", "a;id", "\\", "a\nb", "*", "#x", "ü",
	} {
		cmd := exec.Command(sh, "-c", "X="+string(appendQuoted(nil, []byte(word)))+"; printf %s \"$X\"")
		cmd.Env = []string{"HOME=/home/alice", "PWD=/tmp"}
		if out, err := cmd.Output(); err != nil || string(out) != word {
			t.Errorf("%q became %q (%v)", word, out, err)
		}
	}
	if got := string(appendQuoted(nil, []byte("eyJ.a-b_c"))); got != "eyJ.a-b_c" {
		t.Errorf("a usual token is written as %s", got)
	}
}
