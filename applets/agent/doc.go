// Package agent is the daemon that holds logins and hands out access tokens: oidc-agent.
//
// It opens the keystore, makes the sockets, detaches, prints the lines for the shell, and ends cleanly. What the agent
// answers is core/agent/service; how a message looks is core/agent/proto and core/agent/control.
//
// Where it listens: under the name oidc-agent, at ${TMPDIR:-/tmp}/oidc-XXXXXX/oidc-agent.<pid of the shell> as the
// original does, so that lines like eval $(oidc-agent) go on working, and also at the well-known socket
// $XDG_RUNTIME_DIR/oidcbox/agent.sock when no other agent has it, so that a shell without variables finds an agent. As
// "oidcbox agent" only at the well-known socket; --socket-path means that path and nothing else. The control socket
// belongs to the first agent of a person.
//
// Standards: sd_listen_fds(3) and credentials of systemd; the oidc-agent protocol.
//
// Not a public API.
package agent
