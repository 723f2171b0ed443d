package pgstore

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/store"
)

// The test binary plays the other processes: a child is told by its environment what to do.
const childEnv = "OIDCBOX_PGSTORE_CHILD"

// child is what another process does with a database. It says "ok" lines on standard output.
type child struct {
	Do     string // count, lease, open
	URL    string
	Schema string
	N      int // how often, 0 for ever
}

var texts = store.Table{Name: "texts"}

// start runs the child and returns its process and a channel with its lines.
func (c child) start(tb testing.TB, env ...string) (*exec.Cmd, <-chan string) {
	tb.Helper()
	task, err := json.Marshal(c)
	if err != nil {
		tb.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(append(os.Environ(), env...), childEnv+"="+string(task))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	lines := make(chan string, 1<<16) // never full: a child is not to wait for its reader
	go func() {
		defer close(lines)
		for s := bufio.NewScanner(out); s.Scan(); {
			lines <- s.Text()
		}
	}()
	tb.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return cmd, lines
}

func (c child) run(ctx context.Context) error {
	e, err := Open(ctx, text(c.URL), patient(Options{Schema: c.Schema}))
	if err != nil {
		return err
	}
	defer func() { _ = e.Close() }()
	switch c.Do {
	case "open":
		fmt.Println("ok")
		return nil
	case "count":
		return c.repeat(func() error { return e.Update(ctx, addOne) })
	case "lease":
		return c.repeat(func() error { return addUnderLease(ctx, e) })
	}
	return errors.New("unknown task " + c.Do)
}

func (c child) repeat(once func() error) error {
	for i := 0; c.N == 0 || i < c.N; i++ {
		if err := once(); err != nil {
			return err
		}
		fmt.Println("ok")
	}
	return nil
}

func number(get func(store.Table, store.Key) (store.Record, error)) (int, error) {
	r, err := get(texts, store.Key{"n"})
	if errors.Is(err, store.ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(string(r.Value))
}

func addOne(w store.WTx) error {
	n, err := number(w.GetForUpdate)
	if err != nil {
		return err
	}
	return putNumber(w, n+1)
}

func putNumber(w store.WTx, n int) error {
	return w.Put(texts, store.Record{Key: store.Key{"n"}, Value: []byte(strconv.Itoa(n))})
}

// addUnderLease reads and writes in two transactions without any lock of a row: the lease alone keeps others away. A
// lease that is lost because the machine is slow ends in ErrFenced, and the whole is tried again.
func addUnderLease(ctx context.Context, e *Engine) error {
	for {
		l, err := e.Lease(ctx, "n", 2*time.Second)
		if err != nil {
			return err
		}
		n, err := count(ctx, e)
		if err != nil {
			return err
		}
		err = e.Update(ctx, func(w store.WTx) error { return putNumber(w, n+1) }, l)
		if errors.Is(err, store.ErrFenced) {
			continue
		}
		return errors.Join(err, l.Release(ctx))
	}
}

func count(ctx context.Context, e *Engine) (n int, err error) {
	err = e.View(ctx, func(t store.Tx) (err error) {
		n, err = number(t.Get)
		return err
	})
	return n, err
}
