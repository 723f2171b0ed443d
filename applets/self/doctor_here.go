package self

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/oidcbox/oidcbox/core/agent/control"
	"github.com/oidcbox/oidcbox/core/agent/login"
	"github.com/oidcbox/oidcbox/core/secret/keystore"
	"github.com/oidcbox/oidcbox/store"
	"github.com/oidcbox/oidcbox/store/boltstore"
	"github.com/oidcbox/oidcbox/store/filesystem"
)

// keystore looks at the keystore file and the place it is in.
func (d *doctor) keystore(ctx context.Context, f *findings) {
	path, state, err := d.keystorePath(ctx)
	if err != nil {
		f.add(sevWarning, "no-home", "",
			"there is no place for a keystore: neither HOME nor XDG_STATE_HOME is set to an absolute path",
			"set HOME; without a keystore logins end with the agent")
		return
	}
	peek, err := boltstore.Peek(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		f.add(sevNote, "absent", path, "there is no keystore: logins are kept in account files or end with the agent",
			"make one with: oidcbox self keystore create")
		return
	case errors.Is(err, store.ErrUnsafe):
		f.add(sevFault, "unsafe", path, oneLine(err), "chmod 600 "+path+"; chmod 700 "+filepath.Dir(path))
		return
	case errors.Is(err, fs.ErrPermission):
		f.add(sevFault, "permission", path, oneLine(err), "make the file yours: chown")
		return
	case err != nil:
		f.add(sevFault, "damaged", path, oneLine(err), "restore a backup: oidcbox self keystore restore FILE")
		return
	}
	if state == control.KeystoreLocked {
		f.add(sevNote, "locked", path, "the agent has not unlocked it: its logins are not served",
			"unlock it with: oidcbox add --unlock")
	}
	f.ok("file", path, fmt.Sprintf("keystore of format %s, %d bytes", peek.Format, peek.Size))
	d.keystorePlace(f, path)
	d.keystoreRoom(f, path)
	d.slots(ctx, f, path)
}

// keystorePath is where the keystore is, as our agent says when there is one, and in what state it has it.
func (d *doctor) keystorePath(ctx context.Context) (path, state string, err error) {
	st, err := control.Client{Path: control.Place(d.env.Getenv), Timeout: agentWait}.Status(ctx)
	if err == nil && st.KeystorePath != "" {
		return st.KeystorePath, st.Keystore, nil
	}
	path, err = keystore.DefaultPath(d.env.Getenv)
	return path, "", err
}

func (d *doctor) keystorePlace(f *findings, path string) {
	name, local, err := filesystem.Type(filepath.Dir(path))
	switch {
	case err != nil:
		f.add(sevWarning, "place", path, "its file system is not known: "+oneLine(err), "look with df whether it answers")
	case local:
		f.ok("place", path, "on a local file system ("+name+")")
	default:
		f.add(sevNote, "place", path, "on a network file system ("+name+"): one agent of yours at a time can have it, on "+
			"whatever machine, and commands do not start an agent by themselves",
			"that is fine; for a keystore of this machine alone set XDG_STATE_HOME to a local directory")
	}
}

// keystoreRoom warns before a refresh fails for want of space: its new refresh token has to have a place first.
func (d *doctor) keystoreRoom(f *findings, path string) {
	const little = 2 << 20 // a transaction takes some hundred kilobytes
	if n, known := freeBytes(filepath.Dir(path)); known && n < little {
		f.add(sevWarning, "room", path, fmt.Sprintf("its file system is full or nearly so (%d kB left for you): where a new "+
			"refresh token cannot be saved, no access token is fetched", n>>10),
			"free some space there: df "+filepath.Dir(path))
	}
}

// slots tells who holds the file and how it can be unlocked.
func (d *doctor) slots(ctx context.Context, f *findings, path string) {
	ctx, cancel := context.WithTimeout(ctx, agentWait)
	defer cancel()
	info := fileInfo{Path: path}
	if err := (&keystoreInfoCmd{}).header(ctx, d.env, &info); err != nil {
		f.add(sevWarning, "slots", path, "its slots cannot be read: "+oneLine(err), "look with: oidcbox self keystore check")
		return
	}
	if info.InUse != "" {
		f.ok("holder", path, "in use by "+info.InUse)
	}
	if info.Unfinished {
		f.add(sevNote, "rekey", path, "a change of its key was interrupted", "unlock it once: that clears up")
	}
	if info.SlotsUnknown != "" {
		f.add(sevNote, "holder", path, "locked, and held by another program: "+info.SlotsUnknown,
			"unlock it in the agent: oidcbox add --unlock; if no agent of yours runs, end the program that has it")
		return
	}
	kinds := make([]string, 0, len(info.Slots))
	for _, s := range info.Slots {
		kinds = append(kinds, s.Kind)
	}
	if len(kinds) == 1 {
		f.add(sevNote, "slots", path, "there is one way to unlock it ("+kinds[0]+"): who loses that loses the logins",
			"add another: oidcbox self keystore slot add keyfile FILE")
		return
	}
	f.ok("slots", path, fmt.Sprintf("%d ways to unlock it: %s", len(kinds), strings.Join(kinds, ", ")))
}

// files looks at the directory of account files and at what is configured there.
func (d *doctor) files(_ context.Context, f *findings) {
	exists := func(dir string) bool { fi, err := os.Stat(dir); return err == nil && fi.IsDir() }
	dir, found, err := login.FindDir(d.env.Getenv, exists)
	if err == nil && found {
		d.accountDir(f, dir)
	} else {
		f.add(sevNote, "none", "", "there is no directory of account files (~/.config/oidc-agent)", "")
	}
	if _, err := login.LoadCatalogue(login.CatalogueDirs(d.env.Getenv)...); err != nil {
		for _, line := range strings.Split(err.Error(), "\n") {
			f.add(sevWarning, "issuers", "", "list of issuers: "+line,
				"mend or remove the entry; what makes no sense is ignored")
		}
	}
	if _, err := login.FindSettings(d.env.Getenv); err != nil {
		f.add(sevFault, "settings", "", oneLine(err), "mend the file; until then the values that ship with it hold")
	}
}

// accountDir judges modes, and files that are not what they should be.
func (d *doctor) accountDir(f *findings, dir string) {
	fi, err := os.Stat(dir)
	if err != nil {
		f.add(sevFault, "directory", dir, oneLine(err), "make it yours: chown, chmod 700")
		return
	}
	if m := fi.Mode().Perm(); m&0o022 != 0 {
		f.add(sevFault, "directory", dir,
			fmt.Sprintf("others can write to it (mode %04o): they could exchange your logins", m), "chmod 700 "+dir)
	} else if m&0o077 != 0 {
		f.add(sevNote, "directory", dir, fmt.Sprintf("others can look into it (mode %04o)", m), "chmod 700 "+dir)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		f.add(sevFault, "directory", dir, oneLine(err), "make it yours: chown, chmod 700")
		return
	}
	accounts, _ := login.List(dir)
	for _, e := range entries {
		d.fileInDir(f, dir, e, accounts)
	}
	f.ok("accounts", dir, counted(len(accounts), "account file"))
}

func (d *doctor) fileInDir(f *findings, dir string, e fs.DirEntry, accounts []string) {
	path := filepath.Join(dir, e.Name())
	fi, err := os.Stat(path)
	if err != nil {
		f.add(sevWarning, "file", path, "cannot be looked at: "+err.Error(), "remove it if it is a link that leads nowhere")
		return
	}
	if !fi.Mode().IsRegular() {
		return
	}
	account := slices.Contains(accounts, e.Name())
	switch m := fi.Mode().Perm(); {
	case m&0o022 != 0:
		f.add(sevFault, "mode", path,
			fmt.Sprintf("others can write to it (mode %04o); oidc-agent makes such files", m), "chmod 600 "+path)
	case m&0o044 != 0 && account:
		f.add(sevNote, "mode", path, fmt.Sprintf("others can read it (mode %04o) and try passwords", m), "chmod 600 "+path)
	}
	if account {
		return
	}
	// What the original would take for an account by its name.
	if login.CheckName(e.Name()) == nil && plausibleAccount(e.Name()) {
		f.add(sevWarning, "damaged", path, "is no account file, or a damaged one; oidc-agent lists it as a login",
			"restore it from a backup, or move it away")
	}
}

// plausibleAccount leaves out what lies in the directory by right.
func plausibleAccount(name string) bool {
	if name == "config" || strings.HasPrefix(name, ".") {
		return false
	}
	for _, end := range []string{".config", ".stats", ".log", ".options", ".lock"} {
		if strings.HasSuffix(name, end) {
			return false
		}
	}
	return !strings.Contains(name, ".clientconfig")
}
