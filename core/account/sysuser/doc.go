// Package sysuser says who the users and groups of this host are: the files /etc/passwd and /etc/group first, then what
// the name service switch knows besides (LDAP, SSSD, systemd), by getent(1). A name that the files have costs one read
// of a file and no process.
//
// A question has three answers: a user, nobody (ErrNone), and "it could not be found out" (ErrUnavailable), which is
// never taken for nobody. It changes nothing, and does not decide which users are ours (core/account/names has the
// rules, core/account/mark the marks). One thing it cannot see: getent says "nobody" as well where a directory does
// not answer, so that whoever makes accounts in a directory asks that itself.
//
// Standards: passwd(5), group(5), nsswitch.conf(5), getent(1).
//
// Not a public API.
package sysuser
