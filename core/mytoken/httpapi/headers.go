package httpapi

import (
	"net/http"
	"strings"
)

// headers sets what every answer carries: for the API, who else may read it; for pages, what they may not do. A page
// sets a Content-Security-Policy of its own.
func (a *API) headers(h http.Header, r *http.Request) {
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	if a.secure() {
		h.Set("Strict-Transport-Security", "max-age=15552000")
	}
	if shared(r.URL.Path) {
		h.Set("Access-Control-Allow-Origin", "*")
		h.Set("Access-Control-Expose-Headers", "DPoP-Nonce, Retry-After, WWW-Authenticate, X-Request-Id")
		return
	}
	h.Set("X-Frame-Options", "DENY")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'")
}

// shared reports whether scripts of other sites may read what is there. They come without cookies: the answer names no
// site and allows no credentials.
func shared(p string) bool {
	switch p {
	case pathJWKS, pathConfiguration, pathOpenID, pathMetadata:
		return true
	}
	return below(p, pathAPI) || strings.HasPrefix(p, "/static/")
}

// preflight answers what a browser asks before a request of a script of another site (Fetch, section 3.2).
func preflight(w http.ResponseWriter, r *http.Request) bool {
	if r.Method != http.MethodOptions || !shared(r.URL.Path) || r.Header.Get("Access-Control-Request-Method") == "" {
		return false
	}
	h := w.Header()
	h.Set("Access-Control-Allow-Methods", "GET, POST, PUT, DELETE")
	h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type, DPoP, X-Request-Id")
	h.Set("Access-Control-Max-Age", "3600")
	w.WriteHeader(http.StatusNoContent)
	return true
}
