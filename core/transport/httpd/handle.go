package httpd

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"runtime"
	"runtime/debug"
)

// HandlerFunc answers a request, or returns why not before it has written anything.
type HandlerFunc func(w http.ResponseWriter, r *http.Request) error

// Handle makes fn a handler. Every answer carries Cache-Control: no-store unless fn sets another. An [*Error] is sent
// as it is and logged at level debug; another error is logged at level error and sent as 500 server_error. A panic is
// logged without its value, which may hold a secret, and sent as 500.
func Handle(log *slog.Logger, fn HandlerFunc) http.Handler {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return contain(log, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		err := fn(w, r)
		if err == nil {
			return
		}
		e := known(err)
		if e == nil {
			log.Error("request failed", "op", route(r), "err", err)
			e = Refuse(http.StatusInternalServerError, "server_error", "")
		} else {
			log.Debug("request refused", "op", route(r), "err", err)
		}
		writeError(w, e)
	}))
}

// route names the request without anything that its sender chose freely: queries and unknown paths may hold secrets.
func route(r *http.Request) string {
	if r.Pattern != "" {
		return r.Pattern
	}
	return r.Method
}

// WriteJSON sends v with status.
func WriteJSON(w http.ResponseWriter, status int, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode the answer: %w", err)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	// That the caller has gone away is not ours to report.
	_, _ = w.Write(append(b, '\n'))
	return nil
}

// ReadBody returns the body of at most limit bytes, or an error that [Handle] answers with 413 or 400. The server is told
// of a body cut short, past any wrapper around w: it then closes the connection slowly enough for the answer to arrive.
func ReadBody(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	for {
		u, ok := w.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			break
		}
		w = u.Unwrap()
	}
	b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	if err == nil {
		return b, nil
	}
	if known(err) != nil {
		return nil, err
	}
	return nil, &Error{
		Status: http.StatusBadRequest, Code: "invalid_request", Description: "the body could not be read", Err: err,
	}
}

func writeError(w http.ResponseWriter, e *Error) {
	h := w.Header()
	h.Del("Etag")
	h.Del("Last-Modified")
	for name, values := range e.Header {
		h[name] = values
	}
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	if e.Code == "" {
		w.WriteHeader(e.Status)
		return
	}
	body := struct {
		Error       string `json:"error"`
		Description string `json:"error_description,omitempty"`
	}{e.Code, Quotable(e.Description)}
	_ = WriteJSON(w, e.Status, body) // two strings always encode
}

// contain keeps a panic inside its request. http.ErrAbortHandler passes: it is how a handler cuts a connection.
func contain(log *slog.Logger, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		tracked := &started{ResponseWriter: w}
		defer func() {
			v := recover()
			if v == nil {
				return
			}
			if v == http.ErrAbortHandler { //nolint:errorlint // net/http compares it so, too
				panic(v)
			}
			log.Error("request panicked", "op", route(r), "err", describePanic(v), "stack", string(debug.Stack()))
			if tracked.yes {
				// Half an answer must not look like a whole one.
				panic(http.ErrAbortHandler)
			}
			writeError(w, Refuse(http.StatusInternalServerError, "server_error", ""))
		}()
		h.ServeHTTP(tracked, r)
	})
}

// describePanic says what kind of panic it was. The text of a runtime error holds indices and types only; that of any
// other value could hold anything.
func describePanic(v any) string {
	if e, ok := v.(runtime.Error); ok {
		return e.Error()
	}
	return fmt.Sprintf("panic with a value of type %T", v)
}

// started remembers whether the answer has begun.
type started struct {
	http.ResponseWriter
	yes bool
}

func (s *started) WriteHeader(status int) {
	s.yes = true
	s.ResponseWriter.WriteHeader(status)
}

func (s *started) Write(b []byte) (int, error) {
	s.yes = true
	return s.ResponseWriter.Write(b)
}

// Unwrap is for http.ResponseController.
func (s *started) Unwrap() http.ResponseWriter { return s.ResponseWriter }
