package applets

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/testdata/services"
)

const (
	transferTime  = 90 * time.Second
	shortLife     = "8s"
	queueTime     = "10"
	transferGroup = "/wlcg/xfers"
)

// TestTransfers types what docs/transfers.md says, with two storage elements, and compares what comes out with what is
// printed there: copies with one token for both elements, with one each, and by the person's groups; refusals in the
// elements' own words; a token that expires in the queue.
func TestTransfers(t *testing.T) {
	services.Need(t, "bash", "curl")
	certs := services.Certificates(t) // skips where openssl is missing
	blocks := readBlocks(t, filepath.Join("..", "docs", "transfers.md"))
	h := bareHouse(t)
	setUpTransfers(t, h, certs, blocks)
	h.issuer = h.provider("issuer", "--auto-login", "alice")
	short := h.provider("short", "--auto-login", "alice", "--at-ttl", shortLife)
	var elements []*services.XRootD
	for _, aud := range []string{"https://se1.example", "https://se2.example"} {
		elements = append(elements, services.StartXRootD(t, services.XRootDOptions{
			Audience: aud, Issuers: []string{h.issuer, short}, Certificates: certs, Group: transferGroup,
		}))
	}
	elements[0].Put("data", "what is to be copied\n")
	h.startAgent()
	for _, person := range []string{"alice", "bob"} {
		h.as = person
		h.gen(person, "--cert-path", h.path("ca.pem"))
	}
	first := h.issuer
	h.issuer, h.as = short, "alice"
	h.gen("waiting", "--cert-path", h.path("ca.pem"), "--scope", "openid offline_access fts:submit-transfer")
	h.env = []string{
		"ISSUER=" + first, "SHORT=" + short, "SE1=" + elements[0].URL, "SE2=" + elements[1].URL, "QUEUE=" + queueTime,
	}
	typeBlocks(t, h, blocks)
	for _, name := range []string{"one", "each", "first", "groups", "queued"} {
		if elements[1].Get(name) != elements[0].Get("data") {
			t.Errorf("file %s was not copied", name)
		}
	}
	for _, name := range []string{"bobs", "refused"} {
		if got := elements[1].Get(name); got != "" {
			t.Errorf("file %s was made although the copy was refused: %q", name, got)
		}
	}
	if t.Failed() {
		t.Logf("element 1:\n%s\nelement 2:\n%s", lastLines(elements[0].Log()), lastLines(elements[1].Log()))
	}
}

func lastLines(s string) string { return s[max(0, len(s)-6000):] }

// setUpTransfers puts the files in place that the page speaks of.
func setUpTransfers(t *testing.T, h *house, certs string, blocks []block) {
	t.Helper()
	for _, name := range []string{"ca.pem", "server.pem", "server.key"} {
		b, err := os.ReadFile(filepath.Join(certs, name))
		if err != nil {
			t.Fatal(err)
		}
		h.write(name, string(b))
	}
	h.write("rucio.secret", "secret of rucio\n")
	h.write("fts.secret", "secret of fts\n")
	for _, b := range blocks {
		if b.kind == "yaml" {
			h.write("clients.yaml", b.text)
		}
	}
	bin := filepath.Join(h.dir, "bin")
	if err := os.Mkdir(bin, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(h.bin, filepath.Join(bin, program)); err != nil {
		t.Fatal(err)
	}
}

// provider starts an issuer with TLS and the clients of the page.
func (h *house) provider(name string, args ...string) string {
	h.tb.Helper()
	url := h.path(name + ".url")
	h.background(name, append([]string{
		"issuer", "--listen", "127.0.0.1:0", "--url-file", url, "--tls-cert", h.path("server.pem"),
		"--tls-key", h.path("server.key"), "--client-file", h.path("clients.yaml"),
	}, args...)...)
	return strings.TrimSpace(h.await(url))
}

// block is a fenced part of a page.
type block struct{ kind, text string }

func readBlocks(t *testing.T, path string) []block {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var out []block
	inside := false
	for line := range strings.Lines(string(b)) {
		kind, fence := strings.CutPrefix(line, "```")
		switch {
		case fence && !inside:
			out = append(out, block{kind: strings.TrimSpace(kind)})
			inside = true
		case fence:
			inside = false
		case inside:
			out[len(out)-1].text += line
		}
	}
	return out
}

// typeBlocks runs the commands of a page in one shell and compares what each block prints with the text after it.
func typeBlocks(t *testing.T, h *house, blocks []block) {
	t.Helper()
	const mark = "=== block ==="
	script, wants := "set -eu\n", []string{}
	for i, b := range blocks {
		if b.kind != "sh" {
			continue
		}
		script += "echo '" + mark + "'\n" + b.text
		want := ""
		if i+1 < len(blocks) && blocks[i+1].kind == "text" {
			want = blocks[i+1].text
		}
		wants = append(wants, want)
	}
	cmd := exec.CommandContext(t.Context(), "bash", "-s")
	cmd.Stdin, cmd.Dir = strings.NewReader(script), h.dir
	cmd.Env = append(h.environ(), "PATH="+filepath.Join(h.dir, "bin")+":"+os.Getenv("PATH"))
	cmd.WaitDelay = time.Second
	timer := time.AfterFunc(transferTime, func() { _ = cmd.Process.Kill() })
	defer timer.Stop()
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.Output()
	got := strings.Split(string(out), mark+"\n")[1:]
	for i, g := range got {
		if g != wants[i] {
			t.Errorf("block %d printed\n%swant\n%s", i+1, g, wants[i])
		}
	}
	if err != nil || len(got) != len(wants) {
		t.Errorf("%d of %d blocks ran: %v\n%s", len(got), len(wants), err, said.String())
	}
}
