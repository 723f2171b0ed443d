package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// The service that the verifier daemon protects: it is not there, and need not be. The daemon answers its proxy.
const (
	filesHost    = "files.example.org"
	filesService = "https://" + filesHost
)

// verifierConfig is all the daemon is told: whom to believe, who may do what, and which make of proxy asks.
const verifierConfig = `version: 1
listen: 127.0.0.1:0
control: off
audiences: [` + filesService + `]
issuers:
  ISSUER: {profiles: [wlcg]}
keys: {dir: verifier-keys}
audit: decisions.log
policy:
  issuers:
    ISSUER: {areas: [/]}
  services:
    files:
      require: {capability: requested}
services:
  files:
    proxy: caddy
    hosts: [` + filesHost + `]
    operations: storage
`

func startVerifier(ctx context.Context, w *world) (string, error) {
	config := filepath.Join(w.dir, "verifier.yaml")
	text := strings.ReplaceAll(verifierConfig, "ISSUER", w.issuer)
	err := os.WriteFile(config, []byte(text), 0o600)
	if err != nil {
		return "", err
	}
	if w.daemon, err = w.start("verifier", "serve", "--config", config); err != nil {
		return "", err
	}
	err = w.waitFor(ctx, w.daemon, func() bool {
		w.verifier = listensAt(w.daemon.log)
		return w.verifier != "" && ready(ctx, w.verifier)
	})
	return w.verifier + ", trusts the provider above; who may do what stands in " + config, err
}

// listensAt finds in its log where the daemon listens, "" as long as it does not.
func listensAt(log string) string {
	b, err := os.ReadFile(log)
	if err != nil {
		return ""
	}
	for line := range bytes.Lines(b) {
		var said struct{ Msg, Addr string }
		if json.Unmarshal(line, &said) == nil && said.Msg == "listening" {
			return "http://" + strings.TrimPrefix(said.Addr, "tcp:")
		}
	}
	return ""
}

func ready(ctx context.Context, url string) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/ready", nil)
	if err != nil {
		return false
	}
	resp, err := askingClient().Do(req)
	if err != nil {
		return false
	}
	return resp.Body.Close() == nil && resp.StatusCode == http.StatusOK
}

// askingClient goes to the daemon directly, whatever proxy the environment names.
func askingClient() *http.Client {
	return &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}
}

// answer is what the daemon tells the proxy.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// asProxy asks about one request of a client as Caddy and Traefik do: the client's own headers, and beside them what it
// wanted.
func (w *world) asProxy(ctx context.Context, method, path string, client http.Header) (answer, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, w.verifier+"/forward/caddy", nil)
	if err != nil {
		return answer{}, err
	}
	req.Header = client.Clone()
	for name, value := range map[string]string{
		"X-Forwarded-Method": method, "X-Forwarded-Host": filesHost, "X-Forwarded-Uri": path, "X-Forwarded-Proto": "https",
	} {
		req.Header.Set(name, value)
	}
	resp, err := askingClient().Do(req)
	if err != nil {
		return answer{}, fmt.Errorf("ask the verifier: %w", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<16))
	return answer{resp.StatusCode, resp.Header, body}, err
}

func bearer(token []byte) http.Header {
	return http.Header{"Authorization": {"Bearer " + string(token)}}
}

// allowRead gets a token for the service alone, with less than the login may have, and has a proxy ask for it.
func allowRead(ctx context.Context, w *world) (string, error) {
	r, err := w.must(ctx, nil, "token", "--scope", "storage.read:/data", "--aud", filesService, loginName)
	if err != nil {
		return "", err
	}
	w.fileToken = []byte(strings.TrimSpace(r.stdout))
	a, err := w.asProxy(ctx, http.MethodGet, "/data/set?version=1", bearer(w.fileToken))
	if err != nil {
		return "", err
	}
	if a.status != http.StatusOK {
		return "", fmt.Errorf("the verifier said %d: %s", a.status, oneLine(string(a.body)))
	}
	sub, scope := a.header.Get("X-Token-Sub"), a.header.Get("X-Token-Scope")
	if sub == "" || scope != "storage.read:/data" || a.header.Get("X-Token-Iss") != w.issuer {
		return "", fmt.Errorf("the service would not learn who is there: X-Token-Sub %q, X-Token-Scope %q", sub, scope)
	}
	return fmt.Sprintf("GET %s/data/set: %d, X-Token-Sub: %s, X-Token-Scope: %s", filesService, a.status, sub, scope), nil
}

func refuseWrite(ctx context.Context, w *world) (string, error) {
	return w.mustDeny(ctx, denial{
		method: http.MethodPut, path: "/data/set", client: bearer(w.fileToken), status: http.StatusForbidden,
		challenge: `error="insufficient_scope"`,
	})
}

func refusePath(ctx context.Context, w *world) (string, error) {
	return w.mustDeny(ctx, denial{
		method: http.MethodGet, path: "/database", client: bearer(w.fileToken), status: http.StatusForbidden,
		challenge: `error="insufficient_scope"`,
	})
}

func refuseStranger(ctx context.Context, w *world) (string, error) {
	return w.mustDeny(ctx, denial{
		method: http.MethodGet, path: "/data/set", client: http.Header{}, status: http.StatusUnauthorized, challenge: "Bearer",
	})
}

// refuseIdentity sends a header that only the proxy may set, as somebody would who hopes that it is not deleted.
func refuseIdentity(ctx context.Context, w *world) (string, error) {
	forged := bearer(w.fileToken)
	forged["X_Token_Sub"] = []string{"root"}
	return w.mustDeny(ctx, denial{
		method: http.MethodGet, path: "/data/set", client: forged, status: http.StatusBadRequest,
		challenge: `error="invalid_request"`,
	})
}

// denial is a request that must not be let through, and how the client has to be told.
type denial struct {
	method, path string
	client       http.Header
	status       int
	challenge    string // a part of WWW-Authenticate
}

// mustDeny asks, and returns what the client is told and what the operator reads.
func (w *world) mustDeny(ctx context.Context, d denial) (string, error) {
	a, err := w.asProxy(ctx, d.method, d.path, d.client)
	if err != nil {
		return "", err
	}
	challenge := a.header.Get("WWW-Authenticate")
	switch {
	case a.status == http.StatusOK:
		return "", errors.New("the verifier let it through")
	case a.status != d.status || !strings.Contains(challenge, d.challenge):
		return "", fmt.Errorf("the verifier said %d, %s: %s", a.status, challenge, oneLine(string(a.body)))
	case a.header.Get("X-Token-Sub") != "":
		return "", errors.New("the refusal names somebody")
	}
	var body struct {
		Description string `json:"error_description"`
	}
	if err := json.Unmarshal(a.body, &body); err != nil {
		return "", fmt.Errorf("the answer is no JSON: %w", err)
	}
	reason, err := w.audited(ctx, d.status)
	if err != nil {
		return "", err
	}
	told := fmt.Sprintf("%s %s%s: %d, %s", d.method, filesService, d.path, a.status, body.Description)
	if scope := between(challenge, `scope="`, `"`); scope != "" {
		told += ", needs " + scope
	}
	return told + " (audit: " + reason + ")", nil
}

// audited is the reason in the last line of the audit, which names no token. The line is written while the answer is on
// its way, so it is waited for.
func (w *world) audited(ctx context.Context, status int) (string, error) {
	var reason string
	var err error
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	waited := w.waitFor(ctx, w.daemon, func() bool {
		reason, err = w.lastDenial(status)
		return err == nil
	})
	if waited != nil {
		return "", errors.Join(waited, err)
	}
	b, err := os.ReadFile(w.decisions())
	if err == nil && bytes.Contains(b, w.fileToken) {
		err = errors.New("the access token stands in the audit")
	}
	return reason, err
}

func (w *world) decisions() string { return filepath.Join(w.dir, "decisions.log") }

func (w *world) lastDenial(status int) (string, error) {
	var line struct {
		Decision, Reason string
		Status           int
	}
	if err := json.Unmarshal([]byte(lastLine(w.decisions())), &line); err != nil {
		return "", fmt.Errorf("the audit is no JSON: %w", err)
	}
	if line.Decision != "deny" || line.Status != status || line.Reason == "" {
		return "", fmt.Errorf("the audit says %s, %d, %q", line.Decision, line.Status, line.Reason)
	}
	return line.Reason, nil
}

// between returns what stands behind begin and before end, "" when one of them is missing.
func between(s, begin, end string) string {
	_, rest, ok := strings.Cut(s, begin)
	if !ok {
		return ""
	}
	value, _, ok := strings.Cut(rest, end)
	if !ok {
		return ""
	}
	return value
}
