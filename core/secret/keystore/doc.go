// Package keystore is the envelope around an encrypted store: one random data key, wrapped by up to eight key slots,
// in a header that cannot be altered unnoticed.
//
// Each slot opens the same data key by its own means: a passphrase (Argon2id), a key file, a systemd credential,
// the keyring of the operating system, or a signature of an ssh-agent. Slots are added and removed without touching the data. Rekey makes a new data
// key and seals everything again under it; it can be killed at any point. [Keystore.Engine] is what a role works with:
// values are sealed, and the keys of tables that ask for it are hashed. docs/formats/keystore.md gives every byte.
//
// It opens no files and knows no engine: it is given a store.Engine. It never asks a person for anything: a passphrase
// is handed in as a [Credential]. Nobody can open a keystore whose credentials are all lost.
//
// Standards: RFC 9106 (Argon2), RFC 5869 (HKDF), RFC 2104 (HMAC), draft-irtf-cfrg-xchacha, RFC 8032
// (Ed25519), draft-ietf-sshm-ssh-agent.
//
// Not a public API.
package keystore
