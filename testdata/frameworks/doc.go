// Package frameworks holds the test that core/token/httpauth works with the routers people use: chi, gin and echo. It is a
// module of its own so that they never become ours.
package frameworks
