package userinfo

import (
	"bytes"
	"os/exec"
	"testing"

	"github.com/oidcbox/oidcbox/core/token/jose"
	"github.com/oidcbox/oidcbox/testdata/services"
)

// TestPython: what Python's json module prints after reading the same.
func TestPython(t *testing.T) {
	services.Need(t, "python3")
	const text = `{"b":[1,-0,0,12345678901234567890,1.0,1.50,-2.5e-7,1E5,1e16,9999999999999998.0,0.0001,0.00001,123e-2,5e-324],
		"a":{"z":null,"é":"ü\u0000\u001b[31m\u007f\u0085\u2028","t":true,"f":false,"😀":"😀\ud83d\ude00\"\\\/\b\f\n\r\t"},
		"":[],"E":{},"é":[[],[{}]],"Z":"plain","aa":[["x"]]}`
	o, err := jose.StrictObject([]byte(text), jose.PayloadDepth, jose.PayloadMembers)
	if err != nil {
		t.Fatal(err)
	}
	for _, colon := range []string{": ", ":"} {
		cmd := exec.Command("python3", "-c",
			"import json,sys; print(json.dumps(json.load(sys.stdin), sort_keys=True, indent=4, separators=(',', sys.argv[1])))", colon)
		cmd.Stdin = bytes.NewReader([]byte(text))
		want, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		v, err := tree(o)
		if err != nil {
			t.Fatal(err)
		}
		var got bytes.Buffer
		writeJSON(&got, v, colon)
		if got.String() != string(want) {
			t.Errorf("got\n%s\nwant\n%s", got.String(), want)
		}
	}
}

func FuzzSetting(f *testing.F) {
	for _, s := range []string{"a = b", "--a", "a: 'b c' # d", `a "b`, "=", "a b", ": :", "\x00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, line string) {
		key, value, err := setting(line)
		if err != nil && (key != "" || value != "") {
			t.Errorf("%q: %q, %q beside %v", line, key, value, err)
		}
	})
}
