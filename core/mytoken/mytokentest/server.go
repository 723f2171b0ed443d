package mytokentest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"
)

// Provider is the issuer of the made-up provider behind the server.
const Provider = "https://op.example.org/"

// Options of a Server. The zero value is a server that does everything.
type Options struct {
	Now func() time.Time
	// RotateOnAT and RotateOnOther make every mytoken be replaced when it is used, whatever was asked for.
	RotateOnAT, RotateOnOther bool
	// OIDCDocumentOnly serves the configuration at the place of OpenID Connect only.
	OIDCDocumentOnly bool
	// Approve makes the opening of a consent page agree to it.
	Approve bool
	// Short makes mytokens opaque.
	Short bool
	// SSHExtra is added to the entry for ~/.ssh/config that the server suggests.
	SSHExtra string
	// Interval of polling in seconds; 0 = 1.
	Interval int
}

// Request is one that reached the server.
type Request struct {
	Method, Path string
	Body         map[string]any // of JSON
	Form         url.Values
}

// Server is a running mytoken server.
type Server struct {
	URL string

	t    testing.TB
	opt  Options
	key  *ecdsa.PrivateKey
	http *httptest.Server

	mu        sync.Mutex
	tokens    map[string]*token // by jti
	aliases   map[string]string // short token to jti/seq
	polls     map[string]*poll  // by polling code
	transfer  map[string]string // transfer code to mytoken
	person    person
	described int // how often it was asked what it is
	requests  []Request
	faults    []fault
}

// fault is an answer in the place of the next one of a path.
type fault struct {
	path, body string
	status     int
	cut        bool
}

type token struct {
	jti, name, parent string
	seq               int64
	capabilities      []string
	restrictions      json.RawMessage
	rotation          rotation
	revoked           bool
	created           time.Time
	expires           time.Time
	events            []string
}

type rotation struct {
	OnAT       bool     `json:"on_AT,omitempty"`
	OnOther    bool     `json:"on_other,omitempty"`
	Lifetime   int64    `json:"lifetime,omitempty"`
	AutoRevoke bool     `json:"auto_revoke,omitempty"`
	Include    []string `json:"include,omitempty"`
}

type poll struct {
	consent string // code of the consent page
	ssh     string // fingerprint of the key that it is for
	asked   mytokenRequest
	state   string // "", "approved", "declined", "expired"
}

// Start runs a server until the test ends.
func Start(t testing.TB, edit ...func(*Options)) *Server {
	t.Helper()
	s := &Server{
		t: t, tokens: map[string]*token{}, aliases: map[string]string{}, polls: map[string]*poll{},
		transfer: map[string]string{},
	}
	for _, e := range edit {
		e(&s.opt)
	}
	if s.opt.Now == nil {
		s.opt.Now = time.Now
	}
	if s.opt.Interval == 0 {
		s.opt.Interval = 1
	}
	var err error
	if s.key, err = ecdsa.GenerateKey(elliptic.P521(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	s.http = httptest.NewServer(http.HandlerFunc(s.serve))
	s.URL = s.http.URL
	t.Cleanup(s.http.Close)
	return s
}

// Fail answers the next request of a path with a status and a body.
func (s *Server) Fail(path string, status int, body string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, fault{path: path, status: status, body: body})
}

// Cut does what the next request of a path asks for, and closes the connection in the middle of the answer.
func (s *Server) Cut(path string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, fault{path: path, cut: true})
}

// Requests are those that reached the server, oldest first.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Request(nil), s.requests...)
}

// Count is how many requests of a path reached the server.
func (s *Server) Count(path string) int {
	n := 0
	for _, r := range s.Requests() {
		if r.Path == path {
			n++
		}
	}
	return n
}

// Described is how often the configuration was fetched.
func (s *Server) Described() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.described
}

// Paths of the API.
const (
	PathMytoken  = "/api/v0/token/my"
	PathAccess   = "/api/v0/token/access"
	PathRevoke   = "/api/v0/token/revoke"
	PathTransfer = "/api/v0/token/transfer"
	PathInfo     = "/api/v0/tokeninfo"
	PathProfiles = "/api/v0/pt"
	PathSettings = "/api/v0/settings"
	PathNotify   = "/api/v0/notifications"
	PathTags     = "/api/v0/token/my/tags"
)

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	if f, ok := s.takeFault(r.URL.Path); ok {
		if !f.cut {
			s.note(Request{Method: r.Method, Path: r.URL.Path})
			w.WriteHeader(f.status)
			_, _ = w.Write([]byte(f.body))
			return
		}
		rec := httptest.NewRecorder()
		s.route(rec, r)
		cutOff(w, rec)
		return
	}
	s.route(w, r)
}

// cutOff sends all but the last bytes of an answer.
func cutOff(w http.ResponseWriter, rec *httptest.ResponseRecorder) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer conn.Close()
	body := rec.Body.Bytes()
	_, _ = conn.Write([]byte("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n"))
	_, _ = conn.Write(body[:len(body)-3])
}

func (s *Server) takeFault(path string) (fault, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, f := range s.faults {
		if f.path == path {
			s.faults = append(s.faults[:i], s.faults[i+1:]...)
			return f, true
		}
	}
	return fault{}, false
}

func (s *Server) note(r Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = append(s.requests, r)
}

func (s *Server) route(w http.ResponseWriter, r *http.Request) {
	path := r.URL.Path
	switch {
	case r.Method == http.MethodGet && strings.HasPrefix(path, "/.well-known/"):
		s.configuration(w, path)
	case r.Method == http.MethodGet && path == "/jwks":
		s.keys(w)
	case r.Method == http.MethodGet && strings.HasPrefix(path, "/c/"):
		s.consentPage(w, strings.TrimPrefix(path, "/c/"))
	case r.Method == http.MethodGet && strings.HasPrefix(path, PathProfiles):
		s.profiles(w, strings.TrimPrefix(path, PathProfiles))
	case s.manages(path):
		s.manage(w, r)
	case r.Method == http.MethodPost && path == PathMytoken:
		s.my(w, r)
	case r.Method == http.MethodPost && path == PathAccess:
		s.access(w, r)
	case r.Method == http.MethodPost && path == PathTransfer:
		s.makeTransfer(w, r)
	case r.Method == http.MethodPost && path == PathInfo:
		s.info(w, r)
	case r.Method == http.MethodPost && path == PathRevoke:
		s.revoke(w, r)
	default:
		refuse(w, http.StatusNotFound, "not_found", path)
	}
}

func (s *Server) configuration(w http.ResponseWriter, path string) {
	if s.opt.OIDCDocumentOnly && !strings.HasSuffix(path, "/openid-configuration") {
		refuse(w, http.StatusNotFound, "not_found", path)
		return
	}
	s.mu.Lock()
	s.described++
	s.mu.Unlock()
	api := s.URL + "/api/v0"
	answerJSON(w, http.StatusOK, map[string]any{
		"issuer": s.URL, "access_token_endpoint": api + "/token/access", "token_endpoint": api + "/token/access",
		"mytoken_endpoint": api + "/token/my", "tokeninfo_endpoint": api + "/tokeninfo",
		"revocation_endpoint": api + "/token/revoke", "usersettings_endpoint": api + "/settings",
		"notifications_endpoint": api + "/notifications", "token_transfer_endpoint": api + "/token/transfer",
		"profiles_endpoint": api + "/pt", "jwks_uri": s.URL + "/jwks",
		"providers_supported": []any{map[string]any{
			"issuer": Provider, "name": "Example", "scopes_supported": []string{"openid", "storage.read:/"},
		}},
		"token_signing_alg_value":                     "ES512",
		"tokeninfo_endpoint_actions_supported":        []string{"introspect", "event_history", "subtokens", "list_mytokens"},
		"access_token_endpoint_grant_types_supported": []string{"mytoken"},
		"mytoken_endpoint_grant_types_supported":      []string{"oidc_flow", "mytoken", "transfer_code", "polling_code"},
		"mytoken_endpoint_oidc_flows_supported":       []string{"authorization_code"},
		"response_types_supported":                    []string{"token", "short_token", "transfer_code"},
		"restriction_claims_supported": []string{
			"nbf", "exp", "scope", "audience", "hosts", "geoip_allow", "geoip_disallow", "usages_AT", "usages_other",
		},
		"version": "0.10.0",
	})
}

// keys is the key set: one key.
func (s *Server) keys(w http.ResponseWriter) {
	point, err := s.key.PublicKey.Bytes()
	if err != nil {
		s.t.Error(err)
		return
	}
	const size = 66
	x, y := point[1:1+size], point[1+size:]
	enc := base64.RawURLEncoding
	answerJSON(w, http.StatusOK, map[string]any{"keys": []any{map[string]string{
		"kty": "EC", "crv": "P-521", "alg": "ES512", "use": "sig", "kid": "1",
		"x": enc.EncodeToString(x), "y": enc.EncodeToString(y),
	}}})
}

func (s *Server) profiles(w http.ResponseWriter, path string) {
	switch path {
	case "":
		answerJSON(w, http.StatusOK, []string{"_"})
	case "/_/profiles":
		answerJSON(w, http.StatusOK, []map[string]any{
			{"id": "1", "name": "agent", "payload": map[string]any{"capabilities": allCapabilities()}},
			{"id": "2", "name": "web-default", "payload": map[string]any{"capabilities": []string{"AT", "tokeninfo"}}},
		})
	default:
		answerJSON(w, http.StatusOK, nil)
	}
}

func allCapabilities() []string {
	return []string{"AT", "create_mytoken", "tokeninfo", "manage_mytokens", "settings"}
}

func answerJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

func refuse(w http.ResponseWriter, status int, code, description string) {
	m := map[string]string{"error": code}
	if description != "" {
		m["error_description"] = description
	}
	answerJSON(w, status, m)
}
