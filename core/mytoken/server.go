package mytoken

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/oidcbox/oidcbox/core/token/jose"
	"github.com/oidcbox/oidcbox/core/transport/httpc"
)

// Server is what a mytoken server says of itself. What the document does not have is empty.
type Server struct {
	Issuer                string
	AccessTokenEndpoint   string
	TokenEndpoint         string // the same for clients that know refresh tokens only
	MytokenEndpoint       string
	TokeninfoEndpoint     string
	RevocationEndpoint    string
	SettingsEndpoint      string
	NotificationsEndpoint string
	TransferEndpoint      string
	ProfilesEndpoint      string
	JWKSURI               string

	Providers       []Provider
	ProvidersJSON   []byte // the array as it came
	SigningAlg      string
	MytokenGrants   []string // grant types of MytokenEndpoint
	TokeninfoAction []string
	ResponseTypes   []string
	Restrictions    []string // keys that the server knows
	Documentation   string
	Version         string
}

// Provider is one that the server has mytokens for.
type Provider struct {
	Issuer string
	Name   string
	Scopes []string
}

// Getter fetches a URL; *httpc.Client is one.
type Getter interface {
	Get(ctx context.Context, url string) (*httpc.Response, error)
}

// The places of the document. The second one is where the original looks.
func documents() []string {
	return []string{"/.well-known/mytoken-configuration", "/.well-known/openid-configuration"}
}

// maxProviders bounds the list that is kept.
const maxProviders = 1000

// Discover fetches the configuration of the mytoken server at issuer, which has to name itself so; one slash at the end
// does not matter. The error wraps ErrServer, ErrOtherServer, or is that of the HTTP client.
func Discover(ctx context.Context, hc Getter, issuer string) (*Server, error) {
	base, err := baseURL(issuer)
	if err != nil {
		return nil, fmt.Errorf("find the mytoken server: %w", err)
	}
	var last error
	for _, place := range documents() {
		s, err := fetch(ctx, hc, base+place)
		if err == nil {
			return s.named(issuer)
		}
		if last = err; !errors.Is(err, ErrServer) {
			break
		}
	}
	return nil, fmt.Errorf("find the mytoken server %s: %w", issuer, last)
}

// DiscoverAt fetches the configuration from a place that a person configured. issuer is what it has to name, "" for
// any.
func DiscoverAt(ctx context.Context, hc Getter, document, issuer string) (*Server, error) {
	s, err := fetch(ctx, hc, document)
	if err != nil {
		return nil, fmt.Errorf("find the mytoken server by %s: %w", document, err)
	}
	if issuer == "" {
		return s, nil
	}
	return s.named(issuer)
}

func (s *Server) named(issuer string) (*Server, error) {
	if !SameIssuer(s.Issuer, issuer) {
		return nil, fmt.Errorf("find the mytoken server %s: %w: it says it is %q", issuer, ErrOtherServer, cutText(s.Issuer))
	}
	return s, nil
}

func cutText(s string) string { return cleanText(s, nil) }

// SameIssuer compares two issuers; one slash at the end does not matter.
func SameIssuer(a, b string) bool {
	return strings.TrimSuffix(a, "/") == strings.TrimSuffix(b, "/")
}

func baseURL(issuer string) (string, error) {
	u, err := url.Parse(issuer)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil ||
		strings.ContainsAny(issuer, "?#") {
		return "", fmt.Errorf("%w: not the URL of a server", ErrServer)
	}
	return strings.TrimSuffix(issuer, "/"), nil
}

func fetch(ctx context.Context, hc Getter, target string) (*Server, error) {
	r, err := hc.Get(ctx, target)
	if err != nil {
		return nil, err
	}
	if r.Status != http.StatusOK {
		if httpc.TemporaryStatus(r.Status) {
			return nil, &Error{Op: "configuration", Server: target, Status: r.Status}
		}
		return nil, fmt.Errorf("%w: status %d", ErrServer, r.Status)
	}
	s, err := ParseServer(r.Body)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// ParseServer reads a configuration document. issuer, token_endpoint and mytoken_endpoint are required; the endpoints
// of an https server have to be https as well. The error wraps ErrServer.
func ParseServer(b []byte) (*Server, error) {
	o, err := readObject(b)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrServer, err)
	}
	s := &Server{}
	if err := s.read(o); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrServer, err)
	}
	if err := s.check(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrServer, err)
	}
	return s, nil
}

type namedText struct {
	name string
	to   *string
}

func (s *Server) endpoints() []namedText {
	return []namedText{
		{"access_token_endpoint", &s.AccessTokenEndpoint},
		{"token_endpoint", &s.TokenEndpoint},
		{"mytoken_endpoint", &s.MytokenEndpoint},
		{"tokeninfo_endpoint", &s.TokeninfoEndpoint},
		{"revocation_endpoint", &s.RevocationEndpoint},
		{"usersettings_endpoint", &s.SettingsEndpoint},
		{"notifications_endpoint", &s.NotificationsEndpoint},
		{"token_transfer_endpoint", &s.TransferEndpoint},
		{"profiles_endpoint", &s.ProfilesEndpoint},
		{"jwks_uri", &s.JWKSURI},
	}
}

func (s *Server) read(o jose.Object) (err error) {
	texts := append(s.endpoints(), namedText{"issuer", &s.Issuer}, namedText{"version", &s.Version},
		namedText{"token_signing_alg_value", &s.SigningAlg}, namedText{"service_documentation", &s.Documentation})
	for _, t := range texts {
		if *t.to, err = o.String(t.name); err != nil {
			return err
		}
	}
	for _, l := range []struct {
		name string
		to   *[]string
	}{
		{"mytoken_endpoint_grant_types_supported", &s.MytokenGrants},
		{"tokeninfo_endpoint_actions_supported", &s.TokeninfoAction},
		{"response_types_supported", &s.ResponseTypes},
		{"restriction_claims_supported", &s.Restrictions},
	} {
		if *l.to, err = o.OneOrMore(l.name); err != nil {
			return err
		}
	}
	return s.readProviders(o)
}

func (s *Server) readProviders(o jose.Object) error {
	list, err := elements(o, "providers_supported")
	if err != nil {
		return err
	}
	if len(list) > maxProviders {
		return fmt.Errorf("more than %d providers", maxProviders)
	}
	for _, b := range list {
		p, err := readProvider(b)
		if err != nil {
			return fmt.Errorf("providers_supported: %w", err)
		}
		s.Providers = append(s.Providers, p)
	}
	raw, _ := o.Raw("providers_supported")
	s.ProvidersJSON = []byte(raw)
	return nil
}

func readProvider(b []byte) (p Provider, err error) {
	o, err := readObject(b)
	if err != nil {
		return p, err
	}
	if p.Issuer, err = o.String("issuer"); err != nil {
		return p, err
	}
	if p.Name, err = o.String("name"); err != nil {
		return p, err
	}
	p.Scopes, err = o.OneOrMore("scopes_supported")
	return p, err
}

// check refuses a document that would send us, or a mytoken, from https to something weaker.
func (s *Server) check() error {
	if _, err := baseURL(s.Issuer); err != nil {
		return errors.New("issuer is not a URL of a server")
	}
	if s.MytokenEndpoint == "" || s.TokenEndpoint == "" && s.AccessTokenEndpoint == "" {
		return errors.New("mytoken_endpoint or token_endpoint is missing")
	}
	secure := strings.HasPrefix(s.Issuer, "https:")
	for _, e := range s.endpoints() {
		if *e.to == "" {
			continue
		}
		u, err := url.Parse(*e.to)
		if err != nil || u.Host == "" || u.User != nil || u.Fragment != "" {
			return fmt.Errorf("%s is not an absolute URL without user name and fragment", e.name)
		}
		if u.Scheme != "https" && (secure || u.Scheme != "http") {
			return fmt.Errorf("%s is not https", e.name)
		}
	}
	return nil
}

// Provider finds a provider by its issuer; one slash at the end does not matter.
func (s *Server) Provider(issuer string) (Provider, bool) {
	for _, p := range s.Providers {
		if SameIssuer(p.Issuer, issuer) {
			return p, true
		}
	}
	return Provider{}, false
}
