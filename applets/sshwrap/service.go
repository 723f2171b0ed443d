package sshwrap

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/sshlogin"
	"github.com/oidcbox/oidcbox/core/transport/httpc"
)

// service is the account service of a host, and what it says of itself.
type service struct {
	sshlogin.Service
	target target
	info   sshlogin.Info
	kept   string // the file its description was taken from, "" when it was asked
}

// infoLife is how long a description is used again.
const infoLife = 300 * time.Second

// service finds the account service of a host.
func (s *session) service(ctx context.Context, t target) (*service, error) {
	path := s.cachePath(t.host)
	if svc, ok := s.cached(path); ok && s.mayGo(svc.Base) == nil {
		svc.target = t
		s.say("service: %s, as it was found a short while ago", svc.Base)
		return svc, nil
	}
	f := sshlogin.Finder{HTTP: s.look, Clear: s.clear}
	var base string
	var err error
	if s.Endpoint != "" {
		base, err = f.Named(ctx, s.Endpoint)
	} else {
		base, err = f.Find(ctx, t.host)
	}
	if err != nil {
		return nil, s.notFound(t.host, err)
	}
	if err := s.mayGo(base); err != nil {
		return nil, err
	}
	s.say("service: %s", base)
	svc := &service{Service: sshlogin.Service{Base: base, HTTP: s.call}, target: t}
	if svc.info, err = svc.Info(ctx); err != nil {
		return nil, err
	}
	s.keep(path, svc)
	return svc, nil
}

// notFound puts the original's sentence in front of what went wrong.
func (s *session) notFound(host string, err error) error {
	if s.Endpoint != "" {
		hint := "is the address right, and does the service run? its administrator knows"
		if _, broken := untrustedHint(err); broken != "" {
			hint = broken
		}
		return cli.Fail(cli.NotFound, fmt.Errorf("the endpoint %s: %w", s.Endpoint, err), hint)
	}
	if _, broken := untrustedHint(err); broken != "" {
		return cli.Fail(cli.No, err, broken)
	}
	s.say("%v", err)
	//lint:ignore ST1005 the words are the original's
	return cli.Fail(cli.NotFound, fmt.Errorf("No motley_cue service found on host '%s' on port 443, 8443 or 8080. "+
		"Please specify motley_cue endpoint via --mc-endpoint.", host), "")
}

func untrustedHint(err error) (bool, string) {
	if strings.Contains(err.Error(), "certificate") {
		return true, "if the certificate is of an authority of your own: --ca-file FILE"
	}
	return false, ""
}

// mayGo refuses to send a token in clear text over a network: whoever blocks the ports of https could have it
// otherwise. The original warns, and so does mccli.
func (s *session) mayGo(base string) error {
	u, err := url.Parse(base)
	if err != nil || u.Scheme != "http" {
		return err
	}
	if ip := net.ParseIP(u.Hostname()); u.Hostname() == "localhost" || ip != nil && ip.IsLoopback() {
		return nil
	}
	if s.compat || s.Insecure || strings.HasPrefix(s.Endpoint, "http://") {
		s.warn("using an account service without TLS: whoever is on the way to %s can read the token", u.Host)
		return nil
	}
	return cli.Fail(cli.No, fmt.Errorf("the account service of the host answers without TLS only: %s", base),
		"if nobody else is on the way: --mc-endpoint "+base)
}

// cacheFile is what is kept of a service.
type cacheFile struct {
	Base string          `json:"base"`
	Info json.RawMessage `json:"info"`
}

func (s *session) cachePath(host string) string {
	dir := s.env.Getenv("XDG_CACHE_HOME")
	if home := s.env.Getenv("HOME"); dir == "" && home != "" {
		dir = filepath.Join(home, ".cache")
	}
	if !filepath.IsAbs(dir) || s.NoCache {
		return ""
	}
	// What another set of authorities was trusted for is not this one's.
	sum := sha256.Sum256([]byte(host + "\x00" + s.Endpoint + "\x00" + s.CAFile))
	return filepath.Join(dir, "oidcbox", "ssh", hex.EncodeToString(sum[:16])+".json")
}

func (s *session) cached(path string) (*service, bool) {
	fi, err := os.Lstat(path)
	if err != nil || !fi.Mode().IsRegular() || fi.Mode().Perm()&0o022 != 0 {
		return nil, false
	}
	if age := s.env.Now().Sub(fi.ModTime()); age < -time.Minute || age > infoLife {
		return nil, false
	}
	b, err := readSome(path, 2*httpc.DefaultMaxBody)
	var kept cacheFile
	if err != nil || json.Unmarshal(b, &kept) != nil || kept.Base == "" {
		return nil, false
	}
	info, err := sshlogin.ParseInfo(kept.Info)
	if err != nil {
		return nil, false
	}
	return &service{Service: sshlogin.Service{Base: kept.Base, HTTP: s.call}, info: info, kept: path}, true
}

// keep stores a description. That it cannot be kept costs a search, nothing else.
func (s *session) keep(path string, svc *service) {
	if path == "" || os.MkdirAll(filepath.Dir(path), 0o700) != nil {
		return
	}
	fi, err := os.Lstat(filepath.Dir(path))
	if err != nil || fi.Mode()&fs.ModeSymlink != 0 || fi.Mode().Perm()&0o022 != 0 {
		return
	}
	if b, err := json.Marshal(cacheFile{Base: svc.Base, Info: svc.info.Raw}); err == nil {
		_ = replaceFile(path, b)
	}
}
