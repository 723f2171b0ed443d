package issuer

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/oidcbox/oidcbox/core/secret"
)

func TestSelectGroupsAsTheProfileSays(t *testing.T) {
	b, err := os.ReadFile("../../../testdata/jwt/wlcg_examples.json")
	if err != nil {
		t.Fatal(err)
	}
	var examples struct {
		Requests []struct {
			Default []string `json:"default_groups"`
			Member  []string `json:"member_of"`
			Scope   string   `json:"scope"`
			Result  []string `json:"result"`
		} `json:"group_requests"`
	}
	if err := json.Unmarshal(b, &examples); err != nil || len(examples.Requests) == 0 {
		t.Fatalf("no group requests in the examples: %v", err)
	}
	for _, x := range examples.Requests {
		t.Run(x.Scope, func(t *testing.T) {
			u := User{Groups: x.Member, DefaultGroups: x.Default}
			if got := selectGroups(u, strings.Fields(x.Scope)); !slices.Equal(got, x.Result) {
				t.Errorf("got %v, want %v", got, x.Result)
			}
		})
	}
}

func TestSelectGroups(t *testing.T) {
	u := User{Groups: []string{"/a", "/a/b"}, DefaultGroups: []string{"/a"}}
	cases := []struct{ name, scope, want string }{
		{"nothing asked, nothing given", "openid storage.read:/", ""},
		{"a group of others is left out", "wlcg.groups:/c wlcg.groups:/a/b", "/a/b /a"},
		{"a child does not bring its parent", "wlcg.groups:/a/b wlcg.groups", "/a/b /a"},
		{"no group twice", "wlcg.groups wlcg.groups:/a wlcg.groups", "/a"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if got := strings.Join(selectGroups(u, strings.Fields(c.scope)), " "); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestParseScope(t *testing.T) {
	cases := []struct {
		name, in, want string
		bad            bool
	}{
		{"order stays, repetitions go", "b a b", "b a", false},
		{"blanks at the ends and between", "  a   b ", "a b", false},
		{"nothing", "", "", false},
		{"a path", "storage.read:/a/b", "storage.read:/a/b", false},
		{"storage without a path spoils the token", "openid storage.read", "", true},
		{"storage with an empty path", "storage.read:", "", true},
		{"a relative path", "storage.read:a", "", true},
		{"dot-dot", "storage.read:/a/../b", "", true},
		{"dot-dot in percent signs", "storage.read:/a/%2e%2e/b", "", true},
		{"a quote", `a"b`, "", true},
		{"a line break", "a\nb", "", true},
		{"a tab is no separator", "a\tb", "", true},
		{"not ASCII", "ä", "", true},
		{"too long", strings.Repeat("a", maxScopeText+1), "", true},
		{"too many", manyScopes(maxScopes + 1), "", true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got, err := parseScope(c.in)
			if (err != nil) != c.bad {
				t.Fatalf("error %v, want one: %v", err, c.bad)
			}
			if s := strings.Join(got, " "); s != c.want {
				t.Errorf("got %q, want %q", s, c.want)
			}
		})
	}
}

func manyScopes(n int) string {
	var b strings.Builder
	for k := range n {
		b.WriteString("s" + strings.Repeat("x", k) + " ")
	}
	return b.String()
}

func TestCovers(t *testing.T) {
	cases := []struct {
		have, want string
		yes        bool
	}{
		{"openid", "openid", true},
		{"openid", "profile", false},
		{"storage.read:/", "storage.read:/a/b", true},
		{"storage.read:/a", "storage.read:/a", true},
		{"storage.read:/a", "storage.read:/a/b", true},
		{"storage.read:/a", "storage.read:/ab", false},
		{"storage.read:/a/b", "storage.read:/a", false},
		{"storage.read:/a/", "storage.read:/a", false},
		{"storage.read:/", "storage.create:/", false},
		{"storage.modify:/", "storage.create:/", false},
		{"wlcg.groups:/a", "wlcg.groups", true},
		{"wlcg.groups", "wlcg.groups:/a", false},
		{"wlcg.groups:/a", "wlcg.groups:/a/b", false},
		{"fts", "fts:submit-transfer", false},
	}
	for _, c := range cases {
		t.Run(c.have+" covers "+c.want, func(t *testing.T) {
			if got := covers(c.have, c.want); got != c.yes {
				t.Errorf("got %v", got)
			}
		})
	}
}

func TestAllowed(t *testing.T) {
	i := &Issuer{o: Options{Users: SampleUsers(), Ties: SampleTies(), Scopes: []string{"condor:/READ"}}}
	alice, _ := i.userNamed("alice")
	bob, _ := i.userNamed("bob")
	carol, _ := i.userNamed("carol")
	limited := party{Client: Client{Scope: []string{"openid", "storage.read:/data"}}}
	cases := []struct {
		name        string
		c           party
		u           *User
		asked, want string
	}{
		{"what nobody knows", party{}, &alice, "openid made-up condor:/READ", "openid condor:/READ"},
		{"compute belongs to the pilots", party{}, &alice, "compute.create", "compute.create"},
		{"and to nobody else", party{}, &bob, "openid compute.create", "openid"},
		{"a group of one's own", party{}, &alice, "wlcg.groups:/cms/uscms", "wlcg.groups:/cms/uscms"},
		{"not that of others: the default ones stay", party{}, &bob, "wlcg.groups:/cms", "wlcg.groups"},
		{"a group that is none", party{}, &carol, "wlcg.groups:../x", "wlcg.groups"},
		{
			"the client's registration bounds", limited, &alice,
			"openid email storage.read:/data/x storage.read:/", "openid storage.read:/data/x",
		},
		{
			"a client alone is nobody",
			party{},
			nil,
			"openid offline_access email wlcg.groups storage.read:/", "storage.read:/",
		},
		{"a client alone is in no group", party{}, nil, "compute.create host.auth", "host.auth"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if got := strings.Join(i.allowed(c.c, c.u, strings.Fields(c.asked)), " "); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestRedirects(t *testing.T) {
	c := Client{RedirectURIs: []string{
		"https://app.example/cb", "http://127.0.0.1/cb", "http://localhost:8080/", "edu.kit.data.oidc-agent:/redirect",
		"http://[::1]/cb?x=1",
	}}
	cases := []struct {
		uri string
		yes bool
	}{
		{"https://app.example/cb", true},
		{"https://app.example/cb/", false},
		{"https://app.example:443/cb", false},
		{"https://app.example/cb?x", false},
		{"https://APP.example/cb", false},
		{"https://app.example/cb#f", false},
		{"http://127.0.0.1:4711/cb", true},
		{"http://127.0.0.1:4711/cb2", false},
		{"http://127.0.0.1:4711/%63b", false},
		{"http://127.0.0.1.evil.example/cb", false},
		{"http://user@127.0.0.1:4711/cb", false},
		{"http://localhost:9/", true},
		{"http://localhost:9/cb", false},
		{"http://[::1]:7/cb?x=1", true},
		{"http://[::1]:7/cb", false},
		{"https://127.0.0.1:4711/cb", false},
		{"edu.kit.data.oidc-agent:/redirect", true},
		{"edu.kit.data.oidc-agent:/other", false},
		{"javascript:alert(1)", false},
		{"", false},
		{"http://127.0.0.1:4711/cb#x", false},
		{"http://127.0.0.1:4711\\@evil.example/cb", false},
	}
	for _, x := range cases {
		t.Run(x.uri, func(t *testing.T) {
			if got := c.redirects(x.uri); got != x.yes {
				t.Errorf("got %v", got)
			}
		})
	}
}

func TestCheckRedirectURI(t *testing.T) {
	for _, uri := range []string{
		"javascript:alert(1)", "data:text/html,x", "http://app.example/cb", "https:/cb", "https://u:p@app.example/cb",
		"https://app.example/#x", "file:///etc/passwd", "/relative", "", "vbscript:x",
		"https://" + strings.Repeat("a", maxRedirectURI),
	} {
		if err := checkRedirectURI(uri); err == nil {
			t.Errorf("%.60q is taken", uri)
		}
	}
}

func TestOptionsCheckListsAllFaults(t *testing.T) {
	_, err := New(t.Context(), Options{
		URL: "ftp://x", Rotation: "sometimes", AutoLogin: "mallory",
		Clients: []Client{{ID: "a", Grants: []string{"implicit"}}, {ID: "a", Secret: secret.FromString("x")}, {ID: "b:c"}},
		Policy:  []ExchangeRule{{Client: "x", Scopes: []string{"s"}, Audiences: []string{"a"}}},
	})
	if err == nil {
		t.Fatal("taken")
	}
	for _, part := range []string{
		"ftp", "no store", "sometimes", "mallory", "implicit", "listed twice", "colon", "neither the subject's client",
	} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q is missing in: %v", part, err)
		}
	}
}
