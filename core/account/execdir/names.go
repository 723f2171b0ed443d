package execdir

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/oidcbox/oidcbox/core/account/command"
	"github.com/oidcbox/oidcbox/core/account/names"
)

const (
	// DefaultNamesTimeout bounds one run of the program that proposes names.
	DefaultNamesTimeout = 5 * time.Second

	maxNames   = 16 << 10
	maxPropose = 64
)

// NamesOptions are what NewNames needs.
type NamesOptions struct {
	Command []string // absolute path and first arguments
	Timeout time.Duration
}

// Names is a program that proposes names: it gets one JSON object with the claims (Info) on standard input, and prints one
// name a line, the best one first. Nothing printed is no name, and any exit code but 0 is trouble that may pass.
type Names struct{ opt NamesOptions }

var _ names.External = (*Names)(nil)

// NewNames returns the source. The error is ErrOptions.
func NewNames(o NamesOptions) (*Names, error) {
	if len(o.Command) == 0 || !filepath.IsAbs(o.Command[0]) {
		return nil, fmt.Errorf("%w: the program needs an absolute path", ErrOptions)
	}
	if o.Timeout <= 0 {
		o.Timeout = DefaultNamesTimeout
	}
	return &Names{opt: o}, nil
}

// Names implements names.External. Lines that are no name are left out.
func (n *Names) Names(ctx context.Context, sub, iss string, p names.Person) ([]string, error) {
	in, err := json.Marshal(Info{
		Sub: sub, Iss: iss, PreferredUsername: printable(p.PreferredUsername), GivenName: printable(p.Given),
		FamilyName: printable(p.Family), Name: printable(p.Name), Email: printable(p.Email),
	})
	if err != nil {
		return nil, fmt.Errorf("ask the program for names: %w", err)
	}
	cmd := command.Command{Path: n.opt.Command[0], Args: n.opt.Command[1:], Timeout: n.opt.Timeout}
	out, err := command.Talk(ctx, cmd, append(in, '\n'), maxNames)
	if err != nil {
		return nil, fmt.Errorf("ask the program for names: %w", err)
	}
	var list []string
	for line := range strings.Lines(string(out)) {
		if name := strings.TrimSpace(line); names.Check(name) == nil && len(list) < maxPropose {
			list = append(list, name)
		}
	}
	return list, nil
}
