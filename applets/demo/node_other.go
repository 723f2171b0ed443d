//go:build !linux

package demo

import "context"

// loginSteps are none: a login node of its own takes namespaces of Linux.
func loginSteps(context.Context, *world) ([]step, string) {
	return nil, "a login node of its own takes namespaces of Linux"
}

// loginNode is never there.
type loginNode struct{}

func (*loginNode) close() {}

func loginClient(string) string { return "" }
