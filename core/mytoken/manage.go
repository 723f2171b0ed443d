package mytoken

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"github.com/oidcbox/oidcbox/core/secret"
)

// below is a place under an endpoint, "" where the server has none.
func below(endpoint string, parts ...string) string {
	if endpoint == "" {
		return ""
	}
	out := strings.TrimSuffix(endpoint, "/")
	for _, p := range parts {
		out += "/" + url.PathEscape(p)
	}
	return out
}

// managed sends a request of a person about himself. With POST the mytoken is in the body, else in the header.
func (c *Client) managed(ctx context.Context, mt secret.Text, q call) (answer, *Issued, error) {
	if err := c.usable(mt); err != nil {
		return answer{}, nil, err
	}
	q.secrets = append(q.secrets, mt)
	switch q.method {
	case "", http.MethodPost:
		q.body.secret("mytoken", mt)
	case http.MethodGet:
		q.get, q.bearer = true, mt
	default:
		q.bearer = mt
	}
	a, salvaged, err := c.do(ctx, q)
	if err != nil {
		return a, updateOf(salvaged), err
	}
	return a, readUpdate(a), nil
}

// changed is managed for a request whose answer says nothing else.
func (c *Client) changed(ctx context.Context, mt secret.Text, q call) (*Issued, error) {
	_, update, err := c.managed(ctx, mt, q)
	return update, err
}
