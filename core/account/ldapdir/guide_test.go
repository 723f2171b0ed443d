//go:build unix

package ldapdir_test

import (
	"os"
	"strings"
	"testing"

	"github.com/oidcbox/oidcbox/core/account/ldapdir"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/testdata/services"
)

// TestGuide: with the access rules of docs/admin/accounts.md the provisioner can do all it has to, and users cannot write
// their identity.
func TestGuide(t *testing.T) {
	b, err := os.ReadFile("../../../docs/admin/accounts.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(b), "```\n# access for the provisioner\n")
	rules, _, closed := strings.Cut(rest, "```")
	if !found || !closed {
		t.Fatal("the guide has no access rules")
	}
	d := services.Slapd(t, services.SlapdOptions{Database: rules})
	o := options(d)
	o.Probe = &ldapdir.Login{DN: services.LDAPUser, Password: secret.FromString(services.LDAPUserPassword)}
	if err := open(t, o).Trust(t.Context()); err != nil {
		t.Errorf("trust: %v", err)
	}
	life(t, d)
}
