package mytokenserver

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/config"
	"github.com/oidcbox/oidcbox/core/daemon"
	"github.com/oidcbox/oidcbox/core/mytoken/sshapi"
)

type checkCmd struct {
	configFlag
	JSON    bool `name:"json" help:"Print what was found as JSON."`
	Offline bool `help:"Ask nobody: look at the configuration, keys and state only."`
}

// checkWait bounds everything that asks somebody.
const checkWait = 30 * time.Second

// verdict is how one thing is.
type verdict string

const (
	good  verdict = "ok"
	warn  verdict = "warning"
	fault verdict = "fault"
)

// finding is one thing that was looked at.
type finding struct {
	Area    string  `json:"area"` // configuration, keys, state, provider, ...
	Name    string  `json:"name,omitempty"`
	Verdict verdict `json:"verdict"`
	Text    string  `json:"text"`
	Hint    string  `json:"hint,omitempty"`
}

// report collects what was found, in the order in which it was asked for.
type report struct {
	mu   sync.Mutex
	list []finding
}

func (r *report) add(f finding) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f.Text = daemon.OneLine(f.Text)
	r.list = append(r.list, f)
}

// checked is what check --json prints.
type checked struct {
	Usable   bool           `json:"usable"` // serve would start
	Findings []finding      `json:"findings,omitempty"`
	Faults   []config.Fault `json:"faults,omitempty"` // of the configuration
}

// Run exits with 0 when serve would start and everything can be reached, 1 with a fault, 3 when there is no configuration.
// A provider that is down is a warning: the server starts without it.
func (c *checkCmd) Run(ctx context.Context, env *cli.Env) error {
	s, err := readSettings(within(env, c.Config))
	if err != nil {
		if faults := faultsOf(err); c.JSON && faults != nil {
			err = errors.Join(err, printJSON(env.Stdout, checked{Faults: faults}))
		}
		return configError(err)
	}
	r := &report{}
	r.add(finding{Area: "configuration", Verdict: good, Text: s.file})
	for _, n := range s.notes {
		r.add(finding{Area: "configuration", Name: n.Key, Verdict: warn, Text: n.String()})
	}
	r.keys(env, s)
	r.hostKeys(s)
	r.state(ctx, env, s)
	r.escrow(s)
	r.places(env, s)
	if !c.Offline {
		ctx, cancel := context.WithTimeout(ctx, checkWait)
		defer cancel()
		r.ask(ctx, env, s)
	}
	return r.end(env, c.JSON)
}

// end prints the report and chooses the exit code.
func (r *report) end(env *cli.Env, asJSON bool) error {
	faults := 0
	for _, f := range r.list {
		if f.Verdict == fault {
			faults++
		}
	}
	if asJSON {
		if err := printJSON(env.Stdout, checked{Usable: faults == 0, Findings: r.list}); err != nil {
			return err
		}
	}
	for _, f := range r.list {
		if asJSON {
			break
		}
		what := f.Area
		if f.Name != "" {
			what += " " + daemon.OneLine(f.Name)
		}
		if _, err := fmt.Fprintf(env.Stdout, "%-8s %s: %s\n", f.Verdict, what, f.Text); err != nil {
			return fmt.Errorf("write to standard output: %w", err)
		}
		if f.Hint != "" {
			fmt.Fprintf(env.Stdout, "         %s\n", f.Hint)
		}
	}
	if faults > 0 {
		return cli.Fail(cli.No, fmt.Errorf("%d faults: serve would not start, or nobody could use it", faults), "")
	}
	return nil
}

func (r *report) keys(env *cli.Env, s *settings) {
	keys, err := loadKeys(s.keys.dir)
	if err != nil {
		r.add(finding{
			Area: "keys", Verdict: fault, Text: err.Error(),
			Hint: "mytoken-server keys rotate makes one; the directory has mode 0700 and belongs to the server's user",
		})
		return
	}
	r.add(finding{
		Area: "keys", Verdict: good,
		Text: fmt.Sprintf("%d, %s %s signs since %s", len(keys), keys[0].Alg(), keys[0].ID(), date(keys[0].created)),
	})
	if w := mintWarning(s.issuer, keys[0]); w != "" {
		r.add(finding{Area: "keys", Verdict: warn, Text: w})
	}
	if keys[0].created.After(env.Now().Add(time.Minute)) {
		r.add(finding{Area: "time", Verdict: warn, Text: "the newest key is from the future: is the clock right?"})
	}
}

// hostKeys looks at those of the ssh server, where there is one.
func (r *report) hostKeys(s *settings) {
	keys, err := readHostKeys(s)
	if err != nil {
		r.add(finding{
			Area: "ssh", Verdict: fault, Text: err.Error(), Hint: "mytoken-server setup --state-only makes one that is not there",
		})
		return
	}
	for _, k := range sshapi.HostKeysOf(keys) {
		r.add(finding{Area: "ssh", Verdict: good, Text: "host key " + k.Type + " " + k.Fingerprint})
	}
}

func (r *report) state(ctx context.Context, env *cli.Env, s *settings) {
	ctx, cancel := context.WithTimeout(ctx, checkWait)
	defer cancel()
	if path := s.controlPath(); path != "" && (remoteOffice{path}).runs(ctx) {
		r.add(finding{Area: "state", Verdict: good, Text: "a server runs on it"})
		return
	}
	st, err := openState(ctx, env, s.state)
	if err != nil {
		f := finding{Area: "state", Verdict: fault, Text: err.Error()}
		var hinted *cli.Error
		if errors.As(err, &hinted) {
			f.Hint = hinted.Hint
		}
		r.add(f)
		return
	}
	defer st.Close() //nolint:errcheck // nothing was written
	where := s.state.File
	if where == "" {
		where = "PostgreSQL, schema " + s.state.Database.Schema
	}
	r.add(finding{Area: "state", Verdict: good, Text: where + " opens"})
	if !st.Vault().Locked() {
		r.add(finding{Area: "state", Verdict: warn, Text: "keys lie in memory that may be swapped out (ulimit -l)"})
	}
}
