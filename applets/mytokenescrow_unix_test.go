//go:build unix

package applets

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
)

// TestMytokenServerEscrow: a login whose mytokens nobody has any more is revoked at its provider, with a key that was never
// on the server.
func TestMytokenServerEscrow(t *testing.T) {
	s := &mytokenSite{house: bareHouse(t)}
	address := freeAddress(t)
	s.url = "http://" + address
	w := newWitness(t, s.url+"/redirect")
	s.issuer = w.URL
	s.write("op-secret", "the-secret-of-the-server-there\n")
	s.must("mytoken-server", "setup", "--yes", "--config", "server.yaml", "--state-dir", "server", "--issuer", s.url,
		"--listen", address, "--operator", "The Institute", "--contact", "us@example.org", "--provider", "op",
		"--provider-issuer", w.URL, "--client-id", "mytoken", "--client-secret-file", "op-secret")
	public := s.must("mytoken-server", "escrow", "keygen", "safe.pem")
	if info, err := os.Stat(s.path("safe.pem")); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v %v", info, err)
	}
	if o := s.run("mytoken-server", "escrow", "keygen", "safe.pem"); o.code != 1 {
		t.Fatalf("a key was overwritten: %+v", o)
	}
	s.write("escrow.pem", public)
	conf := readFile(t, s.path("server.yaml"))
	s.write("server.yaml", strings.Replace(conf, "\nstate:\n", "\nstate:\n  escrow_file: escrow.pem\n", 1)+
		"limits: {polling_interval: 1s}\n")
	if o := s.run("mytoken-server", "check", "--config", "server.yaml", "--offline"); o.code != 0 || !strings.Contains(o.out, "escrow") {
		t.Fatalf("check: %+v", o)
	}
	s.serve(t)
	mt := s.login("--capability", "AT")
	for range 2 { // the refresh token is replaced at each use
		if o := s.client(mt, "AT"); o.code != 0 {
			t.Fatalf("AT: %+v", o)
		}
	}
	list := func(args ...string) (all []struct{ Login, Box, Ended string }) {
		t.Helper()
		out := s.must(append([]string{"mytoken-server", "escrow", "list", "--config", "server.yaml", "--json"}, args...)...)
		if err := json.Unmarshal([]byte(out), &all); err != nil {
			t.Fatal(err)
		}
		return all
	}
	if n := len(list()); n != 0 {
		t.Fatalf("%d logins are to be revoked while they live", n)
	}
	if all := list("--all"); len(all) != 1 || all[0].Box == "" {
		t.Fatalf("%+v", all)
	}
	var tokens []struct {
		MOMID string `json:"mom_id"`
	}
	if err := json.Unmarshal([]byte(s.must("mytoken-server", "admin", "tokens", "--config", "server.yaml", "--json")), &tokens); err != nil || len(tokens) != 1 {
		t.Fatalf("%v %+v", err, tokens)
	}
	s.must("mytoken-server", "admin", "revoke", "--config", "server.yaml", tokens[0].MOMID)
	s.write("deposits.json", s.must("mytoken-server", "escrow", "list", "--config", "server.yaml", "--json"))
	opened := s.must("mytoken-server", "escrow", "open", "--key", "safe.pem", "deposits.json")
	newest := false
	for text, what := range w.secrets {
		newest = newest || what == "refresh_token" && strings.Contains(opened, text)
	}
	if !newest {
		t.Fatal("what was opened is no refresh token of the provider")
	}
	s.must("mytoken-server", "escrow", "keygen", "other.pem")
	if o := s.run("mytoken-server", "escrow", "open", "--key", "other.pem", "deposits.json"); strings.TrimSpace(o.out) != "[]" {
		t.Fatalf("another key: %+v", o)
	}
	s.write("opened.json", opened)
	s.must("mytoken-server", "escrow", "revoke", "--config", "server.yaml", "opened.json")
	if w.revoked() == 0 {
		t.Fatal("the provider was not asked")
	}
	if n := len(list("--all")); n != 0 {
		t.Fatalf("%d deposits are left", n)
	}
	// What was interrupted is done again: a provider says yes to what it has revoked already (RFC 7009 2.2).
	s.must("mytoken-server", "escrow", "revoke", "--config", "server.yaml", "opened.json")
}
