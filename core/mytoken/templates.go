package mytoken

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// Kinds of templates.
const (
	Profiles             = "profiles" // a whole request
	CapabilityTemplates  = "capabilities"
	RestrictionTemplates = "restrictions"
	RotationTemplates    = "rotation"
)

// DefaultGroup is the group that the server's administrator keeps.
const DefaultGroup = "_"

// Template is one that a request can name.
type Template struct {
	ID      string          `json:"id"`
	Name    string          `json:"name"`
	Payload json.RawMessage `json:"payload"` // expanded: it names no other templates
}

// TemplateGroups lists the groups that keep templates.
func (c *Client) TemplateGroups(ctx context.Context) ([]string, error) {
	var out []string
	err := c.getArray(ctx, "groups of templates", "", &out)
	return out, err
}

// Templates lists the templates of one kind in a group; an unknown group has none. Times in them are reckoned by the
// server at the moment of asking.
func (c *Client) Templates(ctx context.Context, group, kind string) ([]Template, error) {
	var out []Template
	err := c.getArray(ctx, "templates", "/"+url.PathEscape(group)+"/"+url.PathEscape(kind), &out)
	return out, err
}

// getArray fetches an array, which is null when it has nothing.
func (c *Client) getArray(ctx context.Context, op, path string, into any) error {
	q := call{op: op, endpoint: "profiles_endpoint", target: c.server.ProfilesEndpoint, get: true}
	if q.target == "" {
		return fmt.Errorf("%s at %s: %w: no %s", op, c.server.Issuer, ErrNotOffered, q.endpoint)
	}
	q.target = strings.TrimSuffix(q.target, "/") + path
	resp, err := c.get(ctx, q)
	if err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	if resp.Status != http.StatusOK {
		return c.refused(q, resp)
	}
	if _, err := wrapped(resp.Body); err != nil { // strict, and bounded
		return c.bad(op, err)
	}
	if json.Unmarshal(resp.Body, into) != nil {
		return c.bad(op, fmt.Errorf("%w: not the list that was asked for", ErrAnswer))
	}
	return nil
}

// Profile finds the profile that a request names: "name" or "group/name", with or without "@". ok is false when the
// server has none of that name.
func (c *Client) Profile(ctx context.Context, name string) (r Request, ok bool, err error) {
	group, name, found := strings.Cut(strings.TrimPrefix(name, "@"), "/")
	if !found {
		group, name = DefaultGroup, group
	}
	list, err := c.Templates(ctx, group, Profiles)
	if err != nil {
		return Request{}, false, err
	}
	for _, t := range list {
		if t.Name == name {
			err := r.UnmarshalJSON(t.Payload)
			return r, err == nil, err
		}
	}
	return Request{}, false, nil
}
