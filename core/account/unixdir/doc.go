// Package unixdir keeps federated accounts in passwd, shadow and group of this host, by the programs of shadow-utils:
// they know the locks, the formats and what else a distribution does when a user is made.
//
// An account is ours when its whole GECOS field is an identity (docs/formats/account-mapping.md) and name and uid are
// ones that a federated account may have. What a killed call left behind is mended by the next Deploy. Files in homes
// are read and written as their user, who may have put anything there.
//
// It decides neither names nor groups, and remembers nothing outside of those files: which uid an account gets is
// said by the caller (core/account/worker counts them, and never gives one twice).
//
// Standards: passwd(5), shadow(5), group(5), useradd(8), sshd(8) AUTHORIZED_KEYS FILE FORMAT.
//
// Not a public API.
package unixdir
