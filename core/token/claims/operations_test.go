package claims

import "testing"

// Each operation is granted by the scope of its name, with the path where it has one, and by nothing at all otherwise.
func TestOperations(t *testing.T) {
	t.Parallel()
	for _, p := range []Profile{WLCG, SciTokens} {
		for _, op := range Operations(p) {
			scope, path := op, ""
			if OnPath(p, op) {
				scope, path = op+":/", "/a"
			}
			for claim, want := range map[string]bool{scope: true, "openid": false} {
				c, err := ParseScopes(claim).Capabilities(p)
				if err != nil {
					t.Fatalf("%s %s: %v", p, claim, err)
				}
				if got, err := c.Allow(op, path); got != want || err != nil {
					t.Errorf("%s: %q allows %s: %v, %v", p, claim, op, got, err)
				}
			}
		}
	}
	for _, p := range []Profile{Generic, ATJWT} {
		if ops := Operations(p); ops != nil || OnPath(p, "storage.read") {
			t.Errorf("%s has operations: %v", p, ops)
		}
	}
}
