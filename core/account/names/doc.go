// Package names says what a federated identity is called on this host: which texts may be a local user's or a group's
// name at all, which name a person gets, which groups the claims give, and how sub and iss are written into passwd or
// an LDAP attribute so that they can be read back.
//
// It looks nothing up and changes nothing: whether a name is free is the caller's answer, and so is which numbers the
// system's own groups have (a name that passes here is checked against NSS as well before anything is made). It does
// not bind namespaces to issuers either: names of groups are made from claims that core/token/policy let through, and
// two namespaces that differ in more than a group's name can show (NID, case, punctuation) give the same group.
//
// Standards: AARC-G002, AARC-G069, passwd(5), useradd(8), RFC 2307, RFC 3986 (percent-encoding).
//
// Not a public API.
package names
