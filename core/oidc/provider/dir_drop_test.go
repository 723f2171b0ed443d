package provider

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestDirDrop(t *testing.T) {
	t.Run("forgets_for_processes_to_come", func(t *testing.T) {
		onDisk(t, func(t *testing.T, w *keysWorld, path string) {
			w.setFail(errors.New("down"))
			p := w.another(t, path)
			time.Sleep(time.Second)
			if err := p.keys.Drop(t.Context(), keysIssuer); !errors.Is(err, ErrUnavailable) || errors.Is(err, ErrNotForgotten) {
				t.Fatal(err)
			}
			for _, next := range []*keysWorld{p, w.another(t, path)} {
				if err := next.ask(t, "k1"); !errors.Is(err, ErrUnavailable) {
					t.Errorf("%v", err)
				}
			}
		})
	})
	t.Run("a_slow_writer_brings_nothing_back", func(t *testing.T) {
		onDisk(t, func(t *testing.T, w *keysWorld, path string) {
			old, err := os.ReadFile(keyFile(path))
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
			p := w.another(t, path)
			w.setFail(errors.New("down"))
			if err := p.keys.Drop(t.Context(), keysIssuer); !errors.Is(err, ErrUnavailable) {
				t.Fatal(err)
			}
			write(t, keyFile(path), old) // another process had fetched before and writes now
			time.Sleep(MaxRetry)
			if err := w.another(t, path).ask(t, "k1"); !errors.Is(err, ErrUnavailable) {
				t.Errorf("%v", err)
			}
		})
	})
	t.Run("what_is_fetched_afterwards_is_kept", func(t *testing.T) {
		onDisk(t, func(t *testing.T, w *keysWorld, path string) {
			w.publish(t, "k2")
			if err := w.another(t, path).keys.Drop(t.Context(), keysIssuer); err != nil {
				t.Fatal(err)
			}
			w.setFail(errors.New("down"))
			next := w.another(t, path)
			if err := next.ask(t, "k2"); err != nil {
				t.Error(err)
			}
			if err := next.ask(t, "k1"); err == nil {
				t.Error("the stolen key is believed")
			}
		})
	})
	t.Run("a_mark_that_cannot_be_read_counts", func(t *testing.T) {
		onDisk(t, func(t *testing.T, w *keysWorld, path string) {
			write(t, filepath.Join(path, fileName(keysIssuer, kindDropped)), []byte("{"))
			w.setFail(errors.New("down"))
			if err := w.another(t, path).ask(t, "k1"); !errors.Is(err, ErrUnavailable) {
				t.Errorf("%v", err)
			}
		})
	})
}
