package regapp

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/oidcbox/oidcbox/core/account/backend"
	"github.com/oidcbox/oidcbox/core/transport/httpc"
)

var (
	// ErrOptions: Options cannot work.
	ErrOptions = errors.New("bad settings for the reg-app")
	// ErrAnswer: the reg-app answered with something that is not in its interface.
	ErrAnswer = errors.New("reg-app answers with something unknown")
	// ErrWaiting: the registration was made, and the reg-app has not told the hosts in time.
	ErrWaiting = errors.New("reg-app has not made the account yet")
)

// errNone: the reg-app says that there is no such user or group.
var errNone = errors.New("not in the reg-app")

// call is one request: words of the path, and for a POST what is sent.
type call struct {
	path    []string
	body    any  // nil: GET
	changes bool // a GET that changes something
}

// do makes a call and returns the body of the answer. A change is sent once, over a connection of its own.
func (s *System) do(ctx context.Context, c call) ([]byte, error) {
	what := strings.Join(c.path[:2], "/")
	method := http.MethodGet
	var body []byte
	if c.body != nil {
		var err error
		if body, err = json.Marshal(c.body); err != nil {
			return nil, fmt.Errorf("reg-app %s: %w", what, err)
		}
		method = http.MethodPost
	}
	target := s.base
	for _, part := range c.path {
		target += "/" + quote(part)
	}
	req, err := http.NewRequestWithContext(ctx, method, target, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("reg-app %s: %w", what, err)
	}
	req.Header.Set("Accept", "application/json")
	if c.body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if c.changes {
		httpc.Once(req)
	}
	req.SetBasicAuth(s.opt.User, s.opt.Password.Expose())
	resp, err := s.http.Do(ctx, req)
	if err != nil {
		return nil, fmt.Errorf("reg-app %s: %w: %w", what, backend.ErrUnavailable, err)
	}
	return answer(what, resp)
}

// answer judges an answer: "no such user" and "no such group" come with more than one status.
func answer(what string, resp *httpc.Response) ([]byte, error) {
	text := strings.ToLower(string(resp.Body[:min(len(resp.Body), 1000)]))
	isJSON := strings.HasPrefix(strings.TrimSpace(text), "{") || strings.HasPrefix(strings.TrimSpace(text), "[")
	no := strings.Contains(text, "no such user") || strings.Contains(text, "no such group")
	switch {
	case no && (!isJSON || resp.Status >= 400):
		return nil, errNone
	case resp.Status == http.StatusOK || resp.Status == http.StatusNoContent || resp.Status == http.StatusCreated:
		return resp.Body, nil
	case resp.Status == http.StatusUnauthorized || resp.Status == http.StatusForbidden:
		return nil, fmt.Errorf("reg-app %s: %w: it does not take our name and password (status %d)",
			what, backend.ErrUnavailable, resp.Status)
	case httpc.TemporaryStatus(resp.Status):
		return nil, fmt.Errorf("reg-app %s: %w: status %d", what, backend.ErrUnavailable, resp.Status)
	}
	return nil, fmt.Errorf("reg-app %s: %w: %w: status %d", what, backend.ErrUnavailable, ErrAnswer, resp.Status)
}

// quote percent-encodes a part of a path: everything but letters, digits and "_.-~".
func quote(s string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '_', c == '-', c == '~':
			b.WriteByte(c)
		case c == '.' && s != "." && s != "..":
			b.WriteByte(c)
		default:
			b.WriteString("%" + string(hex[c>>4]) + string(hex[c&15]))
		}
	}
	return b.String()
}

// decode reads an answer.
func decode(what string, body []byte, into any) error {
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("reg-app %s: %w: %w: %d bytes", what, backend.ErrUnavailable, ErrAnswer, len(body))
	}
	return nil
}
