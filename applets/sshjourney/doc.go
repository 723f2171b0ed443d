// Package sshjourney holds the tests of whole ssh logins: the built program, a real sshd with a real PAM stack, real
// accounts, in a throw-away host (testdata/services.Host). It has nothing but tests.
//
// Not a public API.
package sshjourney
