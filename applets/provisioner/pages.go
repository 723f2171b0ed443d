package provisioner

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/oidcbox/oidcbox/core/account/approval"
	"github.com/oidcbox/oidcbox/core/account/pages"
	"github.com/oidcbox/oidcbox/core/oidc/flow"
	"github.com/oidcbox/oidcbox/core/oidc/provider"
	"github.com/oidcbox/oidcbox/core/token/gate"
	"github.com/oidcbox/oidcbox/core/transport/mail"
)

// loginPath is where the pages are, below the address of the server.
const loginPath = "/login"

// pagesURL is the address of the pages, "" where the server does not know its own.
func (s *settings) pagesURL() string {
	if s.url == "" {
		return ""
	}
	return s.url + loginPath
}

// redirectURI is where issuers send browsers back to.
func (s *settings) redirectURI() string { return pages.RedirectURI(s.pagesURL()) }

// serving reports whether there are pages: for logins, or for decisions by a link.
func (s *settings) serving() bool { return s.url != "" && s.pages.on }

// mountPages puts the pages beside the interface.
func (d *server) mountPages(s *settings, g *generation) error {
	g.handler = g.api.Handler()
	if !s.serving() {
		return nil
	}
	o := pages.Options{
		URL: s.pagesURL(), Host: s.info.SSHHost, HostKeys: fingerprints(g.hostKeys.lines()),
		Operator: pages.Operator{Name: s.owner.name, Contact: s.owner.contact},
		Judge:    g.api, Desk: g.desk, Passwords: g.book, Engine: d.state.Engine(), Session: s.pages.session,
		Origin: func(r *http.Request) netip.Addr { return s.proxies.Client(r) }, Limits: d.visits,
		Audit: d.recordPage, Now: d.env.Now, Log: d.log,
	}
	if g.office != nil {
		o.Office = g.office
	}
	for _, i := range s.issuers {
		if i.login != nil {
			o.Providers = append(o.Providers, d.provider(i))
		}
	}
	web, err := pages.New(o)
	if err != nil {
		return err
	}
	u, err := url.Parse(s.pagesURL())
	if err != nil {
		return err
	}
	g.handler = under(u.Path, web.Handler(), g.handler)
	return nil
}

// under serves base and what is below it by one handler, and all else by another.
func under(base string, inside, outside http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == base || strings.HasPrefix(r.URL.Path, base+"/") {
			inside.ServeHTTP(w, r)
			return
		}
		outside.ServeHTTP(w, r)
	})
}

// provider is how the pages log people in at an issuer.
func (d *server) provider(i issuer) pages.Provider {
	p := pages.Provider{Issuer: i.URL, Name: i.login.name, Scope: i.login.scopes, Audience: i.told.Audiences}
	if i.login.audience != "" {
		p.Audience = []string{i.login.audience}
	}
	c := &loginAt{d: d, issuer: i}
	p.Client = c.client
	return p
}

const (
	// documentLife is how long the endpoints of an issuer are used before they are looked up again.
	documentLife = time.Hour
	documentWait = 10 * time.Second
	// documentPause is how long an issuer that did not answer is not asked again: requests would wait for one another, each
	// for its own answer, until there is no room for those that need no issuer.
	documentPause = 5 * time.Second
)

// loginAt is our client at one issuer, whose endpoints are found at the first login.
type loginAt struct {
	d      *server
	issuer issuer

	mu    sync.Mutex
	found *flow.Client
	at    time.Time
	wrong error // why the issuer was not found at last, good until again
	again time.Time
}

// client returns it. Endpoints that were found before stay in use while the issuer does not answer.
func (l *loginAt) client(ctx context.Context) (*flow.Client, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.d.env.Now()
	if l.found != nil && now.Sub(l.at) < documentLife && !now.Before(l.at) {
		return l.found, nil
	}
	if now.Before(l.again) {
		return l.former()
	}
	// One caller asks for all that wait: it does not matter that it has gone meanwhile.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), documentWait)
	defer cancel()
	md, err := provider.Discover(ctx, l.d.hc, l.issuer.URL)
	if err != nil {
		l.wrong, l.again = err, l.d.env.Now().Add(documentPause)
		return l.former()
	}
	cc := flow.ClientConfig{ID: l.issuer.login.id}
	if file := l.issuer.login.secretFile; file != "" {
		if cc.Secret, err = readSecret(file); err != nil {
			return nil, err
		}
	}
	style := flow.AudienceParam
	if l.issuer.login.resource {
		style = flow.AudienceResource
	}
	l.found, l.at = flow.New(l.d.hc, md, cc, flow.Options{Keys: l.d.keys, Now: l.d.env.Now, Audience: style}), now
	return l.found, nil
}

// former is the client from before, or why there is none.
func (l *loginAt) former() (*flow.Client, error) {
	if l.found != nil {
		return l.found, nil
	}
	return nil, l.wrong
}

// fingerprints are those of public keys, as ssh shows them.
func fingerprints(lines []string) []string {
	var list []string
	for _, line := range lines {
		kind, blob, _ := strings.Cut(line, " ")
		if b, err := base64.StdEncoding.DecodeString(blob); err == nil {
			sum := sha256.Sum256(b)
			list = append(list, strings.TrimPrefix(kind, "ssh-")+" SHA256:"+base64.RawStdEncoding.EncodeToString(sum[:]))
		}
	}
	return list
}

// trusted are the issuers whose keys have to be fetched: also those whose tokens are checked by keys of a file, where
// people log in by the pages.
func (s *settings) trusted() []provider.Trusted {
	c := gate.Config{}
	for _, i := range s.issuers {
		c.Issuers = append(c.Issuers, i.Issuer)
	}
	list := c.Trusted()
	for _, i := range s.issuers {
		if i.Keys != nil && i.login != nil {
			list = append(list, provider.Trusted{Issuer: i.URL, Lifetimes: i.Lifetimes})
		}
	}
	return list
}

// openOffice makes what tells administrators of requests; nil where nobody is told.
func (d *server) openOffice(s *settings, g *generation) (*approval.Office, error) {
	if s.approval.admins == nil {
		return nil, nil //nolint:nilnil // nobody is told, which is no error
	}
	m, err := mail.New(s.mail.Config)
	if err != nil {
		return nil, err
	}
	o := approval.Options{
		Engine: d.state.Engine(), Desk: g.desk, From: m.From(), Admins: s.approval.admins, Page: s.pagesURL(),
		Hostname: hostOf(s.url), SSHHost: s.info.SSHHost, LinkLife: s.approval.linkLife, Now: d.env.Now, Log: d.log,
		Open: func(ctx context.Context) (approval.Session, error) {
			session, err := m.Open(ctx)
			if err != nil {
				return nil, err // not session: an interface with nothing in it is not nil
			}
			return session, nil
		},
	}
	if s.serving() {
		o.Link = func(link string) string { return pages.DecisionURL(s.pagesURL(), link) }
	}
	if s.approval.templates != "" {
		o.Templates = os.DirFS(s.approval.templates)
	}
	return approval.New(o)
}

// hostOf is the host of an address.
func hostOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return address
	}
	return cmp.Or(u.Hostname(), address)
}
