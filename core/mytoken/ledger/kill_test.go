package ledger

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/secret/vault"
	"github.com/oidcbox/oidcbox/store/boltstore"
	"github.com/oidcbox/oidcbox/store/sealed"

	"github.com/oidcbox/oidcbox/core/mytoken"
)

// The test binary plays the server that is killed when this is set: path of the store, and of a file with the mytoken.
const childVar = "OIDCBOX_LEDGER_CHILD"

func TestMain(m *testing.M) {
	if spec := os.Getenv(childVar); spec != "" {
		os.Exit(child(strings.Split(spec, "|")))
	}
	os.Exit(m.Run())
}

// child uses the mytoken from eight sides until there is nothing left, and says "got" for each access token.
func child(spec []string) int {
	ctx := context.Background()
	eng, err := boltstore.Open(ctx, spec[0], boltstore.Options{Role: "mytoken-server", Timeout: 10 * time.Second})
	if err != nil {
		fmt.Println("fault", err)
		return 1
	}
	defer eng.Close()
	v, err := vault.New(vault.Prefer, nil)
	if err != nil {
		fmt.Println("fault", err)
		return 1
	}
	s, err := v.Sealer(secret.New(make([]byte, 32)))
	jwt, err2 := os.ReadFile(spec[1])
	if err != nil || err2 != nil {
		fmt.Println("fault", err, err2)
		return 1
	}
	never := func([]byte) (mytoken.Claims, error) { return mytoken.Claims{}, ErrInvalid }
	l := New(sealed.New(eng, s), Options{Minter: noMinter{}, Verify: never})
	fmt.Println("ready")
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for {
				if _, _, err := access(ctx, l, &op{during: func() { fmt.Println("call") }}, secret.New([]byte(string(jwt)))); err != nil {
					return
				}
				fmt.Println("got")
			}
		})
	}
	wg.Wait()
	fmt.Println("done")
	return 0
}

type noMinter struct{}

func (noMinter) Rotate(mytoken.Claims, time.Time) (secret.Text, mytoken.Claims, error) {
	return secret.Text{}, mytoken.Claims{}, ErrInvalid
}

func killRounds() int {
	if n, err := strconv.Atoi(os.Getenv("OIDCBOX_KILL_ROUNDS")); err == nil && n > 0 {
		return n
	}
	return 6
}

// A server is killed at random while many use a limited mytoken, and started again until nothing is left: never more
// than the limit, nothing acknowledged that is not on record, and what was under way is shown as unknown.
func TestKill(t *testing.T) {
	const k = 200
	path := boltPath(t)
	var (
		jwt secret.Text
		tok Token
	)
	with := func(fn func(b *bed)) {
		e := openBolt(t, path)
		defer e.Close()
		b := newBed(t, e, Options{})
		fn(b)
	}
	got, kills := 0, 0
	for range killRounds() {
		file := path + ".jwt"
		with(func(b *bed) { jwt, tok = b.begin(limit(k), nil) })
		if err := os.WriteFile(file, []byte(jwt.Expose()), 0o600); err != nil {
			t.Fatal(err)
		}
		acked := killOnce(t, path, file)
		with(func(b *bed) {
			now, err := b.Find(t.Context(), tok.MOMID)
			if err != nil {
				t.Fatal(err)
			}
			c := now.Counters[onlyKey(now)]
			if c.Taken() > k || int64(acked) > c.Used {
				t.Errorf("%d were handed out, on record are %+v", acked, c)
			}
			if c.Taken() < k {
				kills++
			}
			held := c.Held
			b.clock.move(10 * time.Minute)
			more := 0
			for ; ; more++ {
				if _, _, err := b.access(jwt); err != nil {
					break
				}
			}
			now, err = b.Find(t.Context(), tok.MOMID)
			if err != nil || now.Unknown != held || c.Used+held+int64(more) != k {
				t.Errorf("used %d, unknown %d of %d, then %d more, %v", c.Used, now.Unknown, held, more, err)
			}
			got += acked
		})
	}
	if got == 0 || kills == 0 {
		t.Errorf("%d access tokens, %d kills in the middle: the test does not test", got, kills)
	}
	t.Logf("%d rounds, %d killed in the middle, %d access tokens", killRounds(), kills, got)
}

// killOnce returns how many access tokens the child has handed out before it died.
func killOnce(t *testing.T, path, file string) (acked int) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), exe)
	cmd.Env = append(os.Environ(), childVar+"="+path+"|"+file)
	cmd.Stderr = t.Output()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	after := 1 + rand.IntN(100) // lines, so that the moment does not depend on the speed of the machine
	lines := 0
	for in := bufio.NewScanner(out); in.Scan(); {
		if strings.HasPrefix(in.Text(), "fault") {
			t.Fatal(in.Text())
		}
		if in.Text() == "got" {
			acked++
		}
		if lines++; lines == after {
			_ = cmd.Process.Kill()
		}
	}
	_ = cmd.Wait()
	return acked
}
