package provisioner

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"

	"github.com/oidcbox/oidcbox/core/account/backend"
	"github.com/oidcbox/oidcbox/core/account/provision"
	"github.com/oidcbox/oidcbox/core/account/state"
	"github.com/oidcbox/oidcbox/core/daemon"
	"github.com/oidcbox/oidcbox/core/transport/httpd"
)

// Paths on the control socket, which answers the user of the server and root, and nobody else.
const (
	accountsPath = "/v1/accounts"
	accountPath  = "/v1/account"
	pendingPath  = "/v1/pending"
	changePath   = "/v1/change"
	whoPath      = "/v1/who"
	jobsPath     = "/v1/jobs"
	jobPath      = "/v1/job"
	rebuildPath  = "/v1/rebuild"
	mailPath     = "/v1/test-mail"

	maxOrder = 128 << 10 // bytes of a request: a token may be among them
)

// changeOrder is what an officer wants of one account. Account is an identity or a local name.
type changeOrder struct {
	Account  string `json:"account"`
	Action   string `json:"action"`
	Reason   string `json:"reason,omitempty"`
	Behalf   string `json:"behalf,omitempty"` // for whom root asks, as sudo says
	Revision string `json:"revision,omitempty"`
}

// changedView says what came of it.
type changedView struct {
	ID      string      `json:"id"`
	Name    string      `json:"name,omitempty"`
	State   state.State `json:"state"`
	Message string      `json:"message"`
	Changed bool        `json:"changed"`
	Burnt   int         `json:"burnt,omitempty"` // one-time passwords
}

type whoOrder struct {
	Token string `json:"token"`
}

// whoView says whose a token is.
type whoView struct {
	ID         string      `json:"id"`
	Sub        string      `json:"sub"`
	Iss        string      `json:"iss"`
	Believed   bool        `json:"believed"`         // false: it says so itself, and nobody vouches for it
	Reason     string      `json:"reason,omitempty"` // why it is not believed
	Authorised bool        `json:"authorised"`       // may have an account
	Name       string      `json:"name,omitempty"`   // the local one
	State      state.State `json:"state"`
}

// bulkOrder begins a job, or goes on with one.
type bulkOrder struct {
	Selector provision.Selector `json:"selector"`
	Action   state.Request      `json:"action"`
	Reason   string             `json:"reason,omitempty"`
	Behalf   string             `json:"behalf,omitempty"`
	Continue string             `json:"continue,omitempty"` // the job to go on with
}

type rebuildOrder struct {
	DryRun bool   `json:"dry_run"`
	Behalf string `json:"behalf,omitempty"`
}

// problem is the body of an answer that is a no. Problem says what went wrong, in full: who reads it runs the server.
type problem struct {
	Code    string `json:"error"`
	Problem string `json:"error_description"`
}

// Codes of a failure on the control socket.
const (
	codeUnknown  = "unknown"
	codeRefused  = "refused"
	codeFailed   = "server_error"
	codeBad      = "invalid_request"
	codeEditable = "editable"
	codeNoJob    = "unknown_job"
	codeSettled  = "not_pending"
	codeAccounts = "accounts_unavailable"
	codeNobody   = "no_administrators"
)

// errNoOffice is told where nobody is told of requests.
var errNoOffice = errors.New("the configuration names no administrators (approval)")

// Actions on one account.
const (
	actRevoke  = "revoke"
	actApprove = "approve"
	actReject  = "reject"
)

// controlHandler answers the officer.
func (d *server) controlHandler() http.Handler {
	mux := http.NewServeMux()
	handle := func(pattern string, fn func(r *http.Request, g *generation, body []byte) (any, error)) {
		mux.Handle(pattern, httpd.Handle(d.log, func(w http.ResponseWriter, r *http.Request) error {
			b, err := httpd.ReadBody(w, r, maxOrder)
			if err != nil {
				return err
			}
			g := d.live.Acquire()
			defer g.Release()
			v, err := fn(r, g, b)
			return answerOrder(w, v, err)
		}))
	}
	handle("GET "+accountsPath, listAccounts)
	handle("GET "+accountPath, func(r *http.Request, g *generation, _ []byte) (any, error) {
		return g.desk.Show(r.Context(), r.URL.Query().Get("id"))
	})
	handle("GET "+pendingPath, func(r *http.Request, g *generation, _ []byte) (any, error) {
		list, err := g.desk.Pending(r.Context())
		return append([]provision.Request{}, list...), err
	})
	handle("POST "+changePath, d.change)
	handle("POST "+whoPath, d.who)
	handle("GET "+jobsPath, func(r *http.Request, g *generation, _ []byte) (any, error) {
		list, err := g.desk.Jobs(r.Context())
		return append([]provision.Job{}, list...), err
	})
	handle("GET "+jobPath, func(r *http.Request, g *generation, _ []byte) (any, error) {
		return g.desk.Job(r.Context(), r.URL.Query().Get("id"))
	})
	handle("POST "+jobsPath, d.bulk)
	handle("POST "+rebuildPath, d.rebuild)
	handle("POST "+feudalPath, d.feudal)
	handle("POST "+mailPath, func(r *http.Request, g *generation, _ []byte) (any, error) {
		if g.office == nil {
			return nil, errNoOffice
		}
		return struct{}{}, g.office.Test(r.Context())
	})
	return mux
}

func listAccounts(r *http.Request, g *generation, _ []byte) (any, error) {
	q := r.URL.Query()
	f := provision.Filter{Issuer: q.Get("issuer"), VO: q.Get("vo"), Name: q.Get("name")}
	if word := q.Get("state"); word != "" {
		var known bool
		if f.State, known = state.Parse(word); !known {
			return nil, httpd.Refuse(http.StatusBadRequest, codeBad, "there is no such state: "+word)
		}
	}
	if n := q.Get("limit"); n != "" {
		var err error
		if f.Limit, err = strconv.Atoi(n); err != nil || f.Limit < 0 {
			return nil, httpd.Refuse(http.StatusBadRequest, codeBad, "limit has to be a number")
		}
	}
	list, err := g.desk.List(r.Context(), f)
	return append([]provision.Entry{}, list...), err
}

// by is on whose word an officer's request is done.
func by(r *http.Request, reason, behalf string) provision.By {
	who := personOf(r.Context(), r.RemoteAddr)
	if behalf = short(behalf); behalf != "" && behalf != who {
		who += " for " + daemon.OneLine(behalf)
	}
	return provision.By{Who: who, Reason: short(daemon.OneLine(reason))}
}

// change does what an officer wants of one account.
func (d *server) change(r *http.Request, g *generation, b []byte) (any, error) {
	var order changeOrder
	if json.Unmarshal(b, &order) != nil || order.Account == "" {
		return nil, httpd.Refuse(http.StatusBadRequest, codeBad, "the body has to be an object with account and action")
	}
	ctx, by := r.Context(), by(r, order.Reason, order.Behalf)
	id, err := g.desk.Resolve(ctx, order.Account)
	if err != nil {
		return nil, err
	}
	v := changedView{ID: id}
	before, err := g.desk.Show(ctx, id)
	switch {
	case err == nil:
		v.Name = before.Name
	case !errors.Is(err, provision.ErrNoIdentity):
		return nil, err
	}
	if order.Action == actRevoke {
		v.State = before.State
		v.Burnt, err = d.burn(ctx, g, v, by)
		v.Changed, v.Message = v.Burnt > 0, strconv.Itoa(v.Burnt)+" one-time passwords were made useless"
		return v, err
	}
	do, known := g.actions(order)[order.Action]
	if !known {
		return nil, httpd.Refuse(http.StatusBadRequest, codeBad, "there is no such action")
	}
	a, err := do(ctx, id, by)
	v.State, v.Message, v.Changed = a.State, a.Message, a.State != before.State
	return v, err
}

// actions are what can be done to one account, by their words.
func (g *generation) actions(order changeOrder) map[string]func(
	context.Context, string, provision.By) (provision.Answer, error) {
	decide := func(accept bool) func(context.Context, string, provision.By) (provision.Answer, error) {
		return func(ctx context.Context, id string, by provision.By) (provision.Answer, error) {
			return g.desk.Decide(ctx, id, order.Revision, accept, by)
		}
	}
	return map[string]func(context.Context, string, provision.By) (provision.Answer, error){
		string(state.Suspend): g.desk.Suspend, string(state.Resume): g.desk.Resume, string(state.Limit): g.desk.Limit,
		string(state.Unlimit): g.desk.Unlimit, string(state.Undeploy): g.desk.Undeploy,
		actApprove: decide(true), actReject: decide(false),
	}
}

// burn makes the one-time passwords of an identity useless.
func (d *server) burn(ctx context.Context, g *generation, v changedView, by provision.By) (int, error) {
	n, err := g.book.Burn(ctx, v.ID)
	if err == nil {
		d.recordAccount(provision.Event{
			Time: d.env.Now(), Kind: provision.Burned, ID: v.ID, Name: v.Name, State: v.State, By: by.Who,
			Reason: by.Reason,
		})
	}
	return n, err
}

func answerOrder(w http.ResponseWriter, v any, err error) error {
	var refused *httpd.Error
	var rejected *provision.Rejection
	var failed *provision.Failure
	switch {
	case err == nil:
		return httpd.WriteJSON(w, http.StatusOK, v)
	case errors.As(err, &refused):
		return err
	case errors.Is(err, provision.ErrNoIdentity):
		return httpd.WriteJSON(w, http.StatusNotFound, problem{codeUnknown, daemon.OneLine(err.Error())})
	case errors.Is(err, provision.ErrNoJob):
		return httpd.WriteJSON(w, http.StatusNotFound, problem{codeNoJob, daemon.OneLine(err.Error())})
	case errors.Is(err, provision.ErrNotPending):
		return httpd.WriteJSON(w, http.StatusNotFound, problem{codeSettled, daemon.OneLine(err.Error())})
	case errors.Is(err, errNoOffice):
		return httpd.WriteJSON(w, http.StatusConflict, problem{codeNobody, err.Error()})
	case errors.As(err, &failed) && errors.Is(err, backend.ErrUnavailable): // why is in the audit log
		return httpd.WriteJSON(w, http.StatusServiceUnavailable, problem{codeAccounts, daemon.OneLine(failed.Message)})
	case errors.As(err, &rejected), errors.Is(err, provision.ErrChanged), errors.Is(err, provision.ErrSelector):
		return httpd.WriteJSON(w, http.StatusConflict, problem{codeRefused, daemon.OneLine(err.Error())})
	}
	return httpd.WriteJSON(w, http.StatusInternalServerError, problem{codeOf(err), daemon.OneLine(err.Error())})
}
