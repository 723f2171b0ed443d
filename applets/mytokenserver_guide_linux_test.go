package applets

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/mytoken/geo/geotest"
	"github.com/oidcbox/oidcbox/testdata/services"
)

const mytokenGuide = "../docs/admin/mytoken-server.md"

// mytokenGuideSite is the site of the guide: its commands, its proxy, a provider in place of op.example.org.
type mytokenGuideSite struct {
	*mytokenSite
	cert, key string
	inner     string // where the server listens
	used      map[string]bool
}

func newMytokenGuideSite(t *testing.T) *mytokenGuideSite {
	t.Helper()
	g := &mytokenGuideSite{mytokenSite: &mytokenSite{house: bareHouse(t)}, inner: freeAddress(t), used: map[string]bool{}}
	_, port, err := net.SplitHostPort(freeAddress(t))
	if err != nil {
		t.Fatal(err)
	}
	g.url = "https://localhost:" + port
	g.cert, g.key = selfSigned(t)
	for _, dir := range []string{"etc", "bin"} {
		if err := os.Mkdir(g.path(dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(g.bin, g.path("bin/oidcbox")); err != nil {
		t.Fatal(err)
	}
	g.env = []string{"SSL_CERT_FILE=" + g.cert}
	g.startProvider()
	g.write("client-secret", "a-secret-of-the-server-there\n")
	return g
}

// text is a block of the guide by its first line, with this site in it.
func (g *mytokenGuideSite) text(first string, more ...string) string {
	g.tb.Helper()
	b, err := os.ReadFile(mytokenGuide)
	if err != nil {
		g.tb.Fatal(err)
	}
	_, rest, found := strings.Cut(string(b), "\n"+first+"\n")
	text, _, ends := strings.Cut(rest, "\n```")
	if !found || !ends {
		g.tb.Fatalf("the guide has no block %q", first)
	}
	g.used[first] = true
	return strings.NewReplacer(append(more, "/etc/oidcbox/", g.path("etc")+"/", "/var/lib/oidcbox-mytoken", g.path("lib"),
		"https://mytoken.example.org", g.url, "https://op.example.org", g.issuer, "127.0.0.1:8000", g.inner,
		"/etc/ssl/certs/mytoken.example.org.pem", g.cert, "/etc/ssl/private/mytoken.example.org.key", g.key,
		"/srv/backup/", g.path("")+"/", "chown -R oidcbox-mytoken:", "ls -d")...).Replace(text) + "\n"
}

// sh is a command that types a block into a shell.
func (g *mytokenGuideSite) sh(first string) *exec.Cmd {
	g.tb.Helper()
	cmd := exec.Command("sh", "-euc", g.text(first))
	cmd.Dir = g.dir
	for _, v := range g.environ() {
		if rest, ok := strings.CutPrefix(v, "PATH="); ok {
			v = "PATH=" + g.path("bin") + ":" + rest
		}
		cmd.Env = append(cmd.Env, v)
	}
	return cmd
}

func (g *mytokenGuideSite) types(first string) string {
	g.tb.Helper()
	cmd := g.sh(first)
	var errOut bytes.Buffer
	cmd.Stderr = &errOut
	out, err := cmd.Output()
	if err != nil {
		g.tb.Fatalf("%s: %v\n%s\n%s", first, err, out, errOut.String())
	}
	return string(out)
}

// TestMytokenServerGuide: every block of the page, from nothing to a first mytoken behind nginx, and the day after.
func TestMytokenServerGuide(t *testing.T) {
	services.Need(t, "nginx")
	g := newMytokenGuideSite(t)
	g.types("# set up")
	g.server = g.background("server", "mytoken-server", "serve", "--config", "etc/mytoken-server.yaml")
	answers(t, "tcp", g.inner)
	g.nginx(t)
	if mt := g.first(t); strings.Count(mt, ".") != 2 {
		t.Fatalf("the access token is %q", mt)
	}
	t.Run("the_client_is_known_by_its_own_address", func(t *testing.T) {
		known := func(log string) bool {
			return strings.Contains(log, `"action":"access","outcome":"ok"`) && strings.Contains(log, `"address":"127.0.0.1"`)
		}
		var log []byte
		for until := time.Now().Add(20 * time.Second); time.Now().Before(until); time.Sleep(10 * time.Millisecond) {
			var err error
			if log, err = os.ReadFile(g.path("server.log")); err != nil {
				t.Fatal(err)
			}
			if known(string(log)) { // the audit is written beside the answer, not before it
				return
			}
		}
		t.Errorf("the audit:\n%s", log)
	})
	for first, want := range map[string]string{
		"# what there is": "live", "# a new signing key": "signs", "# backup": "",
	} {
		if out := g.types(first); !strings.Contains(out, want) {
			t.Errorf("%s says:\n%s", first, out)
		}
	}
	if _, err := os.Stat(g.path("mytoken.keys")); err != nil {
		t.Error(err)
	}
	g.settings(t)
	g.caddy(t)
	g.all(t)
}

func (g *mytokenGuideSite) nginx(t *testing.T) {
	t.Helper()
	_, port, _ := strings.Cut(strings.TrimPrefix(g.url, "https://"), ":")
	user := ""
	if os.Geteuid() == 0 {
		user = "user root;\n"
	}
	temp := ""
	for _, kind := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		temp += fmt.Sprintf("%s_temp_path %s;\n", kind, g.path(kind))
	}
	server := g.text("# /etc/nginx/conf.d/mytoken.conf", "listen 443 ssl", "listen 127.0.0.1:"+port+" ssl",
		"server_name mytoken.example.org", "server_name localhost")
	g.write("nginx.conf", user+"daemon off;\nerror_log stderr;\npid "+g.path("pid")+";\nevents {}\nhttp {\naccess_log off;\n"+
		temp+server+"}\n")
	p := &protectedSite{house: g.house, network: "tcp", front: "127.0.0.1:" + port}
	p.proxy(t, "nginx", "-e", "stderr", "-p", g.dir, "-c", g.path("nginx.conf"))
}

// caddy lets Caddy read its block.
func (g *mytokenGuideSite) caddy(t *testing.T) {
	t.Helper()
	text := g.text("# /etc/caddy/Caddyfile")
	if _, err := exec.LookPath("caddy"); err != nil {
		t.Log("Caddy is not there: its block was not read")
		return
	}
	g.write("Caddyfile", text)
	cmd := exec.Command("caddy", "adapt", "--adapter", "caddyfile", "--validate", "--config", g.path("Caddyfile"))
	cmd.Env = append(g.environ(), "XDG_DATA_HOME="+g.dir, "XDG_CONFIG_HOME="+g.dir)
	if said, err := cmd.CombinedOutput(); err != nil || !bytes.Contains(said, []byte("remote.host")) {
		t.Errorf("Caddy does not take its block: %v\n%s", err, said)
	}
}

// first types the block of the first mytoken and plays the browser. It returns the access token.
func (g *mytokenGuideSite) first(t *testing.T) string {
	t.Helper()
	cmd := g.sh("# first mytoken")
	var out bytes.Buffer
	cmd.Stdout = &out
	pipe, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	end := time.AfterFunc(90*time.Second, func() { _ = cmd.Process.Kill() })
	defer end.Stop()
	link := regexp.MustCompile(regexp.QuoteMeta(g.url) + `/c/\S+`)
	var said strings.Builder
	for lines := bufio.NewScanner(pipe); lines.Scan(); {
		fmt.Fprintln(&said, lines.Text())
		if u := link.FindString(lines.Text()); u != "" {
			g.consent(u, nil)
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, said.String())
	}
	return strings.TrimSpace(out.String())
}

// settings puts each piece of configuration of the page into the one that setup has written.
func (g *mytokenGuideSite) settings(t *testing.T) {
	b, err := geotest.Encode(time.Now(), geotest.Network{Prefix: netip.MustParsePrefix("192.0.2.0/24"), Country: "BE"})
	if err != nil {
		t.Fatal(err)
	}
	g.write("countries.mmdb", string(b))
	g.write("etc/mytoken-database", "postgres://mytoken@/mytoken?host=/nowhere\n")
	whole, err := os.ReadFile(g.path("etc/mytoken-server.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ first, key string }{
		{"# countries", ""}, {"# listen with TLS", "listen"}, {"# state in PostgreSQL", "state"},
	} {
		t.Run(c.first[2:], func(t *testing.T) {
			text := g.text(c.first, "/var/lib/GeoIP/GeoLite2-Country.mmdb", g.path("countries.mmdb"))
			g.write("etc/changed.yaml", without(string(whole), c.key)+text)
			o := g.run("mytoken-server", "check", "--offline", "--json", "--config", filepath.Join("etc", "changed.yaml"))
			if strings.Contains(o.out, `"faults"`) || !strings.Contains(o.out, `"area": "configuration"`) {
				t.Errorf("%+v", o)
			}
		})
	}
}

// without takes a key at the top, with what is below it, out of a configuration.
func without(text, key string) string {
	var out []string
	inside := false
	for line := range strings.SplitSeq(text, "\n") {
		if !strings.HasPrefix(line, " ") {
			inside = key != "" && strings.HasPrefix(line, key+":")
		}
		if !inside {
			out = append(out, line)
		}
	}
	return strings.Join(out, "\n")
}

// all finds blocks of the page that nobody has run.
func (g *mytokenGuideSite) all(t *testing.T) {
	b, err := os.ReadFile(mytokenGuide)
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?m)^```[a-z]+\n(.*)$").FindAllStringSubmatch(string(b), -1)
	if len(blocks) < 8 {
		t.Fatalf("only %d blocks found", len(blocks))
	}
	for _, m := range blocks {
		if !g.used[m[1]] {
			t.Errorf("nobody runs the block %q", m[1])
		}
	}
}

// TestMytokenServerUnit lets systemd read the unit and its user.
func TestMytokenServerUnit(t *testing.T) {
	services.Need(t, "systemd-analyze")
	h := bareHouse(t)
	b, err := os.ReadFile("../packaging/system/oidcbox-mytoken-server.service")
	if err != nil {
		t.Fatal(err)
	}
	text := strings.ReplaceAll(string(b), "/usr/bin/oidcbox", h.bin)
	h.write("oidcbox-mytoken-server.service", strings.ReplaceAll(text, "User=oidcbox-mytoken", "User=daemon"))
	cmd := exec.Command("systemd-analyze", "verify", "--man=no", "--recursive-errors=no", h.path("oidcbox-mytoken-server.service"))
	if said, err := cmd.CombinedOutput(); err != nil || len(bytes.TrimSpace(said)) > 0 {
		t.Errorf("%v\n%s", err, said)
	}
}
