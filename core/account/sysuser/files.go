package sysuser

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// maxLine is the longest line of a file: a group of 100 000 members with names of ten bytes.
const maxLine = 2 << 20

func (d DB) userInFile(want func(User) bool) (User, error) {
	var found User
	err := d.lines("etc/passwd", func(line string) bool {
		u, ok := parseUser(line)
		if ok && want(u) {
			found = u
			return true
		}
		return false
	})
	return found, err
}

func (d DB) groupInFile(want func(Group) bool) (Group, error) {
	var found Group
	err := d.lines("etc/group", func(line string) bool {
		g, ok := parseGroup(line)
		if ok && want(g) {
			found = g
			return true
		}
		return false
	})
	return found, err
}

// lines goes through a file until want is true. Without that the error is ErrNone.
func (d DB) lines(name string, want func(string) bool) error {
	f, err := os.Open(filepath.Join(d.root(), name))
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s: %w", name, ErrNone)
	}
	if err != nil {
		return fmt.Errorf("read users of this host: %w: %w", ErrUnavailable, err)
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return fmt.Errorf("%s is not a regular file: %w", name, ErrUnavailable)
	}
	r := bufio.NewReaderSize(f, 64<<10)
	for {
		line, err := readLine(r)
		if line != "" && want(line) {
			return nil
		}
		switch {
		case errors.Is(err, io.EOF):
			return fmt.Errorf("%s: %w", name, ErrNone)
		case err != nil:
			return fmt.Errorf("read %s: %w: %w", name, ErrUnavailable, err)
		}
	}
}

var errLongLine = errors.New("line is too long")

func readLine(r *bufio.Reader) (string, error) {
	var b []byte
	for {
		part, err := r.ReadSlice('\n')
		if b = append(b, part...); len(b) > maxLine {
			return "", errLongLine
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return strings.TrimSuffix(string(b), "\n"), err
		}
	}
}

func (d DB) root() string {
	if d.Root == "" {
		return "/"
	}
	return d.Root
}

// parseUser reads a line of passwd(5). What is no entry is passed over, as glibc does it: comments, blank lines,
// lines of NIS ("+", "-").
func parseUser(line string) (User, bool) {
	f := strings.Split(line, ":")
	if len(f) != 7 || !entry(f[0]) {
		return User{}, false
	}
	uid, err1 := strconv.ParseUint(f[2], 10, 32)
	gid, err2 := strconv.ParseUint(f[3], 10, 32)
	if err1 != nil || err2 != nil {
		return User{}, false
	}
	return User{
		Name: f[0], UID: uint32(uid), GID: uint32(gid), Gecos: f[4], Home: f[5], Shell: f[6],
	}, true
}

func parseGroup(line string) (Group, bool) {
	f := strings.Split(line, ":")
	if len(f) != 4 || !entry(f[0]) {
		return Group{}, false
	}
	gid, err := strconv.ParseUint(f[2], 10, 32)
	if err != nil {
		return Group{}, false
	}
	g := Group{Name: f[0], GID: uint32(gid)}
	for m := range strings.SplitSeq(f[3], ",") {
		if m = strings.TrimSpace(m); m != "" {
			g.Members = append(g.Members, m)
		}
	}
	return g, true
}

func entry(name string) bool {
	return name != "" && name[0] != '#' && name[0] != '+' && name[0] != '-'
}
