package httpapi

import (
	"os"
	"strings"
	"testing"
)

// TestDocumentation_has_every_route: what is served stands in docs/provisioner-api.md.
func TestDocumentation_has_every_route(t *testing.T) {
	text, err := os.ReadFile("../../../docs/provisioner-api.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range newBed(t).list() {
		last := r.path[strings.LastIndex(r.path, "/")+1:]
		if !strings.Contains(string(text), r.path) && !strings.Contains(string(text), ", `"+last+"`") {
			t.Errorf("%s is not in the documentation", r.path)
		}
		for _, p := range append(r.params, r.more...) {
			if !strings.Contains(string(text), p) {
				t.Errorf("%s: parameter %s is not in the documentation", r.path, p)
			}
		}
	}
}
