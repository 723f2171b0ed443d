package introspection

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/token/gate"
	"github.com/oidcbox/oidcbox/core/token/jose"
	"github.com/oidcbox/oidcbox/core/token/policy"
	"github.com/oidcbox/oidcbox/core/token/verify"
	"github.com/oidcbox/oidcbox/testdata/services"
)

const python = "/usr/bin/python3" // the one whose modules Debian packages

// block returns the block of a document of docs that begins with first.
func block(tb testing.TB, document, first string) string {
	tb.Helper()
	b, err := os.ReadFile(filepath.Join("../../../docs", document))
	if err != nil {
		tb.Fatal(err)
	}
	for _, m := range regexp.MustCompile("(?s)```[a-z]+\n(.*?)```").FindAllStringSubmatch(string(b), -1) {
		if strings.HasPrefix(m[1], first) {
			return m[1]
		}
	}
	tb.Fatalf("%s has no block that begins with %q", document, first)
	return ""
}

// replace changes what a block says of the world, all of which has to be in it.
func replace(tb testing.TB, text string, pairs ...string) string {
	tb.Helper()
	for i := 0; i < len(pairs); i += 2 {
		if !strings.Contains(text, pairs[i]) {
			tb.Fatalf("there is no %q in\n%s", pairs[i], text)
		}
		text = strings.ReplaceAll(text, pairs[i], pairs[i+1])
	}
	return text
}

func write(tb testing.TB, dir, name, text string) string {
	tb.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		tb.Fatal(err)
	}
	return path
}

// troubled is a gate whose issuer cannot be reached for one token.
type troubled struct{ Gate }

func (g troubled) Decide(ctx context.Context, p gate.Presented, r policy.Request) (gate.Outcome, error) {
	if p.Token.Expose() == "down" {
		return gate.Outcome{}, &gate.Refusal{Status: 503, Description: "not now", RetryAfter: time.Second}
	}
	return g.Gate.Decide(ctx, p, r)
}

// documented serves the endpoint with the policy, and puts verifier.py that asks it, and other files, into a directory.
func documented(tb testing.TB, rules string, files map[string]string) string {
	tb.Helper()
	p, err := policy.Parse("policy.yaml", []byte(rules))
	if err != nil {
		tb.Fatal(err)
	}
	g, err := gate.New(gate.Config{
		Issuers:   []gate.Issuer{{Issuer: verify.Issuer{URL: testIssuer, Keys: jose.NewKeySet(testKey().Public())}}},
		Audiences: []string{testAudience}, Policy: p,
	}, gate.Options{Now: func() time.Time { return now }})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(g.Close)
	srv := httptest.NewServer(newEndpoint(tb, troubled{g}, Options{Clients: testClients()}))
	tb.Cleanup(srv.Close)
	at, err := url.Parse(srv.URL)
	if err != nil {
		tb.Fatal(err)
	}
	dir := tb.TempDir()
	secret := write(tb, dir, "wiki.secret", wikiSecret+"\n")
	write(tb, dir, "verifier.py", replace(tb, block(tb, "admin/introspection.md", "# verifier.py:"),
		`"127.0.0.1", 9100`, `"`+at.Hostname()+`", `+at.Port(), "/etc/oidcbox/wiki.secret", secret))
	for name, text := range files {
		write(tb, dir, name, text)
	}
	return dir
}

type answer struct {
	Status    int
	Challenge string
	Retry     string
	Body      map[string]any
}

// drive sends requests, each with these Authorization headers, to the program of a document.
func drive(tb testing.TB, dir, name string, requests [][]string) []answer {
	tb.Helper()
	services.Need(tb, python)
	if name != "stdlib" {
		try := name
		if name == "fastapi" {
			try = "fastapi.testclient" // which needs httpx
		}
		if exec.Command(python, "-c", "import "+try).Run() != nil {
			services.Missing(tb, "module "+try+" of Python is not installed")
		}
	}
	headers := make([][][2]string, len(requests))
	for i, values := range requests {
		headers[i] = [][2]string{}
		for _, v := range values {
			headers[i] = append(headers[i], [2]string{"Authorization", v})
		}
	}
	in, err := json.Marshal(headers)
	if err != nil {
		tb.Fatal(err)
	}
	script, err := filepath.Abs("testdata/drive.py")
	if err != nil {
		tb.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(tb.Context(), 2*time.Minute) // importing takes seconds where many tests run
	defer cancel()
	cmd := exec.CommandContext(ctx, python, "-B", script, name)
	cmd.Dir, cmd.Env = dir, []string{"PYTHONPATH=" + dir, "HOME=" + dir, "PATH=/usr/bin:/bin", "LANG=C.UTF-8"}
	var out, complaints bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(in), &out, &complaints
	if err := cmd.Run(); err != nil {
		tb.Fatalf("%v\n%s", err, complaints.String())
	}
	var answers []answer
	if err := json.Unmarshal(out.Bytes(), &answers); err != nil || len(answers) != len(requests) {
		tb.Fatalf("%d answers, %v: %s", len(answers), err, out.String())
	}
	return answers
}

// TestPythonExamples runs the services of docs/admin/introspection.md against the endpoint.
func TestPythonExamples(t *testing.T) {
	good := token(t, nil)
	requests := [][]string{
		{},
		{"Bearer " + good},
		{"bearer   " + good},
		{"Bearer " + token(t, map[string]any{"exp": now.Unix() - 3600, "iat": now.Unix() - 7200})},
		{"Bearer " + token(t, map[string]any{"aud": "https://other.example.org"})},
		{"Bearer " + token(t, map[string]any{"iss": "https://evil.example.org"})},
		{"Bearer x&client_id=wiki"},
		{"Bearer " + good, "Bearer " + good},
		{"Basic d2lraTp4"},
		{"Bearer"},
		{"Bearer down"},
	}
	want := []answer{
		{Status: 401, Challenge: "Bearer"},
		{Status: 200},
		{Status: 200},
		{Status: 401, Challenge: "invalid_token"},
		{Status: 401, Challenge: "invalid_token"},
		{Status: 401, Challenge: "invalid_token"},
		{Status: 400, Challenge: "invalid_request"},
		{Status: 400, Challenge: "invalid_request"},
		{Status: 401, Challenge: "Bearer"},
		{Status: 401, Challenge: "Bearer"},
		{Status: 503, Retry: "5"},
	}
	for _, name := range []string{"flask", "fastapi", "aiohttp"} {
		t.Run(name, func(t *testing.T) {
			file := name + "_app.py"
			dir := documented(t, "version: 1\nrequire: IDENTIFIED\nservices: {wiki: {require: ANYONE}}\n", map[string]string{
				file: block(t, "admin/introspection.md", "# "+file),
			})
			for i, got := range drive(t, dir, name, requests) {
				check(t, requests[i], got, want[i])
			}
		})
	}
}

func check(t *testing.T, request []string, got, want answer) {
	t.Helper()
	if got.Status != want.Status || got.Retry != want.Retry || !strings.Contains(got.Challenge, want.Challenge) ||
		(got.Challenge == "") != (want.Challenge == "") || want.Challenge == "Bearer" && strings.Contains(got.Challenge, "error") {
		t.Errorf("%.40q: %+v, want %+v", request, got, want)
	}
	if want.Status == 200 && (got.Body["sub"] != "alice" || got.Body["iss"] != testIssuer) {
		t.Errorf("%.40q: %v", request, got.Body)
	}
	if want.Status != 200 {
		for _, member := range []string{"error", "error_description", "error_details"} {
			if _, there := got.Body[member]; !there {
				t.Errorf("%.40q: no %s in %v", request, member, got.Body)
			}
		}
	}
}

// TestPythonRequirement: get_vo_requirement of docs/policy.md, as policy with Python in front of it.
func TestPythonRequirement(t *testing.T) {
	dir := documented(t, block(t, "policy.md", "version: 1\nrequire:        # get_vo_requirement"),
		map[string]string{"service.py": block(t, "policy.md", "# A service for members of /wlcg or /cms.\nimport")})
	groups := [][]string{{"/wlcg"}, {"/cms"}, {"/x", "/cms"}, {"/cms/uscms"}, {"cms"}, {"/atlas"}, {}, nil}
	var requests [][]string
	for _, g := range groups {
		changed := map[string]any{"wlcg.groups": g}
		if g == nil {
			changed = nil
		}
		requests = append(requests, []string{"Bearer " + token(t, changed)})
	}
	requests = append(requests, []string{}, []string{"Bearer down"})
	for i, got := range drive(t, dir, "stdlib", requests) {
		switch {
		case i < 3:
			check(t, groups[i], got, answer{Status: 200})
		case i < len(groups):
			check(t, groups[i], got, answer{Status: 401, Challenge: "invalid_token"})
		case len(requests[i]) == 0:
			check(t, requests[i], got, answer{Status: 401, Challenge: "Bearer"})
		default:
			check(t, requests[i], got, answer{Status: 503, Retry: "5"})
		}
	}
}
