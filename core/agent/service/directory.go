package service

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/oidcbox/oidcbox/core/agent/login"
	"github.com/oidcbox/oidcbox/core/oidc/flow"
	"github.com/oidcbox/oidcbox/core/oidc/provider"
	"github.com/oidcbox/oidcbox/core/transport/httpc"
)

// Bounds of what is remembered of providers.
const (
	metadataLife  = time.Hour
	maxProviders  = 64
	maxHTTPClient = 16
)

// where says how a provider is found: its issuer, or a discovery document elsewhere, and whose certificates count.
type where struct{ issuer, document, caFile string }

func whereOf(cfg login.Config) where {
	return where{issuer: cfg.Issuer, document: cfg.ConfigEndpoint, caFile: cfg.CertPath}
}

// directory finds providers and remembers what they said of themselves, so that a refresh costs one request.
type directory struct {
	http func(caFile string) (*httpc.Client, error)
	now  func() time.Time

	mu      sync.Mutex
	rows    map[where]directoryRow
	clients map[string]access
	asking  flights[*provider.Metadata]
}

// access is the way to providers under one CA bundle.
type access struct {
	http *httpc.Client
	keys *provider.Keys
}

type directoryRow struct {
	md    *provider.Metadata
	until time.Time
}

func newDirectory(o Options) *directory {
	return &directory{
		http: o.HTTP, now: o.Now,
		rows: make(map[where]directoryRow), clients: make(map[string]access),
	}
}

// access returns the HTTP client and the keys for a CA bundle. A bundle that cannot be read is an error each time: it
// may be mended. It is read while nobody else has to wait: it may lie on a server that is away.
func (d *directory) access(caFile string) (access, error) {
	d.mu.Lock()
	a, ok := d.clients[caFile]
	d.mu.Unlock()
	if ok {
		return a, nil
	}
	hc, err := d.http(caFile)
	if err != nil {
		return access{}, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if a, ok := d.clients[caFile]; ok {
		return a, nil
	}
	if len(d.clients) >= maxHTTPClient {
		d.evict()
	}
	a = access{http: hc, keys: provider.NewKeys(hc, provider.KeysOptions{Now: d.now})}
	d.clients[caFile] = a
	return a, nil
}

// evict makes room. A login whose bundle goes pays with one more reading of it. The keys are not closed: a login under
// way may use them, and when it is over nothing of them runs any more.
func (d *directory) evict() {
	for caFile := range d.clients {
		if caFile != "" {
			delete(d.clients, caFile)
			return
		}
	}
}

// close ends what the key caches run in the background.
func (d *directory) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, a := range d.clients {
		a.keys.Close()
	}
	clear(d.clients)
}

// metadata returns what the provider says of itself, at most metadataLife old.
func (d *directory) metadata(ctx context.Context, w where) (*provider.Metadata, error) {
	d.mu.Lock()
	r, ok := d.rows[w]
	d.mu.Unlock()
	if ok && r.until.After(d.now()) {
		return r.md, nil
	}
	id := strings.Join([]string{w.issuer, w.document, w.caFile}, "\x00")
	return d.asking.do(ctx, id, func(ctx context.Context) (*provider.Metadata, error) {
		ctx, cancel := context.WithTimeout(ctx, workTimeout)
		defer cancel()
		md, err := d.discover(ctx, w)
		if err != nil {
			return nil, err
		}
		d.keep(w, md)
		return md, nil
	})
}

func (d *directory) discover(ctx context.Context, w where) (*provider.Metadata, error) {
	a, err := d.access(w.caFile)
	if err != nil {
		return nil, err
	}
	hc := a.http
	if w.document == "" {
		// The issuer of an account file was typed by a person once: the original adds or drops its last slash.
		md, _, err := provider.DiscoverTyped(ctx, hc, w.issuer)
		return md, err
	}
	md, err := provider.DiscoverAt(ctx, hc, w.document)
	if err != nil {
		return nil, err
	}
	if w.issuer != "" && !login.SameIssuer(md.Issuer, w.issuer) {
		return nil, &provider.IssuerError{Want: w.issuer, Got: md.Issuer}
	}
	return md, nil
}

func (d *directory) keep(w where, md *provider.Metadata) {
	md.Raw = nil // up to 1 MiB that nobody reads here
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.rows) >= maxProviders {
		clear(d.rows)
	}
	d.rows[w] = directoryRow{md: md, until: d.now().Add(metadataLife)}
}

// mayDelete reports whether a request to delete a client may go to uri. It comes from a client of the agent, which may
// be on another machine: without https it could reach whatever listens on loopback here, so it has to be the place of a
// provider that showed its metadata there.
func (d *directory) mayDelete(uri string) bool {
	u, err := url.Parse(uri)
	if err != nil || u.Scheme == "https" {
		return err == nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, r := range d.rows {
		at, err := url.Parse(r.md.Issuer)
		if err == nil && at.Scheme == u.Scheme && at.Host == u.Host {
			return true
		}
	}
	return false
}

// spelled is the issuer of a login as its provider writes it: services compare it byte for byte, and account files have
// a slash at the end for the sake of version 4.
func (s *Service) spelled(ctx context.Context, cfg login.Config) string {
	if cfg.MytokenURL != "" {
		return cfg.Issuer
	}
	md, err := s.issuers.metadata(ctx, whereOf(cfg))
	if err != nil || !login.SameIssuer(md.Issuer, cfg.Issuer) {
		return cfg.Issuer
	}
	return md.Issuer
}

// errNoClient: the login is one at a mytoken server.
var errNoClient = errors.New("a login at a mytoken server has no client at the provider")

// client returns a client for a login. audience is what will be asked for: the style depends on it.
func (s *Service) client(ctx context.Context, cfg login.Config, audience []string) (*flow.Client, error) {
	if cfg.MytokenURL != "" {
		return nil, errNoClient // its mytoken must never reach the provider
	}
	md, err := s.issuers.metadata(ctx, whereOf(cfg))
	if err != nil {
		return nil, err
	}
	return s.clientAt(ctx, cfg, md, audience)
}

func (s *Service) clientAt(
	ctx context.Context, cfg login.Config, md *provider.Metadata, audience []string,
) (*flow.Client, error) {
	a, err := s.issuers.access(cfg.CertPath)
	if err != nil {
		return nil, err
	}
	if cfg.DeviceEndpointSetByUser && cfg.DeviceEndpoint != "" {
		own := *md
		own.DeviceAuthorizationEndpoint = cfg.DeviceEndpoint
		md = &own
	}
	cc := flow.ClientConfig{
		ID: cfg.ClientID, Secret: cfg.ClientSecret, OAuth2: cfg.OAuth2 || md.OAuth2, Public: cfg.PublicClient,
		AuthMethod: knownAuthMethod(cfg),
	}
	return flow.New(a.http, md, cc, flow.Options{
		Keys: a.keys, Now: s.opts.Now, Audience: s.audienceStyle(ctx, md.Issuer, audience),
		Extra: s.extraFor(ctx, md.Issuer, cfg.Name),
	}), nil
}

// extraFor are parameters that one provider needs beside those of the standards, and those that the person adds.
func (s *Service) extraFor(ctx context.Context, issuer, name string) func(request string) url.Values {
	return func(request string) url.Values {
		form := url.Values{}
		for _, p := range s.opts.Issuers().Parameters() {
			if !p.For(request, issuer, name) || form.Has(p.Name) { // the person's own come first
				continue
			}
			value, err := p.Value(s.opts.Getenv)
			if err != nil {
				s.opts.Log.WarnContext(ctx, "custom parameter left out", "login", name, "err", err)
				continue
			}
			form.Set(p.Name, value)
		}
		if request == flow.RequestAuthURL && login.SameIssuer(issuer, googleIssuer) && !form.Has("access_type") {
			form.Set("access_type", "offline")
		}
		return form
	}
}

// audienceStyle is how the provider wants to hear an audience, as far as somebody said so. INDIGO IAM takes "audience"
// at a refresh, and "resource" only where the authorization had it already.
func (s *Service) audienceStyle(ctx context.Context, issuer string, audience []string) flow.AudienceStyle {
	style := flow.AudienceResource
	if i, ok := s.opts.Issuers().Find(issuer); ok && i.AudienceStyle != "" {
		style = flow.AudienceStyle(i.AudienceStyle)
	}
	if style == flow.AudienceResource {
		for _, a := range audience {
			if !flow.IsResource(a) {
				s.opts.Log.InfoContext(ctx, "what is no absolute URI is sent as audience, not as resource",
					"issuer", issuer, "aud", a)
			}
		}
	}
	return style
}
