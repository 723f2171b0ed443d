package add

import (
	"context"
	"errors"
	"os"
	"slices"

	"github.com/oidcbox/oidcbox/core/agent/control"
	"github.com/oidcbox/oidcbox/core/agent/proto"
	"github.com/oidcbox/oidcbox/core/agent/relay"
	"github.com/oidcbox/oidcbox/core/agent/start"
	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/transport/sock"
)

// agent is the one the environment leads to, with its control socket when it is one of ours on this machine.
type agent struct {
	env     *cli.Env
	control control.Client
	start   bool // one where nobody answers and one is wanted
	remote  bool // the one that OIDC_REMOTE_SOCK names; it has no control socket here
}

func newAgent(env *cli.Env) *agent {
	return &agent{env: env, control: control.Client{Path: control.Place(env.Getenv)}}
}

// there fails when no agent listens: nobody should think up or type a password for nothing.
func (a *agent) there(ctx context.Context) error {
	rep, err := a.caller().Agent.Call(ctx, proto.Request{Type: proto.TypeCheck})
	rep.Wipe()
	if errors.Is(err, proto.ErrNoAgent) && !a.started(ctx, err) {
		return a.explain(err)
	}
	return nil
}

// call asks and returns the answer if it is no failure.
func (a *agent) call(ctx context.Context, req proto.Request) (proto.Reply, error) {
	rep, err := a.caller().Call(ctx, req)
	if errors.Is(err, proto.ErrNoAgent) && a.started(ctx, err) {
		rep, err = a.caller().Call(ctx, req)
	}
	if err == nil {
		err = rep.Err()
	}
	if err != nil {
		rep.Wipe()
		return proto.Reply{}, a.explain(err)
	}
	return rep, nil
}

// caller asks the agent.
func (a *agent) caller() relay.Caller {
	c := relay.For(a.env)
	if a.remote {
		c.Agent = proto.FindRemote(a.env)
	}
	return c
}

// started reports whether there is an agent now, where there was none.
func (a *agent) started(ctx context.Context, err error) bool {
	return a.start && !a.remote && start.Instead(ctx, a.env, err)
}

// explain gives an error its exit code and hint.
func (a *agent) explain(err error) error {
	var refused *proto.AgentError
	if errors.As(err, &refused) && refused.Help == "" && refused.Reason() == proto.ReasonNotFound {
		return cli.Fail(cli.NotFound, err, "see what is loaded with: oidc-add --loaded")
	}
	return proto.Explain(err, a.env.Upstream)
}

// status is what the agent says over its control socket. ok is false when there is none, or when it belongs to another
// agent than the one that answers requests: then this one has no keystore, as far as we can know.
func (a *agent) status(ctx context.Context) (st control.Status, ok bool, err error) {
	if a.remote {
		return control.Status{}, false, nil
	}
	st, err = a.control.Status(ctx)
	if errors.Is(err, control.ErrNoAgent) {
		return control.Status{}, false, nil
	}
	if err != nil {
		return control.Status{}, false, err
	}
	for _, path := range proto.Sockets(a.env.Getenv) {
		c, err := sock.Dial(ctx, path)
		if err != nil {
			continue // not this one; the request itself will say what is wrong
		}
		p, _ := sock.PeerOf(c)
		_ = c.Close()
		// The pid is that of whoever opened the socket, which is not the agent when systemd did.
		return st, int(p.PID) == st.PID || sameFile(path, st.Socket), nil
	}
	return st, false, nil
}

func sameFile(a, b string) bool {
	fa, errA := os.Stat(a)
	fb, errB := os.Stat(b)
	return errA == nil && errB == nil && os.SameFile(fa, fb)
}

// behind reports whether the agent wants the password of a login's account file, to write a newer refresh token into it.
func (a *agent) behind(ctx context.Context, name string) bool {
	st, ok, err := a.status(ctx)
	if err != nil || !ok || st.Locked {
		return false
	}
	all, err := a.control.Logins(ctx)
	return err == nil && slices.ContainsFunc(all, func(l control.Login) bool { return l.Name == name && l.FileBehind })
}

// stored lists the logins in the agent's keystore; none when it is locked or there is none.
func (a *agent) stored(ctx context.Context) (logins []control.Login, st control.Status, err error) {
	st, ok, err := a.status(ctx)
	if err != nil || !ok || st.Locked || st.Keystore != control.KeystoreOpen {
		return nil, st, err
	}
	all, err := a.control.Logins(ctx)
	if err != nil {
		return nil, st, err
	}
	for _, l := range all {
		if l.Stored {
			logins = append(logins, l)
		}
	}
	return logins, st, nil
}
