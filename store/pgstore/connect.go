package pgstore

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

const (
	connLife     = time.Hour
	connIdle     = 5 * time.Minute
	healthPeriod = 30 * time.Second
)

// configure reads the address and sets limits.
func configure(address func() (string, error), o Options) (*pgxpool.Config, error) {
	text, err := address()
	if err != nil {
		return nil, err
	}
	u, err := url.Parse(strings.TrimSpace(text))
	if err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql" {
		return nil, ErrURL
	}
	config, err := parse(u)
	if err != nil {
		return nil, err
	}
	if !o.AllowPlain {
		if err := protected(config.ConnConfig); err != nil {
			return nil, err
		}
	}
	config.MaxConns = int32(min(o.MaxConns, 1000)) //nolint:gosec // bounded
	config.MinConns, config.MinIdleConns = 0, 0
	config.MaxConnLifetime, config.MaxConnLifetimeJitter = connLife, connLife/10
	config.MaxConnIdleTime, config.HealthCheckPeriod = connIdle, healthPeriod
	config.PingTimeout = o.Connect
	config.ConnConfig.ConnectTimeout = o.Connect
	config.ConnConfig.RuntimeParams["application_name"] = strings.TrimSpace("oidcbox " + o.Role)
	if ask := o.Password; ask != nil {
		config.BeforeConnect = func(_ context.Context, c *pgx.ConnConfig) error {
			word, err := ask()
			if err != nil {
				return fmt.Errorf("read password of database: %w", err)
			}
			c.Password = word
			return nil
		}
	}
	return config, nil
}

// parse reads a URL. Where it says nothing, other machines are reached with verify-full, and of several servers the one
// that takes changes is chosen.
func parse(u *url.URL) (*pgxpool.Config, error) {
	config, err := parseText(u)
	if err != nil {
		return nil, err
	}
	q := u.Query()
	if !q.Has("sslmode") && !q.Has("ssl") && elsewhere(config.ConnConfig) {
		q.Set("sslmode", "verify-full")
	}
	if !q.Has("target_session_attrs") && strings.Contains(u.Host+q.Get("host"), ",") {
		q.Set("target_session_attrs", "read-write")
	}
	u.RawQuery = q.Encode()
	return parseText(u)
}

// parseText hides the driver's message where it might repeat a piece of the password.
func parseText(u *url.URL) (*pgxpool.Config, error) {
	config, err := pgxpool.ParseConfig(u.String())
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
func elsewhere(c *pgx.ConnConfig) bool {
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
func protected(c *pgx.ConnConfig) error {
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
