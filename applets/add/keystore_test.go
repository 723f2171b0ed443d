package add

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/oidcbox/oidcbox/core/agent/control"
	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/transport/sock"
)

// keystoreOf is the keystore half of an agent for tests, with the logins "kept" and "demo" in it.
type keystoreOf struct {
	control.Backend // what is not here is not asked
	status          control.Status
	asked           []string
	opens           bool // an unlock changes the status
}

func (k *keystoreOf) Status(context.Context) (control.Status, error) { return k.status, nil }

func (k *keystoreOf) Logins(context.Context) ([]control.Login, error) {
	return []control.Login{{Name: "memory", Loaded: true}, {Name: "kept", Stored: true}, {Name: "demo", Stored: true}}, nil
}

func (k *keystoreOf) LoadLogin(_ context.Context, name string, o control.LoadOptions) (string, error) {
	line := "load " + name
	if o.Lifetime != nil {
		line += " lifetime"
	}
	if o.Confirm {
		line += " confirm"
	}
	if o.SkipCheck {
		line += " skip"
	}
	k.asked = append(k.asked, line)
	return "Lifetime set", nil
}

func (k *keystoreOf) ExportLogin(_ context.Context, name string) (secret.Text, error) {
	return secret.FromString(`{"name":"` + name + `"}`), nil
}

func (k *keystoreOf) Unlock(_ context.Context, u control.Unlock) error {
	pass := u.Passphrase.Expose()
	k.asked = append(k.asked, strings.TrimSpace("unlock "+pass+" "+u.KeyFile))
	if pass == "wrong" {
		return cli.Fail(cli.Denied, errors.New("wrong passphrase"), "")
	}
	if k.opens {
		k.status.Keystore = control.KeystoreOpen
	}
	return nil
}

func (k *keystoreOf) Backup(context.Context, io.Writer) error { return errors.ErrUnsupported }

// withKeystore adds the control socket to a place.
func withKeystore(t *testing.T, p *place, k *keystoreOf) {
	t.Helper()
	k.status.PID, k.status.Socket = os.Getpid(), p.socket
	path, err := control.Path(func(name string) string { return p.env[name] })
	if err != nil {
		t.Fatal(err)
	}
	ln, err := sock.Listen(path, sock.ListenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- control.Serve(ctx, ln, k, nil) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestKeystoreLogins(t *testing.T) {
	f, k := &agentOf{}, &keystoreOf{status: control.Status{Keystore: control.KeystoreOpen}}
	p := newPlace(t, f)
	p.write("accounts/onfile", demoFile)
	withKeystore(t, p, k)
	if got := p.run(true, "-l"); got != (outcome{0, "demo\nkept\nonfile\n", ""}) {
		t.Errorf("list: %+v", got)
	}
	if got := p.run(true, "-t 60 -c --skip-check kept"); got != (outcome{0, "success\n", "Lifetime set\n"}) {
		t.Errorf("load: %+v", got)
	}
	// There is an account file of that name, too: the keystore has the newer refresh token.
	if got := p.run(true, "demo"); got.code != 0 {
		t.Errorf("load: %+v", got)
	}
	if want := []string{"load kept lifetime confirm skip", "load demo"}; !reflect.DeepEqual(k.asked, want) {
		t.Errorf("asked %q", k.asked)
	}
	for _, a := range f.take() {
		if strings.HasPrefix(a, "add") {
			t.Errorf("the secrets went over the other socket: %q", a)
		}
	}
	if got := p.run(true, "-p kept"); got != (outcome{0, "{\n\t\"name\":\t\"kept\"\n}\n", ""}) {
		t.Errorf("print: %+v", got)
	}
	if got := p.run(false, "-p memory"); got.code != cli.NotFound || got.out != "" {
		t.Errorf("print what is only in memory: %+v", got)
	}
}

func TestKeystoreLocked(t *testing.T) {
	k := &keystoreOf{status: control.Status{Keystore: control.KeystoreLocked}}
	p := newPlace(t, &agentOf{})
	withKeystore(t, p, k)
	got := p.run(false, "kept")
	want := outcome{
		cli.Human, "",
		"oidcbox add: there is no account file kept, and the keystore is locked\n" +
			"hint: unlock it with: oidcbox add --unlock\n",
	}
	if got != want {
		t.Errorf("load: %+v", got)
	}
	if got := p.run(false, "-p kept"); got != want {
		t.Errorf("print: %+v", got)
	}
	p.write("key", strings.Repeat("k", 64))
	p.write("wrong", "wrong\n")
	for line, want := range map[string]outcome{
		"--unlock --passphrase-file=DIR/pw":        {0, "Keystore unlocked\n", ""},
		"--unlock --passphrase-cmd=DIR/show":       {0, "Keystore unlocked\n", ""},
		"--unlock --key-file=DIR/key":              {0, "Keystore unlocked\n", ""},
		"--unlock --passphrase-file=DIR/wrong":     {cli.Denied, "", "oidcbox add: wrong passphrase\n"},
		"--unlock --key-file=a --passphrase-cmd=b": {cli.Usage, "", ""},
	} {
		k.asked = nil
		got := p.run(false, line)
		if want.code == cli.Usage {
			got.errOut = ""
		}
		if got != want {
			t.Errorf("oidcbox add %s: %+v", line, got)
		}
		if want.code != cli.Usage && len(k.asked) != 1 {
			t.Errorf("oidcbox add %s asked %q", line, k.asked)
		}
	}
	p.env["OIDCBOX_PASSPHRASE_FILE"] = filepath.Join(p.dir, "pw")
	k.asked = nil
	if got := p.run(true, "-X"); got.code != 0 || !reflect.DeepEqual(k.asked, []string{"unlock " + demoPassword}) {
		t.Errorf("by the environment: %+v, asked %q", got, k.asked)
	}
}

func TestNothingToUnlock(t *testing.T) {
	for state, want := range map[string]map[string]outcome{
		control.KeystoreOpen: {
			"-X":                                {1, "", "Error: Agent not locked\n"},
			"-X --passphrase-file=DIR/pw":       {0, "Keystore is unlocked already\n", ""},
			"-X --key-file=DIR/does-not-matter": {0, "Keystore is unlocked already\n", ""},
		},
		control.KeystoreAbsent: {
			"-X":                          {1, "", "Error: Agent not locked\n"},
			"-X --passphrase-file=DIR/pw": {1, "", "Error: the agent has no keystore\n"},
		},
	} {
		k := &keystoreOf{status: control.Status{Keystore: state}}
		p := newPlace(t, &agentOf{})
		withKeystore(t, p, k)
		for line, want := range want {
			if got := p.run(true, line); got != want || len(k.asked) > 0 {
				t.Errorf("keystore %s, oidc-add %s: %+v, asked %q", state, line, got, k.asked)
			}
		}
	}
}

func TestUnlockAgentFirst(t *testing.T) {
	f, k := &agentOf{}, &keystoreOf{status: control.Status{Keystore: control.KeystoreLocked, Locked: true}}
	p := newPlace(t, f)
	withKeystore(t, p, k)
	if got := p.run(true, "-X --pw-env=PW"); got != (outcome{0, "success\n", ""}) || len(k.asked) > 0 {
		t.Errorf("got %+v, asked %q", got, k.asked)
	}
}

func TestKeystoreOfAnotherAgent(t *testing.T) {
	// OIDC_SOCK leads elsewhere (a forwarded agent, say): the keystore of the agent here is not its business.
	f, k := &agentOf{}, &keystoreOf{status: control.Status{Keystore: control.KeystoreOpen}}
	p := newPlace(t, f)
	withKeystore(t, p, k)
	k.status.PID, k.status.Socket = 1, filepath.Join(p.dir, "another.sock")
	if got := p.run(false, "kept"); got.code != cli.NotFound || len(k.asked) > 0 {
		t.Errorf("load: %+v, asked %q", got, k.asked)
	}
	if got := p.run(false, "--unlock --passphrase-file=DIR/pw"); got.code != cli.NotFound || len(k.asked) > 0 {
		t.Errorf("unlock: %+v, asked %q", got, k.asked)
	}
	if got := p.run(true, "-l"); got.out != "demo\n" {
		t.Errorf("list: %+v", got)
	}
}
