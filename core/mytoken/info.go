package mytoken

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/token/jose"
)

// Actions of the tokeninfo endpoint.
const (
	actionIntrospect = "introspect"
	actionHistory    = "event_history"
	actionSubtokens  = "subtokens"
	actionList       = "list_mytokens"

	actionNotifications = "notifications"
)

// Info is what the server says of a mytoken.
type Info struct {
	Valid  bool
	Kind   string // KindToken or KindShortToken
	MOMID  string
	Claims Claims
	Update *Issued // as in Issued
}

// Event is one line of a mytoken's history.
type Event struct {
	Event, Comment, IP, UserAgent, MOMID string
	Time                                 time.Time
}

// Entry is a mytoken in a list.
type Entry struct {
	MOMID, Name, IP  string
	Created, Expires time.Time // Expires zero: never
}

// Tree is a mytoken and what was made from it.
type Tree struct {
	Entry
	Children []Tree
}

func (c *Client) info(ctx context.Context, action string, mt secret.Text, momIDs []string) (answer, *Issued, error) {
	if err := c.usable(mt); err != nil {
		return answer{}, nil, err
	}
	q := call{
		op: action, endpoint: "tokeninfo_endpoint", target: c.server.TokeninfoEndpoint, secrets: []secret.Text{mt},
	}
	q.ssh = sshCall{action: sshInfo(action), other: true}
	q.ssh.body.list("mom_ids", momIDs)
	q.body.put("action", action)
	q.body.secret("mytoken", mt)
	q.body.list("mom_ids", momIDs)
	a, salvaged, err := c.do(ctx, q)
	if err != nil {
		return a, updateOf(salvaged), err
	}
	return a, readUpdate(a), nil
}

func sshInfo(action string) string {
	switch action {
	case actionIntrospect:
		return SSHIntrospect
	case actionHistory:
		return SSHHistory
	case actionSubtokens:
		return SSHSubtokens
	case actionList:
		return SSHList
	case actionNotifications:
		return SSHInfoNotifications
	}
	return ""
}

// Introspect asks the server about mt. A mytoken that is not valid is an *Error with status 401.
func (c *Client) Introspect(ctx context.Context, mt secret.Text) (Info, error) {
	a, update, err := c.info(ctx, actionIntrospect, mt, nil)
	out := Info{Update: update}
	if err != nil {
		return out, err
	}
	if out.Valid, err = a.Bool("valid"); err == nil {
		out.Kind, _ = a.String("token_type")
		out.MOMID, _ = a.String("mom_id")
		var claims jose.Object
		if claims, _, err = a.Object.Object("token"); err == nil {
			out.Claims, err = readClaims(claims.WithoutNull())
		}
	}
	if err != nil {
		return Info{Update: update}, c.bad(actionIntrospect, err)
	}
	return out, nil
}

// History is what happened to mt, newest first, or to the mytokens of momIDs: a mom_id, "this", "children",
// "children@<mom_id>". The update is as in Issued.
func (c *Client) History(ctx context.Context, mt secret.Text, momIDs ...string) ([]Event, *Issued, error) {
	a, update, err := c.info(ctx, actionHistory, mt, momIDs)
	if err != nil {
		return nil, update, err
	}
	list, err := elements(a.WithoutNull(), "events")
	if err != nil {
		return nil, update, c.bad(actionHistory, err)
	}
	out := make([]Event, 0, len(list))
	for _, b := range list {
		var e struct {
			Event     string `json:"event"`
			Time      int64  `json:"time"`
			Comment   string `json:"comment"`
			IP        string `json:"ip"`
			UserAgent string `json:"user_agent"`
			MOMID     string `json:"mom_id"`
		}
		if json.Unmarshal(b, &e) != nil {
			return nil, update, c.bad(actionHistory, fmt.Errorf("%w: an event cannot be read", ErrAnswer))
		}
		out = append(out, Event{
			Event: e.Event, Time: unixTime(e.Time), Comment: e.Comment, IP: e.IP, UserAgent: e.UserAgent, MOMID: e.MOMID,
		})
	}
	return out, update, nil
}

// Subtokens is the tree below mt, with mt as its root.
func (c *Client) Subtokens(ctx context.Context, mt secret.Text) (Tree, *Issued, error) {
	a, update, err := c.info(ctx, actionSubtokens, mt, nil)
	if err != nil {
		return Tree{}, update, err
	}
	raw, _ := a.Raw("mytokens")
	t, err := readTree([]byte(raw))
	if err != nil {
		return Tree{}, update, c.bad(actionSubtokens, err)
	}
	return t, update, nil
}

// List is all mytokens of the person.
func (c *Client) List(ctx context.Context, mt secret.Text) ([]Tree, *Issued, error) {
	a, update, err := c.info(ctx, actionList, mt, nil)
	if err != nil {
		return nil, update, err
	}
	list, err := elements(a.WithoutNull(), "mytokens")
	if err != nil {
		return nil, update, c.bad(actionList, err)
	}
	var out []Tree
	for _, b := range list {
		t, err := readTree(b)
		if err != nil {
			return nil, update, c.bad(actionList, err)
		}
		out = append(out, t)
	}
	return out, update, nil
}

// treeJSON is a Tree on the wire. The depth was bounded when the answer was read.
type treeJSON struct {
	Token struct {
		MOMID   string `json:"mom_id"`
		Name    string `json:"name"`
		IP      string `json:"ip"`
		Created int64  `json:"created"`
		Expires int64  `json:"expires_at"`
	} `json:"token"`
	Children []treeJSON `json:"children"`
}

func readTree(b []byte) (Tree, error) {
	var t treeJSON
	if err := json.Unmarshal(b, &t); err != nil || t.Token.MOMID == "" {
		return Tree{}, fmt.Errorf("%w: a mytoken in it cannot be read", ErrAnswer)
	}
	return t.tree(), nil
}

func (t treeJSON) tree() Tree {
	out := Tree{Entry: Entry{
		MOMID: t.Token.MOMID, Name: t.Token.Name, IP: t.Token.IP,
		Created: unixTime(t.Token.Created), Expires: unixTime(t.Token.Expires),
	}}
	for _, child := range t.Children {
		out.Children = append(out.Children, child.tree())
	}
	return out
}

func unixTime(n int64) time.Time {
	if n <= 0 || n > maxSecond {
		return time.Time{}
	}
	return time.Unix(n, 0)
}
