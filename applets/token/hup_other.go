//go:build !unix

package token

// renewSignal has no signal to offer here.
func renewSignal() (renew <-chan struct{}, stop func()) { return nil, func() {} }
