// Package execdir keeps accounts by a program of the site: each question and each change is one run of it, which gets one
// JSON object on standard input and answers one on standard output. The form is the feudal adapter's, so that a program
// can be put behind an adapter and behind this; what the form has no word for stands in members of our own, which such a
// program may leave aside (docs/admin/accounts.md).
//
// It is the plug-in point for account systems that we do not know. It keeps no state, does not believe what the program
// says about names outside of the alphabet or numbers below the floor, and runs no shell. How often the program is asked
// is the caller's business.
//
// Standards: none.
//
// Not a public API.
package execdir
