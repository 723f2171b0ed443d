// Package audit writes what a daemon decides, one JSON object a line, to a stream or a file that others may move away.
//
// Whoever records something waits for nobody but a disk that cannot keep up, and for that only a second; what is lost is
// counted. What strangers say in a record is escaped until a terminal shows it instead of obeying it. The package does not
// know what a record says, and keeps none.
//
// Not a public API.
package audit
