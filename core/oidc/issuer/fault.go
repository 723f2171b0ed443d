package issuer

import (
	"bytes"
	"encoding/json"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/oidcbox/oidcbox/core/transport/httpd"
)

// Fault makes an endpoint fail, as real ones do. Without After and Drop the request is not processed at all.
type Fault struct {
	Path  string // below the issuer: "/token", "/.well-known/openid-configuration"
	Times int    // how many requests; 0: every one until ClearFaults
	// Skip lets that many requests pass first.
	Skip int

	Delay time.Duration // waited before anything else
	// Status and Body replace the answer; with Status 0 the request is only delayed (or dropped). The zero Body is an
	// empty one; a body that begins with "{" is sent as JSON, any other as text.
	Status     int
	RetryAfter time.Duration // as whole seconds
	Body       string

	// After processes the request before it fails: a gateway that gave up waiting.
	After bool
	// Drop processes the request and then cuts the connection without an answer: the caller cannot know what happened.
	Drop bool
}

// faults is what has yet to fail.
type faults struct {
	mu   sync.Mutex
	list []*Fault
}

// Fault adds f. Faults for one path are used up in the order they were added.
func (i *Issuer) Fault(f Fault) {
	i.plan.mu.Lock()
	defer i.plan.mu.Unlock()
	i.plan.list = append(i.plan.list, &f)
}

// ClearFaults forgets all of them.
func (i *Issuer) ClearFaults() {
	i.plan.mu.Lock()
	defer i.plan.mu.Unlock()
	i.plan.list = nil
}

// next takes the fault for a request to path, if there is one.
func (p *faults) next(path string) (Fault, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for n, f := range p.list {
		if f.Path != path {
			continue
		}
		if f.Skip > 0 {
			f.Skip--
			return Fault{}, false
		}
		if f.Times == 1 {
			p.list = append(p.list[:n:n], p.list[n+1:]...)
		}
		if f.Times > 1 {
			f.Times--
		}
		return *f, true
	}
	return Fault{}, false
}

// withFaults is around everything else.
func (i *Issuer) withFaults(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f, ok := i.plan.next(i.localPath(r))
		if !ok {
			h.ServeHTTP(w, r)
			return
		}
		if !wait(r, f.Delay) {
			panic(http.ErrAbortHandler)
		}
		switch {
		case f.Drop || f.After:
			h.ServeHTTP(&discarded{header: http.Header{}}, r)
		case f.Status == 0:
			h.ServeHTTP(w, r)
			return
		case i.o.TestControls:
			i.book.add(i.entry(r), f.Status)
		}
		if f.Drop {
			panic(http.ErrAbortHandler)
		}
		f.answer(w)
	})
}

// localPath is the path below the issuer.
func (i *Issuer) localPath(r *http.Request) string {
	return strings.TrimPrefix(r.URL.Path, strings.TrimSuffix(i.base.Path, "/"))
}

func wait(r *http.Request, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-r.Context().Done():
		return false
	}
}

func (f Fault) answer(w http.ResponseWriter) {
	kind := "text/plain"
	if strings.HasPrefix(f.Body, "{") {
		kind = "application/json"
	}
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Cache-Control", "no-store")
	if f.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int((f.RetryAfter+time.Second-1)/time.Second)))
	}
	w.WriteHeader(orDefault(f.Status, http.StatusBadGateway))
	_, _ = io.WriteString(w, f.Body)
}

// discarded is an answer that nobody gets.
type discarded struct{ header http.Header }

func (d *discarded) Header() http.Header         { return d.header }
func (d *discarded) Write(b []byte) (int, error) { return len(b), nil }
func (d *discarded) WriteHeader(int)             {}

// addFault is POST /_test/fault. It wants application/json, which no page of another site can send without being asked.
func (i *Issuer) addFault(w http.ResponseWriter, r *http.Request) error {
	if kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); kind != "application/json" {
		return badRequest("the body must be application/json")
	}
	var in struct {
		Path       string          `json:"path"`
		Times      int             `json:"times"`
		Skip       int             `json:"skip"`
		DelayMS    int64           `json:"delay_ms"`
		Status     int             `json:"status"`
		RetryAfter int64           `json:"retry_after"`
		Body       json.RawMessage `json:"body"`
		After      bool            `json:"after"`
		Drop       bool            `json:"drop"`
	}
	body, err := httpd.ReadBody(w, r, maxForm)
	if err != nil {
		return err
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(&in); err != nil {
		return badRequest("the fault is not well formed")
	}
	if in.Path == "" || in.Status != 0 && (in.Status < 200 || in.Status > 599) || in.Times < 0 || in.Skip < 0 {
		return badRequest("path is missing, or a number is out of range")
	}
	f := Fault{
		Path: in.Path, Times: in.Times, Skip: in.Skip, Delay: time.Duration(in.DelayMS) * time.Millisecond,
		Status: in.Status, RetryAfter: time.Duration(in.RetryAfter) * time.Second, After: in.After, Drop: in.Drop,
		Body: string(bytes.TrimSpace(in.Body)),
	}
	var text string
	if json.Unmarshal(in.Body, &text) == nil {
		f.Body = text // a JSON string is sent as its text
	}
	i.Fault(f)
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (i *Issuer) clearFaults(w http.ResponseWriter, _ *http.Request) error {
	i.ClearFaults()
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// serveRotate is POST /_test/rotate-keys.
func (i *Issuer) serveRotate(w http.ResponseWriter, r *http.Request) error {
	if err := i.RotateKeys(r.Context()); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
