package mytokenserver

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/cli/setup"
	"github.com/oidcbox/oidcbox/core/daemon/keep"
	"github.com/oidcbox/oidcbox/core/secret/keystore"
	"github.com/oidcbox/oidcbox/store/clone"
	"github.com/oidcbox/oidcbox/store/pgstore"
)

// copyCmd moves the state of a server between engines. It needs no key: what is sealed stays so.
type copyCmd struct {
	From       string `required:"" placeholder:"STATE" help:"bbolt:FILE or postgres:URL-FILE[#SCHEMA]."`
	To         string `required:"" placeholder:"STATE" help:"The same; it has to be empty."`
	AllowPlain bool   `help:"Let a database on another machine be reached without TLS."`
	JSON       bool   `name:"json" help:"Print what was copied as JSON."`
}

// copied is what copy --json prints.
type copied struct {
	Tables  int    `json:"tables"`
	Records int64  `json:"records"`
	Bytes   int64  `json:"bytes"`
	Digest  string `json:"sha256"`
}

// Run copies, and compares both ends record by record.
func (c *copyCmd) Run(ctx context.Context, env *cli.Env) error {
	from, err := c.open(ctx, env, c.From, true)
	if err != nil {
		return err
	}
	to, err := c.open(ctx, env, c.To, false)
	if err != nil {
		return errors.Join(err, from.Close())
	}
	r, err := clone.Run(ctx, from, to, clone.Options{Mark: keystore.CopyMark()})
	err = errors.Join(err, from.Close(), to.Close())
	switch {
	case errors.Is(err, clone.ErrNotEmpty):
		return cli.Fail(cli.No, err, "nothing was changed; take an empty schema, or a file that is not there")
	case err != nil:
		return cli.Fail(cli.No, fmt.Errorf("copy: %w", err), "the source is as it was; the same command begins anew")
	}
	done := copied{Tables: r.Tables, Records: r.Records, Bytes: r.Bytes, Digest: fmt.Sprintf("%x", r.Digest)}
	if c.JSON {
		return printJSON(env.Stdout, done)
	}
	env.Note("%d records in %d tables, %d bytes, compared; sha256 %s", done.Records, done.Tables, done.Bytes, done.Digest)
	env.Note("the key of the state opens both: put the new place into state of the configuration, and never start a server on " +
		"the old one again")
	return nil
}

// open opens one end.
func (c *copyCmd) open(ctx context.Context, env *cli.Env, spec string, mustExist bool) (clone.Engine, error) {
	kind, where, _ := strings.Cut(spec, ":")
	p := keep.Place{}
	switch {
	case where == "":
		return nil, badSpec(spec)
	case kind == "bbolt":
		p.File = within(env, where)
		if !mustExist {
			if err := setup.MakePrivateDir(filepath.Dir(p.File)); err != nil {
				return nil, cli.Fail(cli.No, fmt.Errorf("copy: %w", err), "")
			}
		}
	case kind == "postgres":
		file, schema, _ := strings.Cut(where, "#")
		if schema == "" {
			schema = pgstore.DefaultSchema
		}
		p.Database = keep.Database{URLFile: within(env, file), Schema: schema, Plain: c.AllowPlain}
	default:
		return nil, badSpec(spec)
	}
	eng, err := openEngine(ctx, env, p, mustExist)
	if err != nil {
		return nil, engineError(err)
	}
	whole, ok := eng.(clone.Engine)
	if !ok {
		return nil, errors.Join(badSpec(spec), eng.Close())
	}
	return whole, nil
}

func badSpec(spec string) error {
	return cli.Fail(cli.Usage, fmt.Errorf("%q is no state", spec), "bbolt:FILE, or postgres:FILE with the URL of the database")
}
