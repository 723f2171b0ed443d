// Package ledger is what a mytoken server remembers: people, their logins, the mytokens made from them, how often each
// was used, what happened, and codes. It runs on any store.Engine, which has to be a sealed one.
//
// Its answers are exact and durable: a limit of k uses gives k, however many ask at once and through however many
// mytokens made from the limited one, and never more when a process dies; what was answered is on disk before. A use is
// reserved before the provider is called, in a transaction of its own, and settled in another; nothing is held while
// the provider answers. A refusal is found in a View and writes nothing, except that reuse of a replaced mytoken may
// end it.
//
// The refresh token of a login lies under a random key that is kept only wrapped, once for each mytoken, under a key
// derived from the text of that mytoken. So neither the file nor the file with the server's own key gives it away, and
// what follows from that is not hidden: without a mytoken in hand nobody can revoke at the provider.
//
// It is not the server: it asks no provider (a custody.Refresher does), signs no token (core/mytoken/mint does), and
// decides no rule (core/mytoken/rules does). docs/formats/mytoken-ledger.md gives the records and says what a crash at
// each point leaves behind.
//
// Standards: the mytoken API, version 0; RFC 5869 (HKDF), draft-irtf-cfrg-xchacha; RFC 9700 section 4.14.2.
//
// Not a public API.
package ledger
