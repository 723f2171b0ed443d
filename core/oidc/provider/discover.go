package provider

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/oidcbox/oidcbox/core/transport/httpc"
)

// Getter fetches one document, within limits. *httpc.Client is one.
type Getter interface {
	Get(ctx context.Context, url string) (*httpc.Response, error)
}

// place is one well-known location of a discovery document.
type place struct {
	url    string
	oauth2 bool
}

// places lists the locations for an issuer in the order they are tried: OpenID Connect Discovery section 4, RFC 8414
// section 3.1, and the latter for OpenID Connect documents (section 5). Without a path the third is the first.
func places(issuer *url.URL) []place {
	path := strings.TrimSuffix(issuer.EscapedPath(), "/")
	origin := issuer.Scheme + "://" + issuer.Host
	const oidc, oauth = "/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"
	list := []place{{origin + path + oidc, false}, {origin + oauth + path, true}}
	if path != "" {
		list = append(list, place{origin + oidc + path, false})
	}
	return list
}

// Discover fetches the document of issuer, which has to name exactly this issuer. The error is *IssuerError when it
// names another, ErrNoMetadata when no well-known place has one, ErrMetadata when the document is not usable, or that
// of the HTTP client.
func Discover(ctx context.Context, hc Getter, issuer string) (*Metadata, error) {
	md, err := find(ctx, hc, issuer)
	if err != nil {
		return nil, fmt.Errorf("discover %s: %w", issuer, err)
	}
	if md.Issuer != issuer {
		return nil, &IssuerError{Want: issuer, Got: md.Issuer}
	}
	return md, nil
}

// DiscoverTyped is Discover for an issuer that a person typed: one slash at the end may be missing or too many. note is
// one line for that person when it was, else "". The issuer to use from then on is md.Issuer.
func DiscoverTyped(ctx context.Context, hc Getter, typed string) (md *Metadata, note string, err error) {
	md, err = find(ctx, hc, typed)
	if err != nil {
		return nil, "", fmt.Errorf("discover %s: %w", typed, err)
	}
	switch {
	case md.Issuer == typed:
		return md, "", nil
	case md.Issuer == typed+"/":
		return md, fmt.Sprintf("the issuer is %s, with a slash at the end", md.Issuer), nil
	case md.Issuer+"/" == typed:
		return md, fmt.Sprintf("the issuer is %s, without a slash at the end", md.Issuer), nil
	}
	return nil, "", &IssuerError{Want: typed, Got: md.Issuer}
}

// DiscoverAt fetches the document at documentURL and takes the issuer from it: for a place that a person configured.
func DiscoverAt(ctx context.Context, hc Getter, documentURL string) (*Metadata, error) {
	md, err := fetchDocument(ctx, hc, documentURL)
	if err != nil {
		return nil, fmt.Errorf("discover by %s: %w", documentURL, err)
	}
	md.OAuth2 = strings.Contains(documentURL, "/.well-known/oauth-authorization-server")
	return md, nil
}

// find tries the well-known places and stops at the first one that answers 200 with a JSON object. What answers 200
// with something else (a page for people) counts as absent. A server that cannot be reached is not asked again.
func find(ctx context.Context, hc Getter, issuer string) (*Metadata, error) {
	u, err := issuerURL(issuer)
	if err != nil {
		return nil, err
	}
	var failed *StatusError
	for _, p := range places(u) {
		md, err := fetchDocument(ctx, hc, p.url)
		if err == nil {
			md.OAuth2 = p.oauth2
			return md, nil
		}
		absent, status := isAbsent(err)
		if !absent {
			return nil, err
		}
		if status != nil && httpc.TemporaryStatus(status.Status) {
			failed = status
		}
	}
	if failed != nil { // it may well be there: the server is in trouble
		return nil, failed
	}
	return nil, ErrNoMetadata
}

type notJSON struct{ url string }

func (e notJSON) Error() string { return fmt.Sprintf("GET %s: the answer is not JSON", e.url) }
func (e notJSON) Unwrap() error { return ErrMetadata }

// isAbsent reports whether the next place is worth a try after err.
func isAbsent(err error) (absent bool, status *StatusError) {
	switch e := err.(type) { //nolint:errorlint // both come from fetchDocument as they are
	case *StatusError:
		return true, e
	case notJSON:
		return true, nil
	}
	return false, nil
}

func fetchDocument(ctx context.Context, hc Getter, target string) (*Metadata, error) {
	r, err := hc.Get(ctx, target)
	if err != nil {
		return nil, err
	}
	if r.Status != http.StatusOK {
		return nil, &StatusError{URL: target, Status: r.Status}
	}
	// No content type is asked for: issuers get it wrong.
	if !strings.HasPrefix(strings.TrimLeft(string(r.Body), " \t\r\n"), "{") {
		return nil, notJSON{target}
	}
	return Parse(r.Body)
}
