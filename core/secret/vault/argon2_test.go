package vault

import (
	"context"
	"encoding/hex"
	"errors"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/argon2"

	"github.com/oidcbox/oidcbox/core/secret"
)

func TestArgon2(t *testing.T) {
	p, salt := Params{Time: 2, Memory: 256, Threads: 2}, []byte("0123456789abcdef")
	key, err := Argon2(t.Context(), secret.FromString("password"), salt, p)
	if err != nil {
		t.Fatal(err)
	}
	want := hex.EncodeToString(argon2.IDKey([]byte("password"), salt, 2, 256, 2, 32))
	if got := hex.EncodeToString([]byte(key.Expose())); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestArgon2RefusesHostileParameters(t *testing.T) {
	salt := make([]byte, 16)
	for name, p := range map[string]Params{
		"zero":              {},
		"no_pass":           {Time: 0, Memory: 64, Threads: 1},
		"too_many_passes":   {Time: maxTime + 1, Memory: 64, Threads: 1},
		"all_the_memory":    {Time: 1, Memory: 1<<32 - 1, Threads: 1},
		"a_little_too_much": {Time: 1, Memory: maxMemory + 1, Threads: 1},
		"too_little_memory": {Time: 1, Memory: 8*4 - 1, Threads: 4},
		"no_thread":         {Time: 1, Memory: 64, Threads: 0},
		"many_threads":      {Time: 1, Memory: 64 << 10, Threads: 255},
	} {
		if _, err := Argon2(t.Context(), secret.FromString("x"), salt, p); !errors.Is(err, ErrParams) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Argon2(t.Context(), secret.FromString("x"), nil, DefaultParams()); !errors.Is(err, ErrParams) {
		t.Errorf("no salt: %v", err)
	}
}

func TestArgon2WipedPassword(t *testing.T) {
	p := secret.FromString("x")
	p.Wipe()
	_, err := Argon2(t.Context(), p, make([]byte, 16), Params{Time: 1, Memory: 64, Threads: 1})
	if !errors.Is(err, secret.ErrWiped) {
		t.Errorf("got %v", err)
	}
}

// TestArgon2TakesTurns holds the turn itself and sees that others wait for it, and only as long as their context.
func TestArgon2TakesTurns(t *testing.T) {
	p, salt := Params{Time: 1, Memory: 64, Threads: 1}, make([]byte, 16)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	turn() <- struct{}{}
	_, err := Argon2(ctx, secret.FromString("x"), salt, p)
	<-turn()
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("while another derivation ran: %v", err)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, err := Argon2(t.Context(), secret.FromString("x"), salt, p); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if len(turn()) != 0 {
		t.Error("the turn was not given back")
	}
	done, stop := context.WithCancel(t.Context())
	stop()
	if _, err := Argon2(done, secret.FromString("x"), salt, p); !errors.Is(err, context.Canceled) {
		t.Errorf("with a context that is over: %v", err)
	}
}

func BenchmarkArgon2(b *testing.B) {
	for b.Loop() {
		if _, err := Argon2(b.Context(), secret.FromString("x"), make([]byte, 16), DefaultParams()); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkKeys(b *testing.B) {
	v, err := New(Prefer, nil)
	if err != nil {
		b.Fatal(err)
	}
	defer v.Close()
	k, err := v.NewSealer()
	if err != nil {
		b.Fatal(err)
	}
	plain := make([]byte, 1024)
	b.Run("seal", func(b *testing.B) {
		for b.Loop() {
			_, _ = k.Seal(plain, nil)
		}
	})
	box, _ := k.Seal(plain, nil)
	b.Run("open", func(b *testing.B) {
		for b.Loop() {
			_, _ = k.Open(box, nil)
		}
	})
	b.Run("hash", func(b *testing.B) {
		for b.Loop() {
			_, _ = k.HashPart("table", "part")
		}
	})
	s, _ := v.Seal(secret.FromString("a refresh token of ordinary length"))
	b.Run("vault_open", func(b *testing.B) {
		for b.Loop() {
			t, _ := v.Open(s)
			t.Wipe()
		}
	})
}
