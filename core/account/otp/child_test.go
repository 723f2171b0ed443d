package otp

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/oidcbox/oidcbox/core/secret"
)

// child is what another process does: it tries all passwords, and says with which ones it got in.
type child struct {
	URL, Schema string
	Passwords   []string
}

func (c child) run(ctx context.Context) error {
	e, err := openPostgres(ctx, c.URL, c.Schema)
	if err != nil {
		return err
	}
	defer func() { _ = e.Close() }()
	b := New(e, Options{})
	for i, p := range c.Passwords {
		_, err := b.Redeem(ctx, secret.FromString(p), yes)
		switch {
		case err == nil:
			fmt.Println(i)
		case !errors.Is(err, ErrUnknown):
			return err
		}
	}
	return nil
}

// TestRedeem_by_several_processes: a password gets somebody in once, whichever process it is shown to.
func TestRedeem_by_several_processes(t *testing.T) {
	c := child{URL: postgres(t), Schema: "t" + strings.ToLower(rand.Text())}
	e, err := openPostgres(t.Context(), c.URL, c.Schema)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = e.Close() }()
	b := New(e, Options{Kept: 60})
	for range 50 {
		p, err := b.Issue(t.Context(), alice, "alice")
		if err != nil {
			t.Fatal(err)
		}
		c.Passwords = append(c.Passwords, p.Secret.Expose())
	}
	text, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	var running []*exec.Cmd
	var said []*strings.Builder
	for range 3 {
		cmd, out := exec.Command(os.Args[0]), &strings.Builder{}
		cmd.Env = append(os.Environ(), childVar+"="+string(text))
		cmd.Stdout, cmd.Stderr = out, t.Output()
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		running, said = append(running, cmd), append(said, out)
	}
	used := map[string]int{}
	for i, cmd := range running {
		if err := cmd.Wait(); err != nil {
			t.Errorf("process %d: %v", i, err)
		}
		for _, n := range strings.Fields(said[i].String()) {
			used[n]++
		}
	}
	if len(used) != len(c.Passwords) {
		t.Errorf("%d passwords were used, want %d", len(used), len(c.Passwords))
	}
	for n, times := range used {
		if times != 1 {
			t.Errorf("password %s was used %d times", n, times)
		}
	}
}
