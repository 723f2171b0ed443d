package importconfig

import (
	"bytes"
	"encoding/json"
	"maps"
	"math/rand/v2"
	"os/exec"
	"strings"
	"testing"

	"github.com/oidcbox/oidcbox/testdata/services"
)

// theirs reads every text as Python does, and prints {section: {key: value}} or null for what it refuses.
const theirs = `
import configparser, json, sys
out = []
for text in json.load(sys.stdin):
    c = configparser.ConfigParser()
    try:
        c.read_string(text)
        out.append({s: dict(c.items(s)) for s in c.sections()})
    except configparser.Error:
        out.append(None)
    except ValueError:
        out.append(None)
json.dump(out, sys.stdout)
`

// ours is the same by this package.
func ours(text string) map[string]map[string]string {
	f, err := parse("x.conf", []byte(text))
	if err != nil {
		return nil
	}
	all := map[string]map[string]string{}
	for _, s := range f.sections {
		all[s.name] = map[string]string{}
		for _, from := range []*section{f.defaults, s} {
			for _, key := range from.keys {
				v, _ := f.get(s, key)
				full, err := f.expand(s, v, 0)
				if err != nil {
					return nil
				}
				all[s.name][key] = full.text
			}
		}
	}
	return all
}

// TestLikePython reads texts made of every kind of line, with Python's configparser beside us.
func TestLikePython(t *testing.T) {
	services.Need(t, "python3")
	pieces := []string{
		"[a]", "[b]", "[DEFAULT]", "[a.b] tail", "[]", "[", "k = v", "K: w", "list = [", "  x,", "\ty = 1", "]", "# comment",
		"; comment", "  # indented comment", "", "   ", "k2=%(k)s", "k3 = 100%%", "k4 = %", "k5 = %(none)s", "= none", "alone",
		"loop = %(loop)s", "  [c]", " k6 = v ; no comment", "e =", "über = ä", "a=b=c:d",
	}
	rnd := rand.New(rand.NewPCG(6, 20))
	texts := []string{"", "k = v", "[a]\nk = v\n\n  more\n\n\nk2 = x\n", "[a]\r\nk = v\r\n  w\r\n"}
	for range 3000 {
		lines := []string{"[a]"}
		for range rnd.IntN(9) {
			lines = append(lines, pieces[rnd.IntN(len(pieces))])
		}
		texts = append(texts, strings.Join(lines, "\n")+"\n")
	}
	in, err := json.Marshal(texts)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("python3", "-c", theirs)
	cmd.Stdin = bytes.NewReader(in)
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var want []map[string]map[string]string
	if err := json.Unmarshal(out, &want); err != nil {
		t.Fatal(err)
	}
	refused := 0
	for i, text := range texts {
		got := ours(text)
		if want[i] == nil {
			refused++
		}
		if (got == nil) != (want[i] == nil) || !maps.EqualFunc(got, want[i], maps.Equal[map[string]string, map[string]string]) {
			t.Fatalf("%q:\n ours   %v\n Python %v", text, got, want[i])
		}
	}
	if refused == 0 || refused == len(texts) {
		t.Fatalf("%d of %d refused: the texts say nothing", refused, len(texts))
	}
}

func FuzzParse(f *testing.F) {
	f.Add("[a]\nk = v\n  more\n[DEFAULT]\nx=%(k)s\n")
	f.Fuzz(func(_ *testing.T, text string) { ours(text) })
}
