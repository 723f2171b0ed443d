package agentload

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/crypto/nacl/secretbox"
	//lint:ignore SA1019 box does not take the private key 1
	"golang.org/x/crypto/salsa20/salsa"
	"golang.org/x/sys/unix"
)

// planVariable hands the plan to the process that plays it.
const planVariable = "OIDCBOX_AGENTLOAD"

// hangs is how long after its end a plan without Patience may wait for an answer before Run fails.
const hangs = 20 * time.Second

// Run plays the plan in a process of its own and returns what came of it.
func Run(p Plan) (Result, error) {
	plan, err := json.Marshal(p)
	if err != nil {
		return Result{}, err
	}
	self, err := os.Executable()
	if err != nil {
		return Result{}, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), p.Length+hangs)
	defer cancel()
	cmd := exec.CommandContext(ctx, self)
	// A processor for each client and no collector: the threads below never tell the runtime that they wait.
	cmd.Env = append(os.Environ(), planVariable+"="+string(plan), "GOGC=off", "GODEBUG=asyncpreemptoff=1",
		"GOMAXPROCS="+strconv.Itoa(p.Clients+2))
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return Result{}, fmt.Errorf("run load generator: %w", err)
	}
	var r Result
	return r, json.Unmarshal(out, &r)
}

// Play is the other side of Run: called first in TestMain, it plays the plan and ends the process where there is one.
func Play() {
	text := os.Getenv(planVariable)
	if text == "" {
		return
	}
	var p Plan
	err := json.Unmarshal([]byte(text), &p)
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(p.play())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "load generator:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

func (p Plan) play() Result {
	var (
		wg      sync.WaitGroup
		stop    atomic.Bool
		clients = make([]*client, p.Clients)
	)
	for i := range clients {
		clients[i] = newClient(p)
		wg.Go(func() {
			runtime.LockOSThread()
			clients[i].loop(&stop)
		})
	}
	begin := time.Now()
	time.Sleep(p.Length)
	stop.Store(true)
	wg.Wait()
	r := Result{Seconds: time.Since(begin).Seconds(), Failed: map[string]int{}}
	var use unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &use) == nil {
		r.CPU = time.Duration(use.Utime.Nano() + use.Stime.Nano())
	}
	var took []time.Duration
	for _, c := range clients {
		took = append(took, c.took...)
		for why, n := range c.failed {
			r.Failed[why] += n
		}
	}
	slices.Sort(took)
	if r.Answers = len(took); r.Answers > 0 {
		r.P50, r.P99 = took[len(took)/2], took[len(took)*99/100]
	}
	return r
}

// client asks again and again, a connection each time.
type client struct {
	addr    unix.RawSockaddrUnix
	addrLen uintptr
	limit   unix.Timeval
	request []byte
	sealed  bool
	ownText []byte
	buf     []byte
	took    []time.Duration
	failed  map[string]int
}

func newClient(p Plan) *client {
	c := &client{
		request: p.request(), sealed: p.Encrypted, buf: make([]byte, 64<<10), failed: map[string]int{},
		took: make([]time.Duration, 0, 1<<16), limit: unix.NsecToTimeval(int64(p.Patience)),
	}
	c.addr.Family = unix.AF_UNIX
	for i := range len(p.Socket) {
		c.addr.Path[i] = int8(p.Socket[i])
	}
	c.addrLen = unsafe.Offsetof(c.addr.Path) + uintptr(len(p.Socket)) + 1
	// The public key is the base point, which belongs to the private key 1: a client without a calculation of its own,
	// so that what is measured is the agent's. No agent treats this point otherwise than any other.
	base := [32]byte{9}
	c.ownText = base64.StdEncoding.AppendEncode(nil, base[:])
	return c
}

func (c *client) loop(stop *atomic.Bool) {
	for !stop.Load() {
		begin := time.Now()
		if err := c.once(); err != nil {
			c.failed[err.Error()]++
			if c.failed[err.Error()] > 1000 {
				time.Sleep(time.Millisecond) // it does not get better by asking faster
			}
			continue
		}
		c.took = append(c.took, time.Since(begin))
	}
}

// errAnswer says that an answer came which is not the token asked for.
var errAnswer = errors.New("not the answer")

// once is one request with system calls that the runtime does not see: what is measured is the agent.
func (c *client) once() error {
	fd, _, errno := unix.RawSyscall(unix.SYS_SOCKET, unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if errno != 0 {
		return errno
	}
	defer unix.RawSyscall(unix.SYS_CLOSE, fd, 0, 0) //nolint:errcheck // nothing to save
	if c.limit.Nano() > 0 {
		for _, option := range []uintptr{unix.SO_RCVTIMEO, unix.SO_SNDTIMEO} {
			unix.RawSyscall6(unix.SYS_SETSOCKOPT, fd, unix.SOL_SOCKET, option,
				uintptr(unsafe.Pointer(&c.limit)), unsafe.Sizeof(c.limit), 0)
		}
	}
	_, _, errno = unix.RawSyscall(unix.SYS_CONNECT, fd, uintptr(unsafe.Pointer(&c.addr)), c.addrLen)
	if errno != 0 {
		return fmt.Errorf("connect: %w", errno)
	}
	if c.sealed {
		return c.onceSealed(fd)
	}
	answer, err := c.exchange(fd, c.request)
	if err != nil {
		return err
	}
	return check(answer)
}

func (c *client) onceSealed(fd uintptr) error {
	text, err := c.exchange(fd, c.ownText)
	if err != nil {
		return err
	}
	var raw [33]byte
	if n, err := base64.StdEncoding.Decode(raw[:], bytes.TrimSpace(text)); err != nil || n != 32 {
		return errAnswer
	}
	// With a private key of 1 the shared point is the agent's public key itself.
	key, nonce := new([32]byte), new([24]byte)
	salsa.HSalsa20(key, new([16]byte), (*[32]byte)(raw[:32]), &salsa.Sigma)
	_, _ = rand.Read(nonce[:])
	msg := strconv.AppendInt(nil, int64(len(c.request)), 10)
	msg = base64.StdEncoding.AppendEncode(append(msg, ':'), nonce[:])
	msg = base64.StdEncoding.AppendEncode(append(msg, ':'), secretbox.Seal(nil, c.request, nonce, key))
	answer, err := c.exchange(fd, msg)
	if err != nil {
		return err
	}
	plain, err := opened(answer, key)
	if err != nil {
		return err
	}
	return check(plain)
}

func opened(msg []byte, key *[32]byte) ([]byte, error) {
	parts := strings.Split(string(bytes.TrimSpace(msg)), ":")
	if len(parts) != 3 {
		return nil, errAnswer
	}
	nonceText, err1 := base64.StdEncoding.DecodeString(parts[1])
	text, err2 := base64.StdEncoding.DecodeString(parts[2])
	if err1 != nil || err2 != nil || len(nonceText) != 24 {
		return nil, errAnswer
	}
	plain, ok := secretbox.Open(nil, text, (*[24]byte)(nonceText), key)
	if !ok {
		return nil, errAnswer
	}
	return plain, nil
}

// exchange writes once and reads once, as the original's clients do.
func (c *client) exchange(fd uintptr, msg []byte) ([]byte, error) {
	_, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, fd, uintptr(unsafe.Pointer(&msg[0])), uintptr(len(msg)),
		unix.MSG_NOSIGNAL, 0, 0)
	if errno != 0 {
		return nil, fmt.Errorf("send: %w", errno)
	}
	n, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, fd, uintptr(unsafe.Pointer(&c.buf[0])), uintptr(len(c.buf)), 0, 0, 0)
	if errno != 0 {
		return nil, fmt.Errorf("receive: %w", errno)
	}
	return c.buf[:n], nil
}

func check(answer []byte) error {
	if !bytes.Contains(answer, []byte(`"access_token"`)) {
		return errAnswer
	}
	return nil
}
