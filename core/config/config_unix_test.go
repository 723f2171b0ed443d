//go:build unix

package config

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// read returns a reader and the top-level fields of text, which may have the key v alone.
func read(text string) (*Reader, At) {
	r := NewReader("f.yaml")
	return r, r.Fields(r.Document([]byte(text)), "v")["v"]
}

func TestValues(t *testing.T) {
	duration := func(r *Reader, a At) any { return r.Duration(a, time.Second, 0, 48*time.Hour) }
	size := func(r *Reader, a At) any { return r.Size(a, 1, 1, 1<<30) }
	mode := func(r *Reader, a At) any { return r.Mode(a, 0o600) }
	boolean := func(r *Reader, a At) any { return r.Bool(a, false) }
	number := func(r *Reader, a At) any { return r.Int(a, 7, 0, 10) }
	word := func(r *Reader, a At) any { return r.OneOf(a, "a", "a", "b") }
	link := func(r *Reader, a At) any { s, _ := r.URL(a); return s }
	for _, c := range []struct {
		name, text string
		read       func(*Reader, At) any
		want       any
		fault      string // "": none
	}{
		{"duration", "v: 90s", duration, 90 * time.Second, ""},
		{"duration of several units", "v: 1h30m", duration, 90 * time.Minute, ""},
		{"duration in days", "v: 2d", duration, 48 * time.Hour, ""},
		{"duration zero", "v: 0", duration, time.Duration(0), ""},
		{"duration absent", "", duration, time.Second, "f.yaml: the file is empty"},
		{"duration without unit", "v: 90", duration, time.Second, "f.yaml:1: v: has to be a time with its unit: 90s, 5m, 6h, 2d"},
		{"duration too long", "v: 3d", duration, time.Second, "f.yaml:1: v: has to be from 0s to 2d"},
		{"duration below zero", "v: -1s", duration, time.Second, "f.yaml:1: v: has to be from 0s to 2d"},
		{"duration of endless days", "v: 99999999999999999999d", duration, time.Second, "with its unit"},
		{"duration as a list", "v: [1s]", duration, time.Second, "with its unit"},
		{"duration null", "v:", duration, time.Second, "with its unit"},

		{"size", "v: 16MiB", size, int64(16 << 20), ""},
		{"size in bytes", "v: 100", size, int64(100), ""},
		{"size with a blank", "v: 64 KiB", size, int64(64 << 10), ""},
		{"size in powers of ten", "v: 16MB", size, int64(1), "has to be a size"},
		{"size that overflows", "v: 99999999999GiB", size, int64(1), "has to be a size"},
		{"size too large", "v: 2GiB", size, int64(1), "from 1 to 1GiB"},
		{"size below zero", "v: -1", size, int64(1), "has to be a size"},

		{"mode", "v: 0660", mode, fs.FileMode(0o660), ""},
		{"mode without zero", "v: 660", mode, fs.FileMode(0o660), ""},
		{"mode quoted", `v: "0660"`, mode, fs.FileMode(0o660), ""},
		{"mode as YAML 1.2 writes octal", "v: 0o660", mode, fs.FileMode(0o660), ""},
		{"mode with setuid", "v: 4755", mode, fs.FileMode(0o600), "mode in octal"},
		{"mode of nobody", "v: 0", mode, fs.FileMode(0o600), "mode in octal"},
		{"mode not octal", "v: 0680", mode, fs.FileMode(0o600), "mode in octal"},
		{"mode in letters", "v: rw", mode, fs.FileMode(0o600), "mode in octal"},

		{"true", "v: true", boolean, true, ""},
		{"yes is no truth value", "v: yes", boolean, false, "has to be true or false"},
		{"quoted true is text", `v: "true"`, boolean, false, "has to be true or false"},

		{"number", "v: 3", number, 3, ""},
		{"number too large", "v: 11", number, 7, "from 0 to 10"},
		{"number with a fraction", "v: 1.5", number, 7, "whole number"},
		{"number in hexadecimal", "v: 0x2", number, 7, "whole number"},

		{"word", "v: b", word, "b", ""},
		{"word unknown", "v: c", word, "a", "has to be a or b"},

		{"url", "v: https://h/p", link, "https://h/p", ""},
		{"url of another scheme", "v: http://h/p", link, "", "has to be a URL: https://"},
		{"url with a password", "v: https://u:p@h/", link, "", "has to be a URL"},
		{"url without host", "v: https:///p", link, "", "has to be a URL"},
		{"text with a control character", `v: "https://h/\u0007"`, link, "", "control character"},
		{"text empty", `v: ""`, link, "", "is empty"},
		{"text that is a number", "v: 1", link, "", "has to be text"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, a := read(c.text)
			if got := c.read(r, a); got != c.want {
				t.Errorf("got %v, want %v", got, c.want)
			}
			err := r.Err()
			switch {
			case c.fault == "" && err != nil:
				t.Errorf("unexpected fault: %v", err)
			case c.fault != "" && (err == nil || !strings.Contains(err.Error(), c.fault)):
				t.Errorf("got %v, want %q", err, c.fault)
			}
		})
	}
}

// TestReader_says_all: one run shows every fault, in the order of the lines, and what follows from one is not said.
func TestReader_says_all(t *testing.T) {
	r := NewReader("f.yaml")
	top := r.Document([]byte("version: 2\nname: [}\n"))
	if err := r.Err(); top.Present() || err == nil || !strings.Contains(err.Error(), "f.yaml:1: not YAML") {
		t.Errorf("broken YAML: %v, %v", top, err)
	}
	r = NewReader("f.yaml")
	top = r.Document([]byte("version: 2\nname: b\nname: c\nsecret: hunter2\nother: {<<: 1}\n? [k]\n: 1\nnumber: 1\nanchored: &a x\n"))
	f := r.Fields(top, "version", "name", "secret_file", "number", "anchored", "missing")
	r.Version(top, f, 1)
	r.Need(top, f, "missing")
	r.Text(f["number"])
	want := []string{
		"f.yaml:1: missing is missing",
		"f.yaml:1: version: version 2 is not known; this program reads 1",
		"f.yaml:3: name: is there twice, first in line 2",
		"f.yaml:4: secret: a secret does not stand here: put it into a file, and its name into secret_file",
		"f.yaml:5: other: a key is no plain text",
		"f.yaml:5: other: unknown key; known are version, name, secret_file, number, anchored, missing",
		"f.yaml:6: a key is no plain text",
		"f.yaml:8: number: has to be text (quote it if it looks like a number or a truth value)",
		"f.yaml:9: anchored: anchors (&name) are not taken",
	}
	if got := r.Err().Error(); got != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", got, strings.Join(want, "\n"))
	}
	if strings.Contains(r.Err().Error(), "hunter2") {
		t.Error("a fault repeats a secret")
	}
}

func TestDocument_refuses(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"alias":      {"a: &x [1]\nb: *x\n", "aliases"},
		"bomb":       {"a: &x [1,1]\nb: &y [*x,*x]\nc: [*y,*y]\n", "aliases"},
		"tag":        {"a: !!binary aGk=\n", "tags"},
		"two":        {"a: 1\n---\nb: 1\n", "second document"},
		"too_long":   {strings.Repeat("#", MaxSize+1), "longer than"},
		"too_deep":   {"a: " + strings.Repeat("[", 40) + strings.Repeat("]", 40), "nested deeper"},
		"too_many":   {"a: [" + strings.Repeat("1,", 20001) + "]", "more than 20000"},
		"not_utf8":   {"a: \xff\n", "not YAML"},
		"a_list_top": {"- a\n", "has to be a mapping"},
	} {
		t.Run(name, func(t *testing.T) {
			r := NewReader("f.yaml")
			r.Fields(r.Document([]byte(c.text)), "a", "b", "c")
			if err := r.Err(); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestSecretFile(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string, mode fs.FileMode) {
		t.Helper()
		if err := errors.Join(os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600), os.Chmod(filepath.Join(dir, name), mode)); err != nil {
			t.Fatal(err)
		}
	}
	write("good", "pässword\r\n", 0o600)
	write("inner", "two\nlines\n", 0o440)
	write("read", "x", 0o644)
	write("changed", "x", 0o602)
	write("empty", "\n", 0o600)
	write("large", strings.Repeat("x", maxSecret+1), 0o600)
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ want, fault, note string }{
		"good":    {want: "pässword"},
		"inner":   {want: "two\nlines"},
		"read":    {want: "x", note: "read by everybody"},
		"changed": {fault: "changed by everybody"},
		"empty":   {fault: "is empty"},
		"large":   {fault: "too large"},
		"pipe":    {fault: "not a regular file"},
		"none":    {fault: "no such file"},
		".":       {fault: "not a regular file"},
	} {
		t.Run(name, func(t *testing.T) {
			r := NewReader(filepath.Join(dir, "f.yaml"))
			text, ok := r.SecretFile(r.Fields(r.Document([]byte("v: "+name)), "v")["v"])
			if text.Expose() != c.want || ok != (c.fault == "") {
				t.Errorf("got %d bytes, %v", text.Len(), ok)
			}
			if err := r.Err(); (err != nil) != (c.fault != "") || err != nil && !strings.Contains(err.Error(), c.fault) {
				t.Errorf("got fault %v, want %q", err, c.fault)
			}
			if n := r.Notes(); (len(n) > 0) != (c.note != "") || len(n) > 0 && !strings.Contains(n[0].Text, c.note) {
				t.Errorf("got notes %v, want %q", n, c.note)
			}
		})
	}
}

func FuzzDocument(f *testing.F) {
	f.Add([]byte("a: {b: [1, x], c: 90s}\n"))
	f.Add([]byte("a: &x 1\nb: *x\n? [k]\n: !!str 1\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r := NewReader("f.yaml")
		var walk func(At)
		walk = func(a At) {
			switch a.Kind() {
			case Mapping:
				for _, p := range r.Pairs(a) {
					walk(p.At)
				}
			case List:
				for _, e := range r.List(a) {
					walk(e)
				}
			default:
				r.Text(a)
				r.Duration(a, 0, 0, time.Hour)
				r.Size(a, 0, 0, 1)
				r.Mode(a, 0)
				r.URL(a)
			}
		}
		walk(r.Document(b))
		if faults, ok := r.Err().(Faults); ok && len(faults) > maxFaults {
			t.Errorf("%d faults", len(faults))
		}
	})
}
