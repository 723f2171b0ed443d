//go:build !linux && !darwin && !freebsd

package sock

import "net"

// PeerOf has nothing to ask on this system: always ErrNoPeer.
func PeerOf(net.Conn) (Peer, error) { return Peer{}, ErrNoPeer }
