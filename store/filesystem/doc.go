// Package filesystem tells local file systems from those that other machines change as well: locks and mapped files can
// be trusted on the former only, and a home directory on the latter is that of many machines at once.
//
// It is not an engine and opens no file.
//
// Standards: statfs(2).
//
// Not a public API.
package filesystem
