package httpapi

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/oidcbox/oidcbox/core/mytoken"
	"github.com/oidcbox/oidcbox/core/mytoken/desk"
	"github.com/oidcbox/oidcbox/core/mytoken/ledger"
)

// Actions of the tokeninfo endpoint.
const (
	actionIntrospect    = "introspect"
	actionHistory       = "event_history"
	actionTree          = "subtokens"
	actionList          = "list_mytokens"
	actionNotifications = "notifications"
)

func (a *API) infoRoutes() []Route {
	return []Route{{Method: http.MethodPost, Path: pathInfo, API: a.info}}
}

// info answers POST /tokeninfo.
func (a *API) info(c *Call) (Answer, error) {
	action, err := c.Body.Text("action")
	if err != nil {
		return Answer{}, err
	}
	do := a.actionOf(action)
	if do == nil {
		return Answer{}, badRequest("value '" + cutText(plain(action), 100) + "' not valid for TokeninfoAction")
	}
	return do(c)
}

// actionOf is what an action does, nil for one that there is not. None at all is not introspection, as it is with the
// original.
func (a *API) actionOf(action string) Endpoint {
	f := a.o.Features
	switch {
	case action == actionIntrospect && f.Introspect:
		return a.introspect
	case action == actionHistory && f.History:
		return a.history
	case action == actionTree && f.Tree:
		return a.tree
	case action == actionList && f.List:
		return a.list
	case action == actionNotifications:
		return a.o.About
	}
	return nil
}

func (a *API) introspect(c *Call) (Answer, error) {
	who, err := c.Caller()
	if err != nil {
		return Answer{}, err
	}
	defer who.Mytoken.Wipe()
	i, err := a.o.Desk.Introspect(c.Context(), who)
	if err != nil {
		return Answer{}, err
	}
	return Answer{Body: struct {
		Valid bool            `json:"valid"`
		Type  string          `json:"token_type"`
		MOMID string          `json:"mom_id"`
		Token json.RawMessage `json:"token"`
	}{true, i.Kind, i.MOMID, i.Token}}, nil
}

// event is a line of a history.
type event struct {
	Event     string `json:"event"`
	Time      int64  `json:"time"`
	Comment   string `json:"comment,omitempty"`
	IP        string `json:"ip"`
	UserAgent string `json:"user_agent"`
	MOMID     string `json:"mom_id"`
}

// historyBody is the answer with a history: {"events": [...]}.
func historyBody(all []mytoken.Event) any {
	out := make([]event, 0, len(all))
	for _, e := range all {
		out = append(out, event{e.Event, e.Time.Unix(), e.Comment, e.IP, e.UserAgent, e.MOMID})
	}
	return map[string][]event{"events": out}
}

func (a *API) history(c *Call) (Answer, error) {
	ids, err := c.Body.List("mom_ids")
	if err != nil {
		return Answer{}, err
	}
	who, err := c.Caller()
	if err != nil {
		return Answer{}, err
	}
	defer who.Mytoken.Wipe()
	events, update, err := a.o.Desk.HistoryOf(c.Context(), who, ids)
	if err != nil {
		return Answer{}, err
	}
	return Answer{Body: historyBody(events), Update: update}, nil
}

// entry is a mytoken in a list.
type entry struct {
	MOMID   string `json:"mom_id"`
	Name    string `json:"name"`
	Created int64  `json:"created"`
	Expires int64  `json:"expires_at,omitempty"`
	IP      string `json:"ip"`
	Tags    []tag  `json:"tags,omitempty"`
}

// branch is a mytoken with what was made from it.
type branch struct {
	Token    entry    `json:"token"`
	Children []branch `json:"children,omitempty"`
}

func (a *API) tree(c *Call) (Answer, error) {
	who, err := c.Caller()
	if err != nil {
		return Answer{}, err
	}
	defer who.Mytoken.Wipe()
	l, update, err := a.o.Desk.Subtokens(c.Context(), who)
	if err != nil {
		return Answer{}, err
	}
	return Answer{Body: treeBody(l), Update: update}, nil
}

func (a *API) list(c *Call) (Answer, error) {
	who, err := c.Caller()
	if err != nil {
		return Answer{}, err
	}
	defer who.Mytoken.Wipe()
	l, update, err := a.o.Desk.Listing(c.Context(), who)
	if err != nil {
		return Answer{}, err
	}
	return Answer{Body: listBody(l), Update: update}, nil
}

// treeBody is the answer with one tree: {"mytokens": {...}}. What was revoked is not in it, nor what was made from that
// and goes on by itself.
func treeBody(l desk.Listing) any {
	var root branch
	for _, n := range l.Trees {
		root, _ = branchOf(l, n)
		break
	}
	return map[string]branch{"mytokens": root}
}

// listBody is the answer with all trees of a person: {"mytokens": [...]}. What was revoked is not in it, and what was
// made from that is a root.
func listBody(l desk.Listing) any {
	out := []branch{}
	var grow func(n ledger.Node)
	grow = func(n ledger.Node) {
		b, orphans := branchOf(l, n)
		if n.Token.Condition != ledger.Ended {
			out = append(out, b)
		}
		for _, o := range orphans {
			grow(o)
		}
	}
	for _, n := range l.Trees {
		grow(n)
	}
	return map[string][]branch{"mytokens": out}
}

// branchOf describes a mytoken and what hangs on it. orphans hang on something that was revoked.
func branchOf(l desk.Listing, n ledger.Node) (b branch, orphans []ledger.Node) {
	t := n.Token
	b.Token = entry{MOMID: t.MOMID, Name: t.Name, Created: t.Created.Unix(), IP: t.IP, Expires: unixOf(t.Expires)}
	for _, m := range l.Tags(t) {
		b.Token.Tags = append(b.Token.Tags, tag{Tag: m.Name, Color: m.Color, Children: &m.IncludeChildren})
	}
	if t.Condition == ledger.Ended {
		return b, n.Children
	}
	for _, child := range n.Children {
		c, below := branchOf(l, child)
		if child.Token.Condition != ledger.Ended {
			b.Children = append(b.Children, c)
		}
		orphans = append(orphans, below...)
	}
	return b, orphans
}

func unixOf(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}
