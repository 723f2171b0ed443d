// Package pages is the part of a provisioner that people see in a browser: somebody who has no program of ours opens the
// link that sshd shows, logs in at a provider, sees which host this is and what they are called there, has an account
// made by a button, and gets a one-time password to type at the prompt of ssh. Administrators come here from a mail, and
// decide about an account by a button.
//
// A login belongs to the browser that began it, by a cookie; nothing here knows of connections of ssh, so none can be
// approved by somebody who was talked into it, and none makes a provider be asked. Whatever changes something is a POST
// from a page of ours. Pages work without a script: there is none. Texts of providers and people are data, and reach a
// page through html/template only.
//
// What a person may have is decided elsewhere: the access token of a login is judged as one that a program sends, for
// every page again, and accounts are core/account/provision's. Kept are the begun logins and the sessions, for minutes,
// in a store that has to be a sealed one.
//
// Standards: OpenID Connect Core 1.0 (code flow with nonce), RFC 7636 (PKCE), RFC 9207, RFC 9700, HTML, CSP level 3, RFC
// 6265bis (cookie prefixes, SameSite), Fetch metadata, WCAG 2.2 level AA.
//
// Not a public API.
package pages
