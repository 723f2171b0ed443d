//go:build !linux

package proto

import "net"

// loops are only there where a thread can wait for many connections at once.
type loops struct{}

func (s *server) newLoops(net.Listener) (*loops, error) { return nil, nil }

func (*loops) run() error { return nil }
