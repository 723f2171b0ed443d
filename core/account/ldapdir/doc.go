// Package ldapdir keeps federated accounts in an LDAP directory: posixAccount and posixGroup entries that every node of
// a cluster sees through nslcd or sssd.
//
// Identity and account are tied by one attribute of the entry. Names and numbers are given once and for ever: beside the
// accounts there is a small container of records, one for each name and one for each identity, whose creation decides
// between provisioners that race, and which stay when an account goes. Numbers come from counters that are changed by
// compare-and-swap. What a provisioner that was killed left behind, the next call finds in the records and completes.
//
// It changes the first of its servers only; the others answer questions while the first one is down. It follows no
// referral, binds over no connection that others can read, and believes no entry whose number is below the floor. It
// ends no sessions: those run on hosts it does not know.
//
// Standards: RFC 2307 (accounts and groups), RFC 4511 (LDAP), RFC 4513 (StartTLS, EXTERNAL), RFC 4514 and 4515 (escaping),
// RFC 2696 (pages), RFC 4512 (schema).
//
// Not a public API.
package ldapdir
