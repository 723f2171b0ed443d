// Package importconfig turns the configuration of motley_cue and of the feudal adapter into ours: the two files of a
// provisioner, and the remarks about everything that has no equal or means something else here.
//
// It reads no file and writes none (the caller hands texts in and gets texts back), keeps no password in what it writes
// (secrets become files of their own), and does not decide whether the result is any good: the strict reader of the
// provisioner does that, in a test for every setting that is converted.
//
// The old files are read as Python's configparser reads them, also where that surprises: a key that is indented belongs
// to the value above it, which is told.
//
// Standards: none; motley_cue 0.5 to 0.7, feudal adapter 0.4 to 0.7.
//
// Not a public API.
package importconfig
