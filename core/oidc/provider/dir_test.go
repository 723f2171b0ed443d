package provider

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// another is a cache of a process that starts now and has the same directory and the same issuer.
func (w *keysWorld) another(t *testing.T, path string) *keysWorld {
	t.Helper()
	dir, err := OpenDir(path, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	k := NewKeys(w.web, KeysOptions{Dir: dir, Log: slog.New(slog.NewTextHandler(&w.log, nil))})
	t.Cleanup(k.Close)
	return &keysWorld{web: w.web, keys: k}
}

// onDisk is a world of which the first process has ended after it had used the keys once.
func onDisk(t *testing.T, fn func(t *testing.T, w *keysWorld, path string)) {
	t.Helper()
	inBubble(t, func(t *testing.T, w *keysWorld) {
		path := keysDir(t)
		first := w.another(t, path)
		if err := first.ask(t, "k1"); err != nil {
			t.Fatal(err)
		}
		first.keys.Close()
		fn(t, w, path)
	})
}

func keysDir(t *testing.T) string { return filepath.Join(t.TempDir(), "keys") }

func keyFile(path string) string { return filepath.Join(path, fileName(keysIssuer, kindKeys)) }

func TestDirRestart(t *testing.T) {
	t.Run("needs_no_network", func(t *testing.T) {
		onDisk(t, func(t *testing.T, w *keysWorld, path string) {
			w.setFail(errors.New("down"))
			if err := w.another(t, path).ask(t, "k1"); err != nil || w.count(jwksURL) != 1 {
				t.Errorf("%v, %d fetches", err, w.count(jwksURL))
			}
		})
	})
	t.Run("age_counts_from_the_fetch", func(t *testing.T) {
		onDisk(t, func(t *testing.T, w *keysWorld, path string) {
			w.setFail(errors.New("down"))
			time.Sleep(DefaultExpiry - time.Second)
			late := w.another(t, path)
			if err := late.ask(t, "k1"); err != nil {
				t.Error(err)
			}
			time.Sleep(time.Second)
			if err := late.ask(t, "k1"); !errors.Is(err, ErrUnavailable) {
				t.Errorf("two days after the fetch: %v", err)
			}
			if err := w.another(t, path).ask(t, "k1"); !errors.Is(err, ErrUnavailable) {
				t.Errorf("a process that starts then: %v", err)
			}
		})
	})
	t.Run("refreshes_in_the_background_when_due", func(t *testing.T) {
		onDisk(t, func(t *testing.T, w *keysWorld, path string) {
			time.Sleep(MinRefresh)
			w.publish(t, "k2")
			next := w.another(t, path)
			if err := next.ask(t, "k1"); err != nil {
				t.Error(err)
			}
			time.Sleep(time.Second)
			if err := next.ask(t, "k2"); err != nil {
				t.Error(err)
			}
		})
	})
	t.Run("max_age_of_the_issuer_is_kept", func(t *testing.T) {
		inBubble(t, func(t *testing.T, w *keysWorld) {
			w.pages[jwksURL].Header.Set("Cache-Control", "max-age=10800")
			path := keysDir(t)
			if err := w.another(t, path).ask(t, "k1"); err != nil {
				t.Fatal(err)
			}
			next := w.another(t, path)
			next.keys.Trust([]Trusted{{Issuer: keysIssuer}})
			if got := time.Until(next.keys.Status()[0].NextTry); got != 3*time.Hour {
				t.Errorf("refresh in %v", got)
			}
		})
	})
}

// TestDirProcesses are processes that come and go, as a command in a loop does: together they ask the issuer no more
// often than one would.
func TestDirProcesses(t *testing.T) {
	t.Run("one_fetch_for_all", func(t *testing.T) {
		onDisk(t, func(t *testing.T, w *keysWorld, path string) {
			for range 20 {
				if err := w.another(t, path).ask(t, "k1"); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Second)
			}
			if n := w.count(jwksURL); n != 1 {
				t.Errorf("%d fetches", n)
			}
		})
	})
	t.Run("unknown_kids_once_a_minute", func(t *testing.T) {
		onDisk(t, func(t *testing.T, w *keysWorld, path string) {
			for i := range 120 { // two minutes
				if err := w.another(t, path).ask(t, fmt.Sprint("invented-", i)); !errors.Is(err, ErrUnknownKey) {
					t.Fatal(err)
				}
				time.Sleep(time.Second)
			}
			if n := w.count(jwksURL); n != 1+2 {
				t.Errorf("%d fetches", n)
			}
		})
	})
	t.Run("a_kid_that_another_process_has_found", func(t *testing.T) {
		onDisk(t, func(t *testing.T, w *keysWorld, path string) {
			a, b := w.another(t, path), w.another(t, path)
			for _, p := range []*keysWorld{a, b} {
				if err := p.ask(t, "k1"); err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(time.Second)
			w.publish(t, "k1", "k2")
			for _, p := range []*keysWorld{a, b} {
				if err := p.ask(t, "k2"); err != nil {
					t.Fatal(err)
				}
			}
			if n := w.count(jwksURL); n != 2 {
				t.Errorf("%d fetches", n)
			}
		})
	})
	t.Run("a_refresh_that_another_process_has_made", func(t *testing.T) {
		onDisk(t, func(t *testing.T, w *keysWorld, path string) {
			a, b := w.another(t, path), w.another(t, path)
			for _, p := range []*keysWorld{a, b} {
				if err := p.ask(t, "k1"); err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(MinRefresh)
			for _, p := range []*keysWorld{a, b} {
				if err := p.ask(t, "k1"); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Second)
			}
			if n := w.count(jwksURL); n != 2 {
				t.Errorf("%d fetches", n)
			}
		})
	})
	t.Run("a_failure_is_remembered_for_half_a_minute", func(t *testing.T) {
		inBubble(t, func(t *testing.T, w *keysWorld) {
			path := keysDir(t)
			w.setFail(errors.New("no route to host"))
			for i := range 60 {
				err := w.another(t, path).ask(t, "k1")
				if !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "no route to host") {
					t.Fatalf("attempt %d: %v", i, err)
				}
				time.Sleep(time.Second)
			}
			if n := w.count(keysIssuer + oidc); n != 2 {
				t.Errorf("%d attempts in a minute", n)
			}
			w.setFail(nil)
			time.Sleep(MinRetry)
			if err := w.another(t, path).ask(t, "k1"); err != nil {
				t.Errorf("the issuer is back: %v", err)
			}
		})
	})
}

func TestDirDamaged(t *testing.T) {
	for _, c := range []struct {
		name   string
		damage func(t *testing.T, file string, b []byte)
	}{
		{"empty", func(t *testing.T, file string, _ []byte) { write(t, file, nil) }},
		{"cut_off", func(t *testing.T, file string, b []byte) { write(t, file, b[:len(b)-1]) }},
		{"longer", func(t *testing.T, file string, b []byte) { write(t, file, append(b, '\n')) }},
		{"of_another_version", func(t *testing.T, file string, b []byte) {
			write(t, file, bytes.Replace(b, []byte("keys-1"), []byte("keys-2"), 1))
		}},
		{"zeros", func(t *testing.T, file string, b []byte) { write(t, file, make([]byte, len(b))) }},
		{"too_large", func(t *testing.T, file string, _ []byte) { write(t, file, make([]byte, maxFile+1)) }},
		{"of_another_issuer", func(t *testing.T, file string, b []byte) {
			write(t, file, recordOf(t, record{Issuer: "https://other.example", Fetched: time.Now(), raw: []byte(`{"keys":[]}`)}))
		}},
		{"no_key_set", func(t *testing.T, file string, b []byte) {
			write(t, file, recordOf(t, record{Issuer: keysIssuer, Fetched: time.Now(), raw: []byte(`[]`)}))
		}},
		{"from_the_future", func(t *testing.T, file string, b []byte) {
			r, err := parseRecord(b)
			if err != nil {
				t.Fatal(err)
			}
			r.Fetched = time.Now().Add(2 * dirAhead)
			write(t, file, recordOf(t, r))
		}},
		{"directory_in_its_place", func(t *testing.T, file string, _ []byte) {
			if err := errors.Join(os.Remove(file), os.Mkdir(file, 0o700)); err != nil {
				t.Fatal(err)
			}
		}},
		{"link_in_its_place", func(t *testing.T, file string, b []byte) {
			other := filepath.Join(filepath.Dir(file), "elsewhere")
			write(t, other, b)
			if err := errors.Join(os.Remove(file), os.Symlink("elsewhere", file)); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(c.name+"_is_no_file", func(t *testing.T) {
			onDisk(t, func(t *testing.T, w *keysWorld, path string) {
				b, err := os.ReadFile(keyFile(path))
				if err != nil {
					t.Fatal(err)
				}
				c.damage(t, keyFile(path), b)
				if err := w.another(t, path).ask(t, "k1"); err != nil || w.count(jwksURL) != 2 {
					t.Errorf("%v, %d fetches", err, w.count(jwksURL))
				}
				if !strings.Contains(w.log.String(), "kept key set cannot be used") {
					t.Errorf("the log says %q", w.log.String())
				}
			})
		})
	}
}

// TestDirEveryByte changes each byte of a file: never is anything else believed than what was written.
func TestDirEveryByte(t *testing.T) {
	b := recordOf(t, record{Issuer: keysIssuer, Fetched: time.Unix(1, 0).UTC(), MaxAge: 60, raw: []byte(`{"keys":[]}`)})
	for i := range b {
		for _, bit := range []byte{1, 0x20, 0x80} {
			c := bytes.Clone(b)
			c[i] ^= bit
			if _, err := parseRecord(c); err == nil {
				t.Errorf("byte %d as %q is accepted", i, c[i])
			}
		}
	}
}

func TestDirIsOursAlone(t *testing.T) {
	for _, c := range []struct {
		name string
		mode os.FileMode
	}{{"readable_for_others", 0o755}, {"writable_for_the_group", 0o770}} {
		t.Run(c.name, func(t *testing.T) {
			path := keysDir(t)
			if err := errors.Join(os.Mkdir(path, 0o700), os.Chmod(path, c.mode)); err != nil {
				t.Fatal(err)
			}
			if _, err := OpenDir(path, nil); err == nil {
				t.Error("accepted")
			}
		})
	}
	t.Run("opened_to_others_later", func(t *testing.T) {
		onDisk(t, func(t *testing.T, w *keysWorld, path string) {
			p := w.another(t, path)
			if err := os.Chmod(path, 0o777); err != nil {
				t.Fatal(err)
			}
			if err := p.ask(t, "k1"); err != nil || w.count(jwksURL) != 2 { // not from there
				t.Errorf("%v, %d fetches", err, w.count(jwksURL))
			}
		})
	})
	t.Run("link_to_elsewhere", func(t *testing.T) {
		dir := t.TempDir()
		path := filepath.Join(dir, "keys")
		if err := errors.Join(os.Mkdir(filepath.Join(dir, "real"), 0o700), os.Symlink("real", path)); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenDir(path, nil); err == nil {
			t.Error("accepted")
		}
	})
	t.Run("modes_of_what_is_made", func(t *testing.T) {
		onDisk(t, func(t *testing.T, _ *keysWorld, path string) {
			for name, want := range map[string]os.FileMode{path: 0o700, keyFile(path): 0o600} {
				if fi, err := os.Stat(name); err != nil || fi.Mode().Perm() != want {
					t.Errorf("%s: %v, %v", filepath.Base(name), fi.Mode(), err)
				}
			}
		})
	})
}

func TestDirThatCannotBeWritten(t *testing.T) {
	inBubble(t, func(t *testing.T, w *keysWorld) {
		path := keysDir(t)
		p := w.another(t, path)
		// A file in the place of the directory is in the way of root too.
		if err := errors.Join(os.RemoveAll(path), os.WriteFile(path, nil, 0o600)); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if err := p.ask(t, "k1"); err != nil {
				t.Fatal(err)
			}
		}
		if w.count(jwksURL) != 1 || !strings.Contains(w.log.String(), "key set cannot be kept on disk") {
			t.Errorf("%d fetches, the log says %q", w.count(jwksURL), w.log.String())
		}
		if err := p.keys.Drop(t.Context(), keysIssuer); !errors.Is(err, ErrNotForgotten) {
			t.Errorf("drop: %v", err)
		}
	})
}

func TestDirLaterResultWins(t *testing.T) {
	dir, err := OpenDir(keysDir(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	at := time.Now().Round(0)
	save := func(when time.Time, raw string) {
		if err := dir.save(keysIssuer, &fetched{at: when, raw: []byte(raw)}); err != nil {
			t.Fatal(err)
		}
	}
	save(at, `{"keys":[],"n":2}`)
	save(at.Add(-time.Second), `{"keys":[],"n":1}`)
	if got, err := dir.read(keysIssuer); err != nil || string(got.raw) != `{"keys":[],"n":2}` {
		t.Errorf("%s, %v", got.raw, err)
	}
	save(at.Add(time.Second), `{"keys":[],"n":3}`)
	if got, err := dir.read(keysIssuer); err != nil || string(got.raw) != `{"keys":[],"n":3}` {
		t.Errorf("%s, %v", got.raw, err)
	}
}

func TestDirManyWritersAndReaders(t *testing.T) {
	path := keysDir(t)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			dir, err := OpenDir(path, nil)
			if err != nil {
				t.Error(err)
				return
			}
			for n := range 25 {
				raw := fmt.Sprintf(`{"keys":[],"n":%d,"x":%q}`, n, strings.Repeat("x", 1000*n))
				if err := dir.save(keysIssuer, &fetched{at: time.Now(), raw: []byte(raw)}); err != nil {
					t.Error(err)
				}
				if got, err := dir.read(keysIssuer); err != nil || len(got.raw) == 0 {
					t.Errorf("a reader sees %v", err)
				}
			}
		})
	}
	all.Wait()
	left, err := filepath.Glob(filepath.Join(path, "*"+kindTemp))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestDirSweep(t *testing.T) {
	path := keysDir(t)
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	var old []string
	for _, kind := range []string{kindKeys, kindDropped, kindTries, kindTemp} {
		name := filepath.Join(path, fileName(keysIssuer, kind))
		write(t, name, nil)
		old = append(old, name)
	}
	write(t, filepath.Join(path, "notes.txt"), nil)
	long := time.Now().Add(MaxExpiry + 2*time.Hour)
	if _, err := OpenDir(path, func() time.Time { return long }); err != nil {
		t.Fatal(err)
	}
	for _, name := range old {
		if _, err := os.Stat(name); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is still there: %v", filepath.Base(name), err)
		}
	}
	if _, err := os.Stat(filepath.Join(path, "notes.txt")); err != nil {
		t.Errorf("somebody's file: %v", err)
	}
}

func TestDirIssuers(t *testing.T) {
	onDisk(t, func(t *testing.T, w *keysWorld, path string) {
		dir, err := OpenDir(path, time.Now)
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(path, "x"+kindKeys), []byte("damaged"))
		list, err := dir.Issuers()
		if err != nil || len(list) != 1 || list[0] != keysIssuer {
			t.Errorf("%v, %v", list, err)
		}
	})
}

// TestDirNamesAreHashes: an issuer is a name that others chose.
func TestDirNamesAreHashes(t *testing.T) {
	path := t.TempDir()
	dir, err := OpenDir(filepath.Join(path, "keys"), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, issuer := range []string{"https://op.example/../../x", "https://op.example/\x00", "", strings.Repeat("a", 9000)} {
		if err := dir.save(issuer, &fetched{at: time.Now(), raw: []byte(`{"keys":[]}`)}); err != nil {
			t.Error(err)
		}
	}
	entries, err := os.ReadDir(path)
	if err != nil || len(entries) != 1 {
		t.Errorf("%v, %v", entries, err)
	}
}

func FuzzKeyFile(f *testing.F) {
	good, err := record{Issuer: keysIssuer, Fetched: time.Unix(1, 0).UTC(), raw: []byte(`{"keys":[]}`)}.bytes()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte(dirMagic + " e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := parseRecord(b)
		if err != nil {
			return
		}
		again, err := r.bytes()
		if err != nil {
			t.Fatal(err)
		}
		if s, err := parseRecord(again); err != nil || s.Issuer != r.Issuer || !bytes.Equal(s.raw, r.raw) {
			t.Fatalf("%+v became %+v, %v", r, s, err)
		}
	})
}

func recordOf(t *testing.T, r record) []byte {
	t.Helper()
	b, err := r.bytes()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func write(t *testing.T, name string, b []byte) {
	t.Helper()
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
}
