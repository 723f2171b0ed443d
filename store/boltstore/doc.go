// Package boltstore keeps records in one bbolt file: the keystore of a person or of a service.
//
// It opens a file only where nobody else can reach it, says who has it open, refuses what is damaged before it maps
// it, and gathers waiting updates into one commit. On a file system that several machines share it never works in
// place: there the home file is the truth, a local copy is a disposable cache, and a change is acknowledged only when
// it is safely at home.
//
// It is no encryption: store/sealed does that, above. It does not merge: two machines take turns. A home must be
// reached in one way by everybody, either as a network file system or as a local one.
//
// docs/formats/store.md gives every byte. Not a public API.
package boltstore
