package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/oidcbox/oidcbox/core/token/jose"
)

// bareVar makes this program a server that does nothing.
const bareVar = "OIDCBOX_MYTOKENBENCH_BARE"

// physical measures what bounds a server on this machine, whatever it is made of.
func (p plan) physical(ctx context.Context) error {
	syncs, err := p.fsyncs()
	if err != nil {
		return err
	}
	report("fsync of 4 KiB on this disk              %6.0f/s (one after the other)", syncs)
	signs, err := p.signs()
	if err != nil {
		return err
	}
	report("ES256 signatures                         %6.0f/s (all processors)", signs)
	r, err := p.bare(ctx)
	if err != nil {
		return err
	}
	report("net/http that answers nothing, 32 clients %s", r)
	return nil
}

func (p plan) fsyncs() (float64, error) {
	f, err := os.Create(filepath.Join(p.dir, "fsync"))
	if err != nil {
		return 0, err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	page := make([]byte, 4096)
	begin, n := time.Now(), 0
	for ; time.Since(begin) < p.round; n++ {
		if _, err := f.WriteAt(page, int64(n%256)*4096); err != nil {
			return 0, err
		}
		if err := syscall.Fdatasync(int(f.Fd())); err != nil {
			return 0, err
		}
	}
	return float64(n) / time.Since(begin).Seconds(), nil
}

func (p plan) signs() (float64, error) {
	key, err := jose.GenerateKey(jose.ES256, "")
	if err != nil {
		return 0, err
	}
	payload := fmt.Appendf(nil, `{"jti":"%0300d"}`, 0)
	var (
		n    atomic.Int64
		wg   sync.WaitGroup
		fail atomic.Value
	)
	begin := time.Now()
	for range 8 {
		wg.Go(func() {
			for time.Since(begin) < p.round {
				if _, err := key.Sign("at+jwt", payload); err != nil {
					fail.Store(err)
					return
				}
				n.Add(1)
			}
		})
	}
	wg.Wait()
	if err, ok := fail.Load().(error); ok {
		return 0, err
	}
	return float64(n.Load()) / time.Since(begin).Seconds(), nil
}

// bare measures a process with net/http that reads a request of the same size and answers "ok".
func (p plan) bare(ctx context.Context) (result, error) {
	exe, err := os.Executable()
	if err != nil {
		return result{}, err
	}
	cmd := exec.CommandContext(ctx, exe)
	cmd.Env = append(os.Environ(), bareVar+"=1")
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return result{}, err
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	address, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return result{}, err
	}
	address = strings.TrimSpace(address)
	l := load{address: address, clients: 32, requests: [][]byte{post(address, "/", jsonType, make([]byte, 1000))}, want: []byte("ok")}
	return p.median(ctx, l)
}

func bareServer() {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Println(l.Addr())
	h := func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		_, _ = w.Write([]byte("ok"))
	}
	s := &http.Server{Handler: http.HandlerFunc(h), ReadHeaderTimeout: time.Minute}
	if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		panic(err)
	}
}
