package custody

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/oidc/flow"
	"github.com/oidcbox/oidcbox/core/oidc/provider"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/transport/httpc"
	"github.com/oidcbox/oidcbox/store/boltstore"
)

// The test binary plays the process that is killed when this is set: store file, token endpoint, pause between
// refreshes, their number (0: without end), a refresh token to begin with ("": go on).
const childVar = "OIDCBOX_CUSTODY_CHILD"

func TestMain(m *testing.M) {
	if spec := os.Getenv(childVar); spec != "" {
		os.Exit(child(strings.Split(spec, "|")))
	}
	os.Exit(m.Run())
}

// child refreshes in a loop and says on standard output what it has achieved: "have N" for the generation of the kept
// token at start, "ack N" for each access token, "again" when a new login is wanted.
func child(spec []string) int {
	path, endpoint, first := spec[0], spec[1], spec[4]
	pause, err1 := time.ParseDuration(spec[2])
	count, err2 := strconv.Atoi(spec[3])
	ctx := context.Background()
	eng, err3 := boltstore.Open(ctx, path, boltstore.Options{
		Role: "person", Holder: "test", Timeout: 5 * time.Second,
		CacheDir: spec[5],
	})
	hc, err4 := httpc.New(httpc.Options{})
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		fmt.Println("fault", err)
		return 1
	}
	defer eng.Close()
	k := New(eng, Options{LeaseTTL: 5 * time.Second, Log: slog.New(slog.NewTextHandler(os.Stderr, nil))})
	r := flow.New(hc, &provider.Metadata{Issuer: "http://127.0.0.1", TokenEndpoint: endpoint},
		flow.ClientConfig{ID: "client"}, flow.Options{})
	if first != "" {
		if err := k.Put(ctx, id, secret.FromString(first)); err != nil {
			fmt.Println("fault", err)
			return 1
		}
	}
	rt, err := k.Token(ctx, id)
	if err != nil {
		fmt.Println("fault", err)
		return 1
	}
	fmt.Println("have", serialOf(rt))
	for n := 0; count == 0 || n < count; n++ {
		began := time.Now()
		t, err := k.Refresh(ctx, id, r, flow.Request{})
		if errors.Is(err, ErrLoginAgain) {
			fmt.Println("again")
			return 0
		}
		if err != nil {
			fmt.Println("fault", err)
			return 1
		}
		fmt.Println("ack", serialOf(t.Access), time.Since(began))
		time.Sleep(pause)
	}
	if err := k.Close(ctx); err != nil {
		fmt.Println("fault", err)
		return 1
	}
	return 0
}

// told is what a child said before it died.
type told struct {
	have, ack int
	acks      int
	busy      time.Duration // in refreshes after the first
	again     bool
	fault     string
}

// listen reads until the child is dead. going is closed at the first word after "have".
func listen(r io.Reader, going chan<- struct{}) (s told) {
	started := sync.OnceFunc(func() { close(going) })
	defer started()
	for in := bufio.NewScanner(r); in.Scan(); {
		words := append(strings.Fields(in.Text()), "", "")
		n, _ := strconv.Atoi(words[1])
		switch words[0] {
		case "have":
			s.have = n
			continue
		case "ack":
			took, _ := time.ParseDuration(words[2])
			if s.acks++; s.acks > 1 { // the clock of the round begins to run with the first
				s.busy += took
			}
			s.ack = n
		case "again":
			s.again = true
		case "fault":
			s.fault = in.Text()
		}
		started()
	}
	return s
}

func killRounds() int {
	if n, err := strconv.Atoi(os.Getenv("OIDCBOX_KILL_ROUNDS")); err == nil && n > 0 {
		return n
	}
	return 10
}

// A process that refreshes is killed at random, again and again.
func TestKill(t *testing.T) {
	for _, test := range []struct {
		name     string
		rotation rotation
		pause    time.Duration
	}{
		{"grace_back_to_back", grace, 0},
		{"strict_back_to_back", strict, 0},
		{"strict_twenty_a_second", strict, 50 * time.Millisecond},
	} {
		t.Run(test.name, func(t *testing.T) {
			g := &gallows{t: t, op: newOP(test.rotation), path: privatePath(t), pause: test.pause}
			g.op.delay = 2 * time.Millisecond
			srv := httptest.NewServer(g.op)
			defer srv.Close()
			g.url = srv.URL + "/token"
			g.first = g.op.first().Expose()
			for range killRounds() {
				g.round()
			}
			rounds := float64(killRounds())
			t.Logf("%.0f kills, %d refreshes (%.0f %% of the time), %d forced new logins: %.1f %% of kills",
				rounds, g.refreshes, 100*g.busy.Seconds()/g.lived.Seconds(), g.forced, 100*float64(g.forced)/rounds)
			if test.rotation == grace && g.forced > 0 {
				t.Error("a login was lost although the provider has a grace period")
			}
			// A child that only hears that a new login is wanted refreshes nothing.
			if g.refreshes < killRounds()/2 {
				t.Error("hardly anything was refreshed: the test does not test")
			}
			g.check()
		})
	}
}

// privatePath is a place for a store that nobody else can reach.
func privatePath(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "private")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "keystore")
}

// gallows kills one child after the other.
type gallows struct {
	t         *testing.T
	op        *op
	path, url string
	pause     time.Duration
	first     string // the refresh token of a new login for the next child

	acked     int // the newest generation whose access token was handed out
	refreshes int
	forced    int
	busy      time.Duration
	lived     time.Duration
}

// start runs a child, and returns how to kill or await it and what it says once it is dead.
func (g *gallows) start(count int, cache string) (cmd *exec.Cmd, going <-chan struct{}, said func() told) {
	g.t.Helper()
	exe, err := os.Executable()
	if err != nil {
		g.t.Fatal(err)
	}
	cmd = exec.CommandContext(g.t.Context(), exe)
	spec := []string{g.path, g.url, g.pause.String(), strconv.Itoa(count), g.first, cache}
	cmd.Env = append(os.Environ(), childVar+"="+strings.Join(spec, "|"))
	cmd.Stderr = g.t.Output()
	out, err := cmd.StdoutPipe()
	if err != nil {
		g.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		g.t.Fatal(err)
	}
	started, end := make(chan struct{}), make(chan told, 1)
	go func() { end <- listen(out, started) }()
	return cmd, started, func() told { return <-end }
}

// round lets a child refresh once, and kills it at some time after that.
func (g *gallows) round() {
	g.t.Helper()
	cmd, going, said := g.start(0, "")
	<-going
	began := time.Now()
	time.Sleep(rand.N(60*time.Millisecond + 2*g.pause))
	_ = cmd.Process.Kill()
	g.lived += time.Since(began)
	s := said()
	_ = cmd.Wait()
	g.busy += s.busy
	if s.fault != "" {
		g.t.Fatalf("the child failed: %s", s.fault)
	}
	if s.have > 0 {
		g.first = ""
		if s.have < g.acked {
			g.t.Errorf("generation %d was handed out, the store has %d: a token that was read is lost", g.acked, s.have)
		}
	}
	g.acked = max(g.acked, s.ack)
	g.refreshes += s.acks
	if s.again {
		if g.op.newestSerial() <= s.have {
			g.t.Errorf("a new login is wanted although the newest token, of generation %d, was kept", s.have)
		}
		g.forced++
		g.first = g.op.login().Expose()
	}
}

// check looks into the file after the last death.
func (g *gallows) check() {
	g.t.Helper()
	ctx := g.t.Context()
	eng, err := boltstore.Open(ctx, g.path, boltstore.Options{Role: "person"})
	if err != nil {
		g.t.Fatal(err)
	}
	defer eng.Close()
	if err := eng.Check(ctx); err != nil {
		g.t.Error(err)
	}
}
