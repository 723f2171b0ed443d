// Package listen reads where a daemon shall listen from its configuration, and makes the sockets: TCP with or without TLS,
// Unix sockets with mode and group, and those that systemd hands over.
//
// It answers nobody (core/transport/httpd does) and does not decide whether others may reach a place: that is the role's
// to say.
//
// Standards: sd_listen_fds(3), RFC 8446.
//
// Not a public API.
package listen
