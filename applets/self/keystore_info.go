package self

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/oidcbox/oidcbox/core/agent/control"
	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/secret/keystore"
	"github.com/oidcbox/oidcbox/store"
	"github.com/oidcbox/oidcbox/store/boltstore"
)

type keystoreInfoCmd struct {
	At   keystoreAt `embed:""`
	JSON bool       `help:"Print JSON."`
}

// fileInfo is what "info --json" prints.
type fileInfo struct {
	Path       string     `json:"path"`
	Role       string     `json:"role"`
	Format     string     `json:"format"`
	Size       int64      `json:"size"`
	InUse      string     `json:"in_use,omitempty"`
	Tables     int        `json:"tables"`
	Records    int        `json:"records"`
	ID         string     `json:"id,omitempty"`
	Created    time.Time  `json:"created,omitzero"`
	DataKey    int        `json:"data_key,omitempty"` // counts from 1
	Unfinished bool       `json:"unfinished_rekey,omitempty"`
	Slots      []slotInfo `json:"slots"`
	// SlotsUnknown is why there are none.
	SlotsUnknown string `json:"slots_unknown,omitempty"`
}

// slotInfo is one slot in JSON.
type slotInfo struct {
	ID      string    `json:"id"`
	Kind    string    `json:"kind"`
	Label   string    `json:"label,omitempty"`
	Created time.Time `json:"created,omitzero"`
	Time    uint32    `json:"argon2_passes,omitempty"`
	Memory  uint32    `json:"argon2_memory_kib,omitempty"`
	Threads uint8     `json:"argon2_threads,omitempty"`
	Name    string    `json:"credential,omitempty"`
	Service string    `json:"keyring_service,omitempty"`
	User    string    `json:"keyring_user,omitempty"`
	Key     string    `json:"ssh_key,omitempty"` // fingerprint
}

// Run looks at the file without a key. Its slots can only be read when nobody has it, or through the agent that has it.
func (c *keystoreInfoCmd) Run(ctx context.Context, env *cli.Env) error {
	path, err := c.At.path(env)
	if err != nil {
		return err
	}
	peek, err := boltstore.Peek(path)
	if errors.Is(err, fs.ErrNotExist) {
		return absent(path)
	}
	if err != nil {
		return explain(err)
	}
	info := fileInfo{
		Path: path, Role: peek.Role, Format: peek.Format, Size: peek.Size, Created: peek.Created.UTC(), InUse: peek.InUse,
		Tables: len(peek.Tables), Slots: []slotInfo{},
	}
	for _, t := range peek.Tables {
		info.Records += t.Records
	}
	if err := c.header(ctx, env, &info); err != nil {
		return err
	}
	if c.JSON {
		return printJSON(env.Stdout, info)
	}
	return info.print(env.Stdout)
}

func (c *keystoreInfoCmd) header(ctx context.Context, env *cli.Env, info *fileInfo) error {
	agent, state, err := holder(ctx, env, info.Path)
	if err != nil {
		return err
	}
	if agent != nil && state == control.KeystoreOpen {
		info.InUse = "the agent"
		slots, err := agent.Slots(ctx)
		info.Slots = append(info.Slots, convert(slots, agentSlot)...)
		return err
	}
	eng, err := openEngine(ctx, env, info.Path, true)
	var inUse *store.InUseError
	if errors.As(err, &inUse) {
		info.SlotsUnknown = err.Error()
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { _ = eng.Close() }()
	h, err := keystore.Inspect(ctx, eng)
	if err != nil {
		return explain(err)
	}
	info.InUse = ""
	info.ID, info.Created, info.DataKey, info.Unfinished = h.ID, h.Created, h.Epoch, h.Unfinished
	info.Slots = append(info.Slots, convert(h.Slots, ownSlot)...)
	return nil
}

func (i fileInfo) print(w io.Writer) error {
	row := func(name, format string, args ...any) {
		fmt.Fprintf(w, "%-10s %s\n", name, cli.Printable(fmt.Sprintf(format, args...)))
	}
	row("file", "%s", i.Path)
	row("role", "%s", i.Role)
	row("format", "%s", i.Format)
	row("size", "%d bytes, %d records in %d tables", i.Size, i.Records, i.Tables)
	if !i.Created.IsZero() {
		row("created", "%s", i.Created.Format(time.RFC3339))
	}
	if i.ID != "" {
		row("id", "%s", i.ID)
		row("data key", "number %d", i.DataKey)
	}
	if i.Unfinished {
		row("rekey", "interrupted or running; the next unlock clears up")
	}
	if i.InUse != "" {
		row("in use by", "%s", i.InUse)
	}
	if i.SlotsUnknown != "" {
		row("slots", "not known: %s", i.SlotsUnknown)
	}
	return printSlots(w, i.Slots)
}

func printSlots(w io.Writer, slots []slotInfo) error {
	for _, s := range slots {
		line := fmt.Sprintf("slot       %s  %-10s  %s  %s", s.ID, s.Kind, s.Created.Format(time.DateOnly), s.Label)
		if _, err := fmt.Fprintln(w, strings.TrimRight(cli.Printable(line), " ")); err != nil {
			return err
		}
	}
	return nil
}

func ownSlot(s keystore.Slot) slotInfo {
	return slotInfo{
		ID: s.ID, Kind: s.Kind.String(), Label: s.Label, Created: s.Created, Time: s.Cost.Time, Memory: s.Cost.Memory,
		Threads: s.Cost.Threads, Name: s.Name, Service: s.Service, User: s.User, Key: s.Key,
	}
}

func agentSlot(s control.Slot) slotInfo {
	return slotInfo{ID: s.ID, Kind: s.Kind, Label: s.Label, Created: s.Created}
}

func convert[A, B any](in []A, fn func(A) B) []B {
	out := make([]B, 0, len(in))
	for _, a := range in {
		out = append(out, fn(a))
	}
	return out
}

func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

type keystoreCheckCmd struct {
	At     keystoreAt  `embed:""`
	Key    keystoreKey `embed:""`
	Locked bool        `help:"Look at the structure only, without unlocking."`
}

// Run checks the file, or a copy of it while the agent has it.
func (c *keystoreCheckCmd) Run(ctx context.Context, env *cli.Env) error {
	path, err := c.At.path(env)
	if err != nil {
		return err
	}
	agent, state, err := holder(ctx, env, path)
	if err != nil {
		return err
	}
	if agent == nil || state != control.KeystoreOpen {
		return c.check(ctx, env, path)
	}
	dir, err := os.MkdirTemp("", "oidcbox-check-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	path = filepath.Join(dir, "keystore")
	if err := backupTo(ctx, path, agent.Backup); err != nil {
		return err
	}
	return c.check(ctx, env, path)
}

func (c *keystoreCheckCmd) check(ctx context.Context, env *cli.Env, path string) error {
	if c.Locked {
		eng, err := openEngine(ctx, env, path, true)
		if err != nil {
			return err
		}
		defer func() { _ = eng.Close() }()
		return c.report(ctx, env, eng, nil)
	}
	u, err := c.Key.unlock(ctx, env, path, true)
	if err != nil {
		return err
	}
	defer func() { _ = u.close() }()
	return c.report(ctx, env, u.eng, u.Keystore)
}

// report checks the structure, and with k the records too.
func (*keystoreCheckCmd) report(
	ctx context.Context, env *cli.Env, eng *boltstore.Engine, k *keystore.Keystore,
) error {
	err := eng.Check(ctx)
	if _, headErr := keystore.Inspect(ctx, eng); headErr != nil {
		err = errors.Join(err, headErr)
	}
	what := "structure"
	if k != nil {
		n, openErr := k.Check(ctx)
		err = errors.Join(err, openErr)
		what = fmt.Sprintf("structure and records (%d)", n)
	}
	if err != nil {
		return explain(err)
	}
	_, err = fmt.Fprintf(env.Stdout, "%s: sound\n", what)
	return err
}

type keystoreSlotCmd struct {
	List keystoreSlotListCmd `cmd:"" help:"List the key slots."`
	Add  keystoreSlotAddCmd  `cmd:"" help:"Add a way to unlock."`
	Rm   keystoreSlotRmCmd   `cmd:"" help:"Remove a way to unlock. The last one stays."`
}

type keystoreSlotListCmd struct {
	At   keystoreAt `embed:""`
	JSON bool       `help:"Print JSON."`
}

// Run needs no key: slots are not secret.
func (c *keystoreSlotListCmd) Run(ctx context.Context, env *cli.Env) error {
	path, err := c.At.path(env)
	if err != nil {
		return err
	}
	info := fileInfo{Path: path, Slots: []slotInfo{}}
	if err := (&keystoreInfoCmd{}).header(ctx, env, &info); err != nil {
		return err
	}
	if info.SlotsUnknown != "" {
		return cli.Fail(cli.Temporary, errors.New(info.SlotsUnknown), "end that program, or unlock the keystore in the agent")
	}
	if c.JSON {
		return printJSON(env.Stdout, info.Slots)
	}
	return printSlots(env.Stdout, info.Slots)
}
