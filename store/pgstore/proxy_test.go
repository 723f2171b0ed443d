package pgstore

import (
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/oidcbox/oidcbox/store"
)

// cut says what the proxy does with the next message of a client.
type cut int32

const (
	forward   cut = iota
	cutBefore     // the server never gets it
	cutAfter      // the server answers, the client does not get that
)

// proxy stands between an engine and the server, as the network does.
type proxy struct {
	dir  string
	next atomic.Int32 // cut
	wg   sync.WaitGroup

	mu    sync.Mutex
	conns []net.Conn
}

func newProxy(t *testing.T) *proxy {
	t.Helper()
	pg := server(t)
	dir, err := os.MkdirTemp("", "px")
	if err != nil {
		t.Fatal(err)
	}
	name := ".s.PGSQL." + strconv.Itoa(pg.Port)
	l, err := net.Listen("unix", filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{dir: dir}
	p.wg.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			p.wg.Go(func() { p.serve(client, filepath.Join(pg.Socket, name)) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		p.mu.Lock()
		for _, c := range p.conns {
			_ = c.Close()
		}
		p.mu.Unlock()
		p.wg.Wait()
		_ = os.RemoveAll(dir)
	})
	return p
}

func (p *proxy) url(t *testing.T) string {
	there := *server(t)
	there.Socket = p.dir
	return there.URL("")
}

func (p *proxy) serve(client net.Conn, socket string) {
	defer client.Close()
	srv, err := net.Dial("unix", socket)
	if err != nil {
		return
	}
	defer srv.Close()
	p.mu.Lock()
	p.conns = append(p.conns, client, srv)
	p.mu.Unlock()
	var mute atomic.Bool
	p.wg.Go(func() { p.answers(client, srv, &mute) })
	buf := make([]byte, 1<<20)
	for {
		n, err := client.Read(buf)
		if err != nil {
			return
		}
		switch cut(p.next.Swap(int32(forward))) {
		case cutBefore:
			return
		case cutAfter:
			mute.Store(true)
		}
		if _, err := srv.Write(buf[:n]); err != nil {
			return
		}
	}
}

// answers copies what the server says, or takes it and hangs up.
func (p *proxy) answers(client, srv net.Conn, mute *atomic.Bool) {
	buf := make([]byte, 1<<16)
	for {
		n, err := srv.Read(buf)
		if err != nil || mute.Load() {
			_ = client.Close()
			return
		}
		if _, err := client.Write(buf[:n]); err != nil {
			_, _ = io.Copy(io.Discard, srv)
			return
		}
	}
}

// TestLostConnection: in COMMIT it is ErrUnknown, whether the server got it or not; before that, the engine tries
// again.
func TestLostConnection(t *testing.T) {
	for _, tc := range []struct {
		name string
		how  cut
		made bool
	}{{"commit_that_never_arrives", cutBefore, false}, {"commit_whose_answer_is_lost", cutAfter, true}} {
		t.Run(tc.name, func(t *testing.T) {
			p := newProxy(t)
			e := mustOpen(t, p.url(t), Options{Schema: newSchema()})
			if err := e.Update(t.Context(), addOne); err != nil {
				t.Fatal(err)
			}
			runs := 0
			err := e.Update(t.Context(), func(w store.WTx) error {
				runs++
				err := addOne(w)
				p.next.Store(int32(tc.how)) // the next message is the write with COMMIT
				return err
			})
			if !errors.Is(err, store.ErrUnknown) || runs != 1 {
				t.Fatalf("%d runs, %v; want ErrUnknown after one", runs, err)
			}
			want := 1
			if tc.made {
				want = 2
			}
			wantCount(t, e, want, want)
		})
	}
	t.Run("before_commit_is_tried_again", func(t *testing.T) {
		p := newProxy(t)
		e := mustOpen(t, p.url(t), Options{Schema: newSchema()})
		runs := 0
		err := e.Update(t.Context(), func(w store.WTx) error {
			if runs++; runs == 1 {
				p.next.Store(int32(cutAfter))
			}
			return addOne(w)
		})
		if err != nil || runs != 2 {
			t.Fatalf("%d runs, %v", runs, err)
		}
		wantCount(t, e, 1, 1)
	})
	t.Run("taking_a_lease_is_tried_again", func(t *testing.T) {
		p := newProxy(t)
		e := mustOpen(t, p.url(t), Options{Schema: newSchema()})
		for _, how := range []cut{cutBefore, cutAfter} {
			p.next.Store(int32(how))
			l, err := e.Lease(t.Context(), "l", 1<<40)
			if err != nil {
				t.Fatal(err)
			}
			if err := e.Update(t.Context(), addOne, l); err != nil {
				t.Error(err)
			}
			if err := l.Release(t.Context()); err != nil {
				t.Error(err)
			}
		}
	})
	t.Run("lost_answer_does_not_leave_the_lease_to_nobody", func(t *testing.T) {
		p := newProxy(t)
		e := mustOpen(t, p.url(t), Options{Schema: newSchema()})
		if err := e.Update(t.Context(), addOne); err != nil { // from now on the server knows the statement "commit"
			t.Fatal(err)
		}
		owner := []byte("me")
		var lost bool
		err := e.changeLease(t.Context(), func(tr *tx) error {
			_, err := tr.ask(nil, e.sql.leaseTake, []byte("l"), tr.now+1<<40, owner, tr.now)
			if !lost {
				lost = true
				p.next.Store(int32(cutAfter)) // the next message is COMMIT
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		var fence int
		sqlDo(t, "select fence from "+e.o.Schema+".leases", &fence)
		if fence != 2 {
			t.Errorf("fence %d: it was not taken twice by the same owner", fence)
		}
	})
}
