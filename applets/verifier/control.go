package verifier

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/oidcbox/oidcbox/core/oidc/provider"
	"github.com/oidcbox/oidcbox/core/transport/httpd"
)

// Paths on the control socket, which belongs to whoever runs the daemon and to nobody else.
const (
	issuersPath = "/v1/issuers"
	refreshPath = "/v1/issuers/refresh"
	dropPath    = "/v1/issuers/drop"

	maxOrder = 8 << 10 // bytes of a request; an issuer is a URL
)

// keyring is a cache of keys that can be looked at and told to fetch: that of this process, or of a daemon behind its
// control socket.
type keyring interface {
	Status(ctx context.Context) ([]issuerView, error)
	Refresh(ctx context.Context, issuer string) error
	Drop(ctx context.Context, issuer string) error
}

// issuerView is what is shown of an issuer, on the control socket and with --json.
type issuerView struct {
	Issuer     string    `json:"issuer"`
	Keys       int       `json:"keys"` // usable now
	KeyIDs     []string  `json:"kids"`
	Generation uint64    `json:"generation"`
	Fetched    time.Time `json:"fetched,omitzero"`
	AgeSeconds int64     `json:"age_seconds,omitzero"`
	NextTry    time.Time `json:"next_refresh,omitzero"`
	Expires    time.Time `json:"expires,omitzero"`
	FromDisk   bool      `json:"from_disk"`
	Failures   int       `json:"failures"`
	Error      string    `json:"last_error,omitempty"`
	ErrorAt    time.Time `json:"last_error_at,omitzero"`
}

func viewOf(s provider.Status, now time.Time) issuerView {
	v := issuerView{
		Issuer: s.Issuer, Keys: s.Keys, KeyIDs: s.KeyIDs, Generation: s.Generation, FromDisk: s.FromDisk,
		Fetched: s.Fetched.UTC(), NextTry: s.NextTry.UTC(), Expires: s.Expires.UTC(), Failures: s.Failures,
		ErrorAt: s.ErrAt.UTC(),
	}
	if v.KeyIDs == nil {
		v.KeyIDs = []string{}
	}
	if !s.Fetched.IsZero() {
		v.AgeSeconds = int64(max(now.Sub(s.Fetched), 0) / time.Second)
	}
	if s.Err != nil {
		v.Error = oneLine(s.Err.Error())
	}
	return v
}

// ownKeys is the cache of this process.
type ownKeys struct {
	*provider.Keys
	now func() time.Time
}

func (k ownKeys) Status(context.Context) ([]issuerView, error) {
	now := k.now()
	list := []issuerView{}
	for _, s := range k.Keys.Status() {
		list = append(list, viewOf(s, now))
	}
	return list, nil
}

// issuersAnswer lists the issuers, on the control socket and with --json.
type issuersAnswer struct {
	Issuers []issuerView `json:"issuers"`
}

// orderAnswer is the body of an answer to an order; empty when it was carried out. Problem says what went wrong, in
// full: who reads it runs the daemon.
type orderAnswer struct {
	Code    string `json:"error,omitempty"`
	Problem string `json:"error_description,omitempty"`
}

// Codes of a failure on the control socket.
const (
	codeNotKept     = "unknown_issuer"
	codeUnavailable = "temporarily_unavailable"
	codeFailed      = "server_error"
	codeBad         = "invalid_request"
)

// order is the body of a request to refresh or drop.
type order struct {
	Issuer string `json:"issuer"`
}

// controlHandler answers for the keys of a daemon on its control socket: GET /v1/issuers, and POST
// /v1/issuers/refresh and /v1/issuers/drop with {"issuer":URL}.
func controlHandler(keys keyring, log *slog.Logger) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET "+issuersPath, httpd.Handle(log, func(w http.ResponseWriter, r *http.Request) error {
		list, err := keys.Status(r.Context())
		if err != nil {
			return err
		}
		return httpd.WriteJSON(w, http.StatusOK, issuersAnswer{list})
	}))
	mux.Handle("POST "+refreshPath, obey(log, keys.Refresh))
	mux.Handle("POST "+dropPath, obey(log, keys.Drop))
	return mux
}

func obey(log *slog.Logger, do func(ctx context.Context, issuer string) error) http.Handler {
	return httpd.Handle(log, func(w http.ResponseWriter, r *http.Request) error {
		b, err := httpd.ReadBody(w, r, maxOrder)
		if err != nil {
			return err
		}
		var o order
		if json.Unmarshal(b, &o) != nil || o.Issuer == "" {
			return httpd.Refuse(http.StatusBadRequest, codeBad, "the body has to be an object with issuer")
		}
		return answerOrder(w, do(r.Context(), o.Issuer))
	})
}

func answerOrder(w http.ResponseWriter, err error) error {
	status, a := http.StatusOK, orderAnswer{}
	if err != nil {
		status, a.Code, a.Problem = http.StatusInternalServerError, codeFailed, oneLine(err.Error())
	}
	switch {
	case errors.Is(err, provider.ErrNotKept):
		status, a.Code = http.StatusNotFound, codeNotKept
	case errors.Is(err, provider.ErrNotForgotten): // stays the worst of what happened
	case errors.Is(err, provider.ErrUnavailable):
		status, a.Code = http.StatusServiceUnavailable, codeUnavailable
	}
	return httpd.WriteJSON(w, status, a)
}
