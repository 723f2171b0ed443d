//go:build race && linux

package sock

import "syscall"

// NoteRead tells the race detector that what was read from fd came after it was written.
func NoteRead(fd int) { _, _ = syscall.Read(fd, nil) }

// NoteWrite tells the race detector that what happened so far comes before what is about to be written.
func NoteWrite() { _, _ = syscall.Write(-1, nil) }
