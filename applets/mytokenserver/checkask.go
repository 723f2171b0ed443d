package mytokenserver

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/mytoken"
	"github.com/oidcbox/oidcbox/core/mytoken/geo"
	"github.com/oidcbox/oidcbox/core/mytoken/upstream"
	"github.com/oidcbox/oidcbox/core/oidc/provider"
	"github.com/oidcbox/oidcbox/core/transport/httpc"
	"github.com/oidcbox/oidcbox/core/transport/mail"
)

const (
	// certificateSoon is how long before its end a certificate is a warning.
	certificateSoon = 14 * 24 * time.Hour
	// geoOld is the age from which a database of countries is a warning.
	geoOld = 120 * 24 * time.Hour
	// clockOff is the difference to the clock of a provider that is a warning: times are tested without leeway.
	clockOff = 30 * time.Second
)

// places looks at files that requests need: certificates, countries.
func (r *report) places(env *cli.Env, s *settings) {
	for _, p := range s.listen {
		if p.Cert == "" {
			continue
		}
		pair, err := tls.LoadX509KeyPair(p.Cert, p.Key)
		switch {
		case err != nil:
			r.add(finding{Area: "tls", Name: p.TCP, Verdict: fault, Text: err.Error()})
		case pair.Leaf.NotAfter.Before(env.Now()):
			r.add(finding{Area: "tls", Name: p.TCP, Verdict: fault, Text: "the certificate ended " + date(pair.Leaf.NotAfter)})
		case pair.Leaf.NotAfter.Before(env.Now().Add(certificateSoon)):
			r.add(finding{Area: "tls", Name: p.TCP, Verdict: warn, Text: "the certificate ends " + date(pair.Leaf.NotAfter)})
		default:
			r.add(finding{Area: "tls", Name: p.TCP, Verdict: good, Text: "certificate until " + date(pair.Leaf.NotAfter)})
		}
	}
	if s.ssh.listen != "" {
		f := finding{Area: "ssh", Name: s.ssh.listen, Verdict: good, Text: "its host keys can be read"}
		if _, err := readHostKeys(s); err != nil {
			f.Verdict, f.Text = fault, err.Error()
		}
		r.add(f)
	}
	if s.world.geo == "" {
		return
	}
	info, err := geo.Inspect(s.world.geo)
	f := finding{
		Area: "countries", Verdict: good, Text: fmt.Sprintf("%s of %s, %d bytes", info.Type, date(info.Built), info.Size),
	}
	switch {
	case err != nil:
		f.Verdict, f.Text = fault, err.Error()
	case info.Built.Before(env.Now().Add(-geoOld)):
		f.Verdict, f.Hint = warn, "it is old: networks move between countries"
	}
	r.add(f)
}

// ask looks at everything that somebody else has to answer, all at once.
func (r *report) ask(ctx context.Context, env *cli.Env, s *settings) {
	var wg sync.WaitGroup
	for _, p := range s.providers {
		wg.Go(func() { r.provider(ctx, env, s, p) })
	}
	wg.Go(func() { r.itself(ctx, env, s) })
	if s.world.names {
		wg.Go(func() { r.names(ctx) })
	}
	if s.mail.open {
		wg.Go(func() { r.mail(ctx, s) })
	}
	wg.Wait()
}

// provider asks one for its document, and says what it offers.
func (r *report) provider(ctx context.Context, env *cli.Env, s *settings, c upstream.Config) {
	caFile := c.CAFile
	if caFile == "" {
		caFile = s.caFile
	}
	hc, err := httpc.New(httpc.Options{CAFile: caFile, UserAgent: "oidcbox-mytoken-server", Getenv: env.Getenv})
	if err != nil {
		r.add(finding{Area: "provider", Name: c.Name, Verdict: fault, Text: err.Error()})
		return
	}
	defer hc.CloseIdle()
	watch := &dateWatch{Client: hc}
	md, err := provider.Discover(ctx, watch, c.Issuer)
	if err != nil {
		r.add(finding{
			Area: "provider", Name: c.Name, Verdict: warn, Text: "cannot be reached: " + err.Error(),
			Hint: "the server starts without it and asks again; nobody can log in there meanwhile",
		})
		return
	}
	r.add(finding{Area: "provider", Name: c.Name, Verdict: good, Text: md.Issuer + ", offers " + offers(md)})
	if md.TokenEndpoint == "" || md.AuthorizationEndpoint == "" {
		r.add(finding{Area: "provider", Name: c.Name, Verdict: fault, Text: "it has no endpoints to log in at"})
	}
	if off := watch.at.Sub(env.Now()); !watch.at.IsZero() && (off > clockOff || off < -clockOff) {
		r.add(finding{
			Area: "time", Name: c.Name, Verdict: warn,
			Text: fmt.Sprintf("its clock and ours differ by %s: times of tokens are tested", off.Round(time.Second)),
		})
	}
}

// dateWatch remembers what time it is at the other end.
type dateWatch struct {
	*httpc.Client
	at time.Time
}

// Get is part of provider.Getter.
func (w *dateWatch) Get(ctx context.Context, target string) (*httpc.Response, error) {
	resp, err := w.Client.Get(ctx, target)
	if err == nil {
		if at, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
			w.at = at
		}
	}
	return resp, err
}

// offers lists what of a provider matters here.
func offers(md *provider.Metadata) string {
	list := []string{"code flow"}
	for _, o := range []struct {
		there bool
		what  string
	}{
		{md.DeviceAuthorizationEndpoint != "", "device flow"},
		{md.PushedEndpoint != "", "pushed requests"},
		{md.RevocationEndpoint != "", "revocation"},
		{md.IntrospectionEndpoint != "", "introspection"},
		{md.UserinfoEndpoint != "", "userinfo"},
	} {
		if o.there {
			list = append(list, o.what)
		}
	}
	return strings.Join(list, ", ")
}

// itself asks the server as its clients do: DNS, TLS and proxy are on the way. It need not run yet.
func (r *report) itself(ctx context.Context, env *cli.Env, s *settings) {
	hc, err := httpc.New(httpc.Options{CAFile: s.caFile, Getenv: env.Getenv})
	if err != nil {
		return
	}
	defer hc.CloseIdle()
	if _, err := mytoken.Discover(ctx, hc, s.issuer); err != nil {
		r.add(finding{
			Area: "issuer", Name: s.issuer, Verdict: warn, Text: "does not answer from here: " + err.Error(),
			Hint: "that is so as long as the server does not run; else look at DNS, the certificate and the reverse proxy",
		})
		return
	}
	r.add(finding{Area: "issuer", Name: s.issuer, Verdict: good, Text: "answers"})
}

// mail connects to the mail server and logs in. Nothing is sent.
func (r *report) mail(ctx context.Context, s *settings) {
	m, err := mail.New(s.mail.Config)
	if err == nil {
		var session *mail.Session
		if session, err = m.Open(ctx); err == nil {
			err = session.Close()
		}
	}
	if err != nil {
		r.add(finding{
			Area: "mail", Name: s.mail.Host, Verdict: warn, Text: err.Error(),
			Hint: "the server starts without it; mails wait, and are sent when it answers",
		})
		return
	}
	r.add(finding{Area: "mail", Name: s.mail.Host, Verdict: good, Text: "takes our login"})
}

// names finds out whether the names of addresses can be asked for.
func (r *report) names(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, nameWait)
	defer cancel()
	if _, err := net.DefaultResolver.LookupAddr(ctx, "127.0.0.1"); err != nil && ctx.Err() != nil {
		r.add(finding{
			Area: "dns", Verdict: warn, Text: "the names of addresses cannot be asked for: " + err.Error(),
			Hint: "restrictions to host names allow nobody then; addresses: {reverse_dns: false} if that is meant",
		})
		return
	}
	r.add(finding{Area: "dns", Verdict: good, Text: "answers"})
}
