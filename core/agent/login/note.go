package login

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
)

// NoteAccount adds a short name to the entry of its issuer in the issuer.config of dir, the person's, and takes it from
// the entries of others. The file is written in version 5's format, whole or not at all, mode 0600, and only when
// something changes; members that nobody here knows are kept, and the old format is read. The directory must exist.
func NoteAccount(dir, issuer, name string) error {
	if err := CheckName(name); err != nil {
		return err
	}
	if !plausible(issuer) {
		return fmt.Errorf("%w: the address of the issuer makes no sense", ErrIssuers)
	}
	return changeNotes(dir, func(n *notes) error {
		at := n.entry(issuer)
		if err := n.drop(name, at); err != nil {
			return err
		}
		return n.rows[at].addAccount(name)
	})
}

// ForgetAccount takes a short name from the issuer.config of dir. It is no error when it is not there.
func ForgetAccount(dir, name string) error {
	return changeNotes(dir, func(n *notes) error { return n.drop(name, -1) })
}

// RenameAccount puts a new short name where the old one was in the issuer.config of dir.
func RenameAccount(dir, from, to string) error {
	if err := CheckName(to); err != nil {
		return err
	}
	return changeNotes(dir, func(n *notes) error { return n.rename(from, to) })
}

// SetDefault makes an account the one that answers requests by issuer.
func SetDefault(dir, issuer, name string) error {
	if err := NoteAccount(dir, issuer, name); err != nil {
		return err
	}
	return changeNotes(dir, func(n *notes) error { return n.rows[n.entry(issuer)].set(memberDefault, name) })
}

const (
	memberAccounts = "accounts"
	memberDefault  = "default_account"
)

// notes is a person's issuer.config, to be changed.
type notes struct{ rows []*noteRow }

// noteRow is one issuer, with its members in their order.
type noteRow struct {
	issuer  string
	members []member
}

// changeNotes reads, changes and writes the file while no other process of ours does.
func changeNotes(dir string, change func(*notes) error) error {
	unlock := lockDir(dir)
	defer unlock()
	fail := func(err error) error {
		return fmt.Errorf("note accounts in %s: %w", filepath.Join(dir, issuerFile), err)
	}
	before, err := readPlain(filepath.Join(dir, issuerFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fail(err)
	}
	n, err := readNotes(before)
	if err != nil {
		return fail(err)
	}
	was, err := n.encode()
	if err != nil {
		return fail(err)
	}
	if err := change(n); err != nil {
		return fail(err)
	}
	now, err := n.encode()
	if err != nil {
		return fail(err)
	}
	if bytes.Equal(was, now) {
		return nil
	}
	if err := replaceFile(dir, issuerFile, now); err != nil {
		return fail(err)
	}
	return nil
}

// readNotes refuses a file with anything it does not understand: writing it back would lose that.
func readNotes(b []byte) (*notes, error) {
	entries, err := parseIssuers(b, false)
	if err != nil {
		return nil, fmt.Errorf("%w: %w; put it right, or remove it", ErrIssuers, err)
	}
	n := &notes{}
	for _, e := range entries {
		members, err := readObject(e.members)
		if err != nil {
			return nil, err
		}
		n.rows = append(n.rows, &noteRow{issuer: e.issuer, members: members})
	}
	return n, nil
}

func (n *notes) encode() ([]byte, error) {
	list := make([]json.RawMessage, 0, len(n.rows))
	for _, r := range n.rows {
		list = append(list, writeObject(r.members))
	}
	flat, err := marshal(list)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	if err := json.Indent(&out, flat, "", "  "); err != nil {
		return nil, err
	}
	out.WriteByte('\n')
	return out.Bytes(), nil
}

// entry is the index of the row of an issuer, which is made where there is none.
func (n *notes) entry(issuer string) int {
	i := slices.IndexFunc(n.rows, func(r *noteRow) bool { return SameIssuer(r.issuer, issuer) })
	if i >= 0 {
		return i
	}
	r := &noteRow{issuer: issuer}
	_ = r.set("issuer", issuer) // a string can be encoded
	n.rows = append(n.rows, r)
	return len(n.rows) - 1
}

// drop takes an account from every row but one.
func (n *notes) drop(name string, except int) error {
	for i, r := range n.rows {
		if i == except {
			continue
		}
		err := r.eachAccount(func(a string) (string, bool) { return a, a != name })
		if err != nil {
			return err
		}
	}
	return nil
}

func (n *notes) rename(from, to string) error {
	for _, r := range n.rows {
		err := r.eachAccount(func(a string) (string, bool) {
			switch a {
			case from:
				return to, true
			case to: // it is replaced
				return "", false
			}
			return a, true
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// eachAccount passes every account through f, the default among them. Nothing is written where nothing changes.
func (r *noteRow) eachAccount(f func(name string) (string, bool)) error {
	accounts, err := r.accounts()
	if err != nil {
		return err
	}
	var out []string
	for _, a := range accounts {
		if b, keep := f(a); keep && !slices.Contains(out, b) {
			out = append(out, b)
		}
	}
	if !slices.Equal(out, accounts) {
		if err := r.set(memberAccounts, append([]string{}, out...)); err != nil {
			return err
		}
	}
	def, err := r.text(memberDefault)
	if err != nil || def == "" {
		return err
	}
	switch to, keep := f(def); {
	case !keep:
		r.members = slices.DeleteFunc(r.members, func(m member) bool { return m.name == memberDefault })
	case to != def:
		return r.set(memberDefault, to)
	}
	return nil
}

func (r *noteRow) addAccount(name string) error {
	accounts, err := r.accounts()
	if err != nil || slices.Contains(accounts, name) {
		return err
	}
	return r.set(memberAccounts, append(accounts, name))
}

func (r *noteRow) member(name string) json.RawMessage {
	for _, m := range r.members {
		if m.name == name {
			return m.value
		}
	}
	return json.RawMessage("null")
}

func (r *noteRow) accounts() ([]string, error) { return texts(r.member(memberAccounts)) }

func (r *noteRow) text(name string) (string, error) {
	s, err := text(r.member(name))
	return strings.TrimSpace(s), err
}

func (r *noteRow) set(name string, v any) error {
	b, err := marshal(v)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(r.members, func(m member) bool { return m.name == name })
	if i < 0 {
		r.members = append(r.members, member{name, b})
		return nil
	}
	r.members[i].value = b
	return nil
}
