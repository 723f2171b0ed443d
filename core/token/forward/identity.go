package forward

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/oidcbox/oidcbox/core/token/claims"
	"github.com/oidcbox/oidcbox/core/token/gate"
)

// Header is one identity header: what the service behind learns of who is there.
type Header struct {
	Name string // of the header
	// Claim is where its value comes from: iss, sub, scope, exp, groups (wlcg.groups of a WLCG token, groups of
	// another), or any claim whose values are text. See docs/policy.md for where claims are looked for.
	Claim string
}

// DefaultHeaders are those of a service that names none.
func DefaultHeaders() []Header {
	return []Header{
		{"X-Token-Sub", "sub"},
		{"X-Token-Iss", "iss"},
		{"X-Token-Groups", "groups"},
		{"X-Token-Scope", "scope"},
		{"X-Token-Exp", "exp"},
	}
}

// StatusHeader has the status we mean in every answer; nginx is told another one for some.
const StatusHeader = "X-Verifier-Status"

// maxIdentity is how many bytes the values of the identity headers may have together: proxies have buffers for headers,
// and a value cut short would tell the service something else.
const maxIdentity = 16 << 10

var errIdentitySize = errors.New("identity does not fit into headers: name fewer of them")

type header struct {
	name  string // as http.Header spells it
	claim string
	alias string
}

func newHeaders(list []Header) ([]header, error) {
	if list == nil {
		list = DefaultHeaders()
	}
	var out []header
	var faults []error
	for _, h := range list {
		if !validHeaderName(h.Name) || h.Claim == "" {
			faults = append(faults, fmt.Errorf("header %q of claim %q: not a name of a header, or no claim", h.Name, h.Claim))
			continue
		}
		one := header{name: http.CanonicalHeaderKey(h.Name), claim: h.Claim, alias: aliasKey(h.Name)}
		switch {
		case reserved(one.alias):
			faults = append(faults, fmt.Errorf("header %s has another meaning", h.Name))
		case slices.ContainsFunc(out, func(o header) bool { return o.alias == one.alias }):
			faults = append(faults, fmt.Errorf("header %s is there twice", h.Name))
		}
		out = append(out, one)
	}
	return out, errors.Join(faults...)
}

// reserved are headers an answer or a request has for something else; an identity header of that name would break it,
// or be refused in every honest request.
func reserved(alias string) bool {
	if strings.HasPrefix(alias, "x-forwarded-") || strings.HasPrefix(alias, "x-original-") ||
		strings.HasPrefix(alias, "transferheader") {
		return true
	}
	return slices.Contains([]string{
		"authorization", "proxy-authorization", "www-authenticate", "dpop", "cookie", "set-cookie", "host", "connection",
		"content-length", "content-type", "content-encoding", "transfer-encoding", "cache-control", "location", "retry-after",
		"date", "server", "source", "destination", "overwrite", "credential", "user-agent", "accept", "origin", "te",
		"upgrade",
		"x-content-type-options", aliasKey(StatusHeader),
	}, alias)
}

// aliasKey is the same for all names of headers that a service may take for one another: CGI, WSGI and PHP do not tell
// capital letters from small ones, nor one character that is neither letter nor digit from another.
func aliasKey(name string) string {
	key := []byte(name)
	for i, c := range key {
		key[i] = aliasByte(c)
	}
	return string(key)
}

func aliasByte(c byte) byte {
	switch {
	case 'A' <= c && c <= 'Z':
		return c + 'a' - 'A'
	case 'a' <= c && c <= 'z', '0' <= c && c <= '9':
		return c
	}
	return '-'
}

// isAlias reports whether aliasKey(name) is alias, and makes no string for it: it is asked of every header.
func isAlias(name, alias string) bool {
	if len(name) != len(alias) {
		return false
	}
	for i := len(name) - 1; i >= 0; i-- { // they differ at their ends more than where they begin
		if aliasByte(name[i]) != alias[i] {
			return false
		}
	}
	return true
}

// override reports whether with this header a client asks a service to take a request for one of another method.
func override(name string) bool {
	return isAlias(name, "x-http-method-override") || isAlias(name, "x-http-method") || isAlias(name, "x-method-override")
}

// guards reports whether name is that of an identity header in some spelling.
func (s *service) guards(name string) bool {
	for i := range s.headers {
		if isAlias(name, s.headers[i].alias) {
			return true
		}
	}
	return false
}

// forged finds headers of the client that must not reach the service: an identity header in any spelling, or a change
// of the method. The proxy ought to have deleted the former; that it has not is refused rather than hoped to be
// harmless. Nor may a connection become one of HTTP/2 (RFC 7540 section 3.2): what follows on it nobody would judge.
func (s *service) forged(h http.Header) error {
	if upgrade := h["Upgrade"]; len(upgrade) > 1 || len(upgrade) == 1 && !strings.EqualFold(upgrade[0], "websocket") {
		return badRequest("the connection can be upgraded to websocket and to nothing else")
	}
	for name := range h {
		switch {
		case s.guards(name):
			return badRequest("an identity header came from outside: the proxy has to delete them")
		case !s.MethodOverride && override(name):
			return badRequest("a header that changes the method is not taken")
		}
	}
	return nil
}

// identify puts every identity header into h, with what out says; nil is nobody.
func (s *service) identify(h http.Header, out *gate.Outcome) error {
	if out == nil {
		s.silence(h)
		return nil
	}
	values, size := make([]string, len(s.headers)), 0
	for i, one := range s.headers {
		values[i] = one.value(out)
		if size += len(values[i]); size > maxIdentity {
			return errIdentitySize
		}
		h[one.name] = values[i : i+1 : i+1]
	}
	return nil
}

// silence puts every identity header into h, empty.
func (s *service) silence(h http.Header) {
	for _, one := range s.headers {
		h[one.name] = []string{""}
	}
}

// silence is that for a request of which no service is known: all that one behind this make of proxy may have.
func (t table) silence(h http.Header, p Proxy) {
	for _, s := range t.services {
		if s.Proxy == p {
			s.silence(h)
		}
	}
}

// value is what the header says: the values of a list are joined by commas.
func (h header) value(out *gate.Outcome) string {
	switch h.claim {
	case "sub":
		return encode(out.Subject.Subject)
	case "iss":
		return encode(out.Subject.Issuer)
	case "scope":
		return encode(out.Subject.Scopes().String())
	case "exp":
		if out.Expires.IsZero() {
			return ""
		}
		return strconv.FormatInt(out.Expires.Unix(), 10)
	case "groups":
		switch {
		case out.Subject.Profile != claims.WLCG:
		case out.Subject.Claims.Groups != nil: // as Texts would find them, read already
			return encodeList(out.Subject.Claims.Groups)
		default:
			return encodeList(out.Subject.Texts("wlcg.groups"))
		}
	}
	return encodeList(out.Subject.Texts(h.claim))
}

func encodeList(list []string) string {
	if len(list) == 0 {
		return ""
	}
	one := func(v string) string { return strings.ReplaceAll(encode(v), ",", "%2C") }
	if len(list) == 1 {
		return one(list[0])
	}
	size := len(list)
	for _, v := range list {
		size += len(v)
	}
	out := make([]byte, 0, size)
	for i, v := range list {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, one(v)...)
	}
	return string(out)
}

// encode percent-encodes what is not plain ASCII, the percent sign, and spaces at the ends, which would be lost.
func encode(s string) string {
	plain := func(i int) bool {
		c := s[i]
		return c > ' ' && c < 0x7f && c != '%' || c == ' ' && i > 0 && i < len(s)-1
	}
	clean := true
	for i := range len(s) {
		clean = clean && plain(i)
	}
	if clean {
		return s
	}
	const digits = "0123456789ABCDEF"
	out := make([]byte, 0, len(s)+16)
	for i := range len(s) {
		if c := s[i]; plain(i) {
			out = append(out, c)
		} else {
			out = append(out, '%', digits[c>>4], digits[c&15])
		}
	}
	return string(out)
}
