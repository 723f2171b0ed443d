package provisioner

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"

	"github.com/oidcbox/oidcbox/core/account/feudal"
	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/transport/httpd"
)

// feudalPath takes a request in the form of the feudal adapter.
const feudalPath = "/v1/feudal"

// noConfig is the adapter's exit code where it finds no configuration.
const noConfig = 4

// FeudalCmd is the grammar of "feudal-adapter": it hands a request on standard input to a server that runs, and prints its
// answer.
type FeudalCmd struct {
	configFlag
	Test bool `help:"Send a test notification to the administrators."`
}

// NewFeudal returns the role.
func NewFeudal() cli.Command { return &FeudalCmd{} }

// Run asks the server. A rejection and a failure are answers as well: they are printed, and the exit code is 0, as programs
// expect that read the answer.
func (c *FeudalCmd) Run(ctx context.Context, env *cli.Env) error {
	// An officer's command does without a configuration; the adapter is expected to say that there is none.
	if _, err := os.Stat(within(env, c.Config)); errors.Is(err, fs.ErrNotExist) {
		code := cli.NotFound
		if env.Command == "feudal-adapter" {
			code = noConfig
		}
		return cli.Fail(code, err, "oidcbox provisioner setup writes one; --config names another file")
	}
	o, err := c.openOffice(env)
	if err != nil {
		return err
	}
	body := []byte(`{"state_target":"test"}`)
	if !c.Test {
		if body, err = io.ReadAll(io.LimitReader(env.Stdin, feudal.MaxForm+1)); err != nil {
			return fmt.Errorf("read the request: %w", err)
		}
		if len(body) > feudal.MaxForm || !json.Valid(body) {
			return cli.Fail(cli.No, feudal.ErrForm, "standard input has to be one JSON object with state_target and user")
		}
	}
	var answer json.RawMessage
	if err := o.ask(ctx, http.MethodPost, feudalPath, json.RawMessage(body), &answer); err != nil {
		return err
	}
	_, err = fmt.Fprintln(env.Stdout, string(answer))
	return err
}

// feudal answers a request in the adapter's form.
func (d *server) feudal(r *http.Request, g *generation, b []byte) (any, error) {
	o := feudal.Options{Claims: g.claims, By: by(r, "", ""), Trusted: func(iss string) bool { return g.users[iss] != nil }}
	if g.office != nil {
		o.Test = g.office.Test
	}
	answer, err := feudal.Answer(r.Context(), g.desk, b, o)
	if err != nil {
		return nil, httpd.Refuse(http.StatusBadRequest, codeRefused, err.Error())
	}
	return answer, nil
}
