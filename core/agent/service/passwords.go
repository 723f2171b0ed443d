package service

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"runtime"
	"strconv"
	"time"

	"github.com/oidcbox/oidcbox/core/agent/login"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/secret/keystore"
	"github.com/oidcbox/oidcbox/store"
)

// Where the password of an account file can be found: the bits of "type" in a pw_entry.
const (
	pwMemory  = 1
	pwKeyring = 2 // version 4 only; the password comes with it and is kept in memory here
	pwCommand = 4
	pwPrompt  = 8 // nothing to find without a person
	pwFile    = 16
	pwGPG     = 32 // the account file says which key
)

// passwordWait bounds finding one password: a command may hang.
const passwordWait = 10 * time.Second

// passwords remembers how the passwords of account files are found. The entries lie on the memory shelf: sealed, put
// away when the agent is locked, gone when it ends.
type passwords struct {
	eng    func() store.Engine
	now    func() time.Time
	getenv func(string) string
}

func newPasswords(s *Service) *passwords {
	p := &passwords{eng: func() store.Engine { return s.memory().eng }, now: s.opts.Now, getenv: s.opts.Getenv}
	if p.getenv == nil {
		p.getenv = func(string) string { return "" }
	}
	return p
}

func passwordTable() store.Table { return store.Table{Name: "agent-passwords", HideKeys: true} }

// pwEntry is a pw_entry as it is kept. A number may have come as a string.
type pwEntry struct {
	Type     number `json:"type"`
	Password string `json:"password,omitempty"`
	Command  string `json:"command,omitempty"`
	File     string `json:"pw_file,omitempty"`
	// ExpiresAt is in Unix seconds, 0 for never; ExpiresAfter is what it was made of.
	ExpiresAt    number `json:"expires_at,omitempty"`
	ExpiresAfter number `json:"expires_after,omitempty"`
}

// number is an integer that may be written as a string.
type number int64

// UnmarshalJSON takes 5 and "5".
func (n *number) UnmarshalJSON(b []byte) error {
	text := string(b)
	if len(b) > 1 && b[0] == '"' {
		text = string(b[1 : len(b)-1])
	}
	if text == "" || text == "null" {
		*n = 0
		return nil
	}
	v, err := strconv.ParseInt(text, 10, 64)
	*n = number(v)
	return err
}

// remember keeps the pw_entry of a login in place of the one it has; an empty one changes nothing.
func (p *passwords) remember(ctx context.Context, name string, entry secret.Text) error {
	e, given, err := p.parse(entry)
	if err != nil || !given {
		return err
	}
	return p.put(ctx, name, e)
}

// improve is remember, except that an entry which finds no password without a person takes away none that does.
func (p *passwords) improve(ctx context.Context, name string, entry secret.Text) error {
	e, given, err := p.parse(entry)
	if err != nil || !given || e.Password == "" && e.Command == "" && e.File == "" {
		return err
	}
	return p.put(ctx, name, e)
}

// parse reads a pw_entry of a stranger. What its type does not say is not kept.
func (p *passwords) parse(entry secret.Text) (e pwEntry, given bool, err error) {
	if entry.Empty() {
		return pwEntry{}, false, nil
	}
	if err := entry.Use(func(b []byte) error { return json.Unmarshal(b, &e) }); err != nil {
		return pwEntry{}, false, badRequest("pw_entry is not as expected")
	}
	if e.ExpiresAt == 0 && e.ExpiresAfter > 0 {
		e.ExpiresAt = number(p.now().Add(seconds(int64(e.ExpiresAfter))).Unix())
	}
	if e.Type&(pwMemory|pwKeyring) == 0 {
		e.Password = ""
	}
	// A command is run as the person. Where we can tell what comes through a forwarded socket, and refuse it, one that
	// is named here comes from the person's own programs; elsewhere it could come from the other end of an ssh.
	if e.Type&pwCommand == 0 || runtime.GOOS != "linux" {
		e.Command = ""
	}
	if e.Type&pwFile == 0 || !filepath.IsAbs(e.File) {
		e.File = "" // a relative path has no meaning in the agent's working directory
	}
	return e, true, nil
}

func (p *passwords) put(ctx context.Context, name string, e pwEntry) error {
	value, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("keep the password entry of %s: %w", name, err)
	}
	defer clear(value)
	err = p.eng().Update(ctx, func(tx store.WTx) error {
		if err := roomForEntry(tx, name); err != nil {
			return err
		}
		return tx.Put(passwordTable(), store.Record{Key: store.Key{name}, Value: value})
	})
	if err != nil {
		return fmt.Errorf("keep the password entry of %s: %w", name, err)
	}
	return nil
}

// roomForEntry bounds what clients can have remembered.
func roomForEntry(tx store.WTx, name string) error {
	n := 0
	for rec, err := range tx.Scan(passwordTable(), nil) {
		if err != nil {
			return err
		}
		clear(rec.Value)
		if rec.Key[0] != name {
			n++
		}
	}
	if n >= maxLoaded {
		return ErrTooMany
	}
	return nil
}

// keep remembers a password that a person has just typed again, for the time that the login's pw_entry stated. Without
// such an entry it is not kept.
func (p *passwords) keep(ctx context.Context, name string, password secret.Text) error {
	e, found, err := p.entry(ctx, name)
	if err != nil || !found || e.Type&pwMemory == 0 || e.ExpiresAfter <= 0 {
		return err
	}
	e.Password = password.Expose()
	e.ExpiresAt = number(p.now().Add(seconds(int64(e.ExpiresAfter))).Unix())
	return p.put(ctx, name, e)
}

func (p *passwords) entry(ctx context.Context, name string) (e pwEntry, found bool, err error) {
	err = p.eng().View(ctx, func(tx store.Tx) error {
		rec, err := tx.Get(passwordTable(), store.Key{name})
		if err != nil {
			return err
		}
		defer clear(rec.Value)
		return json.Unmarshal(rec.Value, &e)
	})
	if errors.Is(err, store.ErrNotFound) {
		return pwEntry{}, false, nil
	}
	if err != nil {
		return pwEntry{}, false, fmt.Errorf("read the password entry of %s: %w", name, err)
	}
	if e.ExpiresAt > 0 && remaining(time.Unix(int64(e.ExpiresAt), 0), p.now()) <= 0 {
		e.Password = ""
	}
	return e, true, nil
}

// forget drops the entry of a login.
func (p *passwords) forget(ctx context.Context, name string) error {
	err := p.eng().Update(ctx, func(tx store.WTx) error { return tx.Delete(passwordTable(), store.Key{name}) })
	if err != nil {
		return fmt.Errorf("forget the password entry of %s: %w", name, err)
	}
	return nil
}

// places are the ways to the password of a login that need no person, in the original's order.
func (p *passwords) places(ctx context.Context, name string) []func(context.Context) (secret.Text, error) {
	e, found, err := p.entry(ctx, name)
	if err != nil {
		return []func(context.Context) (secret.Text, error){
			func(context.Context) (secret.Text, error) { return secret.Text{}, err },
		}
	}
	var list []func(context.Context) (secret.Text, error)
	if !found {
		return nil
	}
	if e.Password != "" {
		list = append(list, func(context.Context) (secret.Text, error) { return secret.FromString(e.Password), nil })
	}
	if e.Command != "" {
		list = append(list, func(ctx context.Context) (secret.Text, error) { return p.run(ctx, e.Command) })
	}
	if e.File != "" {
		list = append(list, func(context.Context) (secret.Text, error) { return login.PasswordFile(e.File) })
	}
	return list
}

// run returns the first line that a command prints. No shell.
func (p *passwords) run(ctx context.Context, line string) (secret.Text, error) {
	ctx, cancel := context.WithTimeout(ctx, passwordWait)
	defer cancel()
	cred, err := keystore.PassphraseCmd(line, p.getenv, io.Discard)
	if err != nil {
		return secret.Text{}, err
	}
	defer cred.Forget()
	slot, err := cred.NewSlot(ctx)
	return slot.Passphrase, err
}

// unlock opens an account file with what is at hand for its login, and returns the plaintext and the password that
// fitted. The error wraps errNoPassword when there is none. The caller wipes both.
func (p *passwords) unlock(ctx context.Context, name string, f login.File) (plain, password secret.Text, err error) {
	faults := []error{errNoPassword}
	for _, get := range p.places(ctx, name) {
		pw, err := get(ctx)
		if err == nil {
			plain, err = f.Open(ctx, pw)
		}
		if err == nil {
			return plain, pw, nil
		}
		pw.Wipe()
		faults = append(faults, err)
	}
	return secret.Text{}, secret.Text{}, errors.Join(faults...)
}

// errNoPassword says that no password for an account file is at hand.
var errNoPassword = errors.New("no password for the account file is at hand")
