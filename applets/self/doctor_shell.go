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
)

// environment looks for variables that are left over, or lead nowhere, or tell too much.
func (d *doctor) environment(_ context.Context, f *findings) {
	get := d.env.Getenv
	if get("HOME") == "" {
		f.add(sevWarning, "home", "HOME", "is not set: account files and keystore cannot be found",
			"set HOME to your home directory")
	}
	d.namedPlaces(f)
	if get("OIDC_ENCRYPTION_PW") != "" {
		f.add(sevWarning, "password", "OIDC_ENCRYPTION_PW",
			"the password of your account files is in the environment: every process you start can read it",
			"unset OIDC_ENCRYPTION_PW; use --pw-file or --pw-cmd")
	}
	if get("OIDC_REMOTE_SOCK") != "" {
		f.add(sevNote, "remote", "OIDC_REMOTE_SOCK",
			"is set: what the local agent does not know is asked of "+get("OIDC_REMOTE_SOCK"), "")
	}
	if get("SSH_CONNECTION") != "" {
		f.add(sevNote, "ssh", "", "this is a login over ssh: browsers and dialogs of your desk do not open here",
			"log in with the device flow: oidc-gen -w device NAME")
	}
	for _, name := range []string{"https_proxy", "HTTPS_PROXY"} {
		if get(name) != "" {
			f.add(sevNote, "proxy", name, "providers are asked through a proxy", "") // its address may hold a password
			break
		}
	}
	if len(f.list) == 0 {
		f.ok("clean", "", "no variable is left over or leads nowhere")
	}
}

// namedPlaces judges the variables that name directories and files.
func (d *doctor) namedPlaces(f *findings) {
	for _, v := range []struct{ name, so string }{
		{"XDG_RUNTIME_DIR", "sockets then go nowhere"}, {"OIDC_CONFIG_DIR", "the usual directory is used instead"},
	} {
		if dir := d.env.Getenv(v.name); dir != "" && !isDirectory(dir) {
			f.add(sevWarning, "directory", v.name, "names "+dir+", which is no directory: "+v.so,
				"unset "+v.name+", or make the directory")
		}
	}
	for _, v := range []struct {
		name string
		sev  severity
	}{
		{"SSL_CERT_FILE", sevFault}, // no provider can be reached
		{"OIDC_USER_CONFIG", sevWarning},
		{"BEARER_TOKEN_FILE", sevWarning},
	} {
		path := d.env.Getenv(v.name)
		if path == "" || path == os.DevNull {
			continue
		}
		if fi, err := os.Stat(path); err != nil || !fi.Mode().IsRegular() {
			f.add(v.sev, "file", v.name, "names "+path+", which cannot be read as a file", "unset "+v.name)
		}
	}
}

func isDirectory(path string) bool {
	fi, err := os.Stat(path)
	return err == nil && fi.IsDir()
}

// programs looks which programs the names of the original lead to.
func (d *doctor) programs(_ context.Context, f *findings) {
	own, err := binary()
	if err != nil {
		f.add(sevWarning, "self", "", oneLine(err), "install the program again")
		return
	}
	var ours, others, missing []string
	for _, name := range d.upstreamNames() {
		switch path := d.find(name); {
		case path == "":
			missing = append(missing, name)
		case sameProgram(path, own):
			ours = append(ours, name)
		default:
			others = append(others, path)
		}
	}
	const link = "oidcbox self install-links --dir ~/.local/bin --upstream-names, and that directory first in PATH"
	switch {
	case len(ours) > 0 && len(others) > 0:
		f.add(sevWarning, "mixed", "", "some names lead to this program ("+strings.Join(ours, " ")+
			"), others to the original ("+strings.Join(others, " ")+")", link)
	case len(others) > 0:
		f.add(sevNote, "original", "", "the names of the original lead to: "+strings.Join(others, " "),
			"to use ours under them: "+link)
	case len(ours) > 0:
		f.ok("ours", "", "these names lead to this program: "+strings.Join(ours, " "))
	}
	if len(ours)+len(others) == 0 {
		f.add(sevNote, "no-links", "", "no program is found under the names "+strings.Join(missing, " "), link)
	}
	d.path(f)
}

// sameProgram reports whether path is the file own, by a link or by its own name.
func sameProgram(path, own string) bool {
	a, err := os.Stat(path)
	if err != nil {
		return false
	}
	b, err := os.Stat(own)
	return err == nil && os.SameFile(a, b)
}

func (d *doctor) upstreamNames() []string {
	var names []string
	for _, r := range d.box.roles {
		names = append(names, r.Upstream...)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// find is the first program of that name on the PATH, "" for none.
func (d *doctor) find(name string) string {
	for _, dir := range filepath.SplitList(d.env.Getenv("PATH")) {
		path := filepath.Join(dir, name)
		if fi, err := os.Stat(path); err == nil && fi.Mode().IsRegular() && fi.Mode().Perm()&0o111 != 0 {
			return path
		}
	}
	return ""
}

// path warns of places from which others could run a program in our name.
func (d *doctor) path(f *findings) {
	for _, dir := range filepath.SplitList(d.env.Getenv("PATH")) {
		if dir == "" || !filepath.IsAbs(dir) {
			f.add(sevWarning, "path", "PATH", fmt.Sprintf("has %q in it: programs are taken from wherever you are", dir),
				"take it out of PATH")
			continue
		}
		fi, err := os.Stat(dir)
		if errors.Is(err, fs.ErrNotExist) || err != nil {
			continue
		}
		if fi.Mode().Perm()&0o002 != 0 {
			f.add(sevWarning, "path", dir,
				fmt.Sprintf("is on the PATH and everybody can write to it (mode %04o)", fi.Mode().Perm()), "take it out of PATH")
		}
	}
}
