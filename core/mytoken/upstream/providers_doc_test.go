package upstream_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/oidcbox/oidcbox/core/mytoken/upstream"
	"github.com/oidcbox/oidcbox/core/oidc/custody"
	"github.com/oidcbox/oidcbox/core/oidc/flow"
	"github.com/oidcbox/oidcbox/core/transport/httpc"
)

// TestKindsAreDocumented: the table that operators read is the one that the server goes by.
func TestKindsAreDocumented(t *testing.T) {
	page, err := os.ReadFile("../../../docs/admin/providers.md")
	if err != nil {
		t.Fatal(err)
	}
	var rows []string
	inside := false
	for line := range strings.Lines(string(page)) {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "| kind |"):
			inside = true
		case inside && strings.HasPrefix(line, "| `"):
			rows = append(rows, line)
		case inside && !strings.HasPrefix(line, "|"):
			inside = false
		}
	}
	kinds := upstream.Kinds()
	if len(rows) != len(kinds) {
		t.Fatalf("%d rows, %d kinds", len(rows), len(kinds))
	}
	for i, k := range kinds {
		t.Run(k.Name, func(t *testing.T) {
			want, got := kindRow(k), cells(rows[i])
			if len(got) != len(want) {
				t.Fatalf("%d cells, want %d: %s", len(got), len(want), rows[i])
			}
			for n := range want {
				if got[n] != want[n] {
					t.Errorf("cell %d is %q, the server has %q", n+1, got[n], want[n])
				}
			}
		})
	}
	for _, s := range upstream.Styles() {
		if !strings.Contains(string(page), "\n| `"+string(s)+"` |") {
			t.Errorf("audience style %s is not explained", s)
		}
	}
}

func cells(row string) []string {
	list := strings.Split(strings.Trim(row, "|"), "|")
	for i := range list {
		list[i] = strings.TrimSpace(list[i])
	}
	return list
}

func kindRow(k upstream.Kind) []string {
	code := func(list ...string) string {
		var out []string
		for _, s := range list {
			if s != "" {
				out = append(out, "`"+s+"`")
			}
		}
		return strings.Join(out, " ")
	}
	narrows, to, used := "yes", "issuer", "learned"
	if k.Fixed {
		narrows = "no"
	}
	if k.Assertion == flow.ForTokenEndpoint {
		to = "token_endpoint"
	}
	if k.Habit == custody.HabitKeeps {
		used = "kept"
	}
	return []string{
		code(k.Name), k.About, code(k.Issuers...), code(k.Offline), code(k.Parameters.Encode()), code(string(k.Audience)),
		code(k.Extra...), code(k.ExtraScopes...), code(k.Again...), narrows, to, used,
	}
}

// TestKinds: each row works as a configuration, and the well-known issuers are found by themselves.
func TestKinds(t *testing.T) {
	f := newFake(t)
	for _, k := range upstream.Kinds() {
		t.Run(k.Name, func(t *testing.T) {
			p := f.provider(func(c *upstream.Config) { c.Kind, c.Audience = k.Name, "" })
			to, err := p.Start(t.Context(), draft("compute.read"))
			if err != nil {
				t.Fatal(err)
			}
			want := strings.TrimSpace("openid compute.read " + k.Offline)
			if got := query(t, to).Get("scope"); got != want {
				t.Errorf("scope %q, want %q", got, want)
			}
			for name, v := range k.Parameters {
				if fmt.Sprint(query(t, to)[name]) != fmt.Sprint(v) {
					t.Errorf("%s is missing", name)
				}
			}
			if p.Info().ResourceOnly != (k.Audience == upstream.Resource) {
				t.Error("ResourceOnly")
			}
			for _, iss := range k.Issuers {
				r, err := upstream.New([]upstream.Config{{Issuer: iss, ClientID: "x"}}, nowhere())
				if err != nil {
					t.Fatal(err)
				}
				defer r.Close()
				known := only(t, r)
				if got := known.Accepts(restrictions("", "https://se.example.org")) == nil; got != (k.Audience != upstream.None) {
					t.Errorf("%s is not known", iss)
				}
			}
		})
	}
}

// nowhere lets no request out of this machine.
func nowhere() upstream.Options {
	return upstream.Options{HTTP: httpc.Options{Getenv: func(name string) string {
		if strings.EqualFold(name, "https_proxy") {
			return "http://127.0.0.1:1"
		}
		return ""
	}}}
}
