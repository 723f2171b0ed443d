// Package sshlogin is what a client does before an ssh login with an access token: it finds the service that manages
// the accounts of a host, has the account made ready, gets a one-time password, and says which of ssh's questions that
// password answers.
//
// It runs no ssh and asks no agent (applets/sshwrap does), it never decides that a token may be sent in clear text, and
// it believes nothing of what a service says without looking: names of users go to a command line, scopes and audiences
// to somebody's agent, host keys to ssh.
//
// Standards: the REST interface of motley-cue 0.7; sshd(8) for the format of known_hosts; the PuTTY authentication
// plug-in protocol, version 2.
//
// Not a public API.
package sshlogin
