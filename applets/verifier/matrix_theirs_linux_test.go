package verifier

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/token/claims"
	"github.com/oidcbox/oidcbox/core/token/jose"
	"github.com/oidcbox/oidcbox/testdata/services"
)

const scitokensTime = 2 * time.Minute // for all questions to one program, on a busy machine

// scitokensWorld is an issuer with TLS, which is the only one that scitokens-cpp and XRootD believe.
type scitokensWorld struct {
	tb     testing.TB
	issuer string
	certs  string
	key    *jose.PrivateKey
	set    []byte            // its public half as a key set
	tokens map[string]string // by profile and scope
}

func newScitokensWorld(tb testing.TB) *scitokensWorld {
	tb.Helper()
	services.Need(tb, "scitokens-test-access", "scitokens-verify", "unshare", "sh", "xrootd")
	services.NeedRoot(tb)
	needVersion(tb, "libscitokens0", "0.7.3-")
	needVersion(tb, "xrootd-scitokens-plugins", "5.5.3-")
	w := &scitokensWorld{tb: tb, certs: services.Certificates(tb), tokens: map[string]string{}}
	var err error
	if w.key, err = jose.GenerateKey(jose.ES256, "k1"); err != nil {
		tb.Fatal(err)
	}
	if w.set, err = jose.NewKeySet(w.key.Public()).MarshalJSON(); err != nil {
		tb.Fatal(err)
	}
	cert, err := tls.LoadX509KeyPair(filepath.Join(w.certs, "server.pem"), filepath.Join(w.certs, "server.key"))
	if err != nil {
		tb.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/.well-known/openid-configuration", func(rw http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(rw, `{"issuer":%q,"jwks_uri":"%s/jwks"}`, w.issuer, w.issuer)
	})
	mux.HandleFunc("/jwks", func(rw http.ResponseWriter, _ *http.Request) { _, _ = rw.Write(w.set) })
	srv := httptest.NewUnstartedServer(mux)
	srv.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
	srv.StartTLS()
	tb.Cleanup(srv.Close)
	w.issuer = strings.Replace(srv.URL, "127.0.0.1", "localhost", 1)
	return w
}

// needVersion skips where a package is of another version than the page speaks of: others have other faults.
func needVersion(tb testing.TB, name, version string) {
	tb.Helper()
	out, err := exec.Command("dpkg-query", "-W", "-f", "${Version}", name).Output()
	if err != nil || !strings.HasPrefix(string(out), version) {
		services.Missing(tb, fmt.Sprintf("the table is about %s %s, here is %q", name, version, out))
	}
}

// token is one of this profile with this scope, good for all that is asked.
func (w *scitokensWorld) token(profile, scope string) string {
	w.tb.Helper()
	if t, ok := w.tokens[profile+" "+scope]; ok {
		return t
	}
	now := time.Now()
	c := map[string]any{
		"iss": w.issuer, "sub": "alice", "aud": audience, "jti": fmt.Sprint(len(w.tokens)), "scope": scope,
		"iat": now.Unix() - 5, "nbf": now.Unix() - 5, "exp": now.Add(time.Hour).Unix(),
	}
	if claims.Profile(profile) == claims.WLCG {
		c["wlcg.ver"] = "1.0"
	} else {
		c["ver"] = "scitoken:2.0"
	}
	payload, err := json.Marshal(c)
	if err != nil {
		w.tb.Fatal(err)
	}
	token, err := w.key.Sign("JWT", payload)
	if err != nil {
		w.tb.Fatal(err)
	}
	w.tokens[profile+" "+scope] = token.Expose()
	return w.tokens[profile+" "+scope]
}

// scitokensWords are the words of scitokens-test-access for an operation: an authorisation and a path, decoded as a
// service would. For WLCG tokens it speaks as for SciTokens; compute.create, .modify and .cancel are one word there, so
// it cannot be asked for one.
func scitokensWords(q question) (authz, path string, ok bool) {
	path, err := url.PathUnescape(q.path)
	if err != nil || strings.ContainsRune(path, 0) {
		return "", "", false
	}
	switch q.op {
	case "storage.read", "storage.create", "storage.modify":
		return strings.TrimPrefix(q.op, "storage."), path, true
	case "compute.read":
		return "condor", "/READ", true
	case "compute.create", "compute.modify", "compute.cancel", wholeToken:
		return "", "", false
	case "queue", "execute", "host.auth":
		return q.op, "/", true
	}
	return q.op, path, true
}

// scitokensScript reads lines of arguments of a program, separated by tabs, and prints what it exits with. It runs in a
// mount namespace of its own where the bundle is the system's list of authorities: libscitokens 0.7 knows no other place.
const scitokensScript = `mount --bind "$1" /etc/ssl/certs/ca-certificates.crt || exit 9
program=$2
IFS=$(printf '\t')
while read -r line; do
	set -f
	set -- $line
	if "$program" "$@" >>said 2>&1 </dev/null; then echo 0; else echo $?; fi
done`

// each runs a program of scitokens-cpp with each list of arguments and returns what it said.
func (w *scitokensWorld) each(program string, lines [][]string) []string {
	w.tb.Helper()
	dir := w.tb.TempDir()
	var in strings.Builder
	for _, line := range lines {
		in.WriteString(strings.Join(line, "\t") + "\n")
	}
	ctx, cancel := context.WithTimeout(w.tb.Context(), scitokensTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, "unshare", "--mount", "sh", "-c", scitokensScript, "ask",
		filepath.Join(w.certs, "ca.pem"), program)
	cmd.Dir, cmd.Stdin = dir, strings.NewReader(in.String())
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "XDG_CACHE_HOME=" + dir}
	out, err := cmd.Output()
	codes := strings.Fields(string(out))
	said, _ := os.ReadFile(filepath.Join(dir, "said"))
	if err != nil || len(codes) != len(lines) {
		w.tb.Fatalf("%s: %d of %d answers: %v\n%s", program, len(codes), len(lines), err, said)
	}
	if *showMatrix {
		w.tb.Logf("%s:\n%s", program, said)
	}
	for i, c := range codes {
		says, ok := map[string]string{"0": "yes", "1": "no"}[c]
		if path := lines[i][len(lines[i])-1]; c == "139" && strings.HasSuffix(path, "/../../b") {
			says, ok = "no", true // SIGSEGV, but not each time: the page says so
		}
		if !ok {
			w.tb.Errorf("%s %q exits with %s", program, lines[i], c)
		}
		codes[i] = says
	}
	return codes
}

// testAccess asks scitokens-test-access what it has words for.
func (w *scitokensWorld) testAccess(questions []question) []theirAnswer {
	w.tb.Helper()
	var asked []theirAnswer
	var lines [][]string
	for _, q := range questions {
		if authz, path, ok := scitokensWords(q); ok {
			asked = append(asked, theirAnswer{who: "scitokens-test-access", question: q})
			lines = append(lines, []string{w.token(q.profile, q.scope), w.issuer, audience, authz, path})
		}
	}
	for i, says := range w.each("scitokens-test-access", lines) {
		asked[i].says = says
	}
	return asked
}

// verify asks scitokens-verify whether a token is valid.
func (w *scitokensWorld) verify(tokens []question) []theirAnswer {
	w.tb.Helper()
	var asked []theirAnswer
	var lines [][]string
	for _, q := range tokens {
		asked = append(asked, theirAnswer{who: "scitokens-verify", question: q})
		profile := map[string]string{"wlcg": "wlcg", "scitokens": "scitokens2"}[q.profile]
		lines = append(lines, []string{"--profile", profile, w.token(q.profile, q.scope)})
	}
	for i, says := range w.each("scitokens-verify", lines) {
		asked[i].says = says
	}
	return asked
}

// askOurs gives the same tokens to "verifier token".
func (w *scitokensWorld) askOurs(t *testing.T, tokens []question) {
	t.Helper()
	home := newWorld(t, "")
	home.now = time.Now()
	home.write(t, "scitokens.json", w.set)
	for _, q := range tokens {
		code, _, stderr := home.run(w.token(q.profile, q.scope), "token", "--jwks", "scitokens.json",
			"--issuer", w.issuer, "--audience", audience, "--profile", q.profile)
		if (code == cli.OK) != q.want || code != cli.OK && code != cli.No {
			t.Errorf("%s: ours exits with %d: %s", q, code, stderr)
		}
	}
}

// xrootdMethods are the requests that mean an operation to a storage element. Staging has no request in HTTP, and
// neither has a directory that is read or changed: the profiles have no scope for listing.
func xrootdMethods(q question) []string {
	switch {
	case q.op == "storage.create" && isDirectory(q.path), q.op == "write" && isDirectory(q.path):
		return []string{"MKCOL"}
	case isDirectory(q.path):
		return nil
	case q.op == "storage.read", q.op == "read":
		return []string{"GET"}
	case q.op == "storage.create":
		return []string{"PUT"}
	case q.op == "storage.modify", q.op == "write":
		return []string{"PUT", "DELETE"}
	}
	return nil
}

func isDirectory(path string) bool { return strings.HasSuffix(path, "/") }

// element is a storage element that is asked by doing what a question is about.
type element struct {
	*services.XRootD
	hc    *http.Client
	clean bool // nothing was changed since it was filled
}

// xrootd asks a storage element.
func (w *scitokensWorld) xrootd(questions []question) []theirAnswer {
	w.tb.Helper()
	ca, err := os.ReadFile(filepath.Join(w.certs, "ca.pem"))
	if err != nil {
		w.tb.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}
	defer tr.CloseIdleConnections()
	e := element{hc: &http.Client{Transport: tr, Timeout: scitokensTime}}
	e.XRootD = services.StartXRootD(w.tb, services.XRootDOptions{
		Audience: audience, Issuers: []string{w.issuer}, Certificates: w.certs,
	})
	var out []theirAnswer
	for _, q := range questions {
		for _, method := range xrootdMethods(q) {
			e.fill(method, q)
			yes := w.request(e.hc, method, e.URL+q.path, w.token(q.profile, q.scope))
			out = append(out, theirAnswer{who: "xrootd " + method, question: q, says: yesNo(yes)})
		}
	}
	if w.tb.Failed() {
		w.tb.Logf("XRootD said:\n%s", e.Log())
	}
	return out
}

// fill puts in place what a request is about: a file that is to be changed has to be there, one that is to be made has
// not.
func (e *element) fill(method string, q question) {
	if !e.clean {
		e.Clear()
		for _, name := range []string{"a/f", "a/d/f", "b/f"} {
			e.Put(name, "something\n")
		}
	}
	e.clean = method == http.MethodGet
	if e.clean || q.op == "storage.create" || isDirectory(q.path) || strings.Contains(q.path, "..") {
		return
	}
	e.Put(strings.TrimPrefix(q.path, "/"), "something\n")
}

// request reports whether the element let it through: what is not there was allowed all the same.
func (w *scitokensWorld) request(hc *http.Client, method, url, token string) bool {
	w.tb.Helper()
	req, err := http.NewRequestWithContext(w.tb.Context(), method, url, nil)
	if err != nil {
		w.tb.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	res, err := hc.Do(req)
	if err != nil {
		w.tb.Fatalf("%s %s: %v", method, url, err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, 1<<16))
	if err != nil {
		w.tb.Fatalf("%s %s: %v", method, url, err)
	}
	if *showMatrix {
		w.tb.Logf("%s %s: %d", method, url, res.StatusCode)
	}
	switch res.StatusCode {
	case http.StatusUnauthorized, http.StatusForbidden:
		return false
	case http.StatusOK, http.StatusCreated, http.StatusNoContent, http.StatusNotFound:
		return true
	}
	w.tb.Errorf("%s %s: status %d: %s", method, url, res.StatusCode, body)
	return false
}
