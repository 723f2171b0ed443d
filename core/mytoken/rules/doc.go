// Package rules decides what a mytoken may be used for: capabilities with their hierarchy, restrictions with several
// clauses, how often each clause was used, what a mytoken made from another may be, what is left of a clause when the
// provider gave less than was asked for, and when a mytoken is replaced by being used.
//
// The way of a request through it: [Settle] turns what was asked for (relative times, "this", other spellings) into
// clauses that a token can carry and refuses those that nothing can ever use; [Tighten] keeps what lies inside the
// parent and says what to charge to it; [Cut] takes away what the provider did not give; [Candidates] finds the
// clauses that allow a use, [Pick] the one that is used, by its counters; [Present] and [Rotate] say what becomes of a
// token that rotates. A client calls [Settle] before it sends anything and gets the same reasons.
//
// It keeps nothing, calls no provider and reads no clock. Names and countries of addresses come from functions that
// are handed in, and only [Candidates] calls them, so that [Pick] and the counters fit into a transaction. It issues
// no tokens (core/mytoken/mint does) and knows nothing of templates (core/mytoken/profiles does).
//
// Standards: the mytoken API, version 0 (token version 0.7); WLCG Common JWT Profile 1.3 and SciTokens 2.0 for scopes
// with paths; RFC 6749 section 5.1 for what a provider granted; RFC 9700 section 4.14.2 for reuse of a replaced token.
//
// Not a public API.
package rules
