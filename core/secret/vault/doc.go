// Package vault keeps secrets of a running process sealed, and is the only place with locked memory.
//
// A [Vault] owns one random session key and four small work areas in memory that is locked, guarded and left out of
// core files. Everything else is ciphertext under the session key in ordinary memory: a [Sealed] value is opened for
// one use and wiped by whoever opened it. [Keys] is a keystore's data key in that form; it implements store.Sealer.
// [Argon2] is the one way to derive a key from a password, one derivation at a time.
//
// memguard does the locking. It answers a failed lock by wiping all other buffers and a panic, so New asks the kernel
// first (preflight), and asks memguard for everything it will ever lock inside New: there is no later call that could
// fail. memguard's own enclaves are not used, because their key is renewed by a ticker twice a second in every idle
// process, and because opening one locks pages each time. Importing memguard sets the limit for core files to 0, and
// child processes inherit that.
//
// It is not a defence against root, a debugger of the same user (see HardenProcess), or copies that the Go runtime
// makes while a secret is in use. Long-lived keys are handled so that only keys for a single message ever reach the
// heap. It stores nothing: the file format is core/secret/keystore.
//
// Standards: draft-irtf-cfrg-xchacha (XChaCha20-Poly1305), RFC 5869 (HKDF), RFC 7693 (BLAKE2), RFC 9106 (Argon2).
//
// Not a public API.
package vault
