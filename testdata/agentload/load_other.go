//go:build !linux

package agentload

import "errors"

// Run has nothing to measure with on this system.
func Run(Plan) (Result, error) { return Result{}, errors.ErrUnsupported }

// Play returns: there is no other side of Run here.
func Play() {}
