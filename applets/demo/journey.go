package demo

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
)

// journey is the walk in order: it reads as the story it tells.
func journey() []step {
	return []step{
		{"an OpenID provider runs on loopback", startIssuer},
		{"an agent runs and has made an encrypted keystore", startAgent},
		{"a login is set up by authorization code and PKCE", setUpLogin},
		{"the agent hands out an access token over its socket", getToken},
		{"the access token is verified: signature, issuer, audience, times", verifyToken},
		{"a forged access token is refused", refuseForged},
		{"an access token for another service is refused", refuseAudience},
		{"a verifier daemon stands between a proxy and a service for files", startVerifier},
		{"the proxy asks: reading below /data is allowed; it learns by whom", allowRead},
		{"the proxy asks: writing there is refused with the scope it needs", refuseWrite},
		{"the proxy asks: reading beside /data is refused", refusePath},
		{"the proxy asks: a request without token is refused", refuseStranger},
		{"the proxy asks: a made-up identity header is refused", refuseIdentity},
		{"no secret lies readable in the keystore", searchKeystore},
		{"the agent is killed with SIGKILL and started again", killAgent},
		{"the login is still good: a fresh access token, verified", freshToken},
		{"a mytoken server runs, with keys and an encrypted state", startServer},
		{"a mytoken is made by polling, and allowed in the browser", createMytoken},
		{"the job in another country is refused", fromElsewhere},
		{"the job in BE computes and reads, as often as it may", computeAndRead},
		{"between its clauses nothing is allowed", betweenClauses},
		{"a sub-job has a mytoken of its own, for less", subJob},
		{"at the end the job writes its results, and only that", writeResults},
		{"the mytoken is revoked, and with it the one of the sub-job", revokeMytoken},
	}
}

func startIssuer(ctx context.Context, w *world) (string, error) {
	if err := w.prepareSite(ctx); err != nil {
		return "", err
	}
	file := filepath.Join(w.dir, "issuer.url")
	p, err := w.start("issuer", "--listen", "127.0.0.1:0", "--auto-login", "alice", "--rotation", "strict", "--url-file", file,
		"--client-file", filepath.Join(w.dir, "clients.yaml"))
	if err != nil {
		return "", err
	}
	if err := w.waitFor(ctx, p, func() bool { _, err := os.Stat(file); return err == nil }); err != nil {
		return "", err
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	w.issuer = strings.TrimSpace(string(b))
	return w.issuer + ", refresh tokens rotate strictly", nil
}

func startAgent(ctx context.Context, w *world) (string, error) {
	p, err := w.start("agent", "--console", "--socket-path", w.socket(), "--keystore", w.keystore(),
		"--passphrase-file", w.passphraseFile())
	if err != nil {
		return "", err
	}
	w.agent = p
	if err := w.waitFor(ctx, p, w.agentAnswers); err != nil {
		return "", err
	}
	if _, err := os.Stat(w.keystore()); err != nil {
		return "", err
	}
	return w.keystore(), nil
}

// agentAnswers dials: a socket file alone may be one that a killed agent left behind.
func (w *world) agentAnswers() bool {
	c, err := net.Dial("unix", w.socket())
	if err != nil {
		return false
	}
	return c.Close() == nil
}

func (w *world) keystore() string { return filepath.Join(w.dir, "home", "keystore", "keystore") }

func getToken(ctx context.Context, w *world) (string, error) { return w.fetchToken(ctx) }

func freshToken(ctx context.Context, w *world) (string, error) {
	old := bytes.Clone(w.token)
	defer clear(old)
	detail, err := w.fetchToken(ctx, "--force-new")
	if err != nil {
		return "", err
	}
	if bytes.Equal(old, w.token) {
		return "", errors.New("the access token is the old one")
	}
	if _, err := verifyToken(ctx, w); err != nil {
		return "", err
	}
	return detail, nil
}

// fetchToken asks the agent and keeps the access token for the next steps.
func (w *world) fetchToken(ctx context.Context, args ...string) (string, error) {
	r, err := w.must(ctx, nil, "token", append(args, loginName)...)
	if err != nil {
		return "", err
	}
	clear(w.token)
	w.token = []byte(strings.TrimSpace(r.stdout))
	if strings.Count(string(w.token), ".") != 2 {
		return "", errors.New("what came is not a JWT")
	}
	return fmt.Sprintf("%d bytes", len(w.token)), nil
}

func (w *world) verify(ctx context.Context, token []byte, audience string) (result, error) {
	return w.run(ctx, token, "verifier", "token", "--issuer", w.issuer, "--audience", audience, "--profile", "wlcg")
}

func verifyToken(ctx context.Context, w *world) (string, error) {
	r, err := w.verify(ctx, w.token, audienceAny)
	if err == nil && r.code != 0 {
		err = fmt.Errorf("the verifier exited with %d: %s", r.code, oneLine(r.stderr))
	}
	return oneLine(r.stdout), err
}

// refuseForged gives the token another subject and leaves the signature as it was.
func refuseForged(ctx context.Context, w *world) (string, error) {
	parts := bytes.Split(w.token, []byte("."))
	claims, err := base64.RawURLEncoding.DecodeString(string(parts[1]))
	if err != nil {
		return "", err
	}
	forged := bytes.Replace(claims, []byte(`"sub":"`), []byte(`"sub":"root-`), 1)
	if bytes.Equal(forged, claims) {
		return "", errors.New("there is no subject to forge")
	}
	parts[1] = []byte(base64.RawURLEncoding.EncodeToString(forged))
	return w.mustRefuse(ctx, bytes.Join(parts, []byte(".")), audienceAny)
}

func refuseAudience(ctx context.Context, w *world) (string, error) {
	r, err := w.must(ctx, nil, "token", "--aud", "https://se.example.org", loginName)
	if err != nil {
		return "", err
	}
	return w.mustRefuse(ctx, []byte(strings.TrimSpace(r.stdout)), "https://other.example.org")
}

func (w *world) mustRefuse(ctx context.Context, token []byte, audience string) (string, error) {
	r, err := w.verify(ctx, token, audience)
	switch {
	case err != nil:
		return "", err
	case r.code == 0:
		return "", errors.New("the verifier accepted it")
	case r.code != 1:
		return "", fmt.Errorf("the verifier exited with %d: %s", r.code, oneLine(r.stderr))
	}
	return oneLine(r.stderr), nil
}

// searchKeystore looks for what must not be readable: names, issuer and the access token.
func searchKeystore(_ context.Context, w *world) (string, error) {
	b, err := os.ReadFile(w.keystore())
	if err != nil {
		return "", err
	}
	u, err := url.Parse(w.issuer)
	if err != nil {
		return "", err
	}
	for what, needle := range map[string]string{"issuer": u.Host, "access token": string(w.token), "member": "refresh_token"} {
		if bytes.Contains(b, []byte(needle)) {
			return "", fmt.Errorf("the %s is readable in the file", what)
		}
	}
	return fmt.Sprintf("%d bytes searched", len(b)), nil
}

func killAgent(ctx context.Context, w *world) (string, error) {
	if err := w.agent.cmd.Process.Kill(); err != nil {
		return "", err
	}
	<-w.agent.done
	killed := w.agent.cmd.Process.Pid
	if _, err := startAgent(ctx, w); err != nil {
		return "", err
	}
	return fmt.Sprintf("process %d, then %d", killed, w.agent.cmd.Process.Pid), nil
}
