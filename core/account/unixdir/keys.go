//go:build linux

package unixdir

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/oidcbox/oidcbox/core/account/backend"
	"github.com/oidcbox/oidcbox/core/account/sysuser"
)

// The lines between these two are ours; everything else in the file is the user's.
const (
	keysBegin = "# oidcbox: keys of the federated identity, written anew at each deployment"
	keysEnd   = "# oidcbox: end"
)

// maxKeysFile is the longest file of keys that is read, in bytes. sshd would take a minute for a longer one.
const maxKeysFile = 1 << 20

// errHome: there is something in the home that nobody should follow.
var errHome = errors.New("not a file or directory of the user's own")

// putKeys replaces the keys that were put there before, and returns those that are there now. All of it is done as the
// user: a link that leads elsewhere leads to where the user could have written anyway, a pipe is not waited for, and a
// file system that the user has mounted into the home is not entered.
//
// A home in which keys cannot be put (a full disk, a link, a pipe) gives none and no error: with an error its user
// could not log in to tidy up, and could not be undeployed.
func (s *System) putKeys(ctx context.Context, u sysuser.User, keys []backend.Key) []backend.Key {
	lines, kept := keyLines(keys)
	err := s.homes.do(ctx, owners{uid: u.UID, gid: u.GID}, u.Home, func() error { return writeKeys(u, lines) })
	if err == nil {
		return kept
	}
	if !errors.Is(err, fs.ErrNotExist) || len(lines) > 0 {
		s.Log.Warn("keys are not in place", "name", u.Name, "error", err)
	}
	return nil
}

// keyLines makes lines of keys and leaves out what is no key, and what is there twice.
func keyLines(keys []backend.Key) (lines []string, kept []backend.Key) {
	seen := map[string]bool{}
	for _, k := range keys {
		line, err := k.Line()
		if err != nil || seen[line] {
			continue
		}
		seen[line] = true
		lines, kept = append(lines, line), append(kept, k)
	}
	return lines, kept
}

func writeKeys(u sysuser.User, lines []string) error {
	home, err := openHome(u)
	if err != nil {
		return err
	}
	defer home.Close()
	dir, err := home.sub(".ssh", len(lines) > 0)
	if errors.Is(err, fs.ErrNotExist) && len(lines) == 0 {
		return nil
	}
	if err != nil {
		return err
	}
	defer dir.Close()
	old, err := dir.read("authorized_keys")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	text := mergeKeys(old, lines)
	if bytes.Equal(old, text) {
		return nil
	}
	return dir.replace("authorized_keys", text)
}

// mergeKeys puts lines in place of ours in a file of keys. The rest of it stays as it is.
func mergeKeys(old []byte, lines []string) []byte {
	var out bytes.Buffer
	ours := false
	for line := range bytes.Lines(old) {
		switch text := strings.TrimRight(string(line), "\r\n"); {
		case text == keysBegin:
			ours = true
		case ours && text == keysEnd:
			ours = false
		case ours && !strings.HasPrefix(text, "#") && text != "":
			// a key of ours
		case ours:
			ours = false // the end is gone: what follows is the user's
			out.Write(line)
		default:
			out.Write(line)
		}
	}
	if len(lines) == 0 {
		return out.Bytes()
	}
	if n := out.Len(); n > 0 && out.Bytes()[n-1] != '\n' {
		out.WriteByte('\n')
	}
	out.WriteString(keysBegin + "\n" + strings.Join(lines, "\n") + "\n" + keysEnd + "\n")
	return out.Bytes()
}

// place in a home: a directory that was looked at before it was opened.
type directory struct {
	fd    int // O_PATH
	mount string
	uid   uint32
}

func (d directory) Close() { _ = unix.Close(d.fd) }

// openHome opens the home of a user without following what it is. A home that the user has put another file system over
// is refused: whoever asks such a file system waits for the user's answer.
func openHome(u sysuser.User) (directory, error) {
	fd, err := unix.Open(u.Home, unix.O_PATH|unix.O_NOFOLLOW|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return directory{}, fmt.Errorf("open home: %w", err)
	}
	d := directory{fd: fd, uid: u.UID}
	d.mount, err = mountOf(fd)
	if err == nil {
		err = checkMount(d.mount)
	}
	if err == nil {
		err = d.check(fd, unix.S_IFDIR)
	}
	if err != nil {
		d.Close()
		return directory{}, fmt.Errorf("open home: %w", err)
	}
	return d, nil
}

// mountOf says on which mount an open file is, without asking the file system.
func mountOf(fd int) (string, error) {
	b, err := os.ReadFile("/proc/thread-self/fdinfo/" + strconv.Itoa(fd))
	if err != nil {
		return "", fmt.Errorf("find mount: %w", err)
	}
	for line := range strings.Lines(string(b)) {
		if id, ok := strings.CutPrefix(line, "mnt_id:"); ok {
			return strings.TrimSpace(id), nil
		}
	}
	return "", fmt.Errorf("find mount: %w", errHome)
}

// checkMount refuses the file systems that users mount themselves.
func checkMount(id string) error {
	b, err := os.ReadFile("/proc/thread-self/mountinfo")
	if err != nil {
		return fmt.Errorf("find mount: %w", err)
	}
	for line := range strings.Lines(string(b)) {
		words := strings.Fields(line)
		if len(words) == 0 || words[0] != id {
			continue
		}
		_, tail, _ := strings.Cut(line, " - ")
		kind, _, _ := strings.Cut(tail, " ")
		if kind == "fuse" || strings.HasPrefix(kind, "fuse.") && strings.Contains(tail, "user_id=") &&
			!strings.Contains(tail, "user_id=0,") {
			return fmt.Errorf("mounted by the user: %w", errHome)
		}
		return nil
	}
	return nil
}

// check makes sure that an open file is of the kind, is the user's own, and on the home's mount.
func (d directory) check(fd int, kind uint32) error {
	mount, err := mountOf(fd)
	if err != nil {
		return err
	}
	if mount != d.mount {
		return fmt.Errorf("something is mounted there: %w", errHome)
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != kind || st.Uid != d.uid {
		return errHome
	}
	return nil
}

// open opens an entry by looking first at what it is, and then at that very thing again with flags.
func (d directory) open(name string, kind uint32, flags int) (int, error) {
	look, err := unix.Openat(d.fd, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	defer unix.Close(look)
	if err := d.check(look, kind); err != nil {
		return -1, err
	}
	return unix.Open("/proc/thread-self/fd/"+strconv.Itoa(look), flags|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
}

// sub opens a directory in d, which is made with mode 0700 if it is not there.
func (d directory) sub(name string, create bool) (directory, error) {
	if create {
		if err := unix.Mkdirat(d.fd, name, 0o700); err != nil && !errors.Is(err, unix.EEXIST) {
			return directory{}, fmt.Errorf("make %s: %w", name, err)
		}
	}
	fd, err := d.open(name, unix.S_IFDIR, unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return directory{}, fmt.Errorf("open %s: %w", name, err)
	}
	return directory{fd: fd, mount: d.mount, uid: d.uid}, nil
}

// read returns a file of the user's own.
func (d directory) read(name string) ([]byte, error) {
	fd, err := d.open(name, unix.S_IFREG, unix.O_RDONLY)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", name, err)
	}
	f := os.NewFile(uintptr(fd), name)
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxKeysFile+1))
	if err == nil && len(b) > maxKeysFile {
		err = fmt.Errorf("more than %d bytes: %w", maxKeysFile, errHome)
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return b, nil
}

// replace writes a file beside the old one and moves it over it, so that what the name was linked to stays as it was. A
// full disk or quota leaves the old file.
func (d directory) replace(name string, text []byte) error {
	temp := "." + name + "." + rand.Text()[:10]
	fd, err := unix.Openat(d.fd, temp, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	f := os.NewFile(uintptr(fd), temp)
	_, err = f.Write(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = unix.Renameat(d.fd, temp, d.fd, name)
	}
	if err != nil {
		_ = unix.Unlinkat(d.fd, temp, 0)
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}
