package forward

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/oidcbox/oidcbox/core/token/jose"
)

const wellKnown = "/.well-known/oauth-protected-resource"

// metadata is the document of RFC 9728 about a service.
type metadata struct {
	host   string // of the resource, lower case, no port
	path   string // where it is served, wellKnown and on
	url    string
	origin string // scheme and host of the resource
	body   []byte
}

// newMetadata makes the document. Its place is that of the resource with the well-known name before its path (RFC 9728
// section 3.1).
func newMetadata(s Service, algs []jose.Alg) (*metadata, error) {
	u, err := httpsURL(s.Resource)
	if err != nil {
		return nil, fmt.Errorf("resource: %w", err)
	}
	path := u.EscapedPath()
	if path == "/" {
		path = ""
	}
	origin := "https://" + u.Host
	m := &metadata{
		host: strings.ToLower(u.Hostname()), path: wellKnown + path, url: origin + wellKnown + path, origin: origin,
	}
	m.body, err = json.Marshal(struct {
		Resource string     `json:"resource"`
		Servers  []string   `json:"authorization_servers,omitempty"`
		Scopes   []string   `json:"scopes_supported,omitempty"`
		Methods  []string   `json:"bearer_methods_supported"`
		Algs     []jose.Alg `json:"dpop_signing_alg_values_supported,omitempty"`
	}{s.Resource, s.AuthorizationServers, s.Scopes, []string{"header"}, algs})
	if err != nil {
		return nil, fmt.Errorf("resource metadata: %w", err)
	}
	return m, nil
}

// serveMetadata answers with the document of the service whose resource is at this host and path.
func (h *Handler) serveMetadata(w http.ResponseWriter, r *http.Request) {
	target, _, _ := strings.Cut(r.RequestURI, "?")
	host, _ := hostName(r.Host)
	for _, s := range h.table.services {
		if m := s.metadata; m != nil && m.host == host && m.path == target {
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Cache-Control", "max-age=3600")
			w.Header().Set("Access-Control-Allow-Origin", "*") // it is public, and scripts of any page may need it
			if r.Method != http.MethodGet && r.Method != http.MethodHead {
				w.Header().Set("Allow", "GET, HEAD")
				w.WriteHeader(http.StatusMethodNotAllowed)
				return
			}
			_, _ = w.Write(m.body)
			return
		}
	}
	http.NotFound(w, r)
}
