// Package pgstore keeps records in PostgreSQL, for a service of several processes or machines.
//
// An Update runs in READ COMMITTED and locks the rows that it asks for with GetForUpdate, also absent ones; a View is
// one REPEATABLE READ snapshot. Leases are rows with an owner, an expiry and a fence. Expiry of records and leases is
// judged by the clock of the database, so that the clocks of the processes do not matter. Nothing that counts belongs
// to a session (no advisory locks; behind a transaction pooler no settings and no prepared statements either).
//
// Unlike in the engines with one writer, Get in an Update takes no lock: what must be exact is read with GetForUpdate.
// Nobody is told of changes by others, and values are not sealed here (store/sealed does that).
//
// docs/formats/store.md gives the tables. Not a public API.
package pgstore
