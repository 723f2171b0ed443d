package ldapdir

import (
	"strings"
	"testing"

	"github.com/go-ldap/ldap/v3"

	"github.com/oidcbox/oidcbox/core/account/backend"
	"github.com/oidcbox/oidcbox/core/account/names"
)

// FuzzFilter: whatever claims say, the filter keeps its shape, and says what they said.
func FuzzFilter(f *testing.F) {
	f.Add("a", "https://op.example/", "alice")
	f.Add("*)(uid=*", "{sub}", ")(|(a=*")
	f.Add("\x00\xff\\", "i", "{iss}")
	f.Fuzz(func(t *testing.T, sub, iss, preferred string) {
		n := Names{filter: "(&(a={sub})(b={id})(c={preferred_username}))"}
		text, ok := n.fill(sub, iss, names.Person{PreferredUsername: preferred})
		if !ok {
			return
		}
		p, err := ldap.CompileFilter(text)
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if len(p.Children) != 3 {
			t.Fatalf("%q has %d conditions", text, len(p.Children))
		}
		for i, want := range []string{sub, "", preferred} {
			c := p.Children[i]
			if c.Tag != ldap.FilterEqualityMatch || len(c.Children) != 2 {
				t.Fatalf("%q: condition %d is of kind %d", text, i, c.Tag)
			}
			if got := c.Children[1].Data.String(); want != "" && got != want {
				t.Fatalf("%q asks for %q, want %q", text, got, want)
			}
		}
	})
}

// FuzzPerson: texts about a person fit one line of passwd.
func FuzzPerson(f *testing.F) {
	f.Add("Alice", "a@example.org")
	f.Add("x:0:0\nroot", "a\r\n@")
	f.Add(strings.Repeat("ü", 200), "\u202e@x")
	f.Fuzz(func(t *testing.T, text, mail string) {
		if got := clean(text); strings.ContainsAny(got, ":,\n\r\x00\u202e") || len(got) > maxText || strings.TrimSpace(got) != got {
			t.Errorf("%q", got)
		}
		if got := mailAddress(mail); strings.ContainsFunc(got, func(r rune) bool { return r <= ' ' || r > '~' }) {
			t.Errorf("%q", got)
		}
		line, err := backend.Key{Value: text}.Line()
		if err == nil && (strings.ContainsAny(line, "\n\r") || len(strings.Fields(line)) != 2) {
			t.Errorf("%q", line)
		}
	})
}

// FuzzSchema: definitions of any form name attributes without blanks, or nothing.
func FuzzSchema(f *testing.F) {
	f.Add("( 1.2 NAME 'uidNext' SUP top )")
	f.Add("( 1.2 NAME ( 'a' 'B' ) DESC 'NAME ''x' )")
	f.Add(" NAME ('")
	f.Fuzz(func(_ *testing.T, def string) { collect(map[string]bool{}, []string{def}) })
}

// TestSchema reads definitions in both forms.
func TestSchema(t *testing.T) {
	s := schema{classes: map[string]bool{}}
	collect(s.classes, []string{
		"( 1.2 NAME 'uidNext' DESC 'not this' SUP top )", "( 1.3 NAME ( 'one' 'Two' ) SUP top MUST ( cn $ 'x' ) )", "( 1.4 SUP top )",
	})
	for name, want := range map[string]bool{
		"uidnext": true, "UIDNEXT": true, "one": true, "two": true, "not this": false, "x": false, "top": false,
	} {
		if s.class(name) != want {
			t.Errorf("class %q: %t", name, !want)
		}
	}
}

// TestServer: which servers are talked to in clear.
func TestServer(t *testing.T) {
	for raw, want := range map[string]server{
		"ldap://127.0.0.1:1389":    {network: "tcp", addr: "127.0.0.1:1389", host: "127.0.0.1"},
		"ldap://[::1]":             {network: "tcp", addr: "[::1]:389", host: "::1"},
		"ldap://localhost/":        {network: "tcp", addr: "localhost:389", host: "localhost"},
		"ldap://localhost.evil":    {network: "tcp", addr: "localhost.evil:389", host: "localhost.evil", startTLS: true},
		"ldap://ldap.example.org":  {network: "tcp", addr: "ldap.example.org:389", host: "ldap.example.org", startTLS: true},
		"ldap://0.0.0.0":           {network: "tcp", addr: "0.0.0.0:389", host: "0.0.0.0", startTLS: true},
		"ldaps://ldap.example.org": {network: "tcp", addr: "ldap.example.org:636", host: "ldap.example.org", ldaps: true},
		"ldapi://%2Frun%2Fx":       {network: "unix", addr: "/run/x", local: true},
		"ldapi:///":                {network: "unix", addr: "/run/slapd/ldapi", local: true},
	} {
		want.text = raw
		if got, err := parseServer(raw, false); err != nil || got != want {
			t.Errorf("%s: %+v, %v", raw, got, err)
		}
	}
	for _, raw := range []string{
		"", "ldap://", "http://x", "ldap.example.org", "ldap://u:p@x", "ldap://x/dc=y", "ldap://x?y", "ldapi://relative", "ldapi://%zz",
	} {
		if s, err := parseServer(raw, false); err == nil {
			t.Errorf("%q is taken: %+v", raw, s)
		}
	}
}
