package mytokenserver

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/oidcbox/oidcbox/core/daemon"
	"github.com/oidcbox/oidcbox/core/mytoken/desk"
	"github.com/oidcbox/oidcbox/core/mytoken/ledger"
	"github.com/oidcbox/oidcbox/core/transport/httpd"
	"github.com/oidcbox/oidcbox/core/transport/sock"
)

// Paths on the control socket, which answers the user of the server and root, and nobody else.
const (
	usersPath  = "/v1/users"
	tokensPath = "/v1/tokens"
	revokePath = "/v1/revoke"
	erasePath  = "/v1/erase"
	backupPath = "/v1/backup"
	escrowPath = "/v1/escrow"

	maxOrder = 8 << 10 // bytes of a request
)

// office is what an operator can do with a state: that of this process, or of a server behind its control socket.
type office interface {
	Users(ctx context.Context) ([]userView, error)
	// Tokens lists the mytokens of one person, or of everybody for "".
	Tokens(ctx context.Context, user string) ([]tokenView, error)
	Revoke(ctx context.Context, o revokeOrder) (revokedView, error)
	Erase(ctx context.Context, user string) error
	Backup(ctx context.Context, w io.Writer) error
	// Deposits lists the escrow: what is left to revoke at providers, or all of it. RevokedThere notes that a login was
	// revoked at its provider.
	Deposits(ctx context.Context, all bool) ([]depositView, error)
	RevokedThere(ctx context.Context, login string) error
}

// userView is what is shown of a person.
type userView struct {
	ID       string    `json:"user"`
	Provider string    `json:"oidc_iss"`
	Subject  string    `json:"oidc_sub"`
	Since    time.Time `json:"since"`
	Erasing  bool      `json:"erasing,omitempty"`
}

// tokenView is what is shown of a mytoken.
type tokenView struct {
	MOMID        string    `json:"mom_id"`
	Parent       string    `json:"parent,omitempty"`
	User         string    `json:"user"`
	Name         string    `json:"name,omitempty"`
	Address      string    `json:"address,omitempty"`
	Created      time.Time `json:"created"`
	Expires      time.Time `json:"expires,omitzero"`
	LastUse      time.Time `json:"last_use,omitzero"`
	Capabilities []string  `json:"capabilities"`
	Unknown      int64     `json:"unknown_uses,omitempty"`
	State        string    `json:"state"`
	Reason       string    `json:"reason,omitempty"`
}

func viewOf(t ledger.Token) tokenView {
	return tokenView{
		MOMID: t.MOMID, Parent: t.Parent(), User: t.User, Name: t.Name, Address: t.IP, Created: t.Created.UTC(),
		Expires: t.Expires.UTC(), LastUse: t.LastUse.UTC(), Capabilities: t.Capabilities, Unknown: t.Unknown,
		State: string(t.Condition), Reason: t.Reason,
	}
}

type revokeOrder struct {
	MOMID     string `json:"mom_id"`
	Recursive bool   `json:"recursive"`
	Reason    string `json:"reason"`
}

// revokedView says what followed from a revocation.
type revokedView struct {
	Already    bool `json:"already"`
	LoginEnded bool `json:"login_ended"`
}

// loginOrder names a login that was revoked at its provider.
type loginOrder struct {
	Login string `json:"login"`
}

type eraseOrder struct {
	User string `json:"user"`
}

// problem is the body of an answer that is a no. Problem says what went wrong, in full: who reads it runs the server.
type problem struct {
	Code    string `json:"error"`
	Problem string `json:"error_description"`
}

// Codes of a failure on the control socket.
const (
	codeUnknown = "unknown"
	codeFailed  = "server_error"
	codeBad     = "invalid_request"
)

// controlHandler answers the operator.
func (d *server) controlHandler() http.Handler {
	o := d.office()
	mux := http.NewServeMux()
	handle := func(pattern string, fn func(r *http.Request, body []byte) (any, error)) {
		mux.Handle(pattern, httpd.Handle(d.log, func(w http.ResponseWriter, r *http.Request) error {
			b, err := httpd.ReadBody(w, r, maxOrder)
			if err != nil {
				return err
			}
			v, err := fn(r, b)
			return answerOrder(w, v, err)
		}))
	}
	handle("GET "+usersPath, func(r *http.Request, _ []byte) (any, error) { return o.Users(r.Context()) })
	handle("GET "+tokensPath, func(r *http.Request, _ []byte) (any, error) {
		return o.Tokens(r.Context(), r.URL.Query().Get("user"))
	})
	handle("POST "+revokePath, func(r *http.Request, b []byte) (any, error) {
		var order revokeOrder
		if json.Unmarshal(b, &order) != nil || order.MOMID == "" {
			return nil, httpd.Refuse(http.StatusBadRequest, codeBad, "the body has to be an object with mom_id")
		}
		v, err := o.Revoke(r.Context(), order)
		d.recordAdmin(r.Context(), desk.AuditEvent{Action: "admin_revoke", MOMID: order.MOMID, Reason: order.Reason}, err)
		return v, err
	})
	handle("POST "+erasePath, func(r *http.Request, b []byte) (any, error) {
		var order eraseOrder
		if json.Unmarshal(b, &order) != nil || order.User == "" {
			return nil, httpd.Refuse(http.StatusBadRequest, codeBad, "the body has to be an object with user")
		}
		err := o.Erase(r.Context(), order.User)
		d.recordAdmin(r.Context(), desk.AuditEvent{Action: "admin_erase", User: order.User}, err)
		return struct{}{}, err
	})
	handle("GET "+escrowPath, func(r *http.Request, _ []byte) (any, error) {
		return o.Deposits(r.Context(), r.URL.Query().Get("all") != "")
	})
	handle("POST "+escrowPath, func(r *http.Request, b []byte) (any, error) {
		var order loginOrder
		if json.Unmarshal(b, &order) != nil || order.Login == "" {
			return nil, httpd.Refuse(http.StatusBadRequest, codeBad, "the body has to be an object with login")
		}
		return struct{}{}, o.RevokedThere(r.Context(), order.Login)
	})
	mux.HandleFunc("GET "+backupPath, d.sendBackup)
	return mux
}

func answerOrder(w http.ResponseWriter, v any, err error) error {
	switch {
	case err == nil:
		return httpd.WriteJSON(w, http.StatusOK, v)
	case errors.Is(err, ledger.ErrUnknown):
		return httpd.WriteJSON(w, http.StatusNotFound, problem{codeUnknown, daemon.OneLine(err.Error())})
	}
	var refused *httpd.Error
	if errors.As(err, &refused) {
		return err
	}
	return httpd.WriteJSON(w, http.StatusInternalServerError, problem{codeFailed, daemon.OneLine(err.Error())})
}

// sendBackup streams the state. That it is whole is said in a trailer: a copy that was cut short has none.
func (d *server) sendBackup(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Trailer", backupTrailer)
	_ = http.NewResponseController(w).SetWriteDeadline(time.Time{}) // a large state takes longer than an answer may
	if err := d.office().Backup(r.Context(), w); err != nil {
		d.log.Error("backup", "op", "backup", "err", err)
		w.Header().Set(backupTrailer, daemon.OneLine(err.Error()))
		return
	}
	w.Header().Set(backupTrailer, backupWhole)
}

const (
	backupTrailer = "X-Backup"
	backupWhole   = "whole"
)

// admitting lets in who runs as us, and root.
type admitting struct{ net.Listener }

func (a admitting) Accept() (net.Conn, error) {
	for {
		c, err := a.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if _, err := sock.Admit(c, func(p sock.Peer) bool { return sock.Own(p) || p.UID == 0 }); err == nil {
			return c, nil
		}
		_ = c.Close()
	}
}
