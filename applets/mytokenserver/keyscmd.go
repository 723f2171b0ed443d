package mytokenserver

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/mytoken/mint"
)

type keysCmd struct {
	List   keysListCmd   `cmd:"" help:"List the signing keys; the first one signs."`
	Rotate keysRotateCmd `cmd:"" help:"Make a new signing key. A running server takes it with its next reload."`
}

type keysListCmd struct {
	configFlag
	JSON bool `name:"json" help:"Print the keys as JSON."`
}

// keyView is what keys list --json prints of a key.
type keyView struct {
	ID      string    `json:"kid"`
	Alg     string    `json:"alg"`
	Created time.Time `json:"created"`
	File    string    `json:"file"`
	Signs   bool      `json:"signs"`
}

// Run lists what is in the directory, whether or not a server has taken it yet.
func (c *keysListCmd) Run(_ context.Context, env *cli.Env) error {
	s, err := c.read(env)
	if err != nil {
		return err
	}
	keys, err := loadKeys(s.keys.dir)
	if err != nil {
		return keysError(err)
	}
	views := make([]keyView, len(keys))
	for i, k := range keys {
		views[i] = keyView{k.ID(), string(k.Alg()), k.created, k.file, i == 0}
	}
	if c.JSON {
		return printJSON(env.Stdout, views)
	}
	for _, v := range views {
		does := "checks"
		if v.Signs {
			does = "signs"
		}
		_, err := fmt.Fprintf(env.Stdout, "%s  %s  %s  %s\n", v.ID, v.Alg, v.Created.Format(time.RFC3339), does)
		if err != nil {
			return fmt.Errorf("write to standard output: %w", err)
		}
	}
	return nil
}

type keysRotateCmd struct {
	configFlag
}

// Run adds a key. The mytokens that the old ones have signed go on: each is known by its hash, and the old keys stay.
func (c *keysRotateCmd) Run(_ context.Context, env *cli.Env) error {
	s, err := c.read(env)
	if err != nil {
		return err
	}
	key, err := makeKey(s.keys.dir, s.keys.alg, env.Now())
	if err != nil {
		return keysError(err)
	}
	if warning := mintWarning(s.issuer, key); warning != "" {
		env.Warn("%s", warning)
	}
	if _, err := fmt.Fprintf(env.Stdout, "%s\n", key.file); err != nil {
		return fmt.Errorf("write to standard output: %w", err)
	}
	env.Note("signs from the next reload on: systemctl reload oidcbox-mytoken-server, or SIGHUP; the old keys go on checking")
	return nil
}

func mintWarning(issuer string, key signingKey) string {
	m, err := mint.New(issuer, key.PrivateKey)
	if err != nil {
		return ""
	}
	w, err := m.Warning()
	if err != nil {
		return ""
	}
	return w
}

func keysError(err error) error {
	return cli.Fail(cli.NotFound, err, "the directory (keys.dir) has to be ours with mode 0700 and its files 0600; "+
		"mytoken-server keys rotate makes a key")
}

func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("write to standard output: %w", err)
	}
	return nil
}
