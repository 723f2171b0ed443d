package self

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/agent/control"
	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/secret"
)

// careCmd stands for the role around the keystore commands.
type careCmd struct {
	Keystore KeystoreCmd `cmd:""`
}

func (*careCmd) Run(context.Context, *cli.Env) error { return nil }

// home is a person's home directory with what the commands look at.
type home struct {
	t   *testing.T
	dir string
	env map[string]string
	now time.Time
}

func newHome(t *testing.T) *home {
	t.Helper()
	h := &home{t: t, dir: t.TempDir(), now: time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)}
	for _, d := range []string{"state", "run"} {
		if err := os.Mkdir(filepath.Join(h.dir, d), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	h.env = map[string]string{
		"HOME": h.dir, "XDG_STATE_HOME": filepath.Join(h.dir, "state"), "XDG_RUNTIME_DIR": filepath.Join(h.dir, "run"),
	}
	return h
}

func (h *home) keystore() string { return filepath.Join(h.dir, "state", "oidcbox", "keystore") }

func (h *home) file(name, content string) string {
	h.t.Helper()
	path := filepath.Join(h.dir, name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		h.t.Fatal(err)
	}
	return path
}

type outcome struct {
	code           int
	stdout, stderr string
}

// run runs "keystore ARGS..." without a terminal.
func (h *home) run(args ...string) outcome {
	h.t.Helper()
	var out, errs bytes.Buffer
	env := &cli.Env{
		Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errs, Dir: h.dir,
		Getenv:  func(k string) string { return h.env[k] },
		Environ: func() []string { return nil },
		Now:     func() time.Time { return h.now },
		Log:     slog.New(slog.DiscardHandler),
	}
	args = append([]string{"keystore"}, args...)
	code := cli.Run(h.t.Context(), env, cli.Grammar{Name: "oidcbox self"}, &careCmd{}, args)
	for _, planted := range []string{"correct horse", "battery staple"} {
		if strings.Contains(out.String()+errs.String(), planted) {
			h.t.Errorf("%v shows a passphrase:\n%s%s", args, out.String(), errs.String())
		}
	}
	return outcome{code, out.String(), errs.String()}
}

func (h *home) must(args ...string) outcome {
	h.t.Helper()
	o := h.run(args...)
	if o.code != cli.OK {
		h.t.Fatalf("%v: exit %d\n%s", args, o.code, o.stderr)
	}
	return o
}

func (h *home) fails(code int, says string, args ...string) {
	h.t.Helper()
	o := h.run(args...)
	if o.code != code || !strings.Contains(o.stderr, says) {
		h.t.Errorf("%v: exit %d, want %d with %q:\n%s", args, o.code, code, says, o.stderr)
	}
	if o.stdout != "" {
		h.t.Errorf("%v: failed and printed %s", args, o.stdout)
	}
}

func (h *home) slots() []slotInfo {
	h.t.Helper()
	var s []slotInfo
	if err := json.Unmarshal([]byte(h.must("slot", "list", "--json").stdout), &s); err != nil {
		h.t.Fatal(err)
	}
	return s
}

func TestKeystoreCommands(t *testing.T) {
	h := newHome(t)
	pass := h.file("pass", "correct horse\n")
	wrong := h.file("wrong", "battery staple\n")

	h.fails(cli.NotFound, "self keystore create", "info")
	h.fails(cli.NotFound, "self keystore create", "check", "--passphrase-file", pass)
	h.must("create", "--passphrase-file", pass)
	h.fails(cli.No, "there is a keystore already", "create", "--passphrase-file", pass)

	t.Run("info", func(t *testing.T) {
		var info fileInfo
		if err := json.Unmarshal([]byte(h.must("info", "--json").stdout), &info); err != nil {
			t.Fatal(err)
		}
		if info.Role != "person" || info.DataKey != 1 || len(info.ID) != 32 || len(info.Slots) != 1 ||
			info.Slots[0].Memory != 64<<10 || info.InUse != "" {
			t.Errorf("%+v", info)
		}
		if text := h.must("info").stdout; !strings.Contains(text, "role       person\n") ||
			!strings.Contains(text, info.Slots[0].ID) {
			t.Error(text)
		}
	})
	t.Run("check", func(t *testing.T) {
		if o := h.must("check", "--passphrase-file", pass); o.stdout != "structure and records (0): sound\n" {
			t.Error(o.stdout)
		}
		h.must("check", "--locked")
		h.fails(cli.Denied, "wrong passphrase", "check", "--passphrase-file", wrong)
		h.fails(cli.Human, "there is no terminal", "check")
		h.fails(cli.Usage, "choose one", "check", "--passphrase-file", pass, "--key-file", wrong)
	})
	t.Run("environment", func(t *testing.T) {
		h.env["OIDCBOX_PASSPHRASE_FILE"] = pass
		defer delete(h.env, "OIDCBOX_PASSPHRASE_FILE")
		h.must("check")
		h.env["OIDCBOX_PASSPHRASE_FILE"] = wrong
		h.fails(cli.Denied, "wrong passphrase", "check")
	})
	t.Run("slots", func(t *testing.T) {
		key := filepath.Join(h.dir, "stick")
		h.must("slot", "add", "keyfile", key, "--label", "stick", "--passphrase-file", pass)
		h.must("slot", "add", "passphrase", "--new-passphrase-file", wrong, "--key-file", key)
		slots := h.slots()
		if len(slots) != 3 || slots[1].Kind != "keyfile" || slots[1].Label != "stick" {
			t.Fatalf("%+v", slots)
		}
		h.must("check", "--key-file", key)
		h.fails(cli.No, slots[2].ID, "rekey", "--passphrase-file", pass, "--keep-key-file", key)
		h.must("rekey", "--passphrase-file", pass, "--keep-key-file", key, "--keep-passphrase-file", wrong)
		h.must("slot", "rm", slots[2].ID, "--passphrase-file", pass)
		h.fails(cli.Denied, "wrong passphrase", "check", "--passphrase-file", wrong)
		h.fails(cli.NotFound, "no such key slot", "slot", "rm", "00000000", "--passphrase-file", pass)
		h.must("rekey", "--key-file", key, "--drop-others")
		h.fails(cli.NotFound, "opens by keyfile", "check", "--passphrase-file", pass)
		h.fails(cli.No, "last key slot", "slot", "rm", slots[1].ID, "--key-file", key)
		h.fails(cli.Usage, "a file is named", "slot", "add", "keyfile", "--key-file", key)
		h.fails(cli.Usage, "a file is named", "slot", "add", "keyring", "x", "--key-file", key)
	})
}

func TestKeystoreCredentialSlot(t *testing.T) {
	h := newHome(t)
	pass := h.file("pass", "correct horse\n")
	h.file("oidcbox-keystore", strings.Repeat("k", 32))
	h.must("create", "--passphrase-file", pass)
	h.must("slot", "add", "systemd", "--dir", h.dir, "--passphrase-file", pass)
	h.env["CREDENTIALS_DIRECTORY"] = h.dir
	h.must("check")
}

func TestKeystoreBackupRestore(t *testing.T) {
	h := newHome(t)
	pass, other := h.file("pass", "correct horse\n"), h.file("other", "battery staple\n")
	h.must("create", "--passphrase-file", pass)
	h.must("backup", "copy")
	copied, err := os.ReadFile(filepath.Join(h.dir, "copy"))
	if err != nil {
		t.Fatal(err)
	}
	if st, _ := os.Stat(filepath.Join(h.dir, "copy")); runtime.GOOS != "windows" && st.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", st.Mode())
	}
	if o := h.must("backup", "-"); o.stdout != string(copied) {
		t.Error("standard output differs from the file")
	}
	h.fails(cli.No, "copy exists", "backup", "copy")
	h.must("backup", "copy", "--force")

	h.must("slot", "add", "passphrase", "--new-passphrase-file", other, "--passphrase-file", pass)
	h.fails(cli.No, "keystore exists", "restore", "copy")
	h.must("restore", "copy", "--force")
	if n := len(h.slots()); n != 1 {
		t.Errorf("%d slots after the restore", n)
	}
	aside := h.keystore() + ".old-20261121T120000Z"
	h.must("check", "--keystore", aside, "--passphrase-file", other)

	t.Run("restore_where_nothing_is", func(t *testing.T) {
		h.must("restore", "copy", "--keystore", filepath.Join(h.dir, "new", "keystore"))
	})
	t.Run("bad_backup_changes_nothing", func(t *testing.T) {
		h.file("bad", strings.Repeat("x", 40000))
		before, _ := os.ReadFile(h.keystore())
		h.fails(cli.No, "no good backup", "restore", "bad", "--force")
		h.fails(cli.NotFound, "open backup", "restore", "absent", "--force")
		if after, _ := os.ReadFile(h.keystore()); !bytes.Equal(before, after) {
			t.Error("the keystore changed")
		}
		left, _ := filepath.Glob(h.keystore() + ".*restore*")
		if len(left) > 0 {
			t.Errorf("left over: %v", left)
		}
	})
	t.Run("damaged_keystore_can_be_replaced", func(t *testing.T) {
		h.now = h.now.Add(time.Minute)
		if err := os.WriteFile(h.keystore(), []byte("gone"), 0o600); err != nil {
			t.Fatal(err)
		}
		h.fails(cli.No, "restore --force", "check", "--passphrase-file", pass)
		h.must("restore", "copy", "--force")
		h.must("check", "--passphrase-file", pass)
	})
}

// A file that a stranger could reach is refused, and not made safe behind the owner's back.
func TestKeystoreOpenToOthers(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no mode bits")
	}
	h := newHome(t)
	pass := h.file("pass", "correct horse\n")
	h.must("create", "--passphrase-file", pass)
	if err := os.Chmod(h.keystore(), 0o640); err != nil {
		t.Fatal(err)
	}
	h.fails(cli.Denied, "0640", "check", "--passphrase-file", pass)
	if err := os.Chmod(pass, 0o644); err != nil {
		t.Fatal(err)
	}
	_ = os.Chmod(h.keystore(), 0o600)
	h.fails(cli.Denied, "open to others", "check", "--passphrase-file", pass)
}

// agent is a running agent as its control socket shows it.
type agent struct {
	control.Backend // panics for what these commands must not call

	path, state string
	got         []string
	file        string // what Backup gives
}

func (a *agent) Status(context.Context) (control.Status, error) {
	return control.Status{Keystore: a.state, KeystorePath: a.path}, nil
}

func (a *agent) Create(_ context.Context, p secret.Text) error {
	a.got = append(a.got, "create "+p.Expose())
	return nil
}

func (a *agent) Unlock(_ context.Context, u control.Unlock) error {
	a.got = append(a.got, "unlock "+u.Passphrase.Expose()+filepath.Base(u.KeyFile))
	return nil
}

func (a *agent) Lock(context.Context) error { a.got = append(a.got, "lock"); return nil }

func (a *agent) Slots(context.Context) ([]control.Slot, error) {
	return []control.Slot{{ID: "0badcafe", Kind: "passphrase"}}, nil
}

func (a *agent) AddSlot(_ context.Context, n control.NewSlot) (control.Slot, error) {
	a.got = append(a.got, "add "+n.Kind+" "+n.Passphrase.Expose()+filepath.Base(n.KeyFile))
	return control.Slot{ID: "00000001", Kind: n.Kind}, nil
}

func (a *agent) Rekey(_ context.Context, r control.RekeyRequest) error {
	files := make([]string, 0, len(r.KeyFiles))
	for _, f := range r.KeyFiles {
		files = append(files, filepath.Base(f))
	}
	a.got = append(a.got, fmt.Sprintf("rekey %s %s %v", r.Passphrases[0].Expose(), strings.Join(files, " "), r.DropOthers))
	return nil
}

func (a *agent) RemoveSlot(_ context.Context, id string) error {
	a.got = append(a.got, "rm "+id)
	return nil
}

func (a *agent) Backup(_ context.Context, w io.Writer) error {
	b, err := os.ReadFile(a.file)
	if err == nil {
		_, err = w.Write(b)
	}
	return err
}

func (a *agent) serve(t *testing.T, h *home) {
	t.Helper()
	getenv := func(k string) string { return h.env[k] }
	path, err := control.Path(getenv)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- control.Serve(ctx, ln, a, nil) }()
	t.Cleanup(func() { stop(); <-done })
}

func TestKeystoreWhileTheAgentHasIt(t *testing.T) {
	h := newHome(t)
	pass, other := h.file("pass", "correct horse\n"), h.file("other", "battery staple\n")
	h.must("create", "--passphrase-file", pass)
	h.must("backup", "copy")
	h.fails(cli.NotFound, "no agent", "unlock", "--passphrase-file", pass)

	a := &agent{path: h.keystore(), state: control.KeystoreOpen, file: filepath.Join(h.dir, "copy")}
	a.serve(t, h)
	if s := h.slots(); len(s) != 1 || s[0].ID != "0badcafe" {
		t.Errorf("slots are not the agent's: %+v", s)
	}
	if o := h.must("info"); !strings.Contains(o.stdout, "in use by  the agent\n") {
		t.Error(o.stdout)
	}
	h.must("slot", "add", "passphrase", "--new-passphrase-file", other)
	h.must("slot", "add", "keyfile", "stick")
	h.must("slot", "rm", "0badcafe")
	h.must("backup", "second")
	h.must("check", "--passphrase-file", pass)
	h.must("lock")
	h.must("rekey", "--passphrase-file", pass, "--keep-key-file", "stick", "--drop-others")
	h.fails(cli.Temporary, "end the agent", "restore", "copy", "--force")
	a.state = control.KeystoreLocked
	h.must("unlock", "--passphrase-file", pass)
	h.must("unlock", "--key-file", pass)
	want := "add passphrase battery staple.|add keyfile stick|rm 0badcafe|lock|rekey correct horse stick true|unlock correct horse.|unlock pass"
	if got := strings.Join(a.got, "|"); got != want {
		t.Errorf("the agent was asked\n%s, want\n%s", got, want)
	}

	t.Run("other_keystores_are_not_the_agents", func(t *testing.T) {
		o := h.must("slot", "list", "--json", "--keystore", restored(t, h, "copy"))
		if strings.Contains(o.stdout, "0badcafe") {
			t.Error(o.stdout)
		}
	})
}

// restored puts a backup where no agent looks.
func restored(t *testing.T, h *home, backup string) string {
	t.Helper()
	path := filepath.Join(h.dir, "elsewhere", "keystore")
	h.must("restore", backup, "--keystore", path)
	return path
}

func TestKeystoreCreateThroughTheAgent(t *testing.T) {
	h := newHome(t)
	a := &agent{path: h.keystore(), state: control.KeystoreAbsent}
	a.serve(t, h)
	pass := h.file("pass", "correct horse\n")
	h.fails(cli.NotFound, "the agent has no keystore", "unlock", "--passphrase-file", pass)
	h.must("create", "--passphrase-file", pass)
	if got := strings.Join(a.got, "|"); got != "create correct horse" {
		t.Errorf("the agent was asked %q", got)
	}
}
