package sshapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"net/url"

	"github.com/oidcbox/oidcbox/core/mytoken"
	"github.com/oidcbox/oidcbox/core/mytoken/desk"
	"github.com/oidcbox/oidcbox/core/secret"
)

// Paths of the HTTP API.
const (
	pathAccess        = "/api/v0/token/access"
	pathMytoken       = "/api/v0/token/my"
	pathTags          = "/api/v0/token/my/tags"
	pathInfo          = "/api/v0/tokeninfo"
	pathRevoke        = "/api/v0/token/revoke"
	pathEmail         = "/api/v0/settings/email"
	pathSettingTags   = "/api/v0/settings/tags"
	pathNotifications = "/api/v0/notifications"
	pathCalendars     = "/api/v0/notifications/calendars"
)

// action is how a command becomes a request of the HTTP API.
type action struct {
	method, path string
	in           string            // member of the data that is the next part of the path, "" for none
	more         string            // what stands behind that
	set          map[string]string // members that are set
	rename       map[string]string // members of the data that have another name there
	token        string            // member that the mytoken stands in; "" = header
	this         bool              // without a mom_id it is about the mytoken itself, which then stands in the body
	bare         bool              // no data
}

// actions are all there are.
func actionOf(name string) (action, bool) {
	if a, ok := tokenAction(name); ok {
		return a, true
	}
	if a, ok := settingAction(name); ok {
		return a, true
	}
	return noticeAction(name)
}

func tokenAction(name string) (action, bool) {
	info := func(what string) action {
		return action{method: http.MethodPost, path: pathInfo, set: map[string]string{"action": what}}
	}
	switch name {
	case mytoken.SSHAccessToken:
		return action{method: http.MethodPost, path: pathAccess, set: map[string]string{"grant_type": "mytoken"}}, true
	case mytoken.SSHMytoken:
		return action{method: http.MethodPost, path: pathMytoken, set: map[string]string{"grant_type": "mytoken"}}, true
	case mytoken.SSHIntrospect:
		return info("introspect"), true
	case mytoken.SSHHistory:
		return info("event_history"), true
	case mytoken.SSHSubtokens:
		return info("subtokens"), true
	case mytoken.SSHList:
		return info("list_mytokens"), true
	case mytoken.SSHInfoNotifications:
		return info("notifications"), true
	case mytoken.SSHRevoke:
		return action{method: http.MethodPost, path: pathRevoke, token: "token"}, true
	case mytoken.SSHAddTag:
		return action{method: http.MethodPost, path: pathTags}, true
	case mytoken.SSHRemoveTag:
		return action{method: http.MethodDelete, path: pathTags}, true
	}
	return action{}, false
}

func settingAction(name string) (action, bool) {
	switch name {
	case mytoken.SSHEmail:
		return action{method: http.MethodGet, path: pathEmail, bare: true}, true
	case mytoken.SSHSetEmail:
		return action{method: http.MethodPut, path: pathEmail}, true
	case mytoken.SSHTags:
		return action{method: http.MethodGet, path: pathSettingTags, bare: true}, true
	case mytoken.SSHCreateTag:
		return action{method: http.MethodPost, path: pathSettingTags, in: "tag"}, true
	case mytoken.SSHUpdateTag:
		return action{
			method: http.MethodPut, path: pathSettingTags, in: "tag", rename: map[string]string{"name": "tag"},
		}, true
	case mytoken.SSHDeleteTag:
		return action{method: http.MethodDelete, path: pathSettingTags, in: "tag"}, true
	}
	return action{}, false
}

func noticeAction(name string) (action, bool) {
	const code, calendar = "management_code", "calendar_id"
	switch name {
	case mytoken.SSHNotifications:
		return action{method: http.MethodGet, path: pathNotifications, bare: true}, true
	case mytoken.SSHCreateNotification:
		return action{method: http.MethodPost, path: pathNotifications}, true
	case mytoken.SSHUpdateNotification:
		return action{
			method: http.MethodPut, path: pathNotifications, in: code, more: "/nc",
			rename: map[string]string{"classes": "notification_classes"},
		}, true
	case mytoken.SSHDeleteNotification:
		return action{method: http.MethodDelete, path: pathNotifications, in: code}, true
	case mytoken.SSHNotifyAddToken:
		return action{method: http.MethodPost, path: pathNotifications, in: code, more: "/token", this: true}, true
	case mytoken.SSHNotifyRemoveToken:
		return action{method: http.MethodDelete, path: pathNotifications, in: code, more: "/token", this: true}, true
	case mytoken.SSHCalendars:
		return action{method: http.MethodGet, path: pathCalendars, bare: true}, true
	case mytoken.SSHCreateCalendar:
		return action{method: http.MethodPost, path: pathCalendars}, true
	case mytoken.SSHUpdateCalendar:
		return action{method: http.MethodPut, path: pathCalendars, in: calendar}, true
	case mytoken.SSHDeleteCalendar:
		return action{method: http.MethodDelete, path: pathCalendars, in: calendar, bare: true}, true
	case mytoken.SSHCalendarAddToken:
		return action{method: http.MethodPost, path: pathCalendars, in: calendar}, true
	case mytoken.SSHCalendarDropToken:
		return action{method: http.MethodDelete, path: pathCalendars, in: calendar}, true
	}
	return action{}, false
}

// given are the members that a client does not set: who asks, and what for, is settled by key and action.
func given() []string {
	return []string{
		"mytoken", "refresh_token", "token", "grant_type", "action", "polling_code", "transfer_code", "subject_token",
	}
}

// request makes the request of a command.
func (c command) request(ctx context.Context, mt secret.Text) (*http.Request, error) {
	a, ok := actionOf(c.action)
	if !ok {
		return nil, fmt.Errorf("%w: unknown action", errUsage)
	}
	members := map[string]json.RawMessage{}
	for name, value := range c.data.Without(given()...).All() {
		if other, ok := a.rename[name]; ok {
			name = other
		} else if name == a.in {
			continue
		}
		members[name] = json.RawMessage(value)
	}
	for name, value := range a.set {
		members[name] = quoted(value)
	}
	path := a.path
	if a.in != "" {
		part, err := c.data.String(a.in)
		if err != nil || part == "" || part == "." || part == ".." {
			return nil, fmt.Errorf("%w: %s is missing", errUsage, a.in)
		}
		path += "/" + url.PathEscape(part) + a.more
	}
	if c.action == mytoken.SSHCalendarDropToken && members["mom_id"] == nil {
		return nil, fmt.Errorf("%w: mom_id is missing", errUsage) // without it the calendar would be deleted
	}
	switch {
	case a.token != "":
		members[a.token] = quoted(mt.Expose())
	case a.this && members["mom_id"] == nil:
		members["mytoken"] = quoted(mt.Expose())
	}
	return a.request(ctx, path, members, mt)
}

func quoted(s string) json.RawMessage {
	b, err := json.Marshal(s)
	if err != nil {
		panic("sshapi: a string that cannot be written: " + err.Error())
	}
	return b
}

func (a action) request(
	ctx context.Context, path string, members map[string]json.RawMessage, mt secret.Text,
) (*http.Request, error) {
	var body []byte
	if !a.bare && a.method != http.MethodGet {
		var err error
		if body, err = json.Marshal(members); err != nil {
			return nil, fmt.Errorf("write a request: %w", err)
		}
	}
	r, err := http.NewRequestWithContext(ctx, a.method, "http://ssh.invalid"+path, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("%w: it makes no request", errUsage)
	}
	r.RequestURI = path
	r.Header.Set("Accept", "application/json")
	r.Header.Set("Authorization", "Bearer "+mt.Expose())
	if len(body) > 0 {
		r.Header.Set("Content-Type", "application/json")
	}
	return r, nil
}

// answer is what the API has answered.
type answer struct {
	members map[string]json.RawMessage // without token_update
	update  secret.Text                // what the mytoken was replaced by, empty where it was not
}

func (a answer) wipe() {
	a.update.Wipe()
	for _, v := range a.members {
		clear(v)
	}
}

// call has the API answer a command.
func (l *link) call(ctx context.Context, c command, mt secret.Text) (answer, error) {
	r, err := c.request(ctx, mt)
	if err != nil {
		return answer{}, err
	}
	r.RemoteAddr = netip.AddrPortFrom(l.client, 1).String()
	r.Header.Set("User-Agent", l.agent)
	w := &recorder{head: http.Header{}, left: l.s.o.Limits.Answer}
	defer func() { clear(w.body.Bytes()) }()
	if err := l.s.serveHTTP(w, r); err != nil {
		return answer{}, err
	}
	if w.over {
		return answer{}, errors.New("the answer is too long for ssh")
	}
	return w.answer()
}

// serveHTTP keeps a panic of the API from ending the process, as a server of HTTP does.
func (s *Server) serveHTTP(w http.ResponseWriter, r *http.Request) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("the API broke off: %v", v)
		}
	}()
	s.o.API.ServeHTTP(w, r)
	return nil
}

// recorder is an http.ResponseWriter that keeps what fits.
type recorder struct {
	head http.Header
	code int
	body bytes.Buffer
	left int
	over bool
}

func (w *recorder) Header() http.Header { return w.head }

func (w *recorder) WriteHeader(code int) {
	if w.code == 0 {
		w.code = code
	}
}

func (w *recorder) Write(b []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	if len(b) > w.left {
		w.over = true
		return 0, errors.New("the answer is too long")
	}
	w.left -= len(b)
	return w.body.Write(b)
}

// updateWire is the part of an answer that belongs to the server.
type updateWire struct {
	Mytoken string `json:"mytoken"`
}

// answer reads an answer: JSON, or nothing.
func (w *recorder) answer() (answer, error) {
	a := answer{members: map[string]json.RawMessage{}}
	err := json.Unmarshal(w.body.Bytes(), &a.members)
	if w.code < 200 || w.code > 299 {
		return answer{}, w.refusal(a.members)
	}
	if err != nil {
		if w.code == http.StatusOK {
			return answer{}, fmt.Errorf("read the answer to an ssh command: %w", err)
		}
		return answer{}, nil // 201 and 204 say no more
	}
	if raw, ok := a.members["token_update"]; ok {
		var u updateWire
		if err := json.Unmarshal(raw, &u); err != nil {
			return answer{}, fmt.Errorf("read the answer to an ssh command: %w", err)
		}
		a.update = secret.FromString(u.Mytoken)
		a.members = maps.Clone(a.members)
		delete(a.members, "token_update")
	}
	return a, nil
}

func (w *recorder) refusal(members map[string]json.RawMessage) error {
	e := &desk.Error{Status: w.code, Code: desk.CodeInternal}
	for name, to := range map[string]*string{"error": &e.Code, "error_description": &e.Description} {
		if raw, ok := members[name]; ok {
			_ = json.Unmarshal(raw, to)
		}
	}
	return e
}
