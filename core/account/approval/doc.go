// Package approval tells administrators by mail who asks for an account, takes their decision by a link of that mail,
// and tells the person what became of it.
//
// What waits is the ledger's (core/account/provision), and only that: the office goes through it, and writes down what
// it has announced, so that a mail is neither lost with a process that dies nor sent for each try. A link is signed,
// belongs to one administrator and one request with one content, ends after some days, and decides nothing when it is
// opened: programs open links to look whether they are dangerous. Mails wait in an outbox, are tried for two days, and
// one process at a time sends them.
//
// Texts of mails are templates with the names and ${variables} of the feudal adapter. Values are what strangers say
// about themselves: one line each, of bounded length, and never in a header but as a subject of one line.
//
// It decides nothing itself, draws no pages (core/account/pages does), and speaks no SMTP (core/transport/mail does).
//
// Standards: RFC 2104 (HMAC), RFC 3834 (Auto-Submitted, by way of core/transport/mail).
//
// Not a public API.
package approval
