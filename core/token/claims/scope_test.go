package claims

import (
	"encoding/json"
	"errors"
	"os"
	"testing"
)

func TestScopePathVectors(t *testing.T) {
	b, err := os.ReadFile("../../../testdata/jwt/scope_paths.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Count int
		Cases []struct {
			ID, Profile, Scope, Authz, Path, Why string
			Allow                                bool
		}
	}
	if err := json.Unmarshal(b, &file); err != nil {
		t.Fatal(err)
	}
	if len(file.Cases) != file.Count || file.Count == 0 {
		t.Fatalf("%d cases, the file says %d", len(file.Cases), file.Count)
	}
	for _, c := range file.Cases {
		t.Run(c.ID, func(t *testing.T) {
			if got := allowed(Profile(c.Profile), c.Scope, c.Authz, c.Path); got != c.Allow {
				t.Errorf("%q, %s on %s: %v, want %v (%s)", c.Scope, c.Authz, c.Path, got, c.Allow, c.Why)
			}
		})
	}
}

// allowed is the whole answer: an invalid token and an invalid request are a no.
func allowed(p Profile, scope, operation, path string) bool {
	c, err := ParseScopes(scope).Capabilities(p)
	if err != nil {
		return false
	}
	ok, err := c.Allow(operation, path)
	return ok && err == nil
}

func TestAllow(t *testing.T) {
	for _, c := range []struct {
		name            string
		profile         Profile
		scope, op, path string
		want            bool
	}{
		{"create_makes_leading_directory", WLCG, "storage.create:/foo/bar", "storage.create", "/foo/", true},
		{"create_makes_no_leading_file", WLCG, "storage.create:/foo/bar", "storage.create", "/foo", false},
		{"create_makes_no_directory_beside", WLCG, "storage.create:/foo/bar", "storage.create", "/fo/", false},
		{"modify_makes_leading_directory", WLCG, "storage.modify:/foo/bar", "storage.create", "/foo/", true},
		{"modify_deletes_no_leading_directory", WLCG, "storage.modify:/foo/bar", "storage.modify", "/foo/", false},
		{"read_sees_no_leading_directory", WLCG, "storage.read:/foo/bar", "storage.read", "/foo/", false},
		{"slash_covers_no_file_of_that_name", WLCG, "storage.create:/foo/bar/", "storage.create", "/foo/bar", false},
		{"slash_covers_directory", WLCG, "storage.create:/foo/bar/", "storage.create", "/foo/bar/", true},
		{"no_slash_covers_both", WLCG, "storage.read:/foo/bar", "storage.read", "/foo/bar/", true},
		{"slash_means_nothing_to_scitokens", SciTokens, "read:/foo/bar/", "read", "/foo/bar", true},
		{"modify_includes_create", WLCG, "storage.modify:/", "storage.create", "/x", true},
		{"compute_has_no_path", WLCG, "compute.create", "compute.create", "", true},
		{"compute_with_path_is_unknown", WLCG, "compute.create:/x", "compute.create", "", false},
		{"colon_in_path", WLCG, "storage.read:/a:b", "storage.read", "/a:b/c", true},
		{"generic_has_no_capabilities", Generic, "storage.read:/", "storage.read", "/x", false},
		{"encoded_slash_in_request", WLCG, "storage.read:/a", "storage.read", "/a%2fb", false},
		{"backslash_in_request", WLCG, "storage.read:/", "storage.read", `/a\b`, false},
		{"control_in_request", WLCG, "storage.read:/", "storage.read", "/a%0ab", false},
		{"bad_triplet_in_request", WLCG, "storage.read:/", "storage.read", "/a%zz", false},
		{"above_the_root_is_the_root", WLCG, "storage.read:/a", "storage.read", "/../../a/f", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := allowed(c.profile, c.scope, c.op, c.path); got != c.want {
				t.Errorf("%q, %s on %s: %v, want %v", c.scope, c.op, c.path, got, c.want)
			}
		})
	}
}

func TestParsePathRefuses(t *testing.T) {
	for _, s := range []string{
		"", "foo", "/..", "/a/..", "/a/../b", "/a/%2e%2e/b", "/a/.%2E/b", "/a/%252e%252e", "/a/%25252e%25252e",
		"/a/%2525252525252e", "/a%2fb", "/a%252fb", "/a%5cb", `/a\b`, "/a%00", "/a%25%30%30", "/%zz", "/a%", "/a\x01",
	} {
		t.Run(s, func(t *testing.T) {
			if p, err := ParsePath(s); !errors.Is(err, ErrScopePath) {
				t.Errorf("ParsePath(%q) = %q, %v; want ErrScopePath", s, p, err)
			}
		})
	}
}

func TestScopeCovers(t *testing.T) {
	for _, c := range []struct {
		have, want string
		ok         bool
	}{
		{"storage.read:/", "storage.read:/a", true},
		{"storage.read:/a", "storage.read:/a", true},
		{"storage.read:/a/", "storage.read:/a", false},
		{"storage.read:/a", "storage.read:/a/", true},
		{"storage.read:/a", "storage.read:/ab", false},
		{"storage.read:/a/b", "storage.read:/a", false},
		{"storage.modify:/a", "storage.create:/a", false},
		{"openid", "openid", true},
		{"openid", "profile", false},
		{"storage.read", "storage.read:/a", false},
	} {
		have, err := ParseScope(c.have)
		if err != nil {
			t.Fatal(err)
		}
		want, err := ParseScope(c.want)
		if err != nil {
			t.Fatal(err)
		}
		if got := have.Covers(want); got != c.ok {
			t.Errorf("%s covers %s: %v, want %v", c.have, c.want, got, c.ok)
		}
	}
}

func FuzzScopePath(f *testing.F) {
	for _, s := range []string{"/", "/a/b", "/a//b/", "/a/%2e/b", "/%252e%252e", "/a%20b:c", "/ü/%c3%bc"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := ParsePath(s)
		if err != nil {
			return
		}
		again, err := ParsePath(p.String())
		if err != nil || again.String() != p.String() || !again.covers(p, false) || !p.covers(again, false) {
			t.Fatalf("%q -> %q -> %q, %v", s, p, again, err)
		}
		for _, segment := range p.segments {
			if segment == ".." || segment == "." || segment == "" {
				t.Fatalf("%q has segment %q", s, segment)
			}
		}
	})
}

// FuzzScopesCheck holds the short way to see that scopes are valid to the long one.
func FuzzScopesCheck(f *testing.F) {
	for _, seed := range []string{
		"storage.read:/a storage.create:/b/", "storage.read", "storage.read:", "storage.read:/a/../b", "storage.read:/..a",
		"read:/%2e%2e", "write:/a\\b", "storage.stage:/ä", "storage.read:/a:b", "read:/a\x7f", "storage.poll:/%",
		"storage.:a/",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, claim string) {
		for _, p := range Profiles() {
			s := ParseScopes(claim)
			_, want := s.Capabilities(p)
			if got := s.check(p); (got == nil) != (want == nil) {
				t.Errorf("%s: %q: %v, %v", p, claim, got, want)
			}
		}
	})
}
