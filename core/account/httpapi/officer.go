package httpapi

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"

	"github.com/oidcbox/oidcbox/core/account/names"
	"github.com/oidcbox/oidcbox/core/account/provision"
	"github.com/oidcbox/oidcbox/core/account/state"
	"github.com/oidcbox/oidcbox/core/secret"
)

// Officer is what a security officer may do: *provision.Desk.
type Officer interface {
	List(ctx context.Context, f provision.Filter) ([]provision.Entry, error)
	Show(ctx context.Context, idOrName string) (provision.Entry, error)
	Suspend(ctx context.Context, id string, by provision.By) (provision.Answer, error)
	Resume(ctx context.Context, id string, by provision.By) (provision.Answer, error)
	Limit(ctx context.Context, id string, by provision.By) (provision.Answer, error)
	Unlimit(ctx context.Context, id string, by provision.By) (provision.Answer, error)
	Undeploy(ctx context.Context, id string, by provision.By) (provision.Answer, error)
	Pending(ctx context.Context) ([]provision.Request, error)
	Decide(ctx context.Context, id, revision string, accept bool, by provision.By) (provision.Answer, error)
	StartBulk(ctx context.Context, s provision.Selector, action state.Request, by provision.By) (provision.Job, error)
	Job(ctx context.Context, id string) (provision.Job, error)
	Jobs(ctx context.Context) ([]provision.Job, error)
}

// maxListed bounds what one answer of /admin/v1/accounts has; next says where to go on.
const maxListed = 1000

// officerRoutes are for administrators and not known to motley-cue. An administrator sees people of the own issuer,
// unless that issuer's administrators are for all. What is sent is a form.
func (a *API) officerRoutes() []route {
	id := []string{"id"}
	routes := []route{
		{
			path: "/admin/v1/accounts", summary: "List accounts", answer: a.listAccounts, auth: true,
			more: []string{"issuer", "vo", "state", "name", "after", "limit"},
		},
		{
			path: "/admin/v1/account", summary: "Show one account, by identity or local name", answer: a.showAccount,
			auth: true, params: id,
		},
		{path: "/admin/v1/pending", summary: "Requests that wait for a decision", answer: a.listPending, auth: true},
		{
			path: "/admin/v1/who", summary: "Whose a token is", answer: a.whoToken, auth: true, post: true,
			params: []string{"token"},
		},
		{
			path: "/admin/v1/revoke", summary: "Burn the one-time passwords of an identity", answer: a.revoke, auth: true,
			post: true, params: id,
		},
	}
	return slices.Concat(routes, a.changeRoutes(), a.bulkRoutes())
}

// changeRoutes are for one account each.
func (a *API) changeRoutes() []route {
	o := a.o.Officer
	decide := func(accept bool) func(*call) change {
		return func(c *call) change {
			return func(ctx context.Context, id string, by provision.By) (provision.Answer, error) {
				return o.Decide(ctx, id, c.arg("revision"), accept, by)
			}
		}
	}
	always := func(do change) func(*call) change { return func(*call) change { return do } }
	var routes []route
	for _, r := range []struct {
		word, summary string
		do            func(*call) change
		more          []string
	}{
		{"suspend", "Stop an account", always(o.Suspend), nil},
		{"resume", "Let an account be used again", always(o.Resume), nil},
		{"limit", "Take the shell away", always(o.Limit), nil},
		{"unlimit", "Give the shell back", always(o.Unlimit), nil},
		{"undeploy", "Take an account away; home stays", always(o.Undeploy), nil},
		{"accept", "Grant what waits", decide(true), []string{"revision"}},
		{"reject", "Refuse what waits", decide(false), []string{"revision"}},
	} {
		routes = append(routes, route{
			path: "/admin/v1/" + r.word, summary: r.summary, auth: true, post: true, params: []string{"id"},
			more: append([]string{"reason"}, r.more...), answer: func(c *call) error { return a.officerChange(c, r.do(c)) },
		})
	}
	return routes
}

// officer is admin for whoever may manage at least the own issuer.
func (a *API) officer(c *call) (known, error) {
	return a.asking(c, func() (known, error) {
		who, err := a.believe(c, c.token)
		if err != nil {
			return known{}, err
		}
		return a.mayManage(who, who.Iss)
	})
}

// subject finds the account that an officer's request is about, when the officer may manage it.
func (a *API) subject(c *call) (provision.Entry, known, error) {
	who, err := a.officer(c)
	if err != nil {
		return provision.Entry{}, known{}, err
	}
	if _, iss, err := names.Decode(c.arg("id")); err == nil {
		if _, err := a.mayManage(who, iss); err != nil {
			return provision.Entry{}, who, err
		}
	}
	e, err := a.o.Officer.Show(c, c.arg("id"))
	switch {
	case errors.Is(err, provision.ErrNoIdentity):
		return provision.Entry{}, who, detail(http.StatusNotFound, "Account not found")
	case err != nil:
		return provision.Entry{}, who, trouble(err, "Something went wrong.")
	}
	_, err = a.mayManage(who, e.Iss)
	return e, who, err
}

func (a *API) listAccounts(c *call) error {
	who, err := a.officer(c)
	if err != nil {
		return err
	}
	f := provision.Filter{Issuer: c.arg("issuer"), VO: c.arg("vo"), Name: c.arg("name")}
	if f.Issuer == "" && !who.issuer.AdminsForAll {
		f.Issuer = who.Iss
	}
	if f.Issuer != "" {
		if _, err := a.mayManage(who, f.Issuer); err != nil {
			return err
		}
	}
	if word := c.arg("state"); word != "" {
		var known bool
		if f.State, known = state.Parse(word); !known {
			return detail(http.StatusBadRequest, "1 request validation error: Input should be a state (query -> state)")
		}
	}
	most := maxListed
	if text := c.arg("limit"); text != "" {
		if most, err = strconv.Atoi(text); err != nil || most < 1 || most > maxListed {
			return detail(http.StatusBadRequest,
				"1 request validation error: Input should be a number from 1 to "+strconv.Itoa(maxListed)+" (query -> limit)")
		}
	}
	all, err := a.o.Officer.List(c, f)
	if err != nil {
		return trouble(err, "Something went wrong.")
	}
	return c.json(http.StatusOK, pageOf(all, c.arg("after"), most))
}

// listBody is one page of accounts. Next goes into "after" for the following one.
type listBody struct {
	Accounts []provision.Entry `json:"accounts"`
	Next     string            `json:"next,omitempty"`
}

// pageOf returns the accounts that come after the one with identity after, at most so many.
func pageOf(all []provision.Entry, after string, most int) listBody {
	if i := slices.IndexFunc(all, func(e provision.Entry) bool { return after != "" && e.ID == after }); i >= 0 {
		all = all[i+1:]
	}
	body := listBody{Accounts: all}
	if len(all) > most {
		body.Accounts, body.Next = all[:most], all[most-1].ID
	}
	if body.Accounts == nil {
		body.Accounts = []provision.Entry{}
	}
	return body
}

func (a *API) showAccount(c *call) error {
	e, _, err := a.subject(c)
	if err != nil {
		return err
	}
	return c.json(http.StatusOK, e)
}

func (a *API) listPending(c *call) error {
	who, err := a.officer(c)
	if err != nil {
		return err
	}
	all, err := a.o.Officer.Pending(c)
	if err != nil {
		return trouble(err, "Something went wrong.")
	}
	mine := []provision.Request{}
	for _, r := range all {
		if _, err := a.mayManage(who, r.Iss); err == nil {
			mine = append(mine, r)
		}
	}
	return c.json(http.StatusOK, map[string][]provision.Request{"requests": mine})
}

type whoBody struct {
	ID         string      `json:"id"`
	Sub        string      `json:"sub"`
	Iss        string      `json:"iss"`
	Authorised bool        `json:"authorised"`
	Name       string      `json:"name,omitempty"`
	State      state.State `json:"state"`
}

func (a *API) whoToken(c *call) error {
	by, err := a.officer(c)
	if err != nil {
		return err
	}
	token := secret.FromString(c.arg("token"))
	defer token.Wipe()
	who, err := a.believe(c, token)
	if err != nil {
		return detail(http.StatusBadRequest, "Whose the token is could not be determined")
	}
	if _, err := a.mayManage(by, who.Iss); err != nil {
		return err
	}
	body := whoBody{
		ID: who.ID, Sub: who.Sub, Iss: who.Iss, State: state.NotDeployed,
		Authorised: decide(who.issuer.Users, who.claims).Allowed,
	}
	e, err := a.o.Officer.Show(c, who.ID)
	switch {
	case err == nil:
		body.Name, body.State = e.Name, e.State
	case !errors.Is(err, provision.ErrNoIdentity):
		return trouble(err, "Something went wrong.")
	}
	return c.json(http.StatusOK, body)
}

func (a *API) revoke(c *call) error {
	e, who, err := a.subject(c)
	if err != nil {
		return err
	}
	n, err := a.o.Book.Burn(c, e.ID)
	if err != nil {
		return trouble(err, "Something went wrong.")
	}
	a.o.Audit(c, Event{
		Kind: "otp", ID: e.ID, Name: e.Name, By: who.ID, Remote: c.remote(), State: string(e.State),
		Reason: "burnt " + strconv.Itoa(n),
	})
	return c.json(http.StatusOK, map[string]int{"burnt": n})
}

func (a *API) officerChange(c *call, do change) error {
	e, who, err := a.subject(c)
	if err != nil {
		return err
	}
	if err := a.o.Limiter.change(who.ID); err != nil {
		return err
	}
	answer, err := do(c, e.ID, provision.By{Who: who.ID, Remote: c.remote(), Reason: plain(c.arg("reason"))})
	switch {
	case errors.Is(err, provision.ErrNotPending), errors.Is(err, provision.ErrChanged):
		return detail(http.StatusConflict, "No such request waits for a decision")
	case err != nil:
		return trouble(err, "Something went wrong.")
	}
	return c.account(answer)
}

// plain cuts a reason to one line of bounded length.
func plain(text string) string {
	const most = 200
	out := make([]rune, 0, most)
	for _, r := range text {
		if len(out) == most {
			break
		}
		if r < ' ' || r == 0x7f {
			r = ' '
		}
		out = append(out, r)
	}
	return string(out)
}
