package self

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/oidcbox/oidcbox/core/agent/control"
	"github.com/oidcbox/oidcbox/core/agent/login"
	"github.com/oidcbox/oidcbox/core/agent/start"
	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/cli/term"
	"github.com/oidcbox/oidcbox/core/secret/keystore"
)

// revokingAtOnce bounds the requests to providers that run side by side.
const revokingAtOnce = 8

// RevokeEverythingCmd is for the laptop that was lost: "oidcbox self revoke-everything".
type RevokeEverythingCmd struct {
	Yes  bool        `help:"Do not ask whether this is meant."`
	JSON bool        `name:"json" help:"Print the report as a JSON object."`
	Key  keystoreKey `embed:""`
}

// ending is what becomes of one login.
type ending struct {
	Login     string `json:"login"`
	Issuer    string `json:"issuer"`
	Revoked   bool   `json:"revoked"` // its refresh token is of no use to anybody any more
	Confirmed string `json:"confirmed,omitempty"`
	Client    string `json:"client,omitempty"`
	Done      bool   `json:"done"`                // and the login is not here any more
	Error     string `json:"error,omitempty"`     // why it is not done
	Temporary bool   `json:"temporary,omitempty"` // doing it once more may help

	clientID string
}

// failed notes why something did not work.
func (e *ending) failed(err error) {
	e.Error = err.Error()
	var coded *cli.Error
	e.Temporary = errors.As(err, &coded) && coded.Code == cli.Temporary
}

// Run revokes the refresh token of each login at its provider, deletes the clients that were registered for them, and
// removes what is done. What is not stays, so that the same command can be given again.
func (c *RevokeEverythingCmd) Run(ctx context.Context, env *cli.Env) error {
	agent, done, err := c.agent(ctx, env)
	if err != nil {
		return err
	}
	defer done()
	list, err := agent.Logins(ctx)
	if err != nil {
		return err
	}
	noteFiles(env, list)
	if len(list) > 0 {
		if err := c.meant(ctx, env, list); err != nil {
			return err
		}
	}
	ends := revokeAll(ctx, agent, list)
	finish(ctx, agent, ends)
	return c.report(env, ends)
}

// agent is the one that has the logins, with its keystore open. Where none runs, one is started for as long as this
// takes.
func (c *RevokeEverythingCmd) agent(ctx context.Context, env *cli.Env) (a control.Client, done func(), err error) {
	a, done = control.Client{Path: control.Place(env.Getenv)}, func() {}
	st, err := a.Status(ctx)
	if errors.Is(err, control.ErrNoAgent) {
		if err := start.Start(ctx, env); err != nil {
			return a, done, cli.Fail(cli.NotFound, err, "start one with: eval $(oidc-agent)")
		}
		done = func() {
			if err := a.Shutdown(context.WithoutCancel(ctx)); err != nil {
				env.Warn("the agent that was started for this goes on: %v", err)
			}
		}
		st, err = a.Status(ctx)
	}
	if err == nil && st.Locked {
		err = cli.Fail(cli.Human, errors.New("agent locked"), "unlock it with: oidc-add -X")
	}
	if err == nil && st.Keystore == control.KeystoreLocked {
		err = c.unlock(ctx, env, a, st)
	}
	if err != nil {
		done()
		return a, func() {}, err
	}
	return a, done, nil
}

func (c *RevokeEverythingCmd) unlock(ctx context.Context, env *cli.Env, a control.Client, st control.Status) error {
	harden(env)
	u, err := (&keystoreUnlockCmd{Key: c.Key}).credential(ctx, env, st.KeystorePath)
	if err != nil {
		return explain(fmt.Errorf("unlock the keystore, so that no login is left out: %w", err))
	}
	defer u.Passphrase.Wipe()
	if err := a.Unlock(ctx, u); err != nil {
		return keystore.Refusal(err)
	}
	return nil
}

// noteFiles names the account files that are no logins of the agent: their refresh tokens are sealed with passwords
// that nobody has given.
func noteFiles(env *cli.Env, list []control.Login) {
	names, err := login.DirectoryOf(env.Getenv, env.Dir).Names()
	if err != nil {
		return // there is no directory
	}
	names = slices.DeleteFunc(names, func(n string) bool {
		return slices.ContainsFunc(list, func(l control.Login) bool { return l.Name == n })
	})
	if len(names) > 0 {
		env.Warn("account files that are not loaded are left out: %s; load them with oidcbox add, and do this again",
			strings.Join(names, ", "))
	}
}

// meant asks the person.
func (c *RevokeEverythingCmd) meant(ctx context.Context, env *cli.Env, list []control.Login) error {
	if c.Yes {
		return nil
	}
	if !term.Usable() || !cli.IsTerminal(env.Stderr) {
		return cli.Fail(cli.Usage, errors.New("nothing was revoked: there is nobody to ask whether this is meant"),
			"say so with --yes")
	}
	names := make([]string, 0, len(list))
	for _, l := range list {
		names = append(names, l.Name)
	}
	answer, err := term.Line(ctx, cli.Printable(fmt.Sprintf(
		"%s\nrevoke these %d logins at their providers, on all machines, and remove them here? Type yes: ",
		strings.Join(names, ", "), len(names))))
	if err != nil {
		return explain(err)
	}
	if strings.TrimSpace(strings.ToLower(answer)) != "yes" {
		return cli.Failf(cli.Denied, "nothing was revoked")
	}
	return nil
}

// revokeAll ends the refresh tokens. The clients stay meanwhile: another login may need one to be revoked.
func revokeAll(ctx context.Context, agent control.Granter, list []control.Login) []ending {
	ends := make([]ending, len(list))
	each(ends, func(i int) {
		e := ending{Login: list[i].Name, Issuer: list[i].Issuer, clientID: list[i].ClientID}
		out, err := agent.Revoke(ctx, control.RevokeRequest{Login: e.Login})
		e.Confirmed = out.Confirmed
		switch {
		case err != nil:
			e.failed(err)
		case out.Confirmed == control.ConfirmedActive:
			e.Error = "the provider says that it is still active"
		default:
			e.Revoked = true
		}
		ends[i] = e
	})
	return ends
}

// finish deletes clients and removes logins. A login whose client somebody else still needs stays until the next time:
// it knows how the client is deleted.
func finish(ctx context.Context, agent control.Granter, ends []ending) {
	needed := func(e ending) bool {
		return slices.ContainsFunc(ends, func(o ending) bool {
			return !o.Revoked && o.clientID == e.clientID && login.SameIssuer(o.Issuer, e.Issuer)
		})
	}
	var ready []bool
	for _, e := range ends {
		ready = append(ready, e.Revoked && !needed(e))
	}
	each(ends, func(i int) {
		e := &ends[i]
		if !ready[i] {
			if e.Revoked {
				e.Error = "kept, because a login that could not be revoked has the same client"
			}
			return
		}
		out, err := agent.Revoke(ctx, control.RevokeRequest{Login: e.Login, DeleteClient: true, Remove: true})
		e.Client, e.Done = out.Client, out.Removed
		switch {
		case err != nil:
			e.failed(err)
		case out.Client == control.ClientFailed:
			e.Error, e.Temporary = "its client was not deleted: "+out.Detail, true
		}
	})
}

// each runs fn for every ending, a few at a time.
func each(ends []ending, fn func(i int)) {
	var g errgroup.Group
	g.SetLimit(revokingAtOnce)
	for i := range ends {
		g.Go(func() error { fn(i); return nil })
	}
	_ = g.Wait() // none returns an error
}

// report is a line for each login, and the exit code: 0 only when there is nothing left to do.
func (c *RevokeEverythingCmd) report(env *cli.Env, ends []ending) error {
	left, temporary := 0, false
	for _, e := range ends {
		if !e.Done {
			left++
			temporary = temporary || e.Temporary
		}
	}
	if err := c.print(env, ends, left == 0); err != nil {
		return err
	}
	switch {
	case left == 0:
		return nil
	case temporary:
		return cli.Fail(cli.Temporary, fmt.Errorf("%d of %d logins are not done", left, len(ends)), "do the same again later")
	}
	return cli.Fail(cli.No, fmt.Errorf("%d of %d logins are not done", left, len(ends)),
		"withdraw your consent on the pages of their providers")
}

func (c *RevokeEverythingCmd) print(env *cli.Env, ends []ending, all bool) error {
	if c.JSON {
		if ends == nil {
			ends = []ending{} // an array also when it is empty
		}
		enc := json.NewEncoder(env.Stdout)
		enc.SetEscapeHTML(false)
		return enc.Encode(struct {
			Done   bool     `json:"done"`
			Logins []ending `json:"logins"`
		}{all, ends})
	}
	if len(ends) == 0 {
		env.Note("there is no login")
	}
	for _, e := range ends {
		if _, err := fmt.Fprintln(env.Stdout, cli.Printable(e.String())); err != nil {
			return fmt.Errorf("write the report: %w", err)
		}
	}
	return nil
}

// String is the line of a login.
func (e ending) String() string {
	line := e.Login + " at " + e.Issuer + ": "
	if !e.Revoked {
		line += "NOT revoked"
	} else {
		line += "revoked"
		switch e.Confirmed {
		case control.ConfirmedInactive:
			line += ", confirmed"
		case control.ConfirmedNotOffered, control.ConfirmedUnknown:
			line += ", not confirmed (" + e.Confirmed + ")"
		}
	}
	if e.Client == control.ClientDeleted {
		line += ", client deleted"
	}
	if e.Done {
		line += ", removed"
	}
	if e.Error != "" {
		line += ": " + e.Error
	}
	if e.Temporary {
		line += "; try again"
	}
	return line
}
