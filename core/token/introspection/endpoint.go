package introspection

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/token/gate"
	"github.com/oidcbox/oidcbox/core/token/policy"
	"github.com/oidcbox/oidcbox/core/transport/httpd"
)

const (
	// maxForm is room for a token of jose.MaxToken whose every character is percent-encoded by a cautious client.
	maxForm   = 256 << 10
	maxParams = 32
)

// Gate says yes or no. *gate.Gate is one.
type Gate interface {
	Decide(ctx context.Context, p gate.Presented, r policy.Request) (gate.Outcome, error)
}

// Client is a service that may ask.
type Client struct {
	Secret secret.Text // at least MinSecret bytes
	// Service is what the policy and the gate know it as.
	Service string
}

// Options say who may ask.
type Options struct {
	// Clients by client_id, with the credentials they send: HTTP Basic, or client_id and client_secret in the form.
	Clients map[string]Client
	// Open answers requests without credentials too, as Service. It is for a Unix socket, where the mode of the socket
	// says who may ask. Credentials that are sent count all the same.
	Open    bool
	Service string

	Now func() time.Time // nil: time.Now
	Log *slog.Logger     // nil: nothing is logged
}

type endpoint struct {
	gate    Gate
	clients *clients
	open    bool
	service string
	log     *slog.Logger
}

// New returns the handler of the endpoint, for one path and every method (any but POST is 405), or ErrConfig.
//
// The parameters are token, and token_type_hint, which is ignored. The policy may want to know more than a token:
// method, operation and path, where they are sent, are what the policy is asked about; they are no part of RFC 7662.
//
// The answer holds the claims as the policy sees them, those of userinfo and of the issuer's own introspection
// included.
func New(g Gate, o Options) (http.Handler, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if len(o.Clients) == 0 && !o.Open {
		return nil, fmt.Errorf("%w: there are no clients, so nobody could ask", ErrConfig)
	}
	known, err := newClients(o.Clients, o.Now)
	if err != nil {
		return nil, err
	}
	e := &endpoint{gate: g, clients: known, open: o.Open, service: o.Service, log: o.Log}
	return httpd.Handle(o.Log, e.serve), nil
}

func (e *endpoint) serve(w http.ResponseWriter, r *http.Request) error {
	if r.Method != http.MethodPost {
		no := httpd.Refuse(http.StatusMethodNotAllowed, "invalid_request", "the method must be POST")
		no.Header = http.Header{"Allow": {http.MethodPost}}
		return no
	}
	form, err := readForm(w, r)
	if err != nil {
		return err
	}
	service, err := e.caller(r, form)
	if err != nil {
		return err
	}
	token := strings.TrimRight(form.Get("token"), "\r\n") // of a file: curl --data-urlencode token@FILE
	if token == "" {
		return httpd.Refuse(http.StatusBadRequest, "invalid_request", "token is missing")
	}
	shown := gate.Presented{Token: secret.FromString(token), Scheme: gate.Bearer, Issuer: form.Get("issuer")}
	defer shown.Token.Wipe()
	out, err := e.gate.Decide(r.Context(), shown, policy.Request{
		Service: service, Method: form.Get("method"), Operation: form.Get("operation"), Path: form.Get("path"),
	})
	if err != nil {
		return inactive(w, gate.RefusalOf(err))
	}
	return send(w, active(out))
}

// caller returns the service that asks.
func (e *endpoint) caller(r *http.Request, form url.Values) (string, error) {
	id, password, sent, err := credentials(r, form)
	switch {
	case err != nil:
		return "", err
	case !sent && e.open:
		return e.service, nil
	case !sent:
		return "", unauthorized("client credentials are needed")
	}
	if c, ok := e.clients.find(id, password); ok {
		return c.Service, nil
	}
	wait := e.clients.failed(r.RemoteAddr)
	if wait > 0 {
		no := httpd.Refuse(http.StatusTooManyRequests, "invalid_client", "too many wrong credentials")
		no.Header = http.Header{"Retry-After": {strconv.FormatInt(int64((wait+time.Second-1)/time.Second), 10)}}
		return "", no
	}
	e.log.Warn("wrong client credentials", "op", "introspect", "from", source(r.RemoteAddr).String())
	return "", unauthorized("the client credentials are wrong")
}

// unauthorized is the 401 of RFC 6749 section 5.2.
func unauthorized(description string) error {
	no := httpd.Refuse(http.StatusUnauthorized, "invalid_client", description)
	no.Header = http.Header{"Www-Authenticate": {`Basic realm="introspection", charset="UTF-8"`}}
	return no
}

// inactive says that a token was refused and nothing else (RFC 7662 section 2.2), or that nobody knows now.
func inactive(w http.ResponseWriter, no *gate.Refusal) error {
	switch {
	case no.Status == http.StatusServiceUnavailable:
		e := &httpd.Error{
			Status: no.Status, Code: "temporarily_unavailable", Description: no.Description, Err: no,
			Header: http.Header{},
		}
		if no.RetryAfter > 0 {
			e.Header.Set("Retry-After", strconv.FormatInt(int64((no.RetryAfter+time.Second-1)/time.Second), 10))
		}
		return e
	case no.Status >= http.StatusInternalServerError:
		return fmt.Errorf("introspect a token: %w", no)
	}
	return send(w, []byte(`{"active":false}`))
}

func send(w http.ResponseWriter, body []byte) error {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	_, _ = w.Write(append(body, '\n')) // that the client has gone away is not ours to report
	return nil
}

// reserved are members that are not copied: those we say ourselves, and those of userinfo that may carry tokens for
// other services (OIDC Core section 5.6.2).
func reserved() []string { return []string{"active", "token_type", "_claim_names", "_claim_sources"} }

// active is the answer of RFC 7662 section 2.2 for a token that was accepted.
func active(out gate.Outcome) []byte {
	o := object{said: reserved()}
	o.b.WriteString(`{"active":true,"token_type":"Bearer"`)
	c := out.Identity.Claims
	o.time("exp", out.Expires)
	o.time("iat", c.IssuedAt)
	o.time("nbf", c.NotBefore)
	if len(c.Scopes) > 0 { // which an older SciToken has as scp
		if raw, err := json.Marshal(c.Scopes.String()); err == nil {
			o.add("scope", string(raw))
		}
	}
	for name, raw := range out.Subject.All() {
		if plain(name) && plainClaim(raw) {
			o.add(name, raw)
		}
	}
	o.b.WriteByte('}')
	return o.b.Bytes()
}

// plainClaim reports whether raw has no control characters where it is text or a list with text. Clients make headers
// of such claims and do not always look (mod_auth_openidc lets a carriage return through), while what a person is
// called is often for that person to choose. Deeper down a client has to encode it anyway: an address of several lines
// is one.
func plainClaim(raw string) bool {
	if plain(raw) && !strings.Contains(raw, `\`) {
		return true
	}
	var v any
	if err := json.Unmarshal([]byte(raw), &v); err != nil {
		return false
	}
	list, ok := v.([]any)
	if !ok {
		list = []any{v}
	}
	for _, e := range list {
		if text, ok := e.(string); ok && !plain(text) {
			return false
		}
	}
	return true
}

func plain(s string) bool { return !strings.ContainsFunc(s, unicode.IsControl) }

// object is a JSON object in the making. A member that was said is not said again.
type object struct {
	b    bytes.Buffer
	said []string
}

func (o *object) add(name, raw string) {
	quoted, err := json.Marshal(name)
	if err != nil || slices.Contains(o.said, name) {
		return
	}
	o.said = append(o.said, name)
	o.b.WriteByte(',')
	o.b.Write(quoted)
	o.b.WriteByte(':')
	o.b.WriteString(raw)
}

// time adds a time in whole seconds, as RFC 7662 has them and a token need not.
func (o *object) time(name string, at time.Time) {
	if !at.IsZero() {
		o.add(name, strconv.FormatInt(at.Unix(), 10))
	}
}

// readForm reads the body. A parameter without a value counts as not sent, one that is there twice is refused (RFC 6749
// section 3.1). What stands in the query does not count: it ends up in logs.
func readForm(w http.ResponseWriter, r *http.Request) (url.Values, error) {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil && !errors.Is(err, mime.ErrInvalidMediaParameter) || kind != "application/x-www-form-urlencoded" {
		return nil, httpd.Refuse(http.StatusBadRequest, "invalid_request", "the body must be a form")
	}
	body, err := httpd.ReadBody(w, r, maxForm)
	if err != nil {
		return nil, err
	}
	if strings.Count(string(body), "&") >= maxParams {
		return nil, httpd.Refuse(http.StatusBadRequest, "invalid_request", "too many parameters")
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, httpd.Refuse(http.StatusBadRequest, "invalid_request", "the form is malformed")
	}
	for _, values := range form {
		if len(values) > 1 {
			return nil, httpd.Refuse(http.StatusBadRequest, "invalid_request", "a parameter is there twice")
		}
	}
	return form, nil
}
