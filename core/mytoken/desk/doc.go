// Package desk is what a mytoken server does, without the wire: one method for each request, with the values of the
// request as arguments and what is answered as the result.
//
// A mytoken that somebody comes with is presented, its key proved where it is bound to one, its capability looked up,
// and one use of it reserved; what was asked for is done; the use is committed, burned or given back. A refusal is an
// [Error] in the words of the API, and nothing is counted, rotated or written for it. A login in progress lies under
// codes in the ledger (consent, state, polling, each random by itself), so that any of several server processes goes on
// with it. Work that has begun at the provider is finished although the client goes away.
//
// It speaks no HTTP and makes no pages (core/mytoken/httpapi and core/mytoken/pages do), it does not know how a
// provider wants to be asked (core/mytoken/upstream does, behind [Provider]), and sends no mail (core/mytoken/notices
// does, told by [Notice]). Requests are not limited here in number; each one is in size and time.
//
// Standards: the mytoken API, version 0; RFC 8628 for logins without a browser; RFC 9449 for mytokens bound to a key;
// RFC 9700 section 2.1 and 4.7 for redirects.
//
// Not a public API.
package desk
