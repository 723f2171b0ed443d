package provisioner

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"

	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/config"
)

//go:embed example.yaml
var exampleServe string

//go:embed worker.yaml
var exampleWorker string

//go:embed relay.yaml
var exampleRelay string

// The configurations there are.
const (
	ofServe  = "serve"
	ofWorker = "worker"
	ofRelay  = "relay"
)

type configCmd struct {
	Example configExampleCmd `cmd:"" help:"Print a complete configuration with comments."`
	Check   configCheckCmd   `cmd:"" help:"Look whether a configuration could be used, and say all that is wrong with it."`
}

type configExampleCmd struct {
	Of string `arg:"" default:"serve" enum:"serve,worker,relay" help:"Whose: serve, worker or relay (${default})."`
}

// Run prints an example.
func (c *configExampleCmd) Run(_ context.Context, env *cli.Env) error {
	text := map[string]string{ofServe: exampleServe, ofWorker: exampleWorker, ofRelay: exampleRelay}[c.Of]
	if _, err := io.WriteString(env.Stdout, text); err != nil {
		return fmt.Errorf("write to standard output: %w", err)
	}
	return nil
}

type configCheckCmd struct {
	Of   string `default:"serve" enum:"serve,worker,relay" help:"Whose configuration it is: serve, worker or relay (${default})."`
	File string `arg:"" optional:"" help:"The configuration; without it the usual place."`
	JSON bool   `name:"json" help:"Print what was found as JSON."`
	// Offline is for hosts that are not to ask anybody yet.
	Offline bool `help:"Do not ask the issuers whether they are called so."`
}

// checkedConfig is what config check prints.
type checkedConfig struct {
	File   string         `json:"file"`
	Usable bool           `json:"usable"`
	Faults []config.Fault `json:"faults"`
	Notes  []config.Fault `json:"notes"`
}

// defaultFile is where a configuration is unless somebody says otherwise.
func defaultFile(of string) string {
	switch of {
	case ofWorker:
		return "/etc/oidcbox/worker.yaml"
	case ofRelay:
		return "/etc/oidcbox/relay.yaml"
	}
	return "/etc/oidcbox/provisioner.yaml"
}

// Run reads a configuration and says what there is to say about it.
func (c *configCheckCmd) Run(ctx context.Context, env *cli.Env) error {
	if c.File == "" {
		c.File = defaultFile(c.Of)
	}
	file := within(env, c.File)
	notes, err := c.look(ctx, env, file)
	faults := faultsOf(err)
	if err != nil && faults == nil {
		return configError(c.Of, err)
	}
	if c.JSON {
		got := checkedConfig{File: file, Usable: err == nil, Faults: faults, Notes: notes}
		if err := printJSON(env.Stdout, got); err != nil {
			return err
		}
		if faults != nil {
			return cli.Exit(cli.No)
		}
		return nil
	}
	for _, n := range notes {
		env.Note("%s", n)
	}
	if err != nil {
		return configError(c.Of, err)
	}
	env.Note("%s can be used", file)
	return nil
}

// look reads a configuration and holds it against this host and, unless told otherwise, against the issuers.
func (c *configCheckCmd) look(ctx context.Context, env *cli.Env, file string) ([]config.Fault, error) {
	notes, err := notesOf(c.Of, file)
	if err != nil {
		return notes, err
	}
	switch c.Of {
	case ofWorker:
		s, err := readWorkerSettings(file)
		if err != nil {
			return nil, err
		}
		return append(notes, s.absent(ctx)...), nil
	case ofRelay:
		return notes, nil
	}
	s, err := readSettings(file)
	if err != nil {
		return nil, err
	}
	notes = append(notes, s.absent()...)
	if c.Offline {
		return notes, nil
	}
	more, err := s.ask(ctx, env)
	return append(notes, more...), err
}

// notesOf reads a configuration and says what works and may surprise.
func notesOf(of, file string) ([]config.Fault, error) {
	switch of {
	case ofWorker:
		s, err := readWorkerSettings(file)
		if err != nil {
			return nil, err
		}
		return s.notes, nil
	case ofRelay:
		s, err := readRelaySettings(file)
		if err != nil {
			return nil, err
		}
		return s.notes, nil
	}
	s, err := readSettings(file)
	if err != nil {
		return nil, err
	}
	return append(s.notes, s.besides(filepath.Join(filepath.Dir(file), workerFile))...), nil
}

// besides says where the configuration of the worker means something else, as far as that can be read.
func (s *settings) besides(file string) (notes []config.Fault) {
	w, err := readWorkerSettings(file)
	if err != nil {
		return nil
	}
	note := func(key, format string, args ...any) {
		notes = append(notes, config.Fault{File: s.file, Key: key, Text: fmt.Sprintf(format, args...)})
	}
	if w.backend != s.backend {
		note("backend", "is %s, and %s in %s", s.backend, w.backend, file)
	}
	if w.socket != s.worker.socket {
		note("worker", "is %s, and the socket in %s is %s", s.worker.socket, file, w.socket)
	}
	l := s.rules.Limits
	if l.MinUID < w.limits.MinUID || l.MaxUID > w.limits.MaxUID || l.MinGID < w.limits.MinGID || l.MaxGID > w.limits.MaxGID {
		note("accounts", "allow more numbers than %s does: those in between are refused there", file)
	}
	for _, group := range append([]string{s.rules.Primary, s.rules.Fallback}, s.rules.Additional...) {
		if group != "" && !slices.Contains(w.groups.Given, group) {
			note("groups", "%s is not in groups.given of %s: the worker gives it only if it makes it itself", group, file)
		}
	}
	return notes
}

// read reads the configuration that a command was told of.
func (c *configFlag) read(env *cli.Env) (*settings, error) {
	s, err := readSettings(within(env, c.Config))
	if err != nil {
		return nil, configError(ofServe, err)
	}
	return s, nil
}

// configError says what is wrong with a configuration: 3 when there is none, 4 when we may not read it, 1 when it has faults.
func configError(of string, err error) error {
	switch {
	case faultsOf(err) != nil:
	case errors.Is(err, fs.ErrPermission):
		return cli.Fail(cli.Denied, err, "run it as root, or as the user of the daemon")
	case of == ofRelay:
		return cli.Fail(cli.NotFound, err, "oidcbox provisioner config example relay prints one to start from; --config names another file")
	default:
		return cli.Fail(cli.NotFound, err, "oidcbox provisioner setup writes one; --config names another file")
	}
	return cli.Fail(cli.No, err, "oidcbox provisioner config example "+of+" prints every key and what it means")
}

// within resolves a path against the working directory.
func within(env *cli.Env, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(env.Dir, path)
}

func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("write to standard output: %w", err)
	}
	return nil
}

// faultsOf returns the single faults in err, nil when it is none of a configuration.
func faultsOf(err error) config.Faults {
	var faults config.Faults
	if errors.As(err, &faults) {
		return faults
	}
	return nil
}
