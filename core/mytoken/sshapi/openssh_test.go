package sshapi_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/oidcbox/oidcbox/core/mytoken"
	"github.com/oidcbox/oidcbox/core/mytoken/sshapi"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/testdata/services"
)

// openssh is a home with keys and known hosts for OpenSSH's client.
type openssh struct {
	t    *testing.T
	dir  string
	host string
	port string
}

func newOpenSSH(t *testing.T, b *bed) *openssh {
	t.Helper()
	services.Need(t, "ssh", "ssh-keygen")
	host, port, err := net.SplitHostPort(b.addr)
	must(t, err)
	o := &openssh{t: t, dir: t.TempDir(), host: host, port: port}
	known := fmt.Sprintf("[%s]:%s %s", host, port, ssh.MarshalAuthorizedKey(b.host))
	must(t, os.WriteFile(filepath.Join(o.dir, "known"), []byte(known), 0o600))
	return o
}

// key makes a key with ssh-keygen and returns its public line.
func (o *openssh) key(kind string, more ...string) (path, line string) {
	o.t.Helper()
	path = filepath.Join(o.dir, "id_"+kind)
	args := append([]string{"-q", "-t", kind, "-N", "", "-f", path}, more...)
	if out, err := exec.Command("ssh-keygen", args...).CombinedOutput(); err != nil {
		o.t.Fatalf("ssh-keygen: %v %s", err, out)
	}
	b, err := os.ReadFile(path + ".pub")
	must(o.t, err)
	return path, string(b)
}

func (o *openssh) run(user, key string, words ...string) outcome {
	o.t.Helper()
	ctx, stop := context.WithTimeout(o.t.Context(), time.Minute)
	defer stop()
	args := []string{
		"-F", "none", "-i", key, "-p", o.port, "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes", "-o",
		"UserKnownHostsFile=" + filepath.Join(o.dir, "known"), "-o", "StrictHostKeyChecking=yes", "-o", "IdentityAgent=none",
		user + "@" + o.host,
	}
	cmd := exec.CommandContext(ctx, "ssh", append(args, words...)...)
	cmd.Env = []string{"HOME=" + o.dir, "PATH=" + os.Getenv("PATH"), "LANG=de_DE.UTF-8"}
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	err := cmd.Run()
	status := 0
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		status = exit.ExitCode()
	} else if err != nil {
		o.t.Fatal(err)
	}
	return outcome{out.String(), errOut.String(), status}
}

func TestOpenSSH(t *testing.T) {
	b := newBed(t)
	o := newOpenSSH(t, b)
	who := b.login()
	ctx := context.Background()
	_, err := b.desk.SetGrant(ctx, who, mytoken.GrantSSH, true)
	must(t, err)
	for _, kind := range []string{"ed25519", "ecdsa", "rsa"} {
		t.Run(kind, func(t *testing.T) {
			path, line := o.key(kind)
			begun, _, err := b.keys.Add(ctx, who, mytoken.SSHKeyRequest{Key: line, Name: kind, Capabilities: all()})
			must(t, err)
			b.agree(begun)
			l, err := b.keys.Poll(ctx, begun.PollingCode, origin())
			must(t, err)
			user := l.User.Expose()
			if got := o.run(user, path, "AT"); got.status != 0 || !strings.HasPrefix(got.out, "access-") || got.errOut != "" {
				t.Errorf("%+v", got)
			}
			data := base64.StdEncoding.EncodeToString([]byte(`{"scope":"storage.read:/"}`))
			got := o.run(user, path, "AT", mytoken.SSHBase64, data)
			if got.status != 0 || !strings.HasPrefix(got.out, "access-") {
				t.Errorf("%+v", got)
			}
			if got := o.run(user, path, "introspect"); got.status != 0 || !strings.Contains(got.out, `"valid":true`) {
				t.Errorf("%+v", got)
			}
			if got := o.run(user, path, "rm", "-rf", "/"); got.status != 2 || got.out != "" ||
				!strings.Contains(got.errOut, "usage: ssh HOST ACTION") {
				t.Errorf("%+v", got)
			}
			if got := o.run(user, path); got.status != 2 || !strings.Contains(got.errOut, "usage: ssh HOST ACTION") {
				t.Errorf("no command: %+v", got)
			}
			if got := o.run(strings.Repeat("z", len(user)), path, "AT"); got.status != 255 || got.out != "" {
				t.Errorf("another user name: %+v", got)
			}
			t.Run("entry_of_the_server", func(t *testing.T) { o.entry(l.Config.Expose(), path, kind) })
		})
	}
	t.Run("small_RSA", func(t *testing.T) {
		if err := os.Remove(filepath.Join(o.dir, "id_rsa")); err != nil {
			t.Skip("no RSA key was made")
		}
		_, line := o.key("rsa", "-b", "1024")
		_, _, err := b.keys.Add(ctx, who, mytoken.SSHKeyRequest{Key: line})
		refused(t, err, 400, "invalid_request")
	})
}

// entry uses the text that the server suggests for ~/.ssh/config.
func (o *openssh) entry(config, key, kind string) {
	o.t.Helper()
	path := filepath.Join(o.dir, "config_"+kind)
	config += "    IdentityFile " + key + "\n    IdentitiesOnly yes\n    UserKnownHostsFile " +
		filepath.Join(o.dir, "known") + "\n"
	must(o.t, os.WriteFile(path, []byte(config), 0o600))
	args := []string{"-F", path, "-o", "BatchMode=yes", "-o", "IdentityAgent=none", "mytoken-" + kind, "AT"}
	out, err := exec.Command("ssh", args...).Output()
	if err != nil || !strings.HasPrefix(string(out), "access-") {
		o.t.Errorf("%v %q with\n%s", err, out, config)
	}
}

// TestClient is our own client over OpenSSH's.
func TestClient(t *testing.T) {
	b := newBed(t)
	o := newOpenSSH(t, b)
	path, line := o.key("ed25519")
	who := b.login()
	ctx := t.Context()
	_, err := b.desk.SetGrant(ctx, who, mytoken.GrantSSH, true)
	must(t, err)
	begun, _, err := b.keys.Add(ctx, who, mytoken.SSHKeyRequest{Key: line, Capabilities: all()})
	must(t, err)
	b.agree(begun)
	l, err := b.keys.Poll(ctx, begun.PollingCode, origin())
	must(t, err)
	c := mytoken.NewSSH(func(_ context.Context, words ...string) (mytoken.Ran, error) {
		got := o.run(l.User.Expose(), path, words...)
		return mytoken.Ran{Out: secret.FromString(got.out), Err: got.errOut, Status: got.status}, nil
	}, "mytoken", mytoken.Options{})
	var none secret.Text
	a, err := c.AccessToken(ctx, none, mytoken.AccessRequest{Scope: []string{"storage.read:/"}})
	if err != nil || !strings.HasPrefix(a.Token.Expose(), "access-") {
		t.Errorf("AT: %v", err)
	}
	i, err := c.Subtoken(ctx, none, mytoken.Request{Capabilities: mytoken.Capabilities{"AT"}})
	if err != nil || i.Kind != mytoken.KindToken || i.Token.Empty() {
		t.Errorf("MT: %v %s", err, i.Kind)
	}
	info, err := c.Introspect(ctx, none)
	if err != nil || !info.Valid {
		t.Errorf("introspect: %v", err)
	}
	if events, _, err := c.History(ctx, none); err != nil || len(events) < 2 {
		t.Errorf("history: %v", err)
	}
	if tree, _, err := c.Subtokens(ctx, none); err != nil || len(tree.Children) != 1 {
		t.Errorf("tree: %v %+v", err, tree)
	}
	if list, _, err := c.List(ctx, none); err != nil || len(list) != 2 {
		t.Errorf("list: %v %d", err, len(list))
	}
	if _, err := c.AddTag(ctx, none, mytoken.Tag{Name: "grün", Color: "#112233"}); err != nil {
		t.Errorf("tag: %v", err)
	}
	if tags, _, err := c.Tags(ctx, none); err != nil || len(tags) != 1 || tags[0].Name != "grün" {
		t.Errorf("tags: %v %v", err, tags)
	}
	var no *mytoken.Error
	if _, err := c.Revoke(ctx, mytoken.Revocation{MOMID: "nobody's"}); !errors.As(err, &no) || no.Code != "invalid_grant" {
		t.Errorf("revoke another: %v", err)
	}
	if _, err := c.Revoke(ctx, mytoken.Revocation{}); err != nil {
		t.Errorf("revoke: %v", err)
	}
	if _, err := c.AccessToken(ctx, none, mytoken.AccessRequest{}); !errors.As(err, &no) || no.Code != "invalid_token" {
		t.Errorf("AT afterwards: %v", err)
	}
	if _, err := c.Transfer(ctx, none); !errors.Is(err, mytoken.ErrNotOffered) {
		t.Errorf("transfer: %v", err)
	}
}

func TestHostKeys(t *testing.T) {
	services.Need(t, "ssh-keygen")
	dir := t.TempDir()
	made, err := sshapi.NewHostKey()
	must(t, err)
	path := filepath.Join(dir, "made")
	must(t, os.WriteFile(path, made, 0o600))
	signers, err := sshapi.ReadHostKeys(path)
	must(t, err)
	out, err := exec.Command("ssh-keygen", "-l", "-f", path).CombinedOutput()
	if err != nil || !strings.Contains(string(out), sshapi.HostKeysOf(signers)[0].Fingerprint) {
		t.Errorf("%v %s", err, out)
	}
	for name, mode := range map[string]os.FileMode{"group": 0o640, "others": 0o604} {
		must(t, os.Chmod(path, mode))
		if _, err := sshapi.ReadHostKeys(path); !errors.Is(err, sshapi.ErrHostKey) {
			t.Errorf("%s can read it: %v", name, err)
		}
	}
	must(t, os.Chmod(path, 0o600))
	must(t, os.WriteFile(path, bytes.Repeat([]byte("x"), 100), 0o600))
	for _, p := range []string{path, filepath.Join(dir, "none"), dir} {
		if _, err := sshapi.ReadHostKeys(p); !errors.Is(err, sshapi.ErrHostKey) {
			t.Errorf("%s: %v", p, err)
		}
	}
}
