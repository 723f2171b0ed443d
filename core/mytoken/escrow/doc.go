// Package escrow seals copies of refresh tokens to a key that is not on the server. The server has the public half and
// can read none of them; the operator, with the private half from a safe, can revoke at a provider what nobody has a
// mytoken for any more. It is off unless an operator makes a key.
//
// It keeps nothing (core/mytoken/ledger does) and asks no provider. The one who has the private key and the server's
// state has the refresh tokens: this is the price, and why the key stays offline.
//
// Standards: RFC 9180 (HPKE: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20-Poly1305); keys are PEM as of RFC 8410,
// which openssl makes and reads.
//
// Not a public API.
package escrow
