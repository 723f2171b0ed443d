package sock

// Peer is who is at the other end of a Unix socket, as the kernel says. For the client's end it is the process that
// called listen.
type Peer struct {
	UID, GID uint32
	PID      int32 // 0 where the system does not tell
}
