package agent

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/oidcbox/oidcbox/core/agent/control"
	"github.com/oidcbox/oidcbox/core/agent/service"
	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/secret/keystore"
	"github.com/oidcbox/oidcbox/core/transport/sock"
)

const (
	// updatePoll is how often the program's file is looked at. A change counts when it is the same twice: a file that is
	// being written is not run.
	updatePoll = 2 * time.Second
	// probeTime is for the new program to say its version.
	probeTime = 20 * time.Second
	// maxHandover fits into a pipe that nobody reads yet.
	maxHandover = 60 << 10
	// handoverLabel is that of the key slot through which the new program opens the keystore.
	handoverLabel = "update of the agent"
)

// errUpdated says that the program's file is another one, and that all is ready for running it.
var errUpdated = errors.New("the program was replaced")

// handover is what one process tells the next one, through a pipe. The passphrase opens a key slot that is there for
// this alone.
type handover struct {
	Sockets    []handed         `json:"sockets"`
	Path       string           `json:"path"`
	Own        string           `json:"own,omitempty"`
	Dir        string           `json:"dir"`
	Served     []service.Served `json:"served"`
	Slot       string           `json:"slot,omitempty"`
	Passphrase string           `json:"passphrase,omitempty"`

	program string
	files   []*os.File
}

// handed is one socket, by its descriptor.
type handed struct {
	FD      int  `json:"fd"`
	Control bool `json:"control,omitempty"`
	Ours    bool `json:"ours,omitempty"`
}

// watchProgram returns errUpdated when there is another program at the place of this one and nothing would be lost.
func (d *daemon) watchProgram(ctx context.Context) error {
	path := d.program.path
	tick := time.NewTicker(updatePoll)
	defer tick.Stop()
	var seen, refused os.FileInfo
	waiting := ""
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		now, err := os.Stat(path)
		if err != nil || sameProgram(now, d.program.info) || refused != nil && sameProgram(now, refused) {
			continue
		}
		if seen == nil || !sameProgram(now, seen) {
			seen = now
			continue
		}
		if err := probe(ctx, path); err != nil {
			d.log.Warn("the new program does not run; going on with this one", "err", err)
			refused = now
			continue
		}
		h, why, err := d.prepareHandover(ctx, path)
		switch {
		case err != nil:
			d.log.Warn("going on with the old program", "err", err)
			refused = now
		case why != waiting && why != "":
			waiting = why
			d.log.Info("the program was replaced; this one goes on for now", "why", why)
		case why == "":
			d.next = h
			d.stop()
			return errUpdated
		}
	}
}

func sameProgram(a, b os.FileInfo) bool {
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}

// probe runs the new program once. One that cannot even do that would end the agent for good.
func probe(ctx context.Context, path string) error {
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, "self", "version")
	cmd.Args[0], cmd.Env, cmd.Dir = "oidcbox", []string{}, "/"
	return cmd.Run()
}

// prepareHandover collects what the next process needs. why is not empty when it has to wait.
func (d *daemon) prepareHandover(ctx context.Context, path string) (h *handover, why string, err error) {
	if d.svc.Locked() {
		return nil, "the agent is locked", nil
	}
	served, inMemory := d.svc.Served()
	if len(inMemory) > 0 {
		return nil, "these logins are in memory only: " + strings.Join(inMemory, ", "), nil
	}
	h = &handover{Path: d.socks.path, Own: d.socks.own, Dir: d.env.Dir, Served: served, program: path}
	if err := d.handKey(ctx, h); err != nil {
		return nil, "", err
	}
	all := d.socks.agent
	if d.socks.control != nil {
		all = append([]net.Listener{d.socks.control}, all...)
	}
	for i, ln := range all {
		f, ours, err := sock.Keep(ln)
		if err != nil {
			if h.Slot != "" {
				err = errors.Join(err, d.svc.Admin().RemoveSlot(ctx, h.Slot))
			}
			return nil, "", fmt.Errorf("hand the sockets over: %w", err)
		}
		h.files = append(h.files, f)
		h.Sockets = append(h.Sockets, handed{Control: d.socks.control != nil && i == 0, Ours: ours})
	}
	return h, "", nil
}

// handKey makes a key slot for the next process when the keystore is open: the passphrase that opened it is not kept.
func (d *daemon) handKey(ctx context.Context, h *handover) error {
	admin := d.svc.Admin()
	st, err := admin.Status(ctx)
	if err != nil || st.Keystore != control.KeystoreOpen {
		return err
	}
	h.Passphrase = rand.Text()
	pass := secret.FromString(h.Passphrase)
	defer pass.Wipe()
	slot, err := admin.AddSlot(ctx, control.NewSlot{
		Kind: keystore.KindPassphrase.String(), Label: handoverLabel, Passphrase: pass,
	})
	if err != nil {
		return fmt.Errorf("hand the keystore over: %w", err)
	}
	h.Slot = slot.ID
	return nil
}

// become runs the new program in this process: the pid stays, and clients that connect meanwhile wait for it.
func (h *handover) become(env *cli.Env) error {
	r, w, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("run the new program: %w", err)
	}
	for i, f := range h.files {
		h.Sockets[i].FD = int(f.Fd())
	}
	b, err := json.Marshal(h)
	if err == nil && len(b) > maxHandover {
		err = errors.New("there is too much to hand over")
	}
	if err == nil {
		_, err = w.Write(b)
		clear(b)
	}
	if err = errors.Join(err, w.Close()); err != nil {
		return fmt.Errorf("run the new program: %w", err)
	}
	argv := []string{env.Command}
	for _, a := range env.Args {
		if !strings.HasPrefix(a, "--handover=") {
			argv = append(argv, a)
		}
	}
	// In front: a command may follow the options.
	argv = append(argv[:1:1], append([]string{"--handover=" + strconv.Itoa(int(r.Fd()))}, argv[1:]...)...)
	return replaceProcess(h.program, argv, env.Environ(), append(h.files, r))
}

// takeOver reads what the process before has left. nil for a process that starts anew.
func (c *Cmd) takeOver(env *cli.Env) (*handover, error) {
	if c.Handover <= 0 {
		return nil, nil
	}
	f := os.NewFile(uintptr(c.Handover), "handover")
	defer f.Close()
	var h handover
	if err := json.NewDecoder(io.LimitReader(f, maxHandover+1)).Decode(&h); err != nil {
		return nil, fmt.Errorf("take over from the agent before: %w", err)
	}
	env.Dir = h.Dir
	return &h, nil
}

// inherit makes the sockets of the process before ours.
func (s *sockets) inherit(h *handover) error {
	s.path, s.own = h.Path, h.Own
	for _, one := range h.Sockets {
		ln, err := sock.Inherit(os.NewFile(uintptr(one.FD), "socket"), one.Ours)
		if err != nil {
			return err
		}
		if one.Control {
			s.control = ln
		} else {
			s.agent = append(s.agent, ln)
		}
	}
	return nil
}

// resume opens the keystore as it was open before, and serves the same logins.
func (d *daemon) resume(ctx context.Context, h *handover) error {
	if h.Slot == "" {
		return d.openKeystore(ctx)
	}
	pass := secret.FromString(h.Passphrase)
	defer pass.Wipe()
	if err := d.svc.OpenKeystore(ctx, keystore.Passphrase(pass)); err != nil {
		return keystore.Refusal(fmt.Errorf("open the keystore again: %w", err))
	}
	if err := d.svc.Admin().RemoveSlot(ctx, h.Slot); err != nil {
		d.warning("a key slot of the update is left over; remove " + h.Slot + ": " + err.Error())
	}
	return d.svc.Resume(h.Served)
}

// program is the file of a program.
type program struct {
	path string
	info os.FileInfo
}

// findProgram is the file this process runs. Asked before anybody is told that there is an agent: nobody replaces it
// sooner.
func findProgram() (p program, err error) {
	if p.path, err = os.Executable(); err == nil {
		p.path, err = filepath.EvalSymlinks(p.path)
	}
	if err == nil {
		p.info, err = os.Stat(p.path)
	}
	return p, err
}
