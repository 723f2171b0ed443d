package notices

import (
	"encoding/json"
	"net/http"
	"strings"

	"github.com/oidcbox/oidcbox/core/mytoken"
	"github.com/oidcbox/oidcbox/core/mytoken/desk"
	"github.com/oidcbox/oidcbox/core/mytoken/httpapi"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/transport/httpd"
)

// Routes are what is served: the endpoints of notifications, calendars and mail settings, the feeds, and the actions of
// links in mails.
func (n *Notices) Routes() []httpapi.Route {
	const (
		one  = pathNotify + "/{code}"
		part = one + "/{part}"
		cal  = pathNotify + "/calendars"
		kal  = cal + "/{calendar}"
	)
	api := func(method, path string, e httpapi.Endpoint) httpapi.Route {
		return httpapi.Route{Method: method, Path: path, API: e, Forms: true}
	}
	get, post, put, del := http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete
	return []httpapi.Route{
		api(get, pathNotify, n.list), api(post, pathNotify, n.create),
		api(get, one, n.show), api(del, one, n.endOne),
		api(post, part, parts{"nc": n.setNC, "token": n.tokenAdded}.answer), api(put, part, parts{"nc": n.setNC}.answer),
		api(del, part, parts{"token": n.tokenRemoved}.answer),
		api(get, cal, n.listCalendars), api(post, cal, n.createCalendar),
		api(get, kal, n.showCalendar), api(post, kal, n.enterCalendar), api(put, kal, n.editCalendar),
		api(del, kal, n.leaveCalendar),
		api(get, pathEmail, n.showEmail), api(put, pathEmail, n.editEmail),
		{Method: get, Path: PathFeed + "/{id}", Page: httpd.Handle(n.o.Log, n.serveFeed)},
		{Path: PathActions, Page: httpd.Handle(n.o.Log, n.serveAction)},
	}
}

// parts are the endpoints below a notification, by their last word. It is no part of the pattern: for http.ServeMux a code
// with a word behind it and calendars with a name behind it would be two patterns of which neither comes first.
type parts map[string]httpapi.Endpoint

func (p parts) answer(c *httpapi.Call) (httpapi.Answer, error) {
	e, ok := p[c.PathValue("part")]
	if !ok {
		return httpapi.Answer{}, &desk.Error{
			Status: http.StatusNotFound, Code: desk.CodeNotFound, Description: c.Request.URL.Path,
		}
	}
	return e(c)
}

// notificationJSON is a notification on the wire.
type notificationJSON struct {
	ID       int      `json:"notification_id"`
	Type     string   `json:"notification_type"`
	Code     string   `json:"management_code"`
	UserWide bool     `json:"user_wide"`
	Classes  []string `json:"notification_classes"`
	Tokens   []string `json:"subscribed_tokens,omitempty"`
	Tags     []string `json:"tags,omitempty"`
	Issuer   string   `json:"oidc_iss,omitempty"`
	Subject  string   `json:"oidc_sub,omitempty"`
}

func (r *subRecord) json() notificationJSON {
	return notificationJSON{
		ID: r.ID, Type: r.Type, Code: r.Code, UserWide: r.Wide, Classes: r.Classes, Tokens: momIDs(r.Tokens), Tags: r.Tags,
	}
}

func momIDs(all []about) (ids []string) {
	for _, a := range all {
		ids = append(ids, a.MOMID)
	}
	return ids
}

func (n *Notices) list(c *httpapi.Call) (httpapi.Answer, error) {
	return visit(c, func(who desk.Caller) (httpapi.Answer, error) {
		subs, update, err := n.listed(c.Context(), who)
		out := make([]notificationJSON, len(subs))
		for i := range subs {
			out[i] = subs[i].json()
		}
		return httpapi.Answer{Body: map[string]any{"notifications": out}, Update: update}, err
	})
}

// visit calls work for whoever makes the request.
func visit(c *httpapi.Call, work func(who desk.Caller) (httpapi.Answer, error)) (httpapi.Answer, error) {
	who, err := c.Caller()
	if err != nil {
		return httpapi.Answer{}, err
	}
	defer who.Mytoken.Wipe()
	a, err := work(who)
	if err != nil {
		a.Update.Wipe()
		return httpapi.Answer{}, err
	}
	return a, nil
}

func (n *Notices) create(c *httpapi.Call) (httpapi.Answer, error) {
	r, err := readNotification(c.Body)
	if err != nil {
		return httpapi.Answer{}, err
	}
	tags, err := readTags(c.Body)
	if err != nil {
		return httpapi.Answer{}, err
	}
	return visit(c, func(who desk.Caller) (httpapi.Answer, error) {
		code, update, err := n.notify(c.Context(), who, r, tags)
		if err != nil || r.Type == mytoken.NotifyInvite {
			return httpapi.Answer{Update: update}, err
		}
		defer code.Wipe()
		return httpapi.Answer{
			Status: http.StatusCreated, Body: map[string]string{"management_code": code.Expose()}, Update: update,
		}, nil
	})
}

func readNotification(b httpapi.Body) (r mytoken.NotificationRequest, err error) {
	err = b.Texts(map[string]*string{
		"notification_type": &r.Type, "mom_id": &r.MOMID, "comment": &r.Comment,
	})
	if err == nil {
		r.Classes, err = readClasses(b)
	}
	if err == nil {
		r.IncludeChildren, err = b.Flag("include_children")
	}
	if err == nil {
		r.UserWide, err = b.Flag("user_wide")
	}
	return r, err
}

// readClasses reads a list; in a form it may be one text with blanks or commas.
func readClasses(b httpapi.Body) ([]string, error) { return words(b, "notification_classes") }

func words(b httpapi.Body, name string) (out []string, err error) {
	list, err := b.List(name)
	for _, s := range list {
		out = append(out, strings.FieldsFunc(s, func(r rune) bool { return r == ' ' || r == ',' })...)
	}
	return out, err
}

// maxTags is how many tags a notification or calendar has.
const maxTags = 20

// readTags reads tags: names, or objects that have one. nil where there is no such member.
func readTags(b httpapi.Body) ([]string, error) {
	if !b.Has("tags") {
		return nil, nil
	}
	bad := &desk.Error{Status: http.StatusBadRequest, Code: desk.CodeRequest, Description: "tags is no list of names"}
	names, err := b.List("tags")
	if err != nil {
		var objects []struct {
			Tag string `json:"tag"`
		}
		if json.Unmarshal(b.Raw("tags"), &objects) != nil {
			return nil, bad
		}
		names = nil
		for _, o := range objects {
			names = append(names, o.Tag)
		}
	}
	if len(names) > maxTags {
		return nil, bad
	}
	for _, s := range names {
		if s == "" || !validLine(s, maxName) {
			return nil, bad
		}
	}
	return append([]string{}, names...), nil
}

func (n *Notices) show(c *httpapi.Call) (httpapi.Answer, error) {
	m, err := n.manage(c.Context(), c.PathValue("code"))
	if err != nil {
		return httpapi.Answer{}, codeRefusal(err)
	}
	out := m.json()
	u, err := n.o.Tokens.User(c.Context(), m.user)
	if err != nil {
		return httpapi.Answer{}, err
	}
	out.Issuer, out.Subject = u.Issuer, u.Subject
	return httpapi.Answer{Body: out}, nil
}

func (n *Notices) endOne(c *httpapi.Call) (httpapi.Answer, error) {
	return httpapi.Answer{}, n.End(c.Context(), secret.FromString(c.PathValue("code")))
}

func (n *Notices) setNC(c *httpapi.Call) (httpapi.Answer, error) {
	var classes []string
	tags, err := readTags(c.Body)
	if err == nil && (tags == nil || c.Body.Has("notification_classes")) {
		if classes, err = readClasses(c.Body); err == nil {
			classes, err = checkClasses(classes)
		}
	}
	if err != nil {
		return httpapi.Answer{}, refusal(err)
	}
	return httpapi.Answer{}, n.setClasses(c.Context(), c.PathValue("code"), classes, tags)
}

// tokenAdded needs the code, and for a mytoken that is named by itself that one to be good.
func (n *Notices) tokenAdded(c *httpapi.Call) (httpapi.Answer, error) {
	children, err := c.Body.Flag("include_children")
	if err != nil {
		return httpapi.Answer{}, err
	}
	return n.aboutToken(c, eventSubscribed, func(code, momID string) error {
		return n.addToken(c.Context(), code, momID, children)
	})
}

func (n *Notices) tokenRemoved(c *httpapi.Call) (httpapi.Answer, error) {
	return n.aboutToken(c, eventUnsubscribed, func(code, momID string) error {
		return n.removeToken(c.Context(), code, momID)
	})
}

func (n *Notices) aboutToken(
	c *httpapi.Call, event string, work func(code, momID string) error,
) (httpapi.Answer, error) {
	code := c.PathValue("code")
	momID, err := c.Body.Text("mom_id")
	if err != nil {
		return httpapi.Answer{}, err
	}
	m, err := n.manage(c.Context(), code) // before a mytoken is used for nothing
	if err != nil {
		return httpapi.Answer{}, codeRefusal(err)
	}
	if momID != "" {
		return httpapi.Answer{}, codeRefusal(work(code, momID))
	}
	return visit(c, func(who desk.Caller) (httpapi.Answer, error) {
		update, err := n.with(c.Context(), who, capOwnNotify, func(v Visit) (string, string, error) {
			if v.User() != m.user {
				return "", "", ErrUnknown
			}
			return event, "", work(code, v.MOMID())
		})
		return httpapi.Answer{Update: update}, err
	})
}
