// Package login is a login as oidc-agent knows it, an "account configuration", and the files oidc-agent keeps them in.
//
// It reads and writes the JSON of an account ([Config], both generations of keys, unknown members kept), the encrypted
// account file around it ([File]), the directory the files lie in, and the files that tell which issuers and public
// clients there are. What is written is read by oidc-agent 4 and 5.
//
// It makes no request and asks nobody: passwords are handed in, and messages encrypted with OpenPGP are recognised but
// not opened. It is not where refresh tokens live: that is core/oidc/custody, and what an account file says about
// them may be out of date.
//
// Standards: the account file's Argon2id is RFC 9106; its cipher is NaCl's secretbox, XSalsa20-Poly1305.
//
// Not a public API.
package login
