package httpauth

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/token/bearer"
	"github.com/oidcbox/oidcbox/core/token/gate"
	"github.com/oidcbox/oidcbox/core/token/jose"
)

// Ways says where a request may have its token. The Authorization header is always one; the zero value also takes
// access_token in a form.
type Ways struct {
	// HeaderOnly leaves bodies alone: a form is neither read nor searched for a token.
	HeaderOnly bool
	// Query takes access_token in the query as well. Queries end up in logs, so RFC 9700 section 4.3.2 says not to.
	Query bool
	// MaxToken is how many bytes a token may have. 0: jose.MaxToken.
	MaxToken int
	// MaxForm is how many bytes of a form are read before the handler runs. A larger one is refused, since the rest
	// might hold a second token. 0: 256 KiB.
	MaxForm int64
	// Origin is scheme and host of this server as clients write them, "https://api.example.org", for proofs of
	// possession. "": as the request says, which behind a proxy that ends TLS is wrong.
	Origin string
}

const defaultMaxForm = 256 << 10

// Extract reads the token of r and what goes with it. Without a token it is 401 without a code; the error is always a
// [*gate.Refusal], and names nothing that was sent. Also with an error, Scheme is that of the request, for the
// challenge.
//
// The token may be sent in exactly one way (RFC 6750 section 2): a second Authorization header, a second access_token,
// or one in the query beside another is 400, also where tokens in the query are not taken. The scheme is Bearer or DPoP
// in any case, then spaces, then the token; with another scheme there is no token. A form is searched when the body
// says that it is one and the method is not GET, HEAD, OPTIONS or TRACE; it is read into memory and put back for the
// handler.
func Extract(r *http.Request, w Ways) (gate.Presented, error) {
	p := gate.Presented{Method: r.Method, URL: target(r, w.Origin), Certificate: certificate(r)}
	refusal := w.read(&p, r.Header, r.URL.RawQuery, r)
	if refusal != nil {
		return p, refusal
	}
	return p, nil
}

// ExtractHeader is Extract with HeaderOnly for a request that somebody else received and tells us of: its headers and
// its encoded query, in which a second token may be. Method, URL and Certificate are left to the caller, who knows them;
// Method and URL are needed when Scheme is DPoP.
func ExtractHeader(h http.Header, query string, w Ways) (gate.Presented, error) {
	w.HeaderOnly = true
	var p gate.Presented
	if refusal := w.read(&p, h, query, nil); refusal != nil {
		return p, refusal
	}
	return p, nil
}

// read finds the token, and notes it with its scheme and proofs in p. r is looked at for a form alone.
func (w *Ways) read(p *gate.Presented, h http.Header, rawQuery string, r *http.Request) *gate.Refusal {
	p.Scheme = gate.Bearer
	header, refusal := fromHeader(h, p)
	if refusal != nil {
		return refusal
	}
	query, refusal := fromQuery(rawQuery)
	if refusal != nil {
		return refusal
	}
	var form string
	if !w.HeaderOnly {
		if form, refusal = fromForm(r, w.MaxForm); refusal != nil {
			return refusal
		}
	}
	token, refusal := only(header, form, query, w.Query)
	if refusal == nil {
		refusal = fits(token, w.MaxToken)
	}
	if refusal != nil {
		return refusal
	}
	if header == "" { // no proof goes with a token that is not in the header (RFC 9449 section 7.1)
		p.Scheme, p.DPoP = gate.Bearer, nil
	}
	p.Token = secret.FromString(token)
	return nil
}

// only returns the one token that was sent.
func only(header, form, query string, inQuery bool) (string, *gate.Refusal) {
	sent := ""
	for _, token := range [...]string{header, form, query} {
		if token == "" {
			continue
		}
		if sent != "" {
			return "", malformed("the token may be sent in one way only", ErrTwoTokens)
		}
		sent = token
	}
	switch {
	case sent == "":
		return "", noToken(gate.ErrNoToken)
	case query != "" && !inQuery:
		return "", noToken(ErrQueryToken)
	}
	return sent, nil
}

func noToken(err error) *gate.Refusal {
	return &gate.Refusal{Status: http.StatusUnauthorized, Description: "a token is needed", Err: err}
}

// fits looks at characters and length alone (RFC 6750 section 2.1).
func fits(token string, most int) *gate.Refusal {
	if most <= 0 {
		most = jose.MaxToken
	}
	switch {
	case !bearer.Valid([]byte(token)):
		return malformed("the token has characters that no bearer token has", jose.ErrCharacters)
	case len(token) > most:
		return &gate.Refusal{
			Status: http.StatusUnauthorized, Code: gate.InvalidToken, Err: ErrTokenTooLarge,
			Description: "the token is too long",
		}
	}
	return nil
}

// fromHeader returns the token of the Authorization header, "" for none, and notes its scheme and proofs.
func fromHeader(h http.Header, p *gate.Presented) (string, *gate.Refusal) {
	values := h["Authorization"]
	switch {
	case len(values) > 1:
		return "", malformed("more than one Authorization header", ErrTwoTokens)
	case len(values) == 0 || values[0] == "":
		return "", nil
	}
	scheme, rest, _ := strings.Cut(values[0], " ")
	if !isName(scheme) {
		return "", malformed("the Authorization header is malformed", ErrHeader)
	}
	switch {
	case strings.EqualFold(scheme, string(gate.Bearer)):
	case strings.EqualFold(scheme, string(gate.DPoP)):
		p.Scheme, p.DPoP = gate.DPoP, h["Dpop"]
	default:
		return "", nil
	}
	return strings.TrimLeft(rest, " "), nil
}

// isName reports whether s is a token in the sense of RFC 9110 section 5.6.2, which a scheme is.
func isName(s string) bool {
	for i := range len(s) {
		c := s[i]
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
		case strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0:
		default:
			return false
		}
	}
	return s != ""
}

func fromQuery(query string) (string, *gate.Refusal) {
	token, twice := parameter(query)
	if twice {
		return "", malformed("access_token may be sent once only", ErrTwoTokens)
	}
	return token, nil
}

// parameter returns access_token of an encoded form, and whether it is there twice. Without a value it counts as not
// sent (RFC 6749 section 3.1). What cannot be decoded is kept as it is: no token has a "%", so it is refused as one.
func parameter(form string) (value string, twice bool) {
	const name = "access_token"
	found := false
	if form == "" {
		return "", false
	}
	for pair := range strings.SplitSeq(form, "&") {
		key, raw, _ := strings.Cut(pair, "=")
		if key != name && (len(key) <= len(name) || !strings.Contains(key, "%")) {
			continue
		}
		if decoded, err := url.QueryUnescape(key); err != nil || decoded != name {
			continue
		}
		if found {
			return "", true
		}
		found = true
		var err error
		if value, err = url.QueryUnescape(raw); err != nil {
			value = raw
		}
	}
	return value, false
}

// target is the URL the client asked for, without the query: RFC 9449 section 4.2 leaves it out of htu.
func target(r *http.Request, origin string) string {
	path := r.URL.EscapedPath()
	if strings.HasPrefix(r.RequestURI, "/") { // as it came, whatever a router has taken off since
		path, _, _ = strings.Cut(r.RequestURI, "?")
	}
	switch {
	case origin != "":
		return strings.TrimSuffix(origin, "/") + path
	case r.TLS != nil:
		return "https://" + r.Host + path
	}
	return "http://" + r.Host + path
}

func certificate(r *http.Request) []byte {
	if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
		return nil
	}
	return r.TLS.PeerCertificates[0].Raw
}
