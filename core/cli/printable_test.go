package cli

import "testing"

func TestPrintable(t *testing.T) {
	for name, c := range map[string]struct{ in, out string }{
		"plain":               {"Zugang für Łukasz\n\t日本", "Zugang für Łukasz\n\t日本"},
		"escape sequence":     {"a\x1b]52;c;AAAA\a", `a\u001b]52;c;AAAA\u0007`},
		"C1 control":          {"a\u009b2J", `a\u009b2J`},
		"carriage return":     {"good\rbad", `good\u000dbad`},
		"override":            {"a\u202eb", `a\u202eb`},
		"isolate":             {"a\u2066b", `a\u2066b`},
		"Arabic letter mark":  {"a\u061cb", `a\u061cb`},
		"soft hyphen":         {"exam\u00adple.org", `exam\u00adple.org`},
		"Mongolian separator": {"a\u180eb", `a\u180eb`},
		"annotation":          {"a\ufff9b", `a\ufff9b`},
		"tag":                 {"a\U000e0041b", `a\ue0041b`},
		"no text":             {"a\xffb", `a\ufffdb`},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Printable(c.in); got != c.out {
				t.Errorf("got %q, want %q", got, c.out)
			}
		})
	}
}
