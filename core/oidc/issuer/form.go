package issuer

import (
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/oidcbox/oidcbox/core/transport/httpd"
)

// Limits of one request.
const (
	maxForm   = 64 << 10
	maxQuery  = 16 << 10
	maxParams = 64
)

// readForm reads the body of a POST as parameters. Those in the query do not count (RFC 6749 section 3.2).
func readForm(w http.ResponseWriter, r *http.Request) (url.Values, error) {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/x-www-form-urlencoded" {
		return nil, badRequest("the body must be application/x-www-form-urlencoded")
	}
	body, err := httpd.ReadBody(w, r, maxForm)
	if err != nil {
		return nil, err
	}
	return readParams(string(body))
}

// readParams decodes parameters. One that occurs twice is refused, except where an RFC lets it (audience and resource,
// RFC 8693 section 2.1 and RFC 8707 section 2); one without a value counts as absent (RFC 6749 section 3.1).
func readParams(raw string) (url.Values, error) {
	q, err := url.ParseQuery(raw)
	if err != nil {
		return nil, badRequest("parameters are not well formed")
	}
	count := 0
	for name, values := range q {
		values = slices.DeleteFunc(values, func(v string) bool { return v == "" })
		if count += len(values); count > maxParams {
			return nil, badRequest("too many parameters")
		}
		if len(values) > 1 && name != "audience" && name != "resource" {
			return nil, badRequest("a parameter occurs twice")
		}
		if len(values) == 0 {
			delete(q, name)
			continue
		}
		q[name] = values
	}
	return q, nil
}

// readAudience returns what the request says the token is for: resource (RFC 8707, absolute URIs) and audience, each
// repeated or several in one value with blanks between them, in the order given. nil: it does not say.
func readAudience(q url.Values) ([]string, error) {
	var out []string
	for _, v := range q["resource"] {
		u, err := url.Parse(v)
		if err != nil || u.Scheme == "" || u.Fragment != "" || strings.Contains(v, "#") {
			return nil, badTarget("resource must be an absolute URI without a fragment")
		}
	}
	for _, v := range slices.Concat(q["audience"], q["resource"]) {
		for _, a := range strings.Fields(v) {
			if len(a) > maxRedirectURI || !printable(a) {
				return nil, badTarget("an audience is too long or has characters outside of ASCII")
			}
			if !slices.Contains(out, a) {
				out = append(out, a)
			}
		}
	}
	if len(out) > maxAudienceCount {
		return nil, badTarget("too many audiences")
	}
	return out, nil
}

func printable(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r <= 0x20 || r >= 0x7f })
}
