package boltstore

import (
	"bufio"
	"context"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/chacha20poly1305"

	"github.com/oidcbox/oidcbox/store"
	"github.com/oidcbox/oidcbox/store/sealed"
)

// The test binary plays the other processes: a child is told by its environment what to do.
const childEnv = "OIDCBOX_BOLTSTORE_CHILD"

// child is what another process does with a store. It says "ok ..." lines on standard output.
type child struct {
	Do       string // commit, step, count, lease, hold
	Path     string
	Home     string // directory that counts as network, "" for none
	CacheDir string
	Sealed   bool
	N        int
	Step     string // where the child kills itself
}

func TestMain(m *testing.M) {
	if task := os.Getenv(childEnv); task != "" {
		var c child
		err := json.Unmarshal([]byte(task), &c)
		if err == nil {
			err = c.run(context.Background())
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// start runs the child. The reader yields its standard output; wait must be called after it was read.
func (c child) start(tb testing.TB) (*exec.Cmd, io.Reader) {
	tb.Helper()
	task, err := json.Marshal(c)
	if err != nil {
		tb.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+string(task))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return cmd, out
}

func (c child) options() Options {
	o := Options{Role: "test", Holder: "child", Timeout: 5 * time.Second, CacheDir: c.CacheDir}
	if c.Home != "" {
		o.FSType = network(c.Home)
	}
	return o
}

func (c child) run(ctx context.Context) error {
	step := func(name string) {
		if name == c.Step {
			killSelf()
		}
	}
	if c.Do == "commit" || c.Do == "count" || c.Do == "hold" || c.Do == "lease" {
		step = nil
	}
	e, err := open(ctx, c.Path, c.options(), step)
	if err != nil {
		return err
	}
	defer func() { _ = e.Close() }()
	var s store.Engine = e
	if c.Sealed {
		s = sealed.New(e, fixedKeys())
	}
	switch c.Do {
	case "commit":
		return commitForever(ctx, s, c.N)
	case "step":
		return putText(ctx, s, "k", "new")
	case "count":
		return count(ctx, s, c.N)
	case "lease":
		_, err := s.Lease(ctx, "l", time.Hour)
		fmt.Println("ok", err)
		select {}
	case "hold":
		fmt.Println("ok")
		_, _ = io.Copy(io.Discard, os.Stdin)
		select {}
	}
	return errors.New("unknown task " + c.Do)
}

func killSelf() {
	p, err := os.FindProcess(os.Getpid())
	if err == nil {
		err = p.Kill()
	}
	if err != nil {
		panic(err)
	}
	select {}
}

var (
	texts   = store.Table{Name: "texts"}
	numbers = store.Table{Name: "numbers", HideKeys: true}
)

func putText(ctx context.Context, s store.Engine, key, value string) error {
	return s.Update(ctx, func(w store.WTx) error {
		return w.Put(texts, store.Record{Key: store.Key{key}, Value: []byte(value)})
	})
}

func getText(ctx context.Context, s store.Engine, key string) (string, error) {
	var r store.Record
	err := s.View(ctx, func(t store.Tx) (err error) {
		r, err = t.Get(texts, store.Key{key})
		return err
	})
	return string(r.Value), err
}

// commitForever lets writers put numbered records and says each number when it was acknowledged.
func commitForever(ctx context.Context, s store.Engine, writers int) error {
	var (
		wg   sync.WaitGroup
		mu   sync.Mutex
		errs = make([]error, writers)
	)
	for w := range writers {
		name := strconv.Itoa(w)
		wg.Go(func() {
			for n := highest(ctx, s, name) + 1; errs[w] == nil; n++ {
				errs[w] = putNumber(ctx, s, name, n)
				mu.Lock()
				fmt.Println("ok", name, n)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

func putNumber(ctx context.Context, s store.Engine, writer string, n int) error {
	return s.Update(ctx, func(w store.WTx) error {
		r := store.Record{Key: store.Key{writer, fmt.Sprintf("%08d", n)}, Value: []byte(strconv.Itoa(n) + filler)}
		return w.Put(numbers, r)
	})
}

// filler makes pages split.
const filler = " ....................................................................................................."

func highest(ctx context.Context, s store.Engine, writer string) (n int) {
	_ = s.View(ctx, func(t store.Tx) error {
		for range t.Scan(numbers, store.Key{writer}) {
			n++
		}
		return nil
	})
	return n
}

// count adds one to a counter n times, half of them holding a lease around a read and a write of their own.
func count(ctx context.Context, s store.Engine, n int) error {
	for i := range n {
		if i%2 == 0 {
			if err := s.Update(ctx, func(w store.WTx) error { return addOne(w, w) }); err != nil {
				return err
			}
			continue
		}
		if err := countHolding(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

func countHolding(ctx context.Context, s store.Engine) error {
	l, err := s.Lease(ctx, "counter", time.Minute)
	if err != nil {
		return err
	}
	before, err := getText(ctx, s, "held")
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	old, _ := strconv.Atoi(before)
	err = s.Update(ctx, func(w store.WTx) error {
		return w.Put(texts, store.Record{Key: store.Key{"held"}, Value: []byte(strconv.Itoa(old + 1))})
	}, l)
	return errors.Join(err, l.Release(ctx))
}

func addOne(t store.Tx, w store.WTx) error {
	n := 0
	r, err := t.Get(texts, store.Key{"free"})
	if err == nil {
		n, err = strconv.Atoi(string(r.Value))
	} else if errors.Is(err, store.ErrNotFound) {
		err = nil
	}
	if err != nil {
		return err
	}
	return w.Put(texts, store.Record{Key: store.Key{"free"}, Value: []byte(strconv.Itoa(n + 1))})
}

// keys is a Sealer.
type keys struct {
	aead cipher.AEAD
	mac  []byte
}

// fixedKeys are the same in parent and child.
func fixedKeys() keys {
	seed := sha256.Sum256([]byte("test"))
	aead, err := chacha20poly1305.NewX(seed[:])
	if err != nil {
		panic(err)
	}
	return keys{aead: aead, mac: seed[:]}
}

func (k keys) Seal(plaintext, ad []byte) ([]byte, error) {
	nonce := make([]byte, k.aead.NonceSize())
	if _, err := rand.Read(nonce); err != nil {
		return nil, err
	}
	return k.aead.Seal(nonce, nonce, plaintext, ad), nil
}

func (k keys) Open(ciphertext, ad []byte) ([]byte, error) {
	if len(ciphertext) < k.aead.NonceSize() {
		return nil, store.ErrSealed
	}
	n := k.aead.NonceSize()
	plain, err := k.aead.Open(nil, ciphertext[:n], ciphertext[n:], ad)
	if err != nil {
		return nil, store.ErrSealed
	}
	return plain, nil
}

func (k keys) HashPart(table, part string) ([]byte, error) {
	h := hmac.New(sha256.New, k.mac)
	fmt.Fprintf(h, "%d:%s%s", len(table), table, part)
	return h.Sum(nil)[:16], nil
}

// lines sends the lines of r and closes the channel at its end.
func lines(r io.Reader) <-chan string {
	out := make(chan string, 1024)
	go func() {
		defer close(out)
		for s := bufio.NewScanner(r); s.Scan(); {
			out <- s.Text()
		}
	}()
	return out
}

func listDir(tb testing.TB, dir string) (names []string) {
	tb.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		tb.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func newCache(tb testing.TB) string {
	tb.Helper()
	return filepath.Join(tb.TempDir(), "cache")
}

func timeout(tb testing.TB, d time.Duration) (context.Context, context.CancelFunc) {
	tb.Helper()
	return context.WithTimeout(tb.Context(), d)
}
