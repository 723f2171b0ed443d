package applets

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/oidcbox/oidcbox/testdata/services"
)

// TestProvisionerUnits lets systemd read the units, with the path of a real binary, and holds what the sandboxes promise.
func TestProvisionerUnits(t *testing.T) {
	services.Need(t, "systemd-analyze")
	h := bareHouse(t)
	names, err := filepath.Glob(filepath.Join("..", "packaging", "system", "oidcbox-provisioner*"))
	if err != nil {
		t.Fatal(err)
	}
	var files []string
	texts := map[string]string{}
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		base := filepath.Base(name)
		texts[base] = string(b)
		if strings.HasSuffix(base, ".sysusers") {
			continue
		}
		h.write(base, strings.ReplaceAll(string(b), "/usr/bin/oidcbox", h.bin))
		files = append(files, h.path(base))
	}
	if len(files) != 5 {
		t.Fatalf("%d units: %v", len(files), files)
	}
	cmd := exec.Command("systemd-analyze", append([]string{"verify", "--man=no", "--recursive-errors=no"}, files...)...)
	if said, err := cmd.CombinedOutput(); err != nil || len(bytes.TrimSpace(said)) > 0 {
		t.Errorf("%v\n%s", err, said)
	}
	for _, c := range []struct{ unit, line string }{
		{"oidcbox-provisioner.service", "User=oidcbox-provisioner"},
		{"oidcbox-provisioner.service", "CapabilityBoundingSet="},
		{"oidcbox-provisioner.service", "ProtectSystem=strict"},
		{"oidcbox-provisioner-relay.service", "CapabilityBoundingSet="},
		{"oidcbox-provisioner-login.socket", "SocketMode=0600"},
		{"oidcbox-provisioner-control.socket", "SocketUser=root"},
		{"oidcbox-provisioner-worker.service", "KillMode=process"},
		{"oidcbox-provisioner.sysusers", `u oidcbox-provisioner - "Provisioner of accounts" /var/lib/oidcbox/provisioner`},
	} {
		if !regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(c.line) + `$`).MatchString(texts[c.unit]) {
			t.Errorf("%s has no line %s", c.unit, c.line)
		}
	}
}
