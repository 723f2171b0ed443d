// Package gate is the one place that says yes or no to a token: it puts together what the packages beside it know.
// [Gate.Check] believes a token or does not (core/token/verify, and the issuer itself where that is configured);
// [Gate.Decide] asks the policy as well. A no is a [*Refusal], which says what a client may be told, and apart from
// that, for the log alone, why.
//
// The audience, the times, the proof of possession, revocation and the policy are judged on every request; what is kept
// between requests is the verdict about a signature, and for a stated time what an issuer said. Which error means which
// status is decided here and nowhere else.
//
// It reads no HTTP request and writes no answer (core/token/httpauth and core/token/forward do), and it reads no
// configuration file: [Config] is plain data. A Gate does not change; a new configuration is a new Gate, which takes
// the caches of the old one over ([Options]).
//
// Standards: RFC 6750 section 3.1, RFC 9449 section 7.1, and those of the packages it stands on.
//
// Not a public API.
package gate
