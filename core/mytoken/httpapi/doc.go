// Package httpapi is the wire of the mytoken server: what stands in requests and answers of its HTTP interface.
//
// A request is read once, strictly and within bounds, into a [Call]; the endpoint hands it to core/mytoken/desk, which
// decides and does; its result becomes the status, members and cookies of the API, a refusal the error object. Around
// that: where a mytoken may stand in a request, the answer that carries the mytoken which replaced the used one,
// discovery documents, whose address a request comes from when proxies are in between, rate limits, and who on other
// sites may read what. Beside the API of mytoken the same tokens are served by the standards, for clients that know no
// mytoken: refresh and token exchange at the token endpoint, introspection, revocation, metadata.
//
// It decides nothing about mytokens, keeps nothing, draws no pages (core/mytoken/pages does) and opens no listener.
//
// Standards: the mytoken API, version 0; RFC 6749 sections 5.2 and 6, RFC 6750, RFC 7009, RFC 7517, RFC 7662,
// RFC 8414, RFC 8693, RFC 9449 sections 5, 7.1, 8 and 9, RFC 6585 section 4.
//
// Not a public API.
package httpapi
