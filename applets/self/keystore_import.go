package self

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/oidcbox/oidcbox/core/agent/control"
	"github.com/oidcbox/oidcbox/core/agent/login"
	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/cli/term"
	"github.com/oidcbox/oidcbox/core/secret"
)

type keystoreImportCmd struct {
	At      keystoreAt    `embed:""`
	Key     keystoreKey   `embed:""`
	Pw      filePasswords `embed:""`
	Replace bool          `help:"Replace a login of the keystore that has the name of a file and is another one."`
	DryRun  bool          `help:"Open the files and say what would be done."`
	JSON    bool          `help:"Print JSON."`
	From    []string      `arg:"" optional:"" name:"dir-or-file" help:"Directories of oidc-agent, or single account files. Without one: yours."`
}

// What can become of a file, beside the outcomes of control.Importer.
const (
	statusLocked   = "wrong password"
	statusDamaged  = "damaged"
	statusFailed   = "failed"
	statusClient   = "client registration"
	statusNoTokens = "no refresh token"
)

// found is a file and what became of it: a row of the report.
type found struct {
	File   string `json:"file"`
	Name   string `json:"login"`
	Status string `json:"status"`
	Detail string `json:"detail,omitempty"`

	account login.File
	parked  bool // settled before it was opened
}

// good reports whether a row needs nobody's attention.
func (f found) good() bool {
	switch f.Status {
	case control.Imported, control.ImportSame, statusClient:
		return true
	}
	return false
}

// Run takes the logins of account files into the keystore. The files are only read.
func (c *keystoreImportCmd) Run(ctx context.Context, env *cli.Env) error {
	path, err := c.At.path(env)
	if err != nil {
		return err
	}
	rows, err := c.find(env)
	if err != nil {
		return err
	}
	if len(rows) == 0 {
		return cli.Fail(cli.NotFound, errors.New("there are no account files"), "name a directory or a file")
	}
	harden(env)
	keys, err := c.Pw.collect(ctx, env)
	if err != nil {
		return err
	}
	defer keys.wipe()
	sh, done, err := c.Key.shelf(ctx, env, path)
	if err != nil {
		return err
	}
	for i := range rows {
		if ctx.Err() != nil {
			return errors.Join(ctx.Err(), done())
		}
		if !rows[i].parked {
			keys.progress(env, i+1, len(rows), rows[i].Name)
			c.take(ctx, env, sh, keys, &rows[i])
		}
	}
	if err := done(); err != nil {
		return err
	}
	return c.report(env, rows)
}

// find lists the files that were named, or those of the person's directory.
func (c *keystoreImportCmd) find(env *cli.Env) ([]found, error) {
	from := c.From
	if len(from) == 0 {
		dir, there, err := login.DirectoryOf(env.Getenv, env.Dir).Find()
		if err != nil || !there {
			return nil, cli.Fail(cli.NotFound, errors.New("there is no directory of account files"), "name one, or single files")
		}
		from = []string{dir}
	}
	var rows []found
	for _, f := range from {
		path := absolute(env, f)
		fi, err := os.Stat(path)
		if err != nil {
			return nil, cli.Fail(cli.NotFound, fmt.Errorf("import: %w", err), "")
		}
		if !fi.IsDir() {
			rows = append(rows, look(filepath.Dir(path), filepath.Base(path)))
			continue
		}
		entries, err := os.ReadDir(path)
		if err != nil {
			return nil, fmt.Errorf("import: %w", err)
		}
		for _, e := range entries {
			if mayBeAccount(path, e) {
				rows = append(rows, look(path, e.Name()))
			}
		}
	}
	return rows, nil
}

// mayBeAccount leaves out what the original keeps beside accounts.
func mayBeAccount(dir string, e fs.DirEntry) bool {
	fi, err := os.Stat(filepath.Join(dir, e.Name())) // a link to a file is one
	if err != nil || !fi.Mode().IsRegular() {
		return false
	}
	return login.CheckName(e.Name()) == nil || login.IsClientFile(e.Name())
}

// look takes a file apart without opening it.
func look(dir, name string) found {
	row := found{File: filepath.Join(dir, name), Name: name}
	if login.IsClientFile(name) {
		row.Status, row.parked = statusClient, true
		row.Detail = "of a version before 4; it is no login and stays where it is"
		return row
	}
	f, err := login.ReadAccount(dir, name)
	if err != nil {
		row.Status, row.Detail, row.parked = statusDamaged, cmp.Or(unwrapped(err), err.Error()), true
	}
	row.account = f
	return row
}

// unwrapped is what an error says behind the name of the account, which the row says already.
func unwrapped(err error) string {
	if inner := errors.Unwrap(err); inner != nil {
		return inner.Error()
	}
	return ""
}

// take opens one file and hands the login over.
func (c *keystoreImportCmd) take(ctx context.Context, env *cli.Env, sh shelf, keys *openers, row *found) {
	plain, err := keys.open(ctx, env, row.Name, row.account)
	if err != nil {
		row.Status, row.Detail = statusLocked, err.Error()
		if !errors.Is(err, login.ErrWrongPassword) {
			row.Status = statusFailed
		}
		return
	}
	defer plain.Wipe()
	config, problem := named(row.Name, plain)
	if problem != "" {
		row.Status, row.Detail = statusDamaged, problem
		return
	}
	defer config.Wipe()
	row.Status, err = sh.ImportLogin(ctx, config, control.ImportOptions{Replace: c.Replace, DryRun: c.DryRun})
	switch {
	case err != nil:
		row.Status, row.Detail = statusFailed, err.Error()
	case row.Status == control.ImportConflict:
		row.Detail = "the keystore has another login of this name; --replace takes the one of the file"
	}
}

// named is the configuration in a file under the name of the file, which is what the original goes by.
func named(name string, plain secret.Text) (config secret.Text, problem string) {
	var cfg login.Config
	err := plain.Use(func(b []byte) (err error) { cfg, err = login.ParseConfig(b); return err })
	if err != nil {
		return secret.Text{}, err.Error()
	}
	defer cfg.Wipe()
	if cfg.RefreshToken.Empty() {
		return secret.Text{}, statusNoTokens
	}
	cfg.Name = name
	b, err := cfg.Encode()
	if err != nil {
		return secret.Text{}, err.Error()
	}
	return secret.New(b), ""
}

func (c *keystoreImportCmd) report(env *cli.Env, rows []found) error {
	bad := 0
	for i, r := range rows {
		if !r.good() {
			bad++
		}
		if c.DryRun && r.Status == control.Imported {
			rows[i].Status = "would be imported"
		}
	}
	if err := printRows(env, rows, c.JSON); err != nil {
		return err
	}
	if bad > 0 {
		return cli.Failf(cli.No, "%d of %d files need a look; nothing was changed in any file", bad, len(rows))
	}
	return nil
}

// printRows prints a report, a line per file.
func printRows(env *cli.Env, rows []found, asJSON bool) error {
	if asJSON {
		return printJSON(env.Stdout, rows)
	}
	width := 0
	for _, r := range rows {
		width = max(width, len(cli.Printable(r.Name)))
	}
	for _, r := range rows {
		line := fmt.Sprintf("%-*s  %s", width, cli.Printable(r.Name), r.Status)
		if r.Detail != "" {
			line += ": " + r.Detail
		}
		if _, err := fmt.Fprintln(env.Stdout, strings.ReplaceAll(cli.Printable(line), "\n", " ")); err != nil {
			return fmt.Errorf("print the report: %w", err)
		}
	}
	return nil
}

// filePasswords say where the password of account files comes from.
type filePasswords struct {
	PwFile string `placeholder:"FILE" help:"Password of the account files: first line of this file."`
	PwCmd  string `placeholder:"COMMAND" help:"Password of the account files: first line this prints; no shell."`
	PwEnv  string `placeholder:"VAR" help:"Password of the account files: in this environment variable."`
}

// maxAsked bounds the passwords that a person is asked for in one run.
const maxAsked = 5

// openers are the passwords that files are tried with. A person has one for all files, as a rule, or a few.
type openers struct {
	list   []secret.Text
	asked  int
	silent bool // there is nobody to ask, or the person has had enough
}

// collect takes the passwords that were named.
func (p filePasswords) collect(ctx context.Context, env *cli.Env) (*openers, error) {
	o := &openers{}
	if p.PwEnv != "" {
		o.list = append(o.list, secret.FromString(env.Getenv(p.PwEnv)))
	}
	var faults []error
	add := func(pw secret.Text, err error) { o.list, faults = append(o.list, pw), append(faults, err) }
	if p.PwCmd != "" {
		add(firstLineOf(ctx, env, p.PwCmd))
	}
	if p.PwFile != "" {
		add(login.PasswordFile(absolute(env, p.PwFile)))
	}
	if err := errors.Join(faults...); err != nil {
		o.wipe()
		return nil, cli.Fail(cli.NotFound, fmt.Errorf("password of the account files: %w", err), "")
	}
	o.list = slices.DeleteFunc(o.list, secret.Text.Empty)
	return o, nil
}

func (o *openers) wipe() {
	for _, pw := range o.list {
		pw.Wipe()
	}
}

// progress tells a person at a terminal where we are: opening a file takes a moment each.
func (o *openers) progress(env *cli.Env, n, of int, name string) {
	if of > 3 && cli.IsTerminal(env.Stderr) {
		env.Note("%d of %d: %s", n, of, name)
	}
}

// open tries what there is, and asks for another password when none fits.
func (o *openers) open(ctx context.Context, env *cli.Env, name string, f login.File) (secret.Text, error) {
	if f.Format == login.PGP {
		gpg, err := login.FindGPG(env.Getenv)
		if err != nil {
			return secret.Text{}, err
		}
		return gpg.Decrypt(ctx, f.Armour())
	}
	for i, pw := range o.list {
		plain, err := f.Open(ctx, pw)
		if err == nil {
			o.list[0], o.list[i] = o.list[i], o.list[0] // the next file probably has the same
		}
		if !errors.Is(err, login.ErrWrongPassword) {
			return plain, err
		}
	}
	for !o.silent && o.asked < maxAsked {
		o.asked++
		pw, err := term.Password(env, fmt.Sprintf("password of account file %s (empty to leave out): ", name))
		if err != nil || pw.Empty() {
			o.silent = err != nil
			break
		}
		o.list = slices.Insert(o.list, 0, pw)
		plain, err := f.Open(ctx, pw)
		if !errors.Is(err, login.ErrWrongPassword) {
			return plain, err
		}
		env.Note("wrong password")
	}
	return secret.Text{}, login.ErrWrongPassword
}
