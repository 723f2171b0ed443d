// Package sock makes and uses Unix sockets of which both ends know who is at the other: sockets are made with mode 0600
// where nobody else can put one in their place, a client looks at the owner of directory and socket and at the uid of
// the process behind it, a server at the uid of its peer.
//
// It is not a protocol, it decides nothing about a peer beyond what the caller asks for, and it starts no process.
// Windows has Unix sockets without credentials: there the directory's access list is the protection, and [PeerOf] says
// [ErrNoPeer].
//
// Not a public API.
package sock
