//go:build unix

package applets

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestMytokenServerStandards: a client without any code for mytokens, with curl as the guide has it and plain forms.
func TestMytokenServerStandards(t *testing.T) {
	const password = "a-secret-of-the-storage-0123456789"
	file := filepath.Join(t.TempDir(), "storage-secret")
	if err := os.WriteFile(file, []byte(password+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := newMytokenSite(t, "introspection_clients:\n  storage: {secret_file: "+file+"}\n")
	mt := s.login("--capability", "AT", "--capability", "create_mytoken", "--restrictions",
		`[{"scope":"storage.read:/ openid"}]`)
	var meta struct {
		Issuer        string   `json:"issuer"`
		Token         string   `json:"token_endpoint"`
		Introspection string   `json:"introspection_endpoint"`
		Revocation    string   `json:"revocation_endpoint"`
		Grants        []string `json:"grant_types_supported"`
	}
	_, body := s.get(t, "/.well-known/oauth-authorization-server")
	if err := json.Unmarshal([]byte(body), &meta); err != nil || meta.Issuer != s.url {
		t.Fatalf("metadata %s, %v", body, err)
	}

	s.write("mytoken", mt+"\n") // as people have it in files
	out := s.documented(t, "curl -sS", "docs/mytoken-api.md")
	var got struct {
		Token string `json:"access_token"`
		Type  string `json:"issued_token_type"`
		Scope string `json:"scope"`
	}
	if err := json.Unmarshal([]byte(out), &got); err != nil || strings.Count(got.Token, ".") != 2 ||
		got.Scope != "storage.read:/vo/run7" || !strings.HasSuffix(got.Type, ":access_token") {
		t.Errorf("the guide's request gives %s", out)
	}

	form := func(endpoint string, basic bool, v url.Values) (int, map[string]any) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, endpoint, strings.NewReader(v.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if basic {
			req.SetBasicAuth("storage", password)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		var o map[string]any
		_ = json.Unmarshal(b, &o)
		return resp.StatusCode, o
	}
	if status, o := form(meta.Token, false, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {mt}}); status != 200 {
		t.Errorf("refresh: %d %v", status, o)
	}
	if status, o := form(meta.Introspection, true, url.Values{"token": {mt}}); status != 200 || o["active"] != true || o["iss"] != s.url {
		t.Errorf("introspection: %d %v", status, o)
	}
	if status, o := form(meta.Introspection, false, url.Values{"token": {mt}}); status != 401 || o["error"] != "invalid_client" {
		t.Errorf("introspection by a stranger: %d %v", status, o)
	}
	if status, _ := form(meta.Revocation, false, url.Values{"token": {mt}}); status != 200 {
		t.Errorf("revocation: %d", status)
	}
	if status, o := form(meta.Introspection, true, url.Values{"token": {mt}}); status != 200 || o["active"] != false {
		t.Errorf("after the revocation: %d %v", status, o)
	}
	if status, o := form(meta.Token, false, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {mt}}); status != 401 {
		t.Errorf("refresh after the revocation: %d %v", status, o)
	}
}

// documented runs the block of a document that begins with first.
func (s *mytokenSite) documented(t *testing.T, first, document string) string {
	t.Helper()
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("no curl here")
	}
	raw, err := os.ReadFile("../" + document)
	if err != nil {
		t.Fatal(err)
	}
	_, block, ok := strings.Cut(string(raw), "```\n"+first)
	block, _, _ = strings.Cut(block, "```")
	if !ok || block == "" {
		t.Fatalf("%s has no block that begins with %q", document, first)
	}
	cmd := exec.CommandContext(t.Context(), "sh", "-euc", first+block)
	cmd.Env, cmd.Dir = append(s.environ(), "ISSUER="+s.url), s.dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return string(out)
}
