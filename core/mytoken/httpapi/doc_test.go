package httpapi

import (
	"os"
	"strings"
	"testing"
)

// TestDocumented: every endpoint of this package stands in the document on it, with its methods.
func TestDocumented(t *testing.T) {
	raw, err := os.ReadFile("../../../docs/mytoken-api.md")
	must(t, err)
	lines := strings.Split(string(raw), "\n")
	b := start(t, withGroups)
	n := 0
	for _, r := range b.api.routes() {
		if !strings.HasPrefix(r.Path, "/api/") {
			continue
		}
		n++
		found := false
		for _, line := range lines {
			first, _, _ := strings.Cut(strings.TrimPrefix(line, "| "), " | ")
			found = found || strings.Contains(first, r.Path+"`") && strings.Contains(first, r.Method)
		}
		if !found {
			t.Errorf("%s %s is not in docs/mytoken-api.md", r.Method, r.Path)
		}
	}
	if n < 25 {
		t.Errorf("only %d endpoints", n)
	}
}
