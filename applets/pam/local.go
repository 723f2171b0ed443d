package pam

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/oidcbox/oidcbox/core/account/names"
	"github.com/oidcbox/oidcbox/core/account/otp/form"
	"github.com/oidcbox/oidcbox/core/config"
	"github.com/oidcbox/oidcbox/core/oidc/provider"
	"github.com/oidcbox/oidcbox/core/token/gate"
	"github.com/oidcbox/oidcbox/core/token/issuers"
	"github.com/oidcbox/oidcbox/core/transport/httpc"
)

var (
	// errNotMapped: the token is good, and the map does not give its identity that local user.
	errNotMapped = errors.New("the map does not give this identity that user")
	// errBadToken: the token is judged, and refused.
	errBadToken = errors.New("the token is refused")
	// errMap: a line of the map is none.
	errMap = errors.New("is no map of users")
	// errOnlyTokens: one-time passwords are the provisioner's, and there is none.
	errOnlyTokens = errors.New("without a provisioner only access tokens are taken")
)

// localSettings are the file of local mode.
type localSettings struct {
	gate    gate.Config
	users   string // file
	caFile  string
	keysDir string // "" keeps no keys between logins
}

// authLocal judges a token without any daemon: the issuer says whether it is good, the map whose it is.
func (h *helper) authLocal(ctx context.Context, kind form.Kind) (said string, err error) {
	if kind != form.JWT && kind != form.Other {
		return "", errOnlyTokens
	}
	s, err := readLocal(h.Local)
	if err != nil {
		return "", err
	}
	h.UIDRange = true // whose the account is, the map says
	if _, err := h.look(ctx, h.users, h.q.User); err != nil {
		return "", err
	}
	b, err := readOwned(s.users)
	if err != nil {
		return "", fmt.Errorf("read the map of users: %w", err)
	}
	owners, err := parseMap(string(b))
	if err != nil {
		return "", fmt.Errorf("%s %w", s.users, err)
	}
	if len(owners[h.q.User]) == 0 {
		return "", fmt.Errorf("%w: it gives it nobody", errNotMapped) // nor is any issuer asked
	}
	who, err := s.judge(ctx, h)
	if err != nil {
		return "", err
	}
	for _, owner := range owners[h.q.User] {
		if owner == who {
			id, err := names.Encode(who.sub, who.iss)
			return fmt.Sprintf("%s, %s", id, word(kind)), err
		}
	}
	return "", fmt.Errorf("%w: %s at %s", errNotMapped, who.sub, who.iss)
}

// judge asks who the token is from.
func (s localSettings) judge(ctx context.Context, h *helper) (identity, error) {
	hc, err := httpc.New(httpc.Options{Timeout: maxTime, CAFile: s.caFile, UserAgent: "oidcbox-pam"})
	if err != nil {
		return identity{}, fmt.Errorf("prepare to ask the issuer: %w", err)
	}
	defer hc.CloseIdle()
	o := gate.Options{HTTP: hc, Now: h.log.now}
	if s.keysDir != "" {
		dir, err := provider.OpenDir(s.keysDir, h.log.now)
		if err != nil {
			return identity{}, fmt.Errorf("open directory of keys: %w", err)
		}
		o.Keys = provider.NewKeys(hc, provider.KeysOptions{Dir: dir, Now: h.log.now})
		defer o.Keys.Close()
		o.Keys.Trust(s.gate.Trusted())
	}
	g, err := gate.New(s.gate, o)
	if err != nil {
		return identity{}, err
	}
	defer g.Close()
	out, err := g.Check(ctx, gate.Presented{Token: h.q.Secret, Scheme: gate.Bearer}, "")
	if refusal := (*gate.Refusal)(nil); errors.As(err, &refusal) && refusal.Status < 500 {
		return identity{}, fmt.Errorf("%w: %w", errBadToken, err)
	}
	if err != nil {
		return identity{}, fmt.Errorf("the token could not be judged: %w", err)
	}
	return identity{sub: out.Identity.Subject, iss: out.Identity.Issuer}, nil
}

type identity struct{ sub, iss string }

// readLocal reads the file of local mode, which has to be root's alone.
func readLocal(path string) (localSettings, error) {
	b, err := readOwned(path)
	if err != nil {
		return localSettings{}, fmt.Errorf("read configuration of local mode: %w", err)
	}
	r := config.NewReader(path)
	s := parseLocal(r, b)
	return s, r.Err()
}

func parseLocal(r *config.Reader, b []byte) (s localSettings) {
	top := r.Document(b)
	f := r.Fields(top, "version", "issuers", "audiences", "any_audience", "users", "ca_file", "keys_dir")
	r.Version(top, f, 1)
	r.Need(top, f, "issuers", "users")
	for _, iss := range issuers.Read(r, f["issuers"], issuers.Options{Check: []gate.Mode{gate.Userinfo}}) {
		s.gate.Issuers = append(s.gate.Issuers, iss.Issuer)
	}
	s.gate.Audiences = r.Texts(f["audiences"])
	s.gate.AcceptAnyAudience = r.Bool(f["any_audience"], false)
	if len(s.gate.Audiences) == 0 && !s.gate.AcceptAnyAudience && r.Usable(top) {
		r.Fault(top, "audiences are missing: a token for another service would open this host; "+
			"any_audience: true allows that")
	}
	s.users, _ = r.Path(f["users"])
	s.caFile, _ = r.Path(f["ca_file"])
	s.keysDir, _ = r.Path(f["keys_dir"])
	return s
}

// parseMap reads a map of users: lines of a local name, an issuer and a sub, which is the rest of the line. One person
// may have several names, and several persons one.
func parseMap(text string) (map[string][]identity, error) {
	owners := map[string][]identity{}
	n := 0
	for line := range strings.Lines(text) {
		n++
		line = strings.TrimRight(line, "\r\n")
		if trimmed := strings.TrimSpace(line); trimmed == "" || trimmed[0] == '#' {
			continue
		}
		name, rest, _ := strings.Cut(strings.TrimLeft(line, " \t"), " ")
		iss, sub, ok := strings.Cut(strings.TrimLeft(rest, " \t"), " ")
		sub = strings.TrimSpace(sub)
		if _, err := names.Encode(sub, iss); !ok || names.Check(name) != nil || err != nil || !strings.Contains(iss, "://") {
			return nil, fmt.Errorf("%w: line %d is not NAME ISSUER SUB", errMap, n)
		}
		owners[name] = append(owners[name], identity{sub: sub, iss: iss})
	}
	return owners, nil
}
