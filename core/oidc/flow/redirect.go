package flow

import (
	"crypto/subtle"
	"html"
	"io"
	"log"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"
)

const (
	maxConnections  = 64 // other users of the machine can connect too
	maxRedirectHead = 32 << 10
	headTime        = 5 * time.Second
	writeTime       = 10 * time.Second
)

// redirect answers the browser. It gives the query of the first request with the right state to got.
type redirect struct {
	path  string
	state string
	got   chan url.Values
}

func (h *redirect) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.URL.EscapedPath() != h.path:
		page(w, http.StatusNotFound, "Not found", "There is nothing here.")
		return
	case r.Method != http.MethodGet:
		w.Header().Set("Allow", http.MethodGet)
		page(w, http.StatusMethodNotAllowed, "Not allowed", "Only a redirect from the provider is expected here.")
		return
	}
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil || len(q["state"]) != 1 || subtle.ConstantTimeCompare([]byte(q.Get("state")), []byte(h.state)) != 1 {
		page(w, http.StatusBadRequest, "Not this login",
			"This answer does not belong to the login that is waiting. Start the login again from the terminal.")
		return
	}
	h.show(w, q)
	select {
	case h.got <- q: // last: the server is closed at once
	default: // the browser asked twice
	}
}

func (h *redirect) show(w http.ResponseWriter, q url.Values) {
	if !q.Has("error") && q.Has("code") {
		page(w, http.StatusOK, "Login received", "You can close this window and go back to the terminal.")
		return
	}
	text := describe(q.Get("error"), nil)
	if d := describe(q.Get("error_description"), nil); d != "" {
		text += ": " + d
	}
	page(w, http.StatusBadRequest, "The login was refused", text)
}

// page writes a page of constants and escaped text, to the last byte. The browser keeps nothing and sends the address,
// which has the code in it, nowhere.
func page(w http.ResponseWriter, status int, title, text string) {
	body := "<!DOCTYPE html>\n<html lang=\"en\"><head><title>" + html.EscapeString(title) +
		"</title></head>\n<body><h1>" + html.EscapeString(title) + "</h1>\n<p>" + html.EscapeString(text) +
		"</p></body></html>\n"
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	h.Set("Connection", "close")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body)
	_ = http.NewResponseController(w).Flush()
}

func redirectServer(h http.Handler) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: headTime,
		ReadTimeout:       headTime,
		WriteTimeout:      writeTime,
		IdleTimeout:       headTime,
		MaxHeaderBytes:    maxRedirectHead,
		ErrorLog:          log.New(io.Discard, "", 0), // what strangers send wrong is no matter of ours
	}
}

// limited bounds the open connections of several listeners together.
type limited struct {
	net.Listener
	slots chan struct{}
	done  <-chan struct{}
}

func (l *limited) Accept() (net.Conn, error) {
	select {
	case l.slots <- struct{}{}:
	case <-l.done:
		return nil, net.ErrClosed
	}
	c, err := l.Listener.Accept()
	if err != nil {
		<-l.slots
		return nil, err
	}
	return &slotConn{Conn: c, free: sync.OnceFunc(func() { <-l.slots })}, nil
}

type slotConn struct {
	net.Conn
	free func()
}

func (c *slotConn) Close() error {
	c.free()
	return c.Conn.Close()
}
