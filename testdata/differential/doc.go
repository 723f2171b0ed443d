// Package differential asks this project's code and go-jose the same questions about tokens and key sets, and holds a
// table of everything they answer differently, each with its reason. It has tests only, and is a module of its own so
// that go-jose does not become a library of ours.
package differential
