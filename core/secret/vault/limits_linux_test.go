package vault

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/awnumar/memguard"
	"golang.org/x/sys/unix"

	"github.com/oidcbox/oidcbox/core/secret"
)

const (
	childEnv = "OIDCBOX_TEST_VAULT"
	nobody   = 65534
)

// TestMain lets the test binary run a scene with a limit that the parent must not have.
func TestMain(m *testing.M) {
	if scene := os.Getenv(childEnv); scene != "" {
		os.Exit(play(scene))
	}
	os.Exit(m.Run())
}

func play(scene string) int {
	name, limit, _ := strings.Cut(scene, " ")
	kib, err := strconv.ParseUint(limit, 10, 32)
	if err != nil {
		panic(err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_MEMLOCK, &unix.Rlimit{Cur: kib * 1024, Max: kib * 1024}); err != nil {
		panic(err)
	}
	mode := Prefer
	if name == "require" {
		mode = Require
	}
	warnings := 0
	v, err := New(mode, func(msg string) { warnings++; fmt.Println("warning:", msg) })
	if err != nil {
		var limit *LimitError
		fmt.Println("error:", err, errors.Is(err, ErrNoLockedMemory), errors.As(err, &limit))
		if limit != nil {
			fmt.Println("hint:", limit.Hint())
		}
		return 0
	}
	fmt.Println("locked:", v.Locked(), "warnings:", warnings)
	switch name {
	case "idle":
		return idle(v)
	case "core":
		return crash(v)
	}
	return crowd(v)
}

// crowd uses the vault from many goroutines at once and reports how much memory stays locked.
func crowd(v *Vault) int {
	var wg sync.WaitGroup
	var mu sync.Mutex
	faults := 0
	keys, err := v.NewSealer()
	if err != nil {
		panic(err)
	}
	sealed, err := v.Seal(secret.FromString("hello"))
	if err != nil {
		panic(err)
	}
	for range 200 {
		wg.Go(func() {
			for range 20 {
				t, err := v.Open(sealed)
				box, sealErr := keys.Seal([]byte("x"), nil)
				_, openErr := keys.Open(box, nil)
				if err := errors.Join(err, sealErr, openErr); err != nil || t.Expose() != "hello" {
					mu.Lock()
					faults++
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	fmt.Println("faults:", faults, "pages:", lockedPages())
	v.Close()
	fmt.Println("after Close:", lockedPages())
	return 0
}

// lockedPages is VmLck of this process.
func lockedPages() int {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		panic(err)
	}
	_, rest, _ := strings.Cut(string(status), "VmLck:")
	kib, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		panic(err)
	}
	return kib * 1024 / os.Getpagesize()
}

// idle shows whether memguard has something running, with a vault in use and after an enclave was made.
func idle(v *Vault) int {
	keys, err := v.NewSealer()
	if err != nil {
		panic(err)
	}
	if _, err := keys.Seal([]byte("x"), nil); err != nil {
		panic(err)
	}
	fmt.Println("vault:", memguardRuns())
	memguard.NewEnclave([]byte("x"))
	fmt.Println("enclave:", memguardRuns())
	return 0
}

func memguardRuns() bool {
	stacks := make([]byte, 1<<16)
	return bytes.Contains(stacks[:runtime.Stack(stacks, true)], []byte("awnumar/memguard"))
}

// crash dies of a signal that makes a core file, where that is allowed.
func crash(*Vault) int {
	if err := HardenProcess(); err != nil {
		panic(err)
	}
	var core unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_CORE, &core); err != nil {
		panic(err)
	}
	dumpable, err := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0)
	fmt.Println("core limit:", core.Cur, core.Max, "dumpable:", dumpable, err)
	_ = syscall.Kill(os.Getpid(), syscall.SIGABRT)
	select {}
}

// run plays a scene in a child without the right to lock more than its limit, and returns its output.
func run(t *testing.T, scene, dir string) (string, error) {
	t.Helper()
	// The test binary lies in a directory that only its owner may enter.
	cmd := exec.Command("/proc/self/exe")
	self, err := os.Open("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = self.Close() }()
	cmd.Path = "/proc/self/fd/3"
	cmd.ExtraFiles = []*os.File{self}
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), childEnv+"="+scene, "GOTRACEBACK=crash")
	if os.Geteuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err = cmd.Run()
	return out.String(), err
}

func TestLimits(t *testing.T) {
	need := preflightPages * os.Getpagesize() / 1024
	for name, tc := range map[string]struct {
		scene string
		want  []string
	}{
		"prefer_without_locked_memory_warns_once_and_works": {"prefer 0", []string{
			"warning: memory cannot be locked: limit is 0 kB, need " + strconv.Itoa(need) + " kB; secrets may be written to " +
				"swap space (raise it with 'ulimit -l", "locked: false warnings: 1", "faults: 0 pages: 0", "after Close: 0",
		}},
		"require_without_locked_memory_refuses": {"require 0", []string{
			"error: memory cannot be locked: limit is 0 kB, need " + strconv.Itoa(need) + " kB true true",
			"hint: raise it with 'ulimit -l " + strconv.Itoa(need) + "', or LimitMEMLOCK=" + strconv.Itoa(need) + "K",
		}},
		"prefer_with_too_little": {"prefer " + strconv.Itoa(need-4), []string{"warnings: 1", "faults: 0 pages: 0"}},
		"require_with_too_little": {"require " + strconv.Itoa(need-4), []string{
			"limit is " + strconv.Itoa(need-4) + " kB",
		}},
		"require_with_just_enough": {"require " + strconv.Itoa(need), []string{
			"locked: true warnings: 0", "faults: 0 pages: 5", "after Close: 0",
		}},
		"prefer_with_twice_the_need": {"prefer " + strconv.Itoa(2*need), []string{
			"locked: true warnings: 0", "faults: 0 pages: 5", "after Close: 0",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := run(t, tc.scene, "/")
			if err != nil {
				t.Errorf("%v", err)
			}
			for _, want := range tc.want {
				if !strings.Contains(out, want) {
					t.Errorf("missing %q", want)
				}
			}
			if strings.Contains(out, "panic") || t.Failed() {
				t.Errorf("output:\n%s", out)
			}
		})
	}
}

// An agent sleeps for days on a login node that it shares with hundreds of others. memguard's enclaves come with a
// goroutine that wakes twice a second to renew their key; a vault has nothing that runs.
func TestIdleVaultSleeps(t *testing.T) {
	out, err := run(t, "idle 64", "/")
	if err != nil || !strings.HasSuffix(out, "vault: false\nenclave: true\n") {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestNoCoreFile(t *testing.T) {
	dir := t.TempDir()
	for d := dir; d != "/"; d = d[:max(1, strings.LastIndexByte(d, '/'))] {
		_ = os.Chmod(d, 0o777) // the child may be another user, and must be able to leave a core file
		if d == os.TempDir() {
			break
		}
	}
	out, err := run(t, "core 64", dir)
	var exit *exec.ExitError
	if !errors.As(err, &exit) || !strings.Contains(out, "core limit: 0 0 dumpable: 0 <nil>") {
		t.Fatalf("%v\n%s", err, out)
	}
	if ws := exit.Sys().(syscall.WaitStatus); ws.CoreDump() {
		t.Error("the kernel made a core file")
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}
