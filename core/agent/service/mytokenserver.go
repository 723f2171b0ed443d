package service

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/oidcbox/oidcbox/core/agent/login"
	"github.com/oidcbox/oidcbox/core/agent/proto"
	"github.com/oidcbox/oidcbox/core/mytoken"
)

// mytokenApplication is how a mytoken server names this agent on its pages.
const mytokenApplication = "oidc-agent"

// mytokenServers finds mytoken servers and remembers what they said of themselves, as directory does with providers.
type mytokenServers struct {
	directory *directory
	now       func() time.Time

	mu     sync.Mutex
	rows   map[where]serverRow
	asking flights[*mytoken.Server]
}

type serverRow struct {
	server *mytoken.Server
	until  time.Time
}

func newMytokenServers(d *directory, now func() time.Time) *mytokenServers {
	return &mytokenServers{directory: d, now: now, rows: make(map[where]serverRow)}
}

// find returns what the server says of itself, at most metadataLife old.
func (m *mytokenServers) find(ctx context.Context, w where) (*mytoken.Server, error) {
	m.mu.Lock()
	r, ok := m.rows[w]
	m.mu.Unlock()
	if ok && r.until.After(m.now()) {
		return r.server, nil
	}
	id := strings.Join([]string{w.issuer, w.document, w.caFile}, "\x00")
	return m.asking.do(ctx, id, func(ctx context.Context) (*mytoken.Server, error) {
		ctx, cancel := context.WithTimeout(ctx, workTimeout)
		defer cancel()
		s, err := m.discover(ctx, w)
		if err != nil {
			return nil, err
		}
		m.keep(w, s)
		return s, nil
	})
}

func (m *mytokenServers) discover(ctx context.Context, w where) (*mytoken.Server, error) {
	a, err := m.directory.access(w.caFile)
	if err != nil {
		return nil, err
	}
	if w.document != "" {
		return mytoken.DiscoverAt(ctx, a.http, w.document, w.issuer)
	}
	return mytoken.Discover(ctx, a.http, w.issuer)
}

func (m *mytokenServers) keep(w where, s *mytoken.Server) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.rows) >= maxProviders {
		clear(m.rows)
	}
	m.rows[w] = serverRow{server: s, until: m.now().Add(metadataLife)}
}

// client returns a client for the server.
func (m *mytokenServers) client(ctx context.Context, w where) (*mytoken.Client, error) {
	s, err := m.find(ctx, w)
	if err != nil {
		return nil, explainServer(err)
	}
	a, err := m.directory.access(w.caFile)
	if err != nil {
		return nil, err
	}
	return mytoken.New(a.http, s, mytoken.Options{Now: m.now, Application: mytokenApplication}), nil
}

// explainServer gives a server that is none the text that people know.
func explainServer(err error) error {
	if errors.Is(err, mytoken.ErrServer) || errors.Is(err, mytoken.ErrOtherServer) {
		return &problem{text: proto.TextNotMytoken, help: firstLine(err.Error()), err: err}
	}
	return err
}

// serverOf says how the mytoken server of a login is found. The original writes the discovery document it used into the
// account; one that lies elsewhere is that of the provider.
func serverOf(cfg login.Config) where {
	w := where{issuer: cfg.MytokenURL, caFile: cfg.CertPath}
	if strings.HasPrefix(cfg.ConfigEndpoint, strings.TrimSuffix(cfg.MytokenURL, "/")+"/") {
		w.document = cfg.ConfigEndpoint
	}
	return w
}

func (s *Service) mytokenClient(ctx context.Context, cfg login.Config) (*mytoken.Client, error) {
	return s.servers.client(ctx, serverOf(cfg))
}

// issuerOf is the issuer of a login as the provider spells it, or, for one at a mytoken server, that server.
func (s *Service) issuerOf(ctx context.Context, cfg login.Config) (string, error) {
	if cfg.MytokenURL == "" {
		md, err := s.issuers.metadata(ctx, whereOf(cfg))
		if err != nil {
			return "", err
		}
		return md.Issuer, nil
	}
	cl, err := s.mytokenClient(ctx, cfg)
	if err != nil {
		return "", err
	}
	return providerOf(cl.Server(), cfg.Issuer)
}

// providerOf is the issuer of a provider as the mytoken server spells it.
func providerOf(srv *mytoken.Server, issuer string) (string, error) {
	if p, ok := srv.Provider(issuer); ok {
		return p.Issuer, nil
	}
	if len(srv.Providers) == 0 {
		return issuer, nil
	}
	known := make([]string, 0, len(srv.Providers))
	for _, p := range srv.Providers {
		known = append(known, p.Issuer)
	}
	return "", &problem{
		text: fmt.Sprintf("The mytoken server %s does not support the provider %s", srv.Issuer, issuer),
		help: "It supports: " + strings.Join(known, " "),
	}
}

// mytokenProviders answers with the providers of a mytoken server, as it lists them.
func (s *Service) mytokenProviders(ctx context.Context, r proto.Request) (proto.Reply, error) {
	if r.Issuer == "" && r.ConfigEndpoint == "" {
		return proto.Reply{}, badRequest("issuer is missing")
	}
	srv, err := s.servers.find(ctx, where{issuer: r.Issuer, document: r.ConfigEndpoint, caFile: r.CertPath})
	if err != nil {
		return proto.Reply{}, explainServer(err)
	}
	list := proto.Info(srv.ProvidersJSON)
	if len(list) == 0 {
		list = proto.Info("[]")
	}
	return proto.Reply{Status: proto.StatusSuccess, Info: list}, nil
}

// mytokenKnows reports whether the mytoken server that the person prefers for new logins has this provider.
func (s *Service) mytokenKnows(ctx context.Context, issuer string) bool {
	if s.opts.Mytoken.Server == "" {
		return false
	}
	srv, err := s.servers.find(ctx, where{issuer: s.opts.Mytoken.Server})
	if err != nil {
		s.opts.Log.InfoContext(ctx, "preferred mytoken server not asked", "server", s.opts.Mytoken.Server, "err", err)
		return false
	}
	_, ok := srv.Provider(issuer)
	return ok
}

// newMytokenLogin is a login to be set up at the mytoken server that the person prefers.
func (s *Service) newMytokenLogin(name, issuer string, client login.Client) login.Config {
	cfg := login.Config{
		Name: name, Issuer: issuer, MytokenURL: s.opts.Mytoken.Server, ClientID: client.ID, ClientSecret: client.Secret,
	}
	if p := s.opts.Mytoken.Profile; strings.HasPrefix(strings.TrimSpace(p), "{") && json.Valid([]byte(p)) {
		cfg.MytokenProfile = json.RawMessage(p)
	} else if p != "" {
		cfg.MytokenProfile, _ = json.Marshal(p) // a string can be encoded
	}
	return cfg
}
