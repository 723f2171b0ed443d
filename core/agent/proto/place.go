package proto

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"

	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/transport/sock"
)

// SockName is the name of our agent's socket in sock.RuntimeDir.
const SockName = "agent.sock"

// Find returns a client of the agent that the environment leads to: the first of Sockets at which one answers.
func Find(getenv func(string) string) Client {
	paths := Sockets(getenv)
	return Client{Path: paths[0], Dial: func(ctx context.Context) (net.Conn, error) {
		var problem error
		for _, p := range paths {
			c, err := sock.DialPatient(ctx, p)
			if err == nil {
				return c, nil
			}
			// At a place that was guessed, a socket of somebody else must not keep us from our own at the next one.
			if problem == nil || errors.Is(problem, sock.ErrNobody) {
				problem = err
			}
		}
		if len(paths) > 1 && (errors.Is(problem, sock.ErrNobody) || errors.Is(problem, sock.ErrPathTooLong)) {
			problem = fmt.Errorf("OIDC_SOCK is not set: %w", sock.ErrNobody)
		}
		return nil, problem
	}}
}

// FindFor is Find for a command that a person may be waiting for: on a terminal it says so when an answer takes long.
func FindFor(env *cli.Env) Client {
	c := Find(env.Getenv)
	if cli.IsTerminal(env.Stderr) {
		c.Slow = func() { env.Note("Waiting for the agent and the provider ...") }
	}
	return c
}

// remotePort is where an agent on another host is forwarded to, unless OIDC_REMOTE_SOCK says otherwise.
const remotePort = 42424

// FindRemote returns a client of the agent that OIDC_REMOTE_SOCK names as host[:port], port 42424 by default. It has to
// be brought to this machine, with ssh -L, and the process that listens here must be ours or root's (sock.DialLoopback).
// Without the variable there is no agent.
func FindRemote(env *cli.Env) Client {
	c := FindFor(env)
	c.Dial = func(ctx context.Context) (net.Conn, error) { return dialRemote(ctx, env.Getenv) }
	return c
}

// OrRemote is c, or the agent of FindRemote where nobody answers at c's. It is for requests for tokens; what loads
// logins says which agent it means.
func (c Client) OrRemote(getenv func(string) string) Client {
	near := c.Dial
	c.Dial = func(ctx context.Context) (net.Conn, error) {
		conn, err := near(ctx)
		if errors.Is(err, sock.ErrNobody) && getenv("OIDC_REMOTE_SOCK") != "" {
			return dialRemote(ctx, getenv)
		}
		return conn, err
	}
	return c
}

func dialRemote(ctx context.Context, getenv func(string) string) (net.Conn, error) {
	place := getenv("OIDC_REMOTE_SOCK")
	if place == "" {
		return nil, fmt.Errorf("OIDC_REMOTE_SOCK is not set: %w", sock.ErrNobody)
	}
	c, err := sock.DialLoopback(ctx, place, remotePort)
	if err != nil {
		return nil, fmt.Errorf("OIDC_REMOTE_SOCK: %w", err)
	}
	return c, nil
}

// Sockets returns the paths where an agent is looked for, best first: $OIDC_SOCK alone when it is set, else the socket
// of oidc-agent-service and that of our agent.
func Sockets(getenv func(string) string) []string {
	if p := getenv("OIDC_SOCK"); p != "" {
		return []string{p}
	}
	return []string{
		filepath.Join(ServiceDir(getenv), "oidc-agent.sock"),
		filepath.Join(sock.RuntimePath(getenv), SockName),
	}
}

// ServiceDir is the directory of oidc-agent-service: ${TMPDIR:-/tmp}/oidc-agent-service-<uid>.
func ServiceDir(getenv func(string) string) string {
	tmp := getenv("TMPDIR")
	if tmp == "" {
		tmp = "/tmp"
	}
	return filepath.Join(tmp, "oidc-agent-service-"+strconv.Itoa(os.Getuid()))
}
