package sshlogin_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/oidcbox/oidcbox/core/sshlogin"
)

func takes(name string) bool { return name == "oidc" || name == "token" }

func TestPartition(t *testing.T) {
	for _, f := range []struct{ name, line, own, rest string }{
		{"in_front", "--oidc a -p 22 host", "--oidc=a", "-p 22 host"},
		{"behind_the_host", "host --oidc a --debug", "--oidc=a --debug", "host"},
		{"not_behind_the_command", "host ls --oidc a", "", "host ls --oidc a"},
		{"between_options_behind_the_host", "host -t --debug ls --all", "--debug", "host -t ls --all"},
		{"value_that_looks_like_ours", "-o --oidc host", "", "-o --oidc host"},
		{"attached", "--oidc=a host", "--oidc=a", "host"},
		{"dashes_end_it", "-- host --oidc a", "", "-- host --oidc a"},
		{"dashes_behind_the_host", "host -- --oidc a", "", "host -- --oidc a"},
		{"value_of_ours_is_no_host", "--token -x host", "--token=-x", "host"},
		{"clusters", "-vp 22 host --debug", "--debug", "-vp 22 host"},
		{"nothing_left", "--oidc", "--oidc", ""},
	} {
		t.Run(f.name, func(t *testing.T) {
			own, rest := sshlogin.SSH().Partition(strings.Fields(f.line), takes)
			if got := strings.Join(own, " "); got != f.own {
				t.Errorf("own %q, want %q", got, f.own)
			}
			if got := strings.Join(rest, " "); got != f.rest {
				t.Errorf("rest %q, want %q", got, f.rest)
			}
		})
	}
	own, rest := sshlogin.SCP().Partition(strings.Fields("a:x b:y . --oidc n"), takes)
	if len(own) != 1 || len(rest) != 3 {
		t.Errorf("scp has no remote command: %q %q", own, rest)
	}
}

func TestSplit(t *testing.T) {
	ssh := sshlogin.SSH()
	l, err := ssh.Split(strings.Fields("-vvp 2222 -oA=b -l me host -t -L 1:h:2 cmd -p 3"))
	if err != nil || strings.Join(l.Before, " ") != "-vvp 2222 -oA=b -l me" || l.Operands[0] != "host" {
		t.Fatalf("%+v %v", l, err)
	}
	if got := strings.Join(ssh.Options(l), " "); got != "-vvp 2222 -oA=b -l me -t -L 1:h:2" {
		t.Errorf("options %q", got)
	}
	for letter, want := range map[rune]string{'p': "2222", 'o': "A=b", 'l': "me", 'L': "1:h:2", 'i': ""} {
		if got := ssh.Value(ssh.Options(l), letter); got != want {
			t.Errorf("-%c is %q, want %q", letter, got, want)
		}
	}
	for options, want := range map[string]bool{"-G": true, "-vG": true, "-oG": false, "-o G": false, "-p 22 -Q x": true, "-E -G": false} {
		if got := ssh.Has(strings.Fields(options), "GQV"); got != want {
			t.Errorf("%q has G, Q or V: %t", options, got)
		}
	}
	if _, err := ssh.Split([]string{"-p"}); !errors.Is(err, sshlogin.ErrWords) {
		t.Error(err)
	}
}

func TestParseOperand(t *testing.T) {
	for word, want := range map[string]sshlogin.Place{
		"file":                     {Path: "file"},
		"./a:b":                    {Path: "./a:b"},
		"/a:b":                     {Path: "/a:b"},
		":x":                       {Path: ":x"},
		"host:file":                {Host: "host", Path: "file"},
		"host:":                    {Host: "host"},
		"me@host:a b":              {User: "me", Host: "host", Path: "a b"},
		"[::1]:x":                  {Host: "::1", Path: "x"},
		"me@[::1]:x":               {User: "me", Host: "::1", Path: "x"},
		"scp://host/x":             {Host: "host", Path: "x", URI: true},
		"scp://me@host:22/%20/x":   {User: "me", Host: "host", Port: "22", Path: "%20/x", URI: true},
		"scp://[::1]:22/x":         {Host: "::1", Port: "22", Path: "x", URI: true},
		"SCP://me;fp=x@host:22//x": {User: "me", Host: "host", Port: "22", Path: "/x", URI: true},
	} {
		if got, err := sshlogin.ParseOperand(word); err != nil || got != want {
			t.Errorf("%q: %+v, %v, want %+v", word, got, err, want)
		}
	}
	for _, word := range []string{"-oProxyCommand=x:y", "a b:c", "$(x):y", "scp:///x", "a;b:c", "me@:x"} {
		if p, err := sshlogin.ParseOperand(word); !errors.Is(err, sshlogin.ErrWords) {
			t.Errorf("%q is %+v, %v", word, p, err)
		}
	}
	for p, want := range map[sshlogin.Place]string{
		{Host: "h", Path: "x"}:                        "u@h:x",
		{Host: "::1", Path: "x"}:                      "u@[::1]:x",
		{Host: "h", Port: "2", Path: "x", URI: true}:  "scp://u@h:2/x",
		{Host: "::1", Port: "", Path: "x", URI: true}: "scp://u@[::1]/x",
	} {
		if got := p.As("u"); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestParseHost(t *testing.T) {
	for word, want := range map[string]sshlogin.Place{
		"host":             {Host: "host"},
		"a@b@host":         {User: "a@b", Host: "host"},
		"::1":              {Host: "::1"},
		"ssh://me@host:22": {User: "me", Host: "host", Port: "22", URI: true},
	} {
		if got, err := sshlogin.ParseHost(word, "ssh"); err != nil || got != want {
			t.Errorf("%q: %+v, %v", word, got, err)
		}
	}
	if got, err := sshlogin.ParseHost("me@host:dir/x", "sftp"); err != nil || got.Host != "host" || got.Path != "dir/x" {
		t.Errorf("%+v %v", got, err)
	}
	for _, word := range []string{"", "-x", "me@", "a b", "ssh://", "`x`"} {
		if p, err := sshlogin.ParseHost(word, "ssh"); err == nil {
			t.Errorf("%q is %+v", word, p)
		}
	}
}

// FuzzWords: whatever a line is, no word is lost or made up, and nothing behind the remote command's first word is
// ours.
func FuzzWords(f *testing.F) {
	for _, s := range []string{"--oidc a host ls --x", "-p 22 -- host", "host -t --debug x", "-", "-p", "--", "scp://[::1]:22/x", "a@[::1]:x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		words := strings.Split(s, " ")
		for _, p := range []sshlogin.Program{sshlogin.SSH(), sshlogin.SCP(), sshlogin.SFTP()} {
			own, rest := p.Partition(words, takes)
			n := len(rest)
			for _, o := range own {
				if !strings.HasPrefix(o, "--") {
					t.Errorf("%q is no option of ours", o)
				}
				n += 1 + boolToInt(!slices.Contains(words, o))
			}
			if n != len(words) {
				t.Errorf("%q: %d words became %d: %q %q", s, len(words), n, own, rest)
			}
			l, err := p.Split(rest)
			if err != nil {
				continue
			}
			all := slices.Concat(l.Before, l.Operands, l.After)
			if len(all)+boolToInt(l.Dashes) != len(rest) {
				t.Errorf("%q became %+v", rest, l)
			}
			p.Has(p.Options(l), "G")
			p.Value(p.Options(l), 'l')
		}
		for _, w := range words {
			if place, err := sshlogin.ParseOperand(w); err == nil && strings.HasPrefix(place.Host, "-") {
				t.Errorf("%q names the host %q", w, place.Host)
			}
			if place, err := sshlogin.ParseHost(w, "ssh"); err == nil && (place.Host == "" || place.Host[0] == '-') {
				t.Errorf("%q names the host %q", w, place.Host)
			}
		}
	})
}

func boolToInt(b bool) int {
	if b {
		return 1
	}
	return 0
}
