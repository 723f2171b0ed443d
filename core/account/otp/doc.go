// Package otp keeps one-time passwords for logins: the compatible form, which is SHA-512 of an access token and never
// travels in an answer, and our own, which is random.
//
// A password is found by its digest alone, and an access token that goes with it is encrypted with a key that only
// the password gives: who has the records has neither. It is used up by the first login that it is right for, exactly
// once among all processes on the store; a login as somebody else, or one that fails for another reason, leaves it.
// Suspending an identity burns all of its passwords. Whatever is not used ends by itself, after minutes.
//
// It judges no token, knows no accounts and counts no guesses: who redeems a password says, by a function, whether the
// login is right, and limits how often may be guessed.
//
// Standards: FIPS 180-4 (SHA-512), RFC 5869 (HKDF), NIST SP 800-38D (GCM). docs/formats/one-time-passwords.md has the
// records.
//
// Not a public API.
package otp
