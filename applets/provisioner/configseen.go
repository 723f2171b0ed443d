package provisioner

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/config"
	"github.com/oidcbox/oidcbox/core/oidc/provider"
	"github.com/oidcbox/oidcbox/core/transport/httpc"
)

// askWait bounds how long all issuers together are waited for.
const askWait = 10 * time.Second

// ask asks each issuer what it is called. One that calls itself something else (a slash is enough) is a fault, since no token
// of it would ever count; one that does not answer is told.
func (s *settings) ask(ctx context.Context, env *cli.Env) (notes []config.Fault, err error) {
	hc, err := httpc.New(httpc.Options{CAFile: s.caFile, Getenv: env.Getenv})
	if err != nil {
		return nil, nil //nolint:nilerr // the reader has said so
	}
	defer hc.CloseIdle()
	ctx, cancel := context.WithTimeout(ctx, askWait)
	defer cancel()
	said := make([]error, len(s.issuers))
	var wait sync.WaitGroup
	for i := range s.issuers {
		wait.Go(func() { _, said[i] = provider.Discover(ctx, hc, s.issuers[i].URL) })
	}
	wait.Wait()
	var faults config.Faults
	for i, err := range said {
		f := config.Fault{File: s.file, Line: s.issuers[i].at.Line(), Key: s.issuers[i].at.Key()}
		var other *provider.IssuerError
		switch {
		case errors.As(err, &other):
			f.Text = fmt.Sprintf("calls itself %q: write it like that, byte for byte", other.Got)
			faults = append(faults, f)
		case err != nil:
			f.Text = "could not be asked just now: " + err.Error()
			notes = append(notes, f)
		}
	}
	if faults != nil {
		return notes, faults
	}
	return notes, nil
}

// absent says what the server will not find on this host, as far as we may look.
func (s *settings) absent() (notes []config.Fault) {
	for _, f := range []struct{ key, file string }{{"state.file", s.state.File}, {"state.key_file", s.state.KeyFile}} {
		if gone(f.file) {
			notes = append(notes, config.Fault{File: s.file, Key: f.key, Text: f.file + " is not there: oidcbox provisioner setup --state-only makes it"})
		}
	}
	return notes
}

// absent says whom and what the worker will not find on this host.
func (s *workerSettings) absent(ctx context.Context) (notes []config.Fault) {
	ctx, cancel := context.WithTimeout(ctx, askWait)
	defer cancel()
	for _, name := range s.users {
		if _, err := userOf(ctx, name); errors.Is(err, errNobody) {
			notes = append(notes, config.Fault{File: s.file, Key: "users", Text: name + " is no user of this host: the worker will not start"})
		}
	}
	for _, tier := range slices.Sorted(maps.Keys(s.unix.shells)) {
		if shell := s.unix.shells[tier]; gone(shell) {
			notes = append(notes, config.Fault{File: s.file, Key: "local_unix.shells." + string(tier), Text: shell + " is not there"})
		}
	}
	return notes
}

func gone(file string) bool {
	if file == "" {
		return false
	}
	_, err := os.Stat(file)
	return errors.Is(err, fs.ErrNotExist)
}
