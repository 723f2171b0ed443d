// Package gen sets up a login with a provider: oidc-gen.
//
// It finds the client to use (given, public, or registered now), has the agent run a flow, shows the person what to do
// in a browser, and has the login saved: in the keystore through the agent's control socket, in an account file as the
// original keeps them, or in both.
//
// It holds no tokens longer than it takes to save them, and speaks to no provider itself except to read its discovery
// document. The flows are core/agent/service.
//
// Not a public API.
package gen
