// Package mail hands messages to one mail server, which delivers them: a submission client with no surprises.
//
// A Mailer is made from a configuration that is checked as a whole; Open connects, and a Session sends messages one
// after the other. The connection is encrypted and the server's certificate verified, by STARTTLS that must succeed or
// by TLS from the first byte; plain text is possible on the loopback interface only, where the address of the
// connection, not the name, decides. Every step has a time limit and the server's answers a size limit. An address is
// what ParseAddress takes: plain ASCII without quoting, so that none can hold another command or header. Subjects and
// identifiers with control characters are refused, whoever let them come this far. A failure says whether it is worth
// trying again, and whether the server may have taken the message all the same.
//
// It keeps no messages and repeats nothing: that is the caller's. It reads no mail, resolves no MX records, signs
// nothing, and does not speak SMTPUTF8: addresses in other scripts are refused rather than mangled.
//
// Standards: RFC 5321, RFC 5322 (the dot-atom form of addresses), RFC 3207 (STARTTLS), RFC 8314 (TLS for submission),
// RFC 4954 with PLAIN (RFC 4616) and LOGIN, RFC 2047, RFC 3834 (Auto-Submitted), RFC 8058 (one-click unsubscription).
//
// The wire is github.com/wneessen/go-mail, which only this package may import.
//
// Not a public API.
package mail
