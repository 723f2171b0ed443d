//go:build !race

package sock

// NoteRead and NoteWrite stand beside system calls of our own, of which the race detector knows nothing. They do
// something in its builds alone.
func NoteRead(int) {}

// NoteWrite is described at NoteRead.
func NoteWrite() {}
