// Package mytoken is the client of a mytoken server: what the server says of itself, getting a mytoken (by a login at a
// provider, from another mytoken, for a transfer code), access tokens for a mytoken, what the server knows of a
// mytoken, its profiles, and revocation. The objects a mytoken is made of (capabilities, restrictions, rotation) are
// values here; members that this package does not know are kept when they are written again.
//
// A [Client] belongs to one server. It keeps no mytokens: a server may replace the one that was used by any call, and
// every answer hands that over as Update. [Client.Refresh] lets core/oidc/custody keep a mytoken as it keeps a refresh
// token. It is not the server, and it decides nothing about capabilities and restrictions: core/mytoken/rules does.
// A mytoken is read without a check of its signature; what is read is for showing and for finding its server.
//
// Standards: the mytoken API, version 0 (token version 0.7); RFC 6749 section 6 for the refresh at token_endpoint;
// RFC 7009 in spirit for revocation.
//
// Not a public API.
package mytoken
