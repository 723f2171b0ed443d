package boltstore

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/oidcbox/oidcbox/store"
	"github.com/oidcbox/oidcbox/testdata/services"
)

// made returns the path of a closed store with some records.
func made(tb testing.TB, role string) string {
	tb.Helper()
	path := tempPath(tb)
	e := mustOpen(tb, path, Options{Role: role})
	for _, k := range []string{"a", "b", "c"} {
		if err := putText(context.Background(), e, k, strings.Repeat(k, 3000)); err != nil {
			tb.Fatal(err)
		}
	}
	if err := e.Close(); err != nil {
		tb.Fatal(err)
	}
	return path
}

func TestOpenMakesPrivateFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a", "b", "keystore")
	e := mustOpen(t, path, Options{})
	if _, err := e.Lease(t.Context(), "l", time.Minute); err != nil {
		t.Fatal(err)
	}
	if err := e.Reserve(t.Context(), 100); err != nil {
		t.Fatal(err)
	}
	if runtime.GOOS == "windows" {
		t.Skip("no modes here")
	}
	for _, dir := range []string{filepath.Dir(path), filepath.Dir(filepath.Dir(path))} {
		if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("directory %s: %v, %v", dir, info.Mode(), err)
		}
	}
	for _, name := range listDir(t, filepath.Dir(path)) {
		info, err := os.Stat(filepath.Join(filepath.Dir(path), name))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
}

func TestOpenAgain(t *testing.T) {
	path := made(t, "person")
	for _, role := range []string{"person", ""} {
		e := mustOpen(t, path, Options{Role: role, MustExist: true})
		if v, err := getText(t.Context(), e, "b"); err != nil || v != strings.Repeat("b", 3000) {
			t.Errorf("record after reopening: %d bytes, %v", len(v), err)
		}
		if e.Network() || e.Path() != path || e.FS() == "" {
			t.Errorf("network %v, path %s, file system %q", e.Network(), e.Path(), e.FS())
		}
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	}
	if names := listDir(t, filepath.Dir(path)); len(names) != 1 {
		t.Errorf("left behind: %v", names)
	}
}

func TestOpenAbsent(t *testing.T) {
	for name, o := range map[string]Options{"must_exist": {MustExist: true}, "read_only": {ReadOnly: true}} {
		t.Run(name, func(t *testing.T) {
			path := tempPath(t)
			for _, network := range []bool{false, true} {
				o.FSType = func(string) (string, bool, error) { return "x", !network, nil }
				if _, err := Open(t.Context(), path, o); !errors.Is(err, fs.ErrNotExist) {
					t.Errorf("open: %v, want fs.ErrNotExist", err)
				}
			}
			if _, err := os.Stat(filepath.Dir(path)); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("its directory: %v, want none", err)
			}
		})
	}
}

func TestOpenUnsafe(t *testing.T) {
	for name, spoil := range map[string]func(t *testing.T, path string) error{
		"directory_readable_by_group": func(_ *testing.T, p string) error { return os.Chmod(filepath.Dir(p), 0o750) },
		"directory_enterable_by_all":  func(_ *testing.T, p string) error { return os.Chmod(filepath.Dir(p), 0o701) },
		"file_readable_by_group":      func(_ *testing.T, p string) error { return os.Chmod(p, 0o640) },
		"file_writable_by_all":        func(_ *testing.T, p string) error { return os.Chmod(p, 0o602) },
		"symbolic_link": func(_ *testing.T, p string) error {
			return errors.Join(os.Rename(p, p+".real"), os.Symlink(p+".real", p))
		},
		"directory_instead": func(_ *testing.T, p string) error { return errors.Join(os.Remove(p), os.Mkdir(p, 0o700)) },
		"file_of_another_user": func(t *testing.T, p string) error {
			services.NeedRoot(t)
			return os.Chown(p, 65534, -1)
		},
		"directory_of_another_user": func(t *testing.T, p string) error {
			services.NeedRoot(t)
			return os.Chown(filepath.Dir(p), 65534, -1)
		},
	} {
		t.Run(name, func(t *testing.T) {
			if runtime.GOOS == "windows" {
				t.Skip("access is not governed by modes here")
			}
			path := made(t, "person")
			if err := spoil(t, path); err != nil {
				t.Fatal(err)
			}
			for _, o := range []Options{{}, {ReadOnly: true}, {FSType: network(filepath.Dir(path)), CacheDir: newCache(t)}} {
				if _, err := Open(t.Context(), path, o); !errors.Is(err, store.ErrUnsafe) {
					t.Errorf("open: %v, want ErrUnsafe", err)
				}
			}
			if _, err := Peek(path); !errors.Is(err, store.ErrUnsafe) {
				t.Errorf("peek: %v, want ErrUnsafe", err)
			}
		})
	}
}

func TestOpenInUse(t *testing.T) {
	path := made(t, "person")
	e := mustOpen(t, path, Options{Role: "person", Holder: "oidc-agent"})
	begin := time.Now()
	_, err := Open(t.Context(), path, Options{Role: "person", Timeout: 150 * time.Millisecond})
	wantHolder(t, err, "oidc-agent (pid ")
	if waited := time.Since(begin); waited > 2*time.Second {
		t.Errorf("waited %v", waited)
	}
	_, err = Open(t.Context(), path, Options{ReadOnly: true})
	wantHolder(t, err, "oidc-agent (pid ")
	if info, err := Peek(path); err != nil || info.Role != "person" || !strings.HasPrefix(info.InUse, "oidc-agent") {
		t.Errorf("peek beside the holder: %+v, %v", info, err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	mustOpen(t, path, Options{Role: "person"})
}

func TestOpenInUseByAnotherProcess(t *testing.T) {
	path := tempPath(t)
	cmd, out := child{Do: "hold", Path: path}.start(t)
	if line := <-lines(out); line != "ok" {
		t.Fatalf("child says %q", line)
	}
	_, err := Open(t.Context(), path, Options{})
	wantHolder(t, err, "child (pid ")
	// Whoever dies leaves a record behind, which then names nobody.
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if info, err := Peek(path); err != nil || (info.InUse != "" && runtime.GOOS == "linux") {
		t.Errorf("peek after the death of the holder: %+v, %v", info, err)
	}
	mustOpen(t, path, Options{})
}

func wantHolder(t *testing.T, err error, holder string) {
	t.Helper()
	var inUse *store.InUseError
	if !errors.As(err, &inUse) || !strings.HasPrefix(inUse.Holder, holder) {
		t.Fatalf("open: %v, want it in use by %s...", err, holder)
	}
}

func TestReadOnly(t *testing.T) {
	path := made(t, "person")
	before := read(t, path)
	a := mustOpen(t, path, Options{ReadOnly: true})
	b := mustOpen(t, path, Options{ReadOnly: true})
	for _, e := range []*Engine{a, b} {
		if v, err := getText(t.Context(), e, "a"); err != nil || len(v) != 3000 {
			t.Errorf("%d bytes, %v", len(v), err)
		}
		if err := putText(t.Context(), e, "a", "x"); !errors.Is(err, store.ErrReadOnly) {
			t.Errorf("update: %v", err)
		}
		if _, err := e.Lease(t.Context(), "l", time.Minute); !errors.Is(err, store.ErrReadOnly) {
			t.Errorf("lease: %v", err)
		}
		if err := e.Reserve(t.Context(), 1); !errors.Is(err, store.ErrReadOnly) {
			t.Errorf("reserve: %v", err)
		}
		if err := e.Check(t.Context()); err != nil {
			t.Errorf("check: %v", err)
		}
	}
	if !bytes.Equal(read(t, path), before) || len(listDir(t, filepath.Dir(path))) != 1 {
		t.Error("a reader wrote")
	}
}

func read(tb testing.TB, path string) []byte {
	tb.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// setMeta changes a file as another version would.
func setMeta(t *testing.T, path, key, value string) {
	t.Helper()
	db, err := bolt.Open(path, 0o600, &bolt.Options{Timeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bolt.Tx) error { return tx.Bucket([]byte(metaBucket)).Put([]byte(key), []byte(value)) })
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
}

// otherBolt makes a bbolt file of another program.
func otherBolt(t *testing.T, path string, o *bolt.Options) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	o.Timeout = time.Second
	db, err := bolt.Open(path, 0o600, o)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bolt.Tx) error { _, err := tx.CreateBucket([]byte("x")); return err })
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
}

func TestOpenRefuses(t *testing.T) {
	write := func(b []byte) func(*testing.T, string) {
		return func(t *testing.T, path string) {
			if err := os.WriteFile(path, b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	change := func(fn func(b []byte) []byte) func(*testing.T, string) {
		return func(t *testing.T, path string) { write(fn(read(t, path)))(t, path) }
	}
	for name, tc := range map[string]struct {
		spoil func(t *testing.T, path string)
		want  error
		says  string
	}{
		"other_role": {func(t *testing.T, p string) {
			setMeta(t, p, "role", "mytoken-server")
		}, store.ErrWrongRole, `"mytoken-server", not to "person"`},
		"newer_format": {func(t *testing.T, p string) { setMeta(t, p, "format", "2") }, store.ErrVersion, `format "2"`},
		"other_bbolt_file": {func(t *testing.T, p string) {
			otherBolt(t, p, &bolt.Options{PageSize: pageSize})
		}, store.ErrCorrupt, "no store of oidcbox"},
		"other_page_size": {func(t *testing.T, p string) {
			otherBolt(t, p, &bolt.Options{PageSize: 2 * pageSize})
		}, store.ErrCorrupt, "none of ours"},
		"other_free_list": {func(t *testing.T, p string) {
			otherBolt(t, p, &bolt.Options{PageSize: pageSize, NoFreelistSync: true})
		}, store.ErrCorrupt, "points out of the file"},
		"empty":          {write(nil), store.ErrCorrupt, "file is empty"},
		"short_text":     {write([]byte("hello\n")), store.ErrCorrupt, "cut off or no store"},
		"long_text":      {write(bytes.Repeat([]byte("hello\n"), 5000)), store.ErrCorrupt, "begins with other bytes"},
		"zeros":          {write(make([]byte, 1<<16)), store.ErrCorrupt, "begins with other bytes"},
		"only_the_head":  {change(func(b []byte) []byte { return b[:headSize] }), store.ErrCorrupt, "is cut off"},
		"last_page_gone": {change(cutLastPage), store.ErrCorrupt, "is cut off"},
		"both_metas_hit": {change(func(b []byte) []byte {
			b[40]++
			b[pageSize+40]++
			return b
		}), store.ErrCorrupt, "checksum"},
		"pages_wiped": {change(func(b []byte) []byte { clear(b[headSize:]); return b }), store.ErrCorrupt, "is damaged"},
	} {
		t.Run(name, func(t *testing.T) {
			path := made(t, "person")
			tc.spoil(t, path)
			before := read(t, path)
			for _, o := range []Options{
				{Role: "person"},
				{Role: "person", ReadOnly: true},
				{Role: "person", FSType: network(filepath.Dir(path)), CacheDir: newCache(t)},
			} {
				_, err := Open(t.Context(), path, o)
				if !errors.Is(err, tc.want) || !strings.Contains(err.Error(), tc.says) {
					t.Errorf("open: %v\nwant %v, %q", err, tc.want, tc.says)
				}
			}
			if !bytes.Equal(read(t, path), before) || len(listDir(t, filepath.Dir(path))) != 1 {
				t.Error("something was written")
			}
		})
	}
}

// cutLastPage removes the last page that is in use.
func cutLastPage(b []byte) []byte {
	h, err := parseHead(b[:headSize], int64(len(b)))
	if err != nil {
		panic(err)
	}
	return b[:(h.high-1)*pageSize]
}

// One damaged meta page is what a crash leaves: the other one is used.
func TestOpenOneMetaDamaged(t *testing.T) {
	for _, page := range []int{0, 1} {
		path := made(t, "person")
		b := read(t, path)
		b[page*pageSize+40]++
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		e := mustOpen(t, path, Options{Role: "person"})
		if err := e.Check(t.Context()); err != nil {
			t.Errorf("meta page %d damaged: %v", page, err)
		}
		if err := putText(t.Context(), e, "new", "x"); err != nil {
			t.Error(err)
		}
	}
}
