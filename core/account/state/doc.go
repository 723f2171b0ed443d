// Package state is the table of what an account of a federated identity can be, which request leads from where to
// where, and the words in which clients are told.
//
// It changes no account and asks nobody: facts are handed in, and what has to be done about a step is the
// provisioner's. It does not say who may ask for what beyond [Request.ByUser].
//
// Standards: none. The states and messages are those of motley-cue 0.7 and the feudal adapter 0.7, which clients
// compare with.
//
// Not a public API.
package state
