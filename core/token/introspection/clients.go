package introspection

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/oidcbox/oidcbox/core/transport/httpd"
)

// MinSecret is how many bytes the secret of a client has at least. It is what keeps guessing hopeless: a right secret
// is taken however many wrong ones came before, or a stranger could lock a service out.
const MinSecret = 16

// clients tells known clients from strangers.
type clients struct {
	known map[string]known
	wrong failures
}

type known struct {
	Client
	hash [sha256.Size]byte
}

func newClients(list map[string]Client, now func() time.Time) (*clients, error) {
	c := &clients{known: map[string]known{}, wrong: failures{now: now}}
	var faults []error
	for id, client := range list {
		switch {
		case id == "" || strings.Contains(id, ":"):
			faults = append(faults, fmt.Errorf("client %q: an id is not empty and has no colon", id))
		case client.Secret.Len() < MinSecret:
			faults = append(faults, fmt.Errorf("client %q: the secret has less than %d bytes", id, MinSecret))
		}
		k := known{Client: client}
		_ = client.Secret.Use(func(b []byte) error { k.hash = sha256.Sum256(b); return nil }) // an empty one is refused above
		c.known[id] = k
	}
	if len(faults) > 0 {
		slices.SortFunc(faults, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
		return nil, fmt.Errorf("%w: %w", ErrConfig, errors.Join(faults...))
	}
	return c, nil
}

// find returns the client with these credentials. They may be percent-encoded, as RFC 6749 section 2.3.1 wants it, or
// not, as many clients do it. An unknown id takes as long as a wrong secret.
func (c *clients) find(id, password string) (Client, bool) {
	var found Client
	right := 0
	for _, try := range [][2]string{{id, password}, {unescape(id), unescape(password)}} {
		k, there := c.known[try[0]]
		given := sha256.Sum256([]byte(try[1]))
		same := subtle.ConstantTimeCompare(given[:], k.hash[:])
		if there && same == 1 {
			found, right = k.Client, 1
		}
	}
	return found, right == 1
}

func unescape(s string) string {
	if u, err := url.QueryUnescape(s); err == nil {
		return u
	}
	return s
}

// failed notes wrong credentials and returns how long their sender should wait before the next, 0 while it is no
// matter.
func (c *clients) failed(remote string) time.Duration { return c.wrong.add(source(remote)) }

// credentials returns what the client sent to be known by, in one of the two ways of RFC 6749 section 2.3.1.
func credentials(r *http.Request, form url.Values) (id, password string, sent bool, err error) {
	headers := r.Header["Authorization"]
	inForm := form.Get("client_secret") != ""
	switch {
	case len(headers) > 1 || len(headers) == 1 && inForm:
		return "", "", false, httpd.Refuse(http.StatusBadRequest, "invalid_request", "credentials may be sent once only")
	case inForm:
		return form.Get("client_id"), form.Get("client_secret"), true, nil
	case len(headers) == 0:
		return "", "", false, nil
	}
	id, password, ok := r.BasicAuth()
	if !ok {
		return "", "", false, unauthorized("the credentials must be Basic")
	}
	return id, password, true, nil
}

const (
	// maxWrong is how many wrong credentials a source may send at once, one more every wrongEvery.
	maxWrong   = 10
	wrongEvery = 6 * time.Second
	// maxSources bounds what is remembered.
	maxSources = 4096
)

// failures counts wrong credentials per source, with bounded memory. A source is forgotten when its count is back to 0.
type failures struct {
	now func() time.Time
	mu  sync.Mutex
	due map[netip.Prefix]time.Time // when the count will be 0
}

// add counts one and returns 0, or how long to wait when there were too many.
func (f *failures) add(from netip.Prefix) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.due == nil {
		f.due = map[netip.Prefix]time.Time{}
	}
	now := f.now()
	due, there := f.due[from]
	if !there && len(f.due) >= maxSources {
		f.forget(now)
	}
	if due.Before(now) {
		due = now
	}
	if wait := due.Sub(now) - (maxWrong-1)*wrongEvery; wait > 0 {
		return wait
	}
	f.due[from] = due.Add(wrongEvery)
	return 0
}

// forget drops what has run out, and if nothing has, everything: the memory is bounded, the limit is not sacred.
func (f *failures) forget(now time.Time) {
	for from, due := range f.due {
		if due.Before(now) {
			delete(f.due, from)
		}
	}
	if len(f.due) >= maxSources {
		clear(f.due)
	}
}

// source is who a connection comes from: the address, in IPv6 the network of 64 bits that one subscriber has; the zero
// Prefix for a Unix socket.
func source(remote string) netip.Prefix {
	at, err := netip.ParseAddrPort(remote)
	if err != nil {
		return netip.Prefix{}
	}
	a, bits := at.Addr().Unmap().WithZone(""), 32
	if a.Is6() {
		bits = 64
	}
	p, err := a.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return p
}
