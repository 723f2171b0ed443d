package issuer_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/oidcbox/oidcbox/core/oidc/issuer"
	"github.com/oidcbox/oidcbox/core/oidc/issuer/issuertest"
	"github.com/oidcbox/oidcbox/core/secret"
	profile "github.com/oidcbox/oidcbox/core/token/claims"
)

// power is all that a token can do, spelt out over a small world of operations, paths, groups and audiences. It is
// worked out by the verifier's rules, not by those of the issuer.
func power(t *testing.T, c map[string]any) map[string]bool {
	t.Helper()
	can := map[string]bool{}
	scope, _ := c["scope"].(string)
	caps, err := profile.ParseScopes(scope).Capabilities(profile.WLCG)
	if err != nil {
		t.Fatalf("token with a bad scope %q: %v", scope, err)
	}
	var auds []string
	raw, _ := json.Marshal(c["aud"])
	if json.Unmarshal(raw, &auds) != nil {
		auds = []string{c["aud"].(string)}
	}
	var things []string
	for _, op := range []string{"storage.read", "storage.create", "storage.modify", "compute.create", "compute.read"} {
		for _, path := range []string{"/", "/a", "/a/", "/a/b", "/a/b/c", "/ab", "/c"} {
			if ok, err := caps.Allow(op, path); ok && err == nil {
				things = append(things, op+":"+path)
			}
		}
	}
	groups, _ := c["wlcg.groups"].([]any)
	for _, g := range groups {
		things = append(things, "group:"+g.(string))
	}
	for _, s := range []string{"openid", "fts:submit-transfer", "eduperson_assurance"} {
		if slices.Contains(strings.Fields(scope), s) {
			things = append(things, s)
		}
	}
	for _, a := range world() {
		if slices.Contains(auds, a) || slices.Contains(auds, issuer.AnyAudience) {
			for _, x := range things {
				can[x+" at "+a] = true
			}
		}
	}
	return can
}

// world is every audience a request can name, and one that none does: it stands for all others.
func world() []string {
	return []string{"https://a.example", "https://b.example", "https://unnamed.example"}
}

func pick(r *rand.Rand, from []string, most int) string {
	var out []string
	for range r.IntN(most + 1) {
		out = append(out, from[r.IntN(len(from))])
	}
	return strings.Join(out, " ")
}

// TestNothingWidens makes chains of refreshes and exchanges with any scopes and audiences: whatever comes out can do
// nothing that what went in could not.
func TestNothingWidens(t *testing.T) {
	s := issuertest.Start(t, func(o *issuer.Options) { o.Policy = []issuer.ExchangeRule{}; o.Rotation = issuer.Off })
	scopes := []string{
		"openid", "offline_access", "wlcg.groups", "wlcg.groups:/cms", "wlcg.groups:/cms/uscms", "wlcg.groups:/wlcg",
		"storage.read:/", "storage.read:/a", "storage.read:/a/", "storage.read:/a/b", "storage.read:/a//b/.",
		"storage.create:/a", "storage.modify:/c", "storage.modify:/", "compute.create", "compute.read", "fts:submit-transfer",
	}
	audiences := append([]string{issuer.AnyAudience}, world()[:2]...)
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 1))
	given, refused := 0, 0
	for n := range 60 {
		first := s.Tokens([]string{"alice", "bob", "carol"}[n%3], "offline_access "+pick(r, scopes, 6), url.Values{
			"audience": strings.Fields(pick(r, audiences, 2)),
		})
		token := first.Access
		var before map[string]any
		for range 6 {
			change := []string{"scope", pick(r, scopes, 3), "audience", pick(r, audiences, 2)}
			var a issuertest.Answer
			if r.IntN(2) == 0 {
				before = access(t, s, first.Access)
				a = s.Token("web", "web-secret", refreshForm(first.Refresh, change...))
			} else {
				before = access(t, s, token)
				a = s.Token("service", "service-secret", exchangeForm(token, change...))
			}
			if a.Status != http.StatusOK {
				refused++
				continue
			}
			given++
			token = secret.FromString(fmt.Sprint(a.Body["access_token"]))
			after := access(t, s, token)
			had := power(t, before)
			for x := range power(t, after) {
				if !had[x] {
					t.Fatalf("seed %d: %v gave %v, which can %s", seed, before, after, x)
				}
			}
		}
	}
	if given < 20 || refused < 20 {
		t.Errorf("%d given, %d refused: the requests prove little", given, refused)
	}
}
