// Package pages is the part of a mytoken server that people see in a browser: what the service is, the consent page,
// the mytokens of a person, the settings, and errors in words. Everything works without a script; the one there is
// copies and counts, and decides nothing. Texts that come from providers, programs, names and user agents are data
// here: they reach a page through html/template only, and the content security policy lets nothing run that is not
// ours.
//
// The session of a browser is a mytoken of a web login in an HttpOnly cookie with SameSite=Strict. Whatever changes
// something is a POST from a page of ours: the browser has to say so (Sec-Fetch-Site, Origin), and the form has to
// carry a token that belongs to this browser, to this session and to what the form is for.
//
// It is not the server: what a request does is decided behind the interfaces in service.go, the wire of the API is
// core/mytoken/httpapi's, and nothing is kept here between requests.
//
// Standards: HTML, CSP level 3, RFC 6265bis (cookie prefixes, SameSite), Fetch metadata, WCAG 2.2 level AA.
//
// Not a public API.
package pages
