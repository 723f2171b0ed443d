// Package notices tells people what happens to their mytokens: by mail, by invitation, and in calendars that any
// program can subscribe to.
//
// A person subscribes to classes of events, for some mytokens or for all, and manages that with a code which is a
// credential by itself. What desk reports (Notice) becomes a mail; ends of mytokens are announced some days before, from
// a schedule; what happens often is summed up. Addresses are confirmed before anything but the mail for that goes
// there. Calendars are published as text/calendar under an address that only their owner knows. Links in mails lead to
// actions, of which a GET does none: programs open links to look whether they are dangerous.
//
// # What is durable, and what may be lost
//
// A mail that is in the outbox is durable: it is tried again, for two days at most, over restarts and on whichever
// server process is the sender. It is there before the request is answered that asked for it: confirmations of an
// address, invitations. The schedule of ends needs nothing kept but what was announced: it is computed from the
// mytokens themselves, and after a downtime the newest step that is due is announced, not all that were missed.
//
// Notice never blocks. What it is told waits in the memory of the process until a worker has put it into the outbox,
// usually for milliseconds. A process that is killed loses what waits; Run, when its context ends, writes it first.
// When more than 4096 wait, those that come are counted, logged and dropped. Sums of access tokens are written once a
// minute.
//
// A mail about the end of a mytoken is handed to the mail server at most once for each step: before its text is sent
// the row says so, and when the process dies, or the connection breaks, before the answer, nobody knows and it is not
// sent again. All other mails are sent again then, with the same Message-ID.
//
// One process at a time sends (a lease with a fence); the others take over within minutes when it dies.
//
// # What it is not
//
// It judges no mytoken (desk does), keeps none (ledger does), speaks no SMTP (core/transport/mail does), and draws no
// pages but the small ones of the actions. Nobody can use it to fill a mailbox: mails are limited per person, and
// confirmations per address too.
//
// Standards: RFC 5545 (iCalendar), RFC 5546 and 6047 (invitations by mail), RFC 7986 (names of calendars), RFC 8058
// (one-click unsubscription), RFC 3834.
//
// Not a public API.
package notices
