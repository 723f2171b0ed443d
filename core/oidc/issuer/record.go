package issuer

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/transport/httpd"
)

// Request is what a client sent, for tests. Secrets in it are masked: see Masked.
type Request struct {
	Time   time.Time  `json:"time"`
	Method string     `json:"method"`
	Path   string     `json:"path"` // below the issuer
	Query  url.Values `json:"query,omitempty"`
	Form   url.Values `json:"form,omitempty"`
	JSON   Metadata   `json:"json,omitempty"` // of a registration
	Auth   string     `json:"auth,omitempty"` // the scheme of the Authorization header
	Agent  string     `json:"user_agent,omitempty"`
	Status int        `json:"status"` // 0: no answer was sent
}

// Metadata is what a client registers: names and values as they came.
type Metadata map[string]json.RawMessage

const mostRequests = 1000

// logbook keeps the last requests.
type logbook struct {
	mu   sync.Mutex
	list []Request
}

func (b *logbook) add(r Request, status int) {
	r.Status = status
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.list) >= mostRequests {
		b.list = slices.Delete(b.list, 0, mostRequests/10)
	}
	b.list = append(b.list, r)
}

// Requests returns the last requests in the order they were answered, with Options.TestControls; else nothing.
func (i *Issuer) Requests() []Request {
	i.book.mu.Lock()
	defer i.book.mu.Unlock()
	return slices.Clone(i.book.list)
}

// ClearRequests empties the log.
func (i *Issuer) ClearRequests() {
	i.book.mu.Lock()
	defer i.book.mu.Unlock()
	i.book.list = nil
}

// Masked is how a token or code appears in the log: by the name that secret.Text.ID gives it, so that a test can see
// which one was sent.
func Masked(token string) string { return "id:" + secret.FromString(token).ID() }

// logged keeps what was sent. It does nothing without test controls.
func (i *Issuer) logged(h http.Handler) http.Handler {
	if !i.o.TestControls {
		return h
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(i.localPath(r), "/_test/") {
			h.ServeHTTP(w, r)
			return
		}
		e := i.entry(r)
		s := &statusWriter{ResponseWriter: w}
		defer func() { i.book.add(e, s.status) }()
		h.ServeHTTP(s, r)
	})
}

// entry reads what is to be logged of r, and puts the body back.
func (i *Issuer) entry(r *http.Request) Request {
	e := Request{Time: i.o.Now(), Method: r.Method, Path: i.localPath(r), Agent: r.UserAgent()}
	e.Auth, _, _ = strings.Cut(r.Header.Get("Authorization"), " ")
	q, _ := url.ParseQuery(r.URL.RawQuery)
	e.Query = mask(q)
	kind, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	if kind != "application/x-www-form-urlencoded" && kind != "application/json" {
		return e
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxForm+1))
	rest := io.Reader(r.Body)
	if err != nil {
		rest = failing{err}
	}
	r.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(body), rest), r.Body}
	switch {
	case len(body) > maxForm:
	case kind == "application/json":
		_ = json.Unmarshal(body, &e.JSON)
		delete(e.JSON, "client_secret")
	default:
		q, _ = url.ParseQuery(string(body))
		e.Form = mask(q)
	}
	return e
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// mask replaces secrets: what has high entropy by its name, what people choose by nothing at all.
func mask(q url.Values) url.Values {
	if len(q) == 0 {
		return nil
	}
	q = maps.Clone(q)
	for name, values := range q {
		switch name {
		case "client_secret", "password", "client_assertion":
			q[name] = []string{"***"}
		case "code", "device_code", "code_verifier", "refresh_token", "access_token", "subject_token", "actor_token",
			"token", "csrf", "id_token_hint":
			q[name] = nil
			for _, v := range values {
				q[name] = append(q[name], Masked(v))
			}
		}
	}
	return q
}

type statusWriter struct {
	http.ResponseWriter
	status int
}

func (s *statusWriter) WriteHeader(status int) {
	if s.status == 0 {
		s.status = status
	}
	s.ResponseWriter.WriteHeader(status)
}

// Unwrap is for httpd.ReadBody and http.ResponseController.
func (s *statusWriter) Unwrap() http.ResponseWriter { return s.ResponseWriter }

func (s *statusWriter) Write(b []byte) (int, error) {
	if s.status == 0 {
		s.status = http.StatusOK
	}
	return s.ResponseWriter.Write(b)
}

func (i *Issuer) serveLog(w http.ResponseWriter, _ *http.Request) error {
	return httpd.WriteJSON(w, http.StatusOK, map[string]any{"requests": i.Requests()})
}

func (i *Issuer) clearLog(w http.ResponseWriter, _ *http.Request) error {
	i.ClearRequests()
	w.WriteHeader(http.StatusNoContent)
	return nil
}
