package mail

import (
	"crypto/x509"

	"github.com/oidcbox/oidcbox/core/config"
)

// Keys are those of a mail server in a configuration.
func Keys() []string {
	return []string{"host", "port", "security", "user", "password_file", "from", "from_name", "ca_file"}
}

// Read reads a mail server at a; the zero Config when there is none. What is wrong is said to r.
func Read(r *config.Reader, a config.At) (c Config) {
	if !a.Present() {
		return c
	}
	f := r.Fields(a, Keys()...)
	r.Need(a, f, "host", "from")
	c.Host, _ = r.Text(f["host"])
	c.Port = r.Int(f["port"], 0, 1, 65535)
	c.Security = Security(r.OneOf(f["security"], string(StartTLS), string(StartTLS), string(TLS), string(Loopback)))
	c.User, _ = r.Text(f["user"])
	c.Password, _ = r.SecretFile(f["password_file"])
	c.FromName, _ = r.Text(f["from_name"])
	if from, ok := r.Text(f["from"]); ok {
		var err error
		if c.From, err = ParseAddress(from); err != nil {
			r.Fault(f["from"], "%v", err)
		}
	}
	if name, ok := r.Path(f["ca_file"]); ok {
		c.Roots = readRoots(r, f["ca_file"], name)
	}
	if r.Err() == nil {
		if _, err := New(c); err != nil {
			r.Fault(a, "%v", err)
		}
	}
	return c
}

// Same reports whether c and o mean the same server. Certificates are not compared: they are read anew at a restart alone.
func (c Config) Same(o Config) bool {
	return c.Host == o.Host && c.Port == o.Port && c.Security == o.Security && c.User == o.User &&
		c.Password.Equal(o.Password) && c.From == o.From && c.FromName == o.FromName
}

func readRoots(r *config.Reader, a config.At, name string) *x509.CertPool {
	b, err := config.ReadFile(name, config.MaxSize)
	if err != nil {
		r.Fault(a, "%v", err)
		return nil
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(b) {
		r.Fault(a, "has no certificate (PEM)")
	}
	return pool
}
