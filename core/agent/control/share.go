package control

import (
	"context"
	"net/http"
	"time"
)

// Sharer makes and ends sockets that others than the agent's owner may reach, and that give out tokens only.
type Sharer interface {
	// Share makes one more socket.
	Share(ctx context.Context, r ShareRequest) (Shared, error)
	// Unshare ends a socket, by its path. It returns when nobody is answered there any more.
	Unshare(ctx context.Context, socket string) error
	// Shares lists the sockets, oldest first.
	Shares(ctx context.Context) ([]Shared, error)
}

// ShareRequest says what a socket gives away.
type ShareRequest struct {
	Logins  []string `json:"logins,omitempty"`  // none: those that are loaded at the time
	Socket  string   `json:"socket,omitempty"`  // absolute path; "" lets the agent choose
	Seconds int64    `json:"seconds,omitempty"` // how long; 0 until it is ended
	Confirm bool     `json:"confirm,omitempty"` // ask the person before each token
}

// Shared is a socket that is shared.
type Shared struct {
	Socket  string    `json:"socket"`
	Logins  []string  `json:"logins,omitempty"` // none: those that are loaded at the time
	Confirm bool      `json:"confirm,omitempty"`
	Since   time.Time `json:"since"`
	Until   time.Time `json:"until,omitzero"` // zero: until it is ended
}

// shareBody names a socket.
type shareBody struct {
	Socket string `json:"socket"`
}

func (h handler) share(w http.ResponseWriter, r *http.Request) error {
	var req ShareRequest
	if err := read(r, &req); err != nil {
		return err
	}
	s, err := h.b.Share(r.Context(), req)
	return reply(w, s, err)
}

func (h handler) unshare(w http.ResponseWriter, r *http.Request) error {
	var body shareBody
	if err := read(r, &body); err != nil {
		return err
	}
	return reply(w, infoBody{}, h.b.Unshare(r.Context(), body.Socket))
}

func (h handler) shares(w http.ResponseWriter, r *http.Request) error {
	s, err := h.b.Shares(r.Context())
	return reply(w, s, err)
}

// Share makes one more socket.
func (c Client) Share(ctx context.Context, r ShareRequest) (Shared, error) {
	var s Shared
	err := c.call(ctx, http.MethodPost, "/v1/shares", r, &s)
	return s, err
}

// Unshare ends a socket.
func (c Client) Unshare(ctx context.Context, socket string) error {
	return c.call(ctx, http.MethodPost, "/v1/shares/end", shareBody{Socket: socket}, nil)
}

// Shares lists the sockets.
func (c Client) Shares(ctx context.Context) ([]Shared, error) {
	var s []Shared
	err := c.call(ctx, http.MethodGet, "/v1/shares", nil, &s)
	return s, err
}
