package pages_test

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/account/approval"
	"github.com/oidcbox/oidcbox/core/account/httpapi"
	"github.com/oidcbox/oidcbox/core/account/otp"
	"github.com/oidcbox/oidcbox/core/account/pages"
	"github.com/oidcbox/oidcbox/core/account/provision"
	"github.com/oidcbox/oidcbox/core/account/state"
	"github.com/oidcbox/oidcbox/core/oidc/flow"
	"github.com/oidcbox/oidcbox/core/oidc/issuer"
	"github.com/oidcbox/oidcbox/core/oidc/issuer/issuertest"
	"github.com/oidcbox/oidcbox/core/oidc/provider"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/token/gate"
	"github.com/oidcbox/oidcbox/core/token/verify"
	"github.com/oidcbox/oidcbox/core/transport/httpc"
	"github.com/oidcbox/oidcbox/store"
	"github.com/oidcbox/oidcbox/store/memstore"
)

const (
	audience = "https://ssh.example.org"
	host     = "login.example.org"
)

// desk has one account for everybody, in a state that a test sets.
type desk struct {
	mu       sync.Mutex
	state    state.State
	after    state.State // of a deployment
	deployed []string
	err      error
}

func (d *desk) Status(context.Context, provision.Subject) (provision.Answer, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return provision.Answer{State: d.state, Message: state.StatusMessage(d.state, "alice1")}, nil
}

func (d *desk) Deploy(_ context.Context, s provision.Subject) (provision.Answer, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.deployed = append(d.deployed, s.ID)
	if d.err != nil {
		return provision.Answer{}, d.err
	}
	if d.state == state.NotDeployed {
		d.state = d.after
	}
	return provision.Answer{State: state.Deployed, Message: "User was created."}, nil
}

// office has one link, "good".
type office struct {
	decided []string
	asked   approval.Asked
}

func (o *office) Look(_ context.Context, link string) (approval.Asked, error) {
	if link != "good" {
		return approval.Asked{}, approval.ErrLink
	}
	return o.asked, nil
}

func (o *office) Decide(ctx context.Context, link string, accept bool, from netip.Addr) (approval.Asked, error) {
	asked, err := o.Look(ctx, link)
	if err == nil {
		o.decided = append(o.decided, fmt.Sprint(accept, " ", from))
	}
	return asked, err
}

// judge believes tokens as the provisioner does.
type judge struct {
	gate    *gate.Gate
	refuse  error // of everybody
	subject func(*provision.Subject)
}

func (j *judge) Judge(ctx context.Context, at secret.Text) (provision.Subject, error) {
	if j.refuse != nil {
		return provision.Subject{}, j.refuse
	}
	out, err := j.gate.Check(ctx, gate.Presented{Token: at}, "")
	if err != nil {
		return provision.Subject{}, &httpapi.Error{Status: gate.RefusalOf(err).Status, Err: err}
	}
	s, err := provision.SubjectOf(out.Subject, provision.ClaimRules{})
	if err == nil && j.subject != nil {
		j.subject(&s)
	}
	return s, err
}

// bed is the pages on a server of their own, a provider, and a browser without scripts.
type bed struct {
	t      testing.TB
	op     *issuertest.Server
	desk   *desk
	judge  *judge
	office *office
	book   *otp.Book
	engine store.Engine
	url    string // of the pages
	site   string
	hc     *http.Client
	now    func() time.Time

	mu     sync.Mutex
	events []pages.Event
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func newBed(t testing.TB, change ...func(*bed, *pages.Options)) *bed {
	t.Helper()
	mux := http.NewServeMux()
	return newBedOn(t, httptest.NewServer(mux), mux, change...)
}

// newBedOn is newBed on a server of mux, which may have https.
func newBedOn(t testing.TB, srv *httptest.Server, mux *http.ServeMux, change ...func(*bed, *pages.Options)) *bed {
	t.Helper()
	t.Cleanup(srv.Close)
	b := &bed{
		t: t, desk: &desk{state: state.NotDeployed, after: state.Deployed}, judge: &judge{}, office: &office{},
		engine: memstore.New(), site: srv.URL, url: srv.URL + "/login", now: time.Now,
	}
	b.op = issuertest.Start(t, func(o *issuer.Options) {
		o.Clients = append(issuer.SampleClients(), issuer.Client{
			ID: "ssh", Secret: secret.FromString("s"), Grants: []string{issuer.GrantCode},
			RedirectURIs: []string{pages.RedirectURI(b.url)},
		})
	})
	hc, err := httpc.New(httpc.Options{})
	must(t, err)
	b.judge.gate, err = gate.New(gate.Config{
		Issuers: []gate.Issuer{{Issuer: verify.Issuer{URL: b.op.URL}, Check: []gate.Mode{gate.Userinfo}}}, Audiences: []string{audience},
	}, gate.Options{HTTP: hc})
	must(t, err)
	t.Cleanup(b.judge.gate.Close)
	b.book = otp.New(b.engine, otp.Options{})
	o := pages.Options{
		URL: b.url, Host: host, HostKeys: []string{"ED25519 SHA256:abcdef"}, Judge: b.judge, Desk: b.desk, Passwords: b.book,
		Office: b.office, Engine: b.engine, Now: func() time.Time { return b.now() },
		Operator: pages.Operator{Name: "Example Computing", Homepage: "https://www.example.org", Contact: "help@example.org"},
		Providers: []pages.Provider{{
			Issuer: b.op.URL, Name: "Example AAI", Scope: []string{"openid", "profile", "email"}, Audience: []string{audience},
			Client: func(ctx context.Context) (*flow.Client, error) { return b.client(ctx, hc) },
		}},
		Audit: func(_ context.Context, e pages.Event) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.events = append(b.events, e)
		},
	}
	for _, c := range change {
		c(b, &o)
	}
	p, err := pages.New(o)
	must(t, err)
	mux.Handle("/login", p.Handler())
	mux.Handle("/login/", p.Handler())
	mux.HandleFunc("GET /evil", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(w, `<form method="post" action="%s"><input type="hidden" name="decision" value="accept"><button>win</button></form>`,
			b.url+r.FormValue("to"))
	})
	b.hc = b.browser(srv)
	return b
}

func (b *bed) client(ctx context.Context, hc *httpc.Client) (*flow.Client, error) {
	md, err := provider.Discover(ctx, hc, b.op.URL)
	if err != nil {
		return nil, err
	}
	cc := flow.ClientConfig{ID: "ssh", Secret: secret.FromString("s")}
	return flow.New(hc, md, cc, flow.Options{Keys: b.judge.gate.Keys(), Audience: flow.AudienceParam}), nil
}

// browser is one without scripts, whose cookies are its own.
func (b *bed) browser(srv *httptest.Server) *http.Client {
	jar, err := cookiejar.New(nil)
	must(b.t, err)
	c := &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	if srv != nil {
		c.Transport = srv.Client().Transport
	}
	return c
}

type answer struct {
	Status int
	Header http.Header
	Body   string
}

func (b *bed) do(r *http.Request, header ...string) answer {
	b.t.Helper()
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := b.hc.Do(r)
	must(b.t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	must(b.t, err)
	return answer{Status: resp.StatusCode, Header: resp.Header, Body: string(body)}
}

func (b *bed) get(path string, header ...string) answer {
	b.t.Helper()
	if !strings.HasPrefix(path, "http") {
		path = b.url + path
	}
	r, err := http.NewRequest(http.MethodGet, path, nil)
	must(b.t, err)
	return b.do(r, header...)
}

// post sends a form as the page at from has it: with the token of that page.
func (b *bed) post(from, path string, form url.Values, header ...string) answer {
	b.t.Helper()
	if form == nil {
		form = url.Values{}
	}
	if from != "" {
		form.Set("csrf", csrf(b.get(from).Body))
	}
	r, err := http.NewRequest(http.MethodPost, b.url+path, strings.NewReader(form.Encode()))
	must(b.t, err)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return b.do(r, header...)
}

func csrf(page string) string {
	m := regexp.MustCompile(`name="csrf" value="([^"]*)"`).FindStringSubmatch(page)
	if m == nil {
		return ""
	}
	return m[1]
}

// next is where a page leads by itself.
func (a answer) next() string { return strings.TrimPrefix(a.Header.Get("Refresh"), "0; url=") }

// depart begins a login, and returns the authorization URL.
func (b *bed) depart() string {
	b.t.Helper()
	a := b.post("", "/begin", url.Values{"issuer": {b.op.URL}, "csrf": {csrf(b.get("").Body)}})
	if a.Status != http.StatusOK || !strings.HasPrefix(a.next(), b.op.URL) {
		b.t.Fatalf("%d, on to %q: %s", a.Status, a.next(), a.Body)
	}
	return a.next()
}

// login logs a user in and returns the page of the account.
func (b *bed) login(user string) answer {
	b.t.Helper()
	landed := b.get(b.op.Login(b.depart(), user), "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate")
	if landed.Status != http.StatusOK || landed.next() != "/login/account" {
		b.t.Fatalf("%d, on to %q: %s", landed.Status, landed.next(), landed.Body)
	}
	return b.get("/account")
}

func (b *bed) kinds() (out []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, e := range b.events {
		out = append(out, e.Event)
	}
	return out
}

func (b *bed) want(a answer, status int, texts ...string) {
	b.t.Helper()
	if a.Status != status {
		b.t.Errorf("status %d, want %d: %s", a.Status, status, a.Body)
	}
	for _, text := range texts {
		if !strings.Contains(a.Body, text) {
			b.t.Errorf("no %q on the page:\n%s", text, a.Body)
		}
	}
	b.sound(a)
}

// sound checks what every page has to be: well-formed, without scripts, and with all headers.
func (b *bed) sound(a answer) {
	b.t.Helper()
	if a.Body == "" {
		return
	}
	d := xml.NewDecoder(strings.NewReader(a.Body))
	d.Entity = xml.HTMLEntity
	for {
		tok, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		must(b.t, err)
		if e, ok := tok.(xml.StartElement); ok {
			if slices.Contains([]string{"script", "iframe", "object", "embed", "base"}, e.Name.Local) {
				b.t.Errorf("the page has <%s>", e.Name.Local)
			}
			for _, at := range e.Attr {
				if strings.HasPrefix(at.Name.Local, "on") || at.Name.Local == "style" {
					b.t.Errorf("the page has %s=%q", at.Name.Local, at.Value)
				}
			}
		}
	}
	for name, want := range map[string]string{
		"Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY",
	} {
		if got := a.Header.Get(name); got != want {
			b.t.Errorf("%s: %q", name, got)
		}
	}
	if csp := a.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") || strings.Contains(csp, "unsafe") {
		b.t.Errorf("CSP %q", csp)
	}
}
