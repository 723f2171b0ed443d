// Package daemon is what every long-running role does in the same way: take SIGHUP for a new configuration, let requests
// end under the configuration they began under, tell systemd how it is going, answer its operator over a control socket
// and be asked there.
//
// It reads no configuration, opens no listener and serves nothing: a role does that, with core/config,
// core/transport/listen and core/transport/httpd.
//
// Standards: sd_notify(3), Type=notify-reload of systemd.service(5).
//
// Not a public API.
package daemon
