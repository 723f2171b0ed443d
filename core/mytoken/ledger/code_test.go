package ledger

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/store"
)

func TestCodes(t *testing.T) {
	engines(t, func(t *testing.T, inner store.Engine) {
		b := newBed(t, inner, Options{})
		c, err := b.MakeCode(t.Context(), NewCode{Kind: PollingCode, TTL: time.Minute, Data: []byte("request")})
		if err != nil || c.Text.Len() != longCode {
			t.Fatalf("%d, %v", c.Text.Len(), err)
		}
		if _, err := b.TakeCode(t.Context(), ConsentCode, c.Text); !errors.Is(err, ErrUnknown) {
			t.Errorf("as a code of another kind: %v", err)
		}
		if got, err := b.LookCode(t.Context(), PollingCode, c.Text); err != nil || string(got.Data) != "request" || !got.Secret.Empty() {
			t.Errorf("%q, %v", got.Data, err)
		}
		if err := b.PutCode(t.Context(), c.Handle, []byte("done"), secretOf("the mytoken")); err != nil {
			t.Fatal(err)
		}
		var (
			wg sync.WaitGroup
			ok atomic.Int32
		)
		for range 20 {
			wg.Go(func() {
				got, err := b.TakeCode(t.Context(), PollingCode, c.Text)
				if err == nil && string(got.Data) == "done" && got.Secret.Expose() == "the mytoken" {
					ok.Add(1)
				} else if !errors.Is(err, ErrUnknown) {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if ok.Load() != 1 {
			t.Errorf("taken %d times", ok.Load())
		}
		if err := b.PutCode(t.Context(), c.Handle, nil, secretOf("late")); !errors.Is(err, ErrUnknown) {
			t.Errorf("after it was taken: %v", err)
		}
	})
}

func TestCodeIsOver(t *testing.T) {
	engines(t, func(t *testing.T, inner store.Engine) {
		b := newBed(t, inner, Options{})
		c, err := b.MakeCode(t.Context(), NewCode{Kind: TransferCode, TTL: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		b.clock.move(time.Minute)
		if _, err := b.TakeCode(t.Context(), TransferCode, c.Text); !errors.Is(err, ErrUnknown) {
			t.Errorf("%v", err)
		}
	})
}

func TestShortCodesAreNotGuessed(t *testing.T) {
	engines(t, func(t *testing.T, inner store.Engine) {
		b := newBed(t, inner, Options{})
		c, err := b.MakeCode(t.Context(), NewCode{Kind: TransferCode, Length: 8, TTL: time.Hour, Secret: secretOf("x")})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := b.LookCode(t.Context(), TransferCode, c.Text); err != nil || got.Secret.Expose() != "x" {
			t.Fatal(err)
		}
		at := b.clock.now()
		allowed := 0
		for range 2 * attemptsAtOnce {
			if b.short.allow(at) {
				allowed++
			}
		}
		if allowed < attemptsAtOnce-2 || allowed > attemptsAtOnce {
			t.Errorf("%d attempts at once", allowed)
		}
		if b.short.allow(at) {
			t.Error("attempts are not bounded")
		}
		if !b.short.allow(at.Add(time.Second)) {
			t.Error("they do not come back")
		}
		for _, bad := range []secret.Text{{}, secretOf("short"), secret.New(make([]byte, maxCode+1))} {
			if _, err := b.TakeCode(t.Context(), TransferCode, bad); !errors.Is(err, ErrUnknown) {
				t.Errorf("%d characters: %v", bad.Len(), err)
			}
		}
	})
}
