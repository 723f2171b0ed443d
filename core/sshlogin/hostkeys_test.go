package sshlogin_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/oidcbox/oidcbox/core/sshlogin"
	"github.com/oidcbox/oidcbox/testdata/services"
)

const (
	edKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f"
	rsaIn = "ssh-rsa AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f"
)

// TestHostKeys: what a service says goes to ssh, so only keys pass.
func TestHostKeys(t *testing.T) {
	for line, want := range map[string][]string{
		edKey:                             {edKey},
		edKey + " root@login":             {edKey},
		"@cert-authority * " + edKey:      nil,
		"login.example.org " + edKey:      nil,
		rsaIn:                             nil,
		"ssh-ed25519 AAAA":                nil,
		"ssh-ed25519":                     nil,
		edKey + "\n* " + edKey:            nil,
		"ssh-dss AAAAB3NzaC1kc3MAAACBAP8": nil,
	} {
		b, err := json.Marshal(map[string]any{"ssh_host_keys": []string{line, line}})
		if err != nil {
			t.Fatal(err)
		}
		info, err := sshlogin.ParseInfo(b)
		if err != nil || !slices.Equal(info.HostKeys, want) {
			t.Errorf("%q: %q, %v", line, info.HostKeys, err)
		}
	}
}

// TestKnownHost is compared with ssh-keygen -F, which is ssh's own reading.
func TestKnownHost(t *testing.T) {
	services.Need(t, "ssh-keygen")
	file := `# comment
login.example.org,192.0.2.1 ` + edKey + `
[login.example.org]:2222 ` + edKey + `
*.cluster.example.org,!bad.cluster.example.org ` + edKey + `
@cert-authority *.ca.example.org ` + edKey + `
@revoked old.example.org ` + edKey + `
?x.example.org ` + edKey + `
`
	path := filepath.Join(t.TempDir(), "known")
	hashed := path + ".hashed"
	for _, p := range []string{path, hashed} {
		if err := os.WriteFile(p, []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := exec.Command("ssh-keygen", "-H", "-f", hashed).CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	for _, p := range []string{path, hashed} {
		b, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{
			"login.example.org", "192.0.2.1", "[login.example.org]:2222", "[login.example.org]:22", "a.cluster.example.org",
			"bad.cluster.example.org", "x.ca.example.org", "old.example.org", "ax.example.org", "x.example.org", "other.example.org", "short",
		} {
			want := exec.Command("ssh-keygen", "-F", name, "-f", p).Run() == nil
			if got := sshlogin.KnownHost(b, name); got != want {
				t.Errorf("%s in %s: %t, ssh says %t", name, filepath.Base(p), got, want)
			}
		}
	}
}

func FuzzInfo(f *testing.F) {
	f.Add([]byte(`{"supported_OPs":["https://a"],"ops_info":{"a/":{"scopes":["x"],"audience":["y"]}},"ssh_host_keys":["` + edKey + `"]}`))
	f.Add([]byte(`{"supported OPs":["https://a"],"ops_info":{"a":{"scopes":"x","audience":""}}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		info, err := sshlogin.ParseInfo(b)
		if err != nil {
			return
		}
		for _, p := range info.Providers {
			if _, ok := info.Provider(p.Issuer); !ok {
				t.Errorf("%q is not found", p.Issuer)
			}
		}
	})
}

func FuzzKnownHost(f *testing.F) {
	f.Add([]byte("a,!b,[c]:1 ssh-rsa AAAA\n|1|x|y ssh-rsa AAAA\n"), "a")
	f.Fuzz(func(_ *testing.T, file []byte, name string) { sshlogin.KnownHost(file, name) })
}
