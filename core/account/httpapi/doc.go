// Package httpapi is the provisioner on the wire: the REST interface of motley-cue 0.7 (routes at three prefixes, error
// bodies, texts that clients compare), what we add to it (POST, our own one-time passwords, host keys in /info, the
// officer's interface below /admin/v1), and the answer to the PAM helper's question.
//
// It finds out who asks (core/token/gate believes the token, the policy of the issuer says whether that person may),
// and hands what is asked for to the desk (core/account/provision) and to the book of one-time passwords
// (core/account/otp). It decides nothing about accounts, makes no pages, opens no file and listens nowhere.
//
// Clients are told what motley-cue tells them. Where that is less than the truth (an issuer that cannot be reached),
// the truth is in the audit and in the log. Tokens and passwords are in neither.
//
// Standards: RFC 6750 section 2.1 (bearer tokens in the header), OpenAPI 3.1.
//
// Not a public API.
package httpapi
