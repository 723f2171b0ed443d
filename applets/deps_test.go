package applets

import (
	"encoding/json"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/oidcbox/oidcbox/"

// soleImporters says which one package may import a library: risk, printable secrets or an engine stays behind one wall.
// A trailing slash covers everything below.
func soleImporters() map[string][]string {
	return map[string][]string{
		"github.com/awnumar/memguard":    {"core/secret/vault"},
		"github.com/lestrrat-go/jwx/":    {"core/token/jose"},
		"golang.org/x/oauth2":            {"core/oidc/flow"},
		"go.etcd.io/bbolt":               {"store/boltstore"},
		"github.com/jackc/":              {"store/pgstore"},
		"github.com/alecthomas/kong":     {"core/cli"},
		"github.com/zalando/go-keyring":  {"core/secret/keystore"},
		"github.com/google/renameio/":    {"core/agent/login", "core/secret/keystore", "applets/self"},
		"golang.org/x/crypto/argon2":     {"core/secret/vault"},
		"golang.org/x/crypto/ssh":        {"core/mytoken/desk", "core/mytoken/sshapi"},
		"golang.org/x/time":              {"core/transport/limit"},
		"rsc.io/qr":                      {"core/cli/term"},
		"go.yaml.in/yaml/v3":             {"applets/issuer", "core/config"},
		"github.com/oschwald/":           {"core/mytoken/geo"},
		"github.com/go-json-experiment/": {"core/token/jose", "core/agent/proto"},
		"github.com/wneessen/go-mail/":   {"core/transport/mail"},
		"github.com/go-ldap/":            {"core/account/ldapdir"},
	}
}

// tiers orders the packages of core: a package imports those of earlier lines only. A new package gets its place here.
func tiers() [][]string {
	return [][]string{
		{"core/sorted", "core/secret", "core/cli", "core/token/entitlement", "core/token/assurance", "core/audit", "core/account/state", "core/account/otp/form"},
		{"core/transport/metrics", "core/transport/limit", "core/account/names", "core/account/backend", "core/account/otp"},
		{"core/secret/vault", "core/config", "core/token/jose", "core/cli/term", "core/transport/sock", "core/token/bearer"},
		{"core/account/dryrun", "core/cli/setup", "core/account/importconfig"},
		{"core/account/login", "core/secret/keystore", "core/transport/httpc", "core/transport/httpd", "core/token/claims", "core/token/dpop"},
		{"core/transport/listen", "core/transport/mail", "core/daemon", "core/account/relay"},
		{"core/daemon/keep"},
		{"core/oidc/provider", "core/token/policy"},
		{"core/token/verify", "core/oidc/flow", "core/oidc/registration", "core/oidc/issuer"},
		{"core/token/remote"},
		{"core/token/gate"},
		{"core/token/httpauth", "core/token/introspection", "core/token/issuers"},
		{"core/account/provision"},
		{"core/account/httpapi", "core/account/approval", "core/account/feudal"},
		{"core/account/pages"},
		{"core/token/forward"},
		{"core/oidc/issuer/issuertest", "core/oidc/custody", "core/mytoken", "core/token/remote"},
		{"core/mytoken/mytokentest", "core/mytoken/rules"},
		{"core/mytoken/escrow", "core/mytoken/mint", "core/mytoken/profiles"},
		{"core/mytoken/ledger"},
		{"core/mytoken/geo"},
		{"core/mytoken/geo/geotest"},
		{"core/mytoken/desk"},
		{"core/mytoken/upstream"},
		{"core/mytoken/httpapi", "core/mytoken/sshapi"},
		{"core/mytoken/pages", "core/mytoken/notices"},
		{"core/account/sysuser", "core/account/mark", "core/account/command"},
		{
			"core/account/unixdir", "core/account/worker", "core/account/ldapdir",
			"core/account/execdir", "core/account/regapp",
		},
		{"core/agent/proto", "core/agent/control", "core/agent/login", "core/agent/prompt"},
		{"core/agent/grant"},
		{"core/agent/service", "core/agent/start"},
		{"core/agent/relay", "core/sshlogin"},
	}
}

type goPackage struct {
	ImportPath string
	Imports    []string
}

func modulePackages(t *testing.T) []goPackage {
	t.Helper()
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports", module+"...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var pkgs []goPackage
	for dec := json.NewDecoder(strings.NewReader(string(out))); dec.More(); {
		var p goPackage
		if err := dec.Decode(&p); err != nil {
			t.Fatal(err)
		}
		pkgs = append(pkgs, p)
	}
	if len(pkgs) < 10 {
		t.Fatalf("only %d packages found", len(pkgs))
	}
	return pkgs
}

// TestDeps holds the direction of imports (docs/decisions/0001, CONTRIBUTING.md).
func TestDeps(t *testing.T) {
	for _, p := range modulePackages(t) {
		from := strings.TrimPrefix(p.ImportPath, module)
		for _, imp := range p.Imports {
			if to, ours := strings.CutPrefix(imp, module); ours {
				if why := forbidden(from, to); why != "" {
					t.Errorf("%s imports %s: %s", from, to, why)
				}
				continue
			}
			for lib, allowed := range soleImporters() {
				if imports(imp, lib) && !slices.Contains(allowed, from) && from != "applets" {
					t.Errorf("%s imports %s, which only %v may", from, imp, allowed)
				}
			}
		}
	}
}

func imports(imp, lib string) bool {
	return imp == strings.TrimSuffix(lib, "/") || strings.HasPrefix(imp, strings.TrimSuffix(lib, "/")+"/")
}

// forbidden says why a package of ours may not import another, "" when it may.
func forbidden(from, to string) string {
	floor := func(p string) string { first, _, _ := strings.Cut(p, "/"); return first }
	switch {
	case strings.HasPrefix(from, "testdata/"):
		return ""
	case strings.HasPrefix(to, "testdata/"):
		return "testdata is for tests"
	case floor(from) == "store" && floor(to) != "store":
		return "store knows nothing above it"
	case floor(from) == "core" && floor(to) == "applets":
		return "the arrows run backwards"
	case floor(from) == "core" && isEngine(to) && from != "core/oidc/issuer/issuertest": // it is a test's helper
		return "only roles choose an engine"
	case floor(from) == "core" && floor(to) == "core":
		return upward(from, to)
	case strings.HasPrefix(from, "applets/") && strings.HasPrefix(to, "applets"):
		return "roles do not know each other"
	}
	return ""
}

func isEngine(p string) bool {
	return slices.Contains([]string{"store/boltstore", "store/memstore", "store/pgstore"}, p)
}

func upward(from, to string) string {
	a, b := tierOf(from), tierOf(to)
	switch {
	case a < 0:
		return "the package has no line in tiers"
	case b < 0:
		return "the imported package has no line in tiers"
	case b < a:
		return ""
	}
	return "it is not on an earlier line of tiers"
}

func tierOf(p string) int {
	return slices.IndexFunc(tiers(), func(line []string) bool { return slices.Contains(line, p) })
}
