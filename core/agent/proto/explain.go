package proto

import (
	"context"
	"errors"
	"fmt"

	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/transport/sock"
)

// Explain gives an error of Client.Call, or what an agent refused with, its exit code and a hint for the person. Under
// an upstream name the words that other programs look for come first.
func Explain(err error, upstream bool) error {
	var refused *AgentError
	switch {
	case errors.As(err, &refused):
		return cli.Fail(refused.Reason().ExitCode(), err, refused.Help)
	case errors.Is(err, ErrNoAgent):
		if upstream {
			err = fmt.Errorf("%s: %w", TextCannotConnect, err)
		}
		return cli.Fail(cli.NotFound, err, "start one with: eval $(oidc-agent)")
	case errors.Is(err, sock.ErrForeign):
		return cli.Fail(cli.Denied, err, "point OIDC_SOCK to an agent of your own")
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, ErrNoAnswer):
		return cli.Fail(cli.Temporary, err, "")
	}
	return err
}
