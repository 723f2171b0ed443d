package pgstore

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// configure reads the address and sets limits.
func configure(address func() (string, error), o Options) (settings, error) {
	text, err := address()
	if err != nil {
		return settings{}, err
	}
	u, err := url.Parse(strings.TrimSpace(text))
	if err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql" {
		return settings{}, ErrURL
	}
	config, err := parse(u)
	if err != nil {
		return settings{}, err
	}
	if !o.AllowPlain {
		if err := protected(config); err != nil {
			return settings{}, err
		}
	}
	config.ConnectTimeout = o.Connect
	config.RuntimeParams["application_name"] = strings.TrimSpace("oidcbox " + o.Role)
	return settings{config: config, password: o.Password}, nil
}

// parse reads a URL. Where it says nothing, other machines are reached with verify-full, and of several servers the one
// that takes changes is chosen.
func parse(u *url.URL) (*pgconn.Config, error) {
	config, err := parseText(u)
	if err != nil {
		return nil, err
	}
	q := u.Query()
	if !q.Has("sslmode") && !q.Has("ssl") && elsewhere(config) {
		q.Set("sslmode", "verify-full")
	}
	if !q.Has("target_session_attrs") && strings.Contains(u.Host+q.Get("host"), ",") {
		q.Set("target_session_attrs", "read-write")
	}
	u.RawQuery = q.Encode()
	return parseText(u)
}

// parseText hides the driver's message where it might repeat a piece of the password.
func parseText(u *url.URL) (*pgconn.Config, error) {
	config, err := pgconn.ParseConfig(u.String())
	if err == nil {
		return config, nil
	}
	reason := errors.Unwrap(err)
	word, _ := u.User.Password()
	if reason == nil || word != "" || u.Query().Has("password") || u.Query().Has("sslpassword") {
		return nil, ErrURL
	}
	return nil, fmt.Errorf("%w: %w", ErrURL, reason)
}

// elsewhere reports whether one of the servers is on another machine.
func elsewhere(c *pgconn.Config) bool {
	if !local(c.Host) {
		return true
	}
	for _, f := range c.Fallbacks {
		if !local(f.Host) {
			return true
		}
	}
	return false
}

func local(host string) bool {
	if strings.HasPrefix(host, "/") || strings.HasPrefix(host, "@") || host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// protected refuses each way to another machine on which somebody in between could read or answer. That includes
// sslmode=prefer and allow, which go on without encryption when somebody asks them to, and require without a CA.
func protected(c *pgconn.Config) error {
	ways := append([]*pgconn.FallbackConfig{{Host: c.Host, TLSConfig: c.TLSConfig}}, c.Fallbacks...)
	for _, w := range ways {
		if local(w.Host) {
			continue
		}
		if t := w.TLSConfig; t == nil || t.InsecureSkipVerify && t.VerifyPeerCertificate == nil && t.VerifyConnection == nil {
			return fmt.Errorf("%w: server %s (say sslmode=verify-full and sslrootcert=FILE)", ErrPlain, w.Host)
		}
	}
	return nil
}
