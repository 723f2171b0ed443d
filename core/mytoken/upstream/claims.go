package upstream

import (
	"context"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"slices"
	"time"

	"github.com/oidcbox/oidcbox/core/mytoken/desk"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/token/jose"
)

// Limits of what the claim sources of one login may say.
const (
	sourcesTime = 20 * time.Second
	maxValues   = 1000
	maxValue    = 1024
)

// template names the restrictions that are enforced for the person of an access token, "" for none. desk.ErrAttributes
// says that the person may have no mytoken, ErrClaims that it is not known.
func (p *Provider) template(ctx context.Context, op backend, at secret.Text) (string, error) {
	if len(p.conf.Sources) == 0 {
		return "", nil
	}
	values, err := p.values(ctx, op, at)
	if err != nil {
		return "", fmt.Errorf("%w: %w", desk.ErrDown, err)
	}
	e := p.conf.Enforced
	for _, m := range e.Templates {
		if slices.Contains(values, m.Value) {
			return m.Template, nil
		}
	}
	if e.Forbid {
		return "", desk.ErrAttributes
	}
	return e.Default, nil
}

// values asks the claim sources of the configuration with the access token of a login, and returns what they say, in
// their order, each value once. A claim that is not there gives no value. A source that does not answer, or not with a
// JSON object in which the claim is a text or a list of texts, is ErrClaims: what is enforced is then not known.
//
// Nothing but the configured URLs is asked; redirects are not followed.
func (p *Provider) values(ctx context.Context, op backend, at secret.Text) (_ []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, sourcesTime)
	defer cancel()
	var values []string
	asked := map[string]jose.Object{}
	for _, s := range p.conf.Sources {
		o, ok := asked[s.URL]
		if !ok {
			if o, err = p.source(ctx, op, s.URL, at); err != nil {
				return nil, fmt.Errorf("%w: %w", ErrClaims, err)
			}
			asked[s.URL] = o
		}
		list, err := o.WithoutNull().OneOrMore(s.Claim)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrClaims, err)
		}
		for _, v := range list {
			if len(v) > maxValue || len(values) >= maxValues {
				return nil, fmt.Errorf("%w: it has too much to say", ErrClaims)
			}
			if !slices.Contains(values, v) {
				values = append(values, v)
			}
		}
	}
	return values, nil
}

func (p *Provider) source(ctx context.Context, op backend, target string, at secret.Text) (jose.Object, error) {
	if target == "" {
		return op.Userinfo(ctx, at)
	}
	if p.http == nil {
		return jose.Object{}, errors.New("a provider without network has no claim sources")
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return jose.Object{}, errors.New("its URL is not one")
	}
	req.Header.Set("Authorization", "Bearer "+at.Expose())
	req.Header.Set("Accept", "application/json")
	resp, err := p.http.Do(ctx, req)
	if err != nil {
		return jose.Object{}, err
	}
	defer clear(resp.Body)
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if resp.Status != http.StatusOK || kind != "application/json" {
		return jose.Object{}, fmt.Errorf("%s answered %d with %.50q", target, resp.Status, kind)
	}
	o, err := jose.StrictObject(resp.Body, jose.PayloadDepth, jose.PayloadMembers)
	if err != nil {
		return jose.Object{}, fmt.Errorf("%s: %w", target, err)
	}
	return o, nil
}
