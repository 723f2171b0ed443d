// Package term asks a person at the terminal.
//
// It talks to the controlling terminal, not to standard input or output, which may be pipes. What is typed as a secret
// is not echoed, and the terminal is put back whatever happens.
//
// It does not decide whether to ask: a role does, after every way without a person. It draws no windows.
//
// Not a public API.
package term
