package sock

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestDialPatient(t *testing.T) {
	dir := shortDir(t)
	path := filepath.Join(dir, "s")
	if _, err := DialPatient(t.Context(), path); !errors.Is(err, ErrNobody) {
		t.Errorf("no socket: %v", err)
	}
	ln, err := Listen(path, ListenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() { // an echo that never hangs up
				_, _ = io.Copy(c, c)
			}()
		}
	}()
	c, err := DialPatient(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	b := make([]byte, 10)
	if _, err := c.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	if n, err := c.Read(b); err != nil || string(b[:n]) != "hello" {
		t.Errorf("%q, %v", b[:n], err)
	}
	// A deadline to come bounds the wait of a read, and does not end what comes in time.
	other, err := DialPatient(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if err := other.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := other.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	if n, err := other.Read(b); err != nil || string(b[:n]) != "hello" {
		t.Errorf("before the deadline: %q, %v", b[:n], err)
	}
	if err := other.SetDeadline(time.Now().Add(20 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if _, err := other.Read(b); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a read past the deadline: %v", err)
	}
	if _, err := other.Write(b); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a write past the deadline: %v", err)
	}
	// A read that waits for ever ends with its deadline.
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	defer context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })()
	if _, err := c.Read(b); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a read without an answer: %v", err)
	}
	if _, err := c.Write(b); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a write after the deadline: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := DialPatient(t.Context(), filepath.Join(dir, "file")); !errors.Is(err, ErrNotSocket) {
		t.Errorf("a file: %v", err)
	}
}
