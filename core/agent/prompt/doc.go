// Package prompt asks a person one question: by a program of the pinentry family, by one with the interface of
// oidc-prompt, by a dialog helper of the desktop, or at a terminal. [Best] is what exists here, in that order; one that
// does not know a kind of question leaves it to the next.
//
// No shell sees a question. A program gets its arguments as a vector and an environment without anything but what it
// needs to find the screen; its output is bounded, and it is killed when the time of the question is over or nobody
// waits for the answer any more.
//
// It does not decide whether to ask, or what an answer allows (core/agent/service does), and it does not carry
// questions to the terminal of a client (core/agent/relay does).
//
// Standards: the Assuan protocol as pinentry speaks it.
//
// Not a public API.
package prompt
