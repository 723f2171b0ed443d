// Package policy says who may do what: a YAML file of requirements becomes a Policy, and Decide answers for one person
// and one request, with the reason at every node. It is pure: no clock, no network, no files.
//
// It does not check tokens: what it is handed has to come from core/token/verify (the claims) and from the issuer over
// a checked connection (userinfo, introspection). It does not map HTTP to operations either. The default is no: what no
// rule speaks of is refused, and an empty list of requirements is satisfied by nobody.
//
// Standards: AARC-G002 and AARC-G069, REFEDS Assurance Framework, WLCG Common JWT Profile, SciTokens; the requirements
// are those of flaat.
//
// Promised to importers outside: Parse, Policy.Decide, Subject, Request, Decision, Node, Faults.
package policy
