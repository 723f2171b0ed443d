package httpauth

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/oidcbox/oidcbox/core/token/gate"
	"github.com/oidcbox/oidcbox/core/token/jose"
)

// Challenge is how a resource says no: what stands in WWW-Authenticate besides the error. The zero value is usable.
type Challenge struct {
	// Realm names what is protected. "": no realm.
	Realm string
	// Scope are scopes worth asking for, told to who sent no token. nil: none are named.
	Scope []string
	// ResourceMetadata is the https URL of the metadata of the resource (RFC 9728 section 5.1). "": there is none.
	ResourceMetadata string
	// Algs are the algorithms of DPoP proofs that are taken (RFC 9449 section 7.1). nil: DPoP is not offered.
	Algs []jose.Alg
}

// Answer is a refusal as it goes over the wire.
type Answer struct {
	Status int
	Header http.Header // Content-Type, Cache-Control, WWW-Authenticate, DPoP-Nonce, Retry-After
	Body   []byte      // JSON
}

// Write sends a.
func (a Answer) Write(w http.ResponseWriter) {
	h := w.Header()
	h.Del("Etag")
	h.Del("Last-Modified")
	for name, values := range a.Header {
		h[name] = values
	}
	w.WriteHeader(a.Status)
	_, _ = w.Write(a.Body) // that the client has gone away is not ours to report
}

// Answer says r to who came with the scheme s.
func (c Challenge) Answer(s gate.Scheme, r *gate.Refusal) Answer {
	h := http.Header{
		"Content-Type":           {"application/json"},
		"Cache-Control":          {"no-store"},
		"X-Content-Type-Options": {"nosniff"},
	}
	if challenge := c.Header(s, r); challenge != "" {
		h["Www-Authenticate"] = []string{challenge}
	}
	if r.Nonce != "" {
		h["Dpop-Nonce"] = []string{r.Nonce}
	}
	if r.RetryAfter > 0 {
		seconds := (r.RetryAfter + time.Second - 1) / time.Second
		h["Retry-After"] = []string{strconv.FormatInt(int64(seconds), 10)}
	}
	return Answer{Status: r.Status, Header: h, Body: Body(r)}
}

// Header returns the value of WWW-Authenticate for r, all schemes in one, since proxies lose a second header; "" for a
// status that has none: trouble of ours is no reason to ask for another token. The error stands with the scheme the
// client used (RFC 9449 section 7.1); with 401 and no code there is none (RFC 6750 section 3.1).
func (c Challenge) Header(s gate.Scheme, r *gate.Refusal) string {
	switch r.Status {
	case http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden:
	default:
		return ""
	}
	if len(c.Algs) == 0 {
		return c.one(gate.Bearer, r)
	}
	silent := &gate.Refusal{Status: r.Status}
	if s == gate.DPoP {
		return c.one(gate.Bearer, silent) + ", " + c.one(gate.DPoP, r)
	}
	return c.one(gate.Bearer, r) + ", " + c.one(gate.DPoP, silent)
}

// one is the challenge of one scheme.
func (c Challenge) one(s gate.Scheme, r *gate.Refusal) string {
	var params []string
	add := func(name, value string) {
		if value != "" {
			params = append(params, name+`="`+printable(value)+`"`)
		}
	}
	add("realm", c.Realm)
	add("error", r.Code)
	if r.Code != "" {
		add("error_description", r.Description)
	}
	scope := r.Scope
	if scope == nil && r.Status == http.StatusUnauthorized && r.Code == "" {
		scope = c.Scope
	}
	add("scope", strings.Join(scope, " "))
	if s == gate.DPoP {
		add("algs", algs(c.Algs))
	}
	add("resource_metadata", c.ResourceMetadata)
	if len(params) == 0 {
		return string(s)
	}
	return string(s) + " " + strings.Join(params, ", ")
}

func algs(list []jose.Alg) string {
	names := make([]string, len(list))
	for i, a := range list {
		names[i] = string(a)
	}
	return strings.Join(names, " ")
}

// printable makes s safe inside the quotes of a header: what RFC 6750 section 3 does not allow there becomes "?".
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x20 || r > 0x7e || r == '"' || r == '\\' {
			return '?'
		}
		return r
	}, s)
}

// Body returns the JSON that goes with r: always error, error_description and error_details, the members clients of
// flaat know. error is the code of the RFC, or where there is none, "Unauthenticated" for a request without a token,
// "temporarily_unavailable" and "server_error" for trouble of ours. error_details is null, or the scopes that would do.
func Body(r *gate.Refusal) []byte {
	type details struct {
		Scope string `json:"scope"`
	}
	body := struct {
		Error       string   `json:"error"`
		Description string   `json:"error_description"`
		Details     *details `json:"error_details"`
	}{Error: name(r), Description: printable(r.Description)}
	if len(r.Scope) > 0 {
		body.Details = &details{printable(strings.Join(r.Scope, " "))}
	}
	b, err := json.Marshal(body)
	if err != nil { // strings always encode
		return []byte(`{"error":"server_error"}`)
	}
	return append(b, '\n')
}

func name(r *gate.Refusal) string {
	switch {
	case r.Code != "":
		return r.Code
	case r.Status == http.StatusUnauthorized:
		return "Unauthenticated"
	case r.Status == http.StatusForbidden:
		return "Forbidden"
	case r.Status == http.StatusServiceUnavailable:
		return "temporarily_unavailable"
	}
	return "server_error"
}
