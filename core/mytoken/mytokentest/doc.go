// Package mytokentest is a mytoken server for tests, in memory and on loopback. It takes exactly what the protocol has:
// a member it does not know, a wrong content type or a wrong place for a mytoken fails the test and the request.
// Mytokens are signed JWTs that rotate; a replaced one is refused. The provider behind it is made up: access tokens are random
// texts that tell who asked for what.
//
// It is not a mytoken server for anything else: it keeps no secrets, and knows restrictions as far as tests need them.
//
// Not a public API.
package mytokentest
