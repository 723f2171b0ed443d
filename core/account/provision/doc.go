// Package provision is the desk of the account system: it decides what happens to the account of a federated identity,
// remembers in its ledger which local account belongs to whom, and has the account system (core/account/backend) do it.
//
// Names are reserved in the ledger before an account is made, one identity has one operation at a time in all processes
// on one ledger, and what was interrupted is finished by the next login, or by [Desk.Mend]. Ledger and account system
// have to agree about an account; where they do not, nobody is let in and nothing is changed. A name or a number that
// an identity had is never given to another one.
//
// It checks no token and does not say who may ask (core/token/gate and its callers do), speaks no HTTP, shows no pages,
// sends no mail, and makes no account itself.
//
// Standards: REFEDS Assurance Framework and MFA profile, AARC-G002 and AARC-G069 by way of core/account/names. States
// and messages are those of core/account/state. docs/formats/provisioner.md has the records.
//
// Not a public API.
package provision
