// Package start starts an agent in the background for a command that finds none, so that nobody needs the line
// eval $(oidc-agent) any more.
//
// An agent is started only where a person sits at a terminal and has a keystore on a local file system: a hundred steps
// of a batch job must not start a hundred agents. OIDCBOX_AUTOSTART=0 switches it off. However many commands start at
// once, there is one agent in the end; it listens at the well-known socket $XDG_RUNTIME_DIR/oidcbox/agent.sock.
//
// It is not the agent (applets/agent is), it does not unlock anything and asks no questions.
//
// Not a public API.
package start
