//go:build unix

package applets

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/oidc/issuer/issuertest"
	"github.com/oidcbox/oidcbox/testdata/services"
)

// guideBlock takes a configuration out of docs/admin/verifier.md and replaces what a test cannot have as it is written.
func guideBlock(t *testing.T, file string, pairs ...string) string {
	t.Helper()
	guide, err := os.ReadFile("../docs/admin/verifier.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(guide), "\n# "+file+"\n")
	text, _, ends := strings.Cut(rest, "\n```")
	if !found || !ends {
		t.Fatalf("the guide has no block %s", file)
	}
	text = "\n" + text + "\n"
	for i := 0; i < len(pairs); i += 2 {
		if !strings.Contains(text, pairs[i]) {
			t.Fatalf("block %s has no %q", file, pairs[i])
		}
		text = strings.ReplaceAll(text, pairs[i], pairs[i+1])
	}
	return text
}

// protectedSite is the site of the guide: the daemon with the guide's configuration and policy, two providers, a service, a proxy.
type protectedSite struct {
	*house
	one, two *issuertest.Server
	service  *httptest.Server
	saw      chan http.Header
	network  string
	front    string
}

func newProtectedSite(t *testing.T, proxy string) *protectedSite {
	t.Helper()
	g := &protectedSite{
		house: bareHouse(t), one: issuertest.Start(t), two: issuertest.Start(t), saw: make(chan http.Header, 4),
	}
	g.service = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.saw <- r.Header
		_, _ = io.WriteString(w, "the file")
	}))
	t.Cleanup(g.service.Close)
	issuers := []string{"https://login.example.org/oauth2", g.one.URL, "https://cms-auth.example.org/", g.two.URL}
	g.write("policy.yaml", guideBlock(t, "/etc/oidcbox/policy.yaml", issuers...))
	g.write("verifier.yaml", guideBlock(t, "/etc/oidcbox/verifier.yaml", append(issuers,
		"/run/oidcbox/verifier.sock, mode: 0660, group: www-data", g.path("v.sock")+", mode: 0600", "127.0.0.1:9100", freeAddress(t),
		"/etc/oidcbox/policy.yaml", g.path("policy.yaml"), "proxy: nginx", "proxy: "+proxy)...))
	g.must("verifier", "config", "check", "verifier.yaml")
	g.background("verifier", "verifier", "serve", "--config", "verifier.yaml")
	answers(t, "unix", g.path("v.sock"))
	return g
}

func (g *protectedSite) nginx(t *testing.T) {
	cert, key := selfSigned(t)
	g.network, g.front = "unix", g.path("front.sock")
	user := ""
	if os.Geteuid() == 0 {
		user = "user root;\n"
	}
	temp := ""
	for _, kind := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		temp += fmt.Sprintf("%s_temp_path %s;\n", kind, g.path(kind))
	}
	server := guideBlock(
		t, "/etc/nginx/conf.d/se.conf", "listen 443 ssl", "listen unix:"+g.front+" ssl", "/etc/ssl/certs/se.example.org.pem", cert,
		"/etc/ssl/private/se.example.org.key", key, "/run/oidcbox/verifier.sock", g.path("v.sock"), "127.0.0.1:9000",
		g.service.Listener.Addr().String(),
	)
	g.write("nginx.conf", user+"daemon off;\nerror_log stderr;\npid "+g.path("pid")+";\nevents {}\nhttp {\naccess_log off;\n"+temp+server+"}\n")
	g.proxy(t, "nginx", "-e", "stderr", "-p", g.dir, "-c", g.path("nginx.conf"))
}

func (g *protectedSite) caddy(t *testing.T) {
	cert, key := selfSigned(t)
	g.network, g.front = "tcp", freeAddress(t)
	_, port, _ := net.SplitHostPort(g.front)
	site := guideBlock(
		t, "/etc/caddy/Caddyfile", "\nse.example.org {",
		fmt.Sprintf("\nhttps://se.example.org:%s {\n\ttls %s %s\n\tbind 127.0.0.1", port, cert, key),
		"/run/oidcbox/verifier.sock", g.path("v.sock"), "127.0.0.1:9000", g.service.Listener.Addr().String(),
	)
	g.write("Caddyfile", "{\n\tadmin off\n\tauto_https off\n\tservers {\n\t\tprotocols h1\n\t}\n}\n"+site)
	g.proxy(t, "caddy", "run", "--adapter", "caddyfile", "--config", g.path("Caddyfile"))
}

// proxy starts one and waits until it answers.
func (g *protectedSite) proxy(t *testing.T, program string, args ...string) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = append(g.environ(), "XDG_DATA_HOME="+g.dir, "XDG_CONFIG_HOME="+g.dir)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) } // a killed nginx leaves its workers behind
	cmd.WaitDelay = 5 * time.Second
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("%s said:\n%s", program, said.String())
		}
	})
	answers(t, g.network, g.front)
}

// answers waits until somebody does.
func answers(t *testing.T, network, address string) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		conn, err := net.Dial(network, address)
		if err == nil {
			_ = conn.Close()
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

// get is a request of a client: status, text, and what the service saw.
func (g *protectedSite) get(t *testing.T, target string, lines ...string) (*http.Response, http.Header) {
	t.Helper()
	conn, err := tls.Dial(g.network, g.front, &tls.Config{InsecureSkipVerify: true, ServerName: "se.example.org"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	head := append([]string{"GET " + target + " HTTP/1.1", "Host: se.example.org", "Connection: close"}, lines...)
	if _, err := io.WriteString(conn, strings.Join(head, "\r\n")+"\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
	select {
	case h := <-g.saw:
		return resp, h
	default:
		return resp, nil
	}
}

func (g *protectedSite) token(op *issuertest.Server, scope, audience string) string {
	return "Authorization: Bearer " + op.Tokens("alice", "openid "+scope, url.Values{"audience": {audience}}).Access.Expose()
}

// TestVerifierGuide: the configurations of the administrator's guide with the real daemon, real proxies, and tokens as
// providers give them.
func TestVerifierGuide(t *testing.T) {
	const audience = "https://se.example.org"
	for _, proxy := range []string{"nginx", "caddy"} {
		t.Run(proxy, func(t *testing.T) {
			services.Need(t, proxy)
			g := newProtectedSite(t, proxy)
			if proxy == "nginx" {
				g.nginx(t)
			} else {
				g.caddy(t)
			}
			for op, path := range map[*issuertest.Server]string{g.one: "/data/f", g.two: "/cms/data/f"} {
				resp, saw := g.get(t, path, g.token(op, "storage.read:/data", audience), "X-Token-Sub: root", "X_Token_Sub: root")
				if resp.StatusCode != 200 || saw.Get("X-Token-Iss") != op.URL || saw.Get("X-Token-Sub") == "" ||
					saw.Get("X-Token-Sub") == "root" || saw["X_token_sub"] != nil {
					t.Errorf("a good token for %s: %d, the service saw %v", path, resp.StatusCode, saw)
				}
			}
			for name, c := range map[string]struct {
				target string
				lines  []string
				want   int
			}{
				"no token":                    {"/data/f", nil, 401},
				"for another service":         {"/data/f", []string{g.token(g.one, "storage.read:/data", "https://x.example")}, 401},
				"for everybody":               {"/data/f", []string{g.token(g.one, "storage.read:/data", "https://wlcg.cern.ch/jwt/v1/any")}, 401},
				"another path":                {"/other", []string{g.token(g.one, "storage.read:/data", audience)}, 403},
				"outside of the issuer's own": {"/data/f", []string{g.token(g.two, "storage.read:/", audience)}, 403},
				"dots":                        {"/data/../other", []string{g.token(g.one, "storage.read:/data", audience)}, 403},
			} {
				resp, saw := g.get(t, c.target, c.lines...)
				if resp.StatusCode != c.want || saw != nil || resp.Header.Get("Www-Authenticate") == "" {
					t.Errorf("%s: %d, want %d, with %q; the service saw %v", name, resp.StatusCode, c.want,
						resp.Header.Get("Www-Authenticate"), saw)
				}
			}
		})
	}
}

// TestVerifierGuideTry: the commands of "Try it", typed as they stand there.
func TestVerifierGuideTry(t *testing.T) {
	services.Need(t, "curl")
	g := newProtectedSite(t, "nginx")
	g.write("token", strings.TrimPrefix(g.token(g.one, "storage.read:/", "https://se.example.org"), "Authorization: Bearer ")+"\n")
	for start, want := range map[string]string{
		"printf 'header": "X-Token-Iss: " + g.one.URL, "oidcbox verifier token --config": "accepted: ",
	} {
		if out := g.typed(t, start); !strings.Contains(out, want) {
			t.Errorf("%s: no %q in\n%s", start, want, out)
		}
	}
}

// typed runs the indented lines of the guide that begin with start.
func (g *protectedSite) typed(t *testing.T, start string) string {
	t.Helper()
	guide, err := os.ReadFile("../docs/admin/verifier.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(guide), "\n    "+start)
	lines, _, ends := strings.Cut(rest, "\n\n")
	if !found || !ends {
		t.Fatalf("the guide has no line %q", start)
	}
	script := strings.NewReplacer(
		"/run/oidcbox/verifier.sock", g.path("v.sock"), "/etc/oidcbox", g.dir, "https://login.example.org/oauth2", g.one.URL,
		"oidcbox verifier", g.bin+" verifier", "--token-file token", "--token-file "+g.path("token"), "cat token", "cat "+g.path("token"),
	).Replace(start + lines)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-eu", "-c", script)
	cmd.Env = g.environ()
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s\n%s", err, script, out)
	}
	return string(out)
}
