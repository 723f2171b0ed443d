package mytokentest

import (
	"bytes"
	"cmp"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
)

// person is what the server keeps of alice beside her mytokens.
type person struct {
	ssh           bool
	touched       bool // a grant was switched
	keys          []sshKey
	mail          string
	html          bool
	tags          map[string]string
	notifications []*notification
	calendars     []*calendar
}

type sshKey struct {
	Name        string `json:"name,omitempty"`
	Fingerprint string `json:"ssh_key_fp"`
	Created     int64  `json:"created"`
}

type notification struct {
	ID       int      `json:"notification_id"`
	Type     string   `json:"notification_type"`
	Code     string   `json:"management_code"`
	UserWide bool     `json:"user_wide"`
	Classes  []string `json:"notification_classes"`
	Tokens   []string `json:"subscribed_tokens,omitempty"`
	Tags     []string `json:"tags,omitempty"`
}

type calendar struct {
	ID     string   `json:"id"`
	Name   string   `json:"name"`
	Path   string   `json:"ics_path"`
	Tokens []string `json:"subscribed_tokens,omitempty"`
	Tags   []string `json:"tags,omitempty"`
}

// managing is everything a request about settings, notifications and calendars may hold.
type managing struct {
	GrantType    string          `json:"grant_type"`
	Mytoken      string          `json:"mytoken"`
	PollingCode  string          `json:"polling_code"`
	Key          string          `json:"ssh_key"`
	Fingerprint  string          `json:"ssh_key_fp"`
	Name         string          `json:"name"`
	Restrictions json.RawMessage `json:"restrictions"`
	Capabilities []string        `json:"capabilities"`
	Mail         string          `json:"email_address"`
	HTML         *bool           `json:"prefer_html_mail"`
	Color        string          `json:"color"`
	Tag          string          `json:"tag"`
	MOMID        string          `json:"mom_id"`
	Children     bool            `json:"include_children"`
	Type         string          `json:"notification_type"`
	Classes      []string        `json:"notification_classes"`
	UserWide     bool            `json:"user_wide"`
	Comment      string          `json:"comment"`
	Description  string          `json:"description"`
	Tags         []string        `json:"tags"`
}

func (s *Server) manages(path string) bool {
	return path == PathTags || strings.HasPrefix(path, PathSettings+"/") || path == PathNotify ||
		strings.HasPrefix(path, PathNotify+"/")
}

// manage reads strictly: a POST has its mytoken in the body, everything else in the header, and nothing unknown.
func (s *Server) manage(w http.ResponseWriter, r *http.Request) {
	b, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil {
		return
	}
	seen := Request{Method: r.Method, Path: r.URL.Path}
	_ = json.Unmarshal(b, &seen.Body)
	s.note(seen)
	var q managing
	if len(b) > 0 {
		d := json.NewDecoder(bytes.NewReader(b))
		d.DisallowUnknownFields()
		if err := d.Decode(&q); err != nil || r.Header.Get("Content-Type") != "application/json" {
			s.t.Errorf("%s %s: %v, content type %q", r.Method, r.URL.Path, err, r.Header.Get("Content-Type"))
		}
	}
	bearer, inHeader := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if inHeader && r.Method == http.MethodPost || r.URL.RawQuery != "" || r.Header.Get("Cookie") != "" {
		s.t.Errorf("%s %s: something beside the body", r.Method, r.URL.Path)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	code, action, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, PathNotify+"/"), "/")
	if i := slices.IndexFunc(s.person.notifications, func(n *notification) bool { return n.Code == code }); i >= 0 {
		s.notification(w, r.Method+" "+action, i, q)
		return
	}
	if q.GrantType == "polling_code" {
		s.pollSSH(w, q.PollingCode)
		return
	}
	if r.Method != http.MethodPost {
		q.Mytoken = bearer
	}
	t, ok := s.usable(w, q.Mytoken, capabilityOf(r.URL.Path))
	if !ok {
		return
	}
	status, answer := s.managed(r.Method, r.URL.Path, q, t)
	if code, refused := answer["error"].(string); refused {
		text, _ := answer["error_description"].(string)
		refuse(w, status, code, text)
		return
	}
	s.rotate(t, answer, false)
	if len(answer) == 0 {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	answerJSON(w, max(status, http.StatusOK), answer)
}

func capabilityOf(path string) string {
	switch {
	case path == PathTags:
		return "tokeninfo:tags"
	case strings.HasPrefix(path, PathSettings):
		return "settings"
	}
	return "manage_mytokens"
}

// managed does what a request asks for and returns the answer; none is 204.
func (s *Server) managed(method, path string, q managing, t *token) (int, map[string]any) {
	p := &s.person
	what := method + " " + strings.TrimPrefix(strings.TrimPrefix(path, PathSettings), "/api/v0")
	switch what {
	case "GET /grants":
		grants := any(nil)
		if p.touched {
			grants = []any{map[string]any{"grant_type": "ssh", "enabled": p.ssh}}
		}
		return 0, map[string]any{"grant_types": grants}
	case "POST /grants", "DELETE /grants":
		p.ssh, p.touched = method == http.MethodPost, true
		return 0, map[string]any{}
	case "GET /grants/ssh":
		return 0, map[string]any{"grant_enabled": p.ssh, "ssh_keys": p.keys}
	case "POST /grants/ssh":
		return s.addKey(q)
	case "DELETE /grants/ssh":
		gone := cmp.Or(q.Fingerprint, fingerprint(q.Key))
		if gone == "" {
			return refusal(http.StatusBadRequest, "invalid_request", "no key given")
		}
		p.keys = slices.DeleteFunc(p.keys, func(k sshKey) bool { return k.Fingerprint == gone })
		return 0, map[string]any{}
	case "GET /email":
		return 0, map[string]any{"email_address": p.mail, "email_verified": false, "prefer_html_mail": p.html}
	case "PUT /email":
		if q.Mail == "" && q.HTML == nil {
			return refusal(http.StatusBadRequest, "invalid_request", "nothing to change")
		}
		if q.Mail != "" {
			p.mail = q.Mail
		}
		if q.HTML != nil {
			p.html = *q.HTML
		}
		return 0, map[string]any{}
	case "POST /token/my/tags", "DELETE /token/my/tags":
		t.events = append(t.events, "tag_added_to_token")
		return 0, map[string]any{}
	}
	if name, ok := strings.CutPrefix(path, PathSettings+"/tags"); ok {
		return s.tag(method, strings.TrimPrefix(name, "/"), q)
	}
	if name, ok := strings.CutPrefix(path, PathNotify+"/calendars"); ok {
		return s.calendar(method, strings.TrimPrefix(name, "/"), q, t)
	}
	if path == PathNotify {
		return s.notifications(method, q, t)
	}
	return refusal(http.StatusNotFound, "not_found", path)
}

func refusal(status int, code, text string) (int, map[string]any) {
	return status, map[string]any{"error": code, "error_description": text}
}

func (s *Server) addKey(q managing) (int, map[string]any) {
	fields := strings.Fields(q.Key)
	if len(fields) < 2 || q.GrantType != "mytoken" {
		return refusal(http.StatusBadRequest, "invalid_request", "could not parse ssh public key")
	}
	if !s.person.ssh {
		return refusal(http.StatusForbidden, "access_denied", "'ssh' grant type not enabled")
	}
	code := rand.Text()
	p := &poll{consent: rand.Text(), ssh: fingerprint(q.Key), asked: mytokenRequest{Name: q.Name}}
	s.polls[code] = p
	return 0, map[string]any{
		"consent_uri": s.URL + "/c/" + p.consent, "polling_code": code, "expires_in": 300, "interval": s.opt.Interval,
	}
}

func fingerprint(line string) string {
	fields := strings.Fields(line)
	if len(fields) < 2 {
		return ""
	}
	blob, _ := base64.StdEncoding.DecodeString(fields[1])
	sum := sha256.Sum256(blob)
	return "SHA256:" + base64.RawStdEncoding.EncodeToString(sum[:])
}

// SSHUser is the user name of the ssh server that every key gets.
const SSHUser = "abcdefghijklmnop"

func (s *Server) pollSSH(w http.ResponseWriter, code string) {
	p, ok := s.polls[code]
	switch {
	case !ok || p.ssh == "":
		refuse(w, http.StatusUnauthorized, "invalid_token", "Bad polling or transfer code")
	case p.state != "approved":
		refuse(w, http.StatusPreconditionRequired, "authorization_pending", "")
	default:
		delete(s.polls, code)
		s.person.keys = append(s.person.keys, sshKey{Name: p.asked.Name, Fingerprint: p.ssh, Created: s.opt.Now().Unix()})
		answerJSON(w, http.StatusOK, map[string]any{
			"ssh_user": SSHUser,
			"ssh_host_config": "# mytoken\nHost mytoken-" + p.asked.Name + "\n    HostName 127.0.0.1\n    Port 2222\n    User " +
				SSHUser + "\n    # IdentityFile\n    # your key\n" + s.opt.SSHExtra,
		})
	}
}

func (s *Server) tag(method, name string, q managing) (int, map[string]any) {
	p := &s.person
	if p.tags == nil {
		p.tags = map[string]string{}
	}
	if _, known := p.tags[name]; !known && (method == http.MethodPut || method == http.MethodDelete) {
		return refusal(http.StatusNotFound, "not_found", "no such tag")
	}
	switch method {
	case http.MethodGet:
		list := []any{}
		for name, color := range p.tags {
			list = append(list, map[string]any{"tag": name, "color": color})
		}
		return 0, map[string]any{"tags": list}
	case http.MethodDelete:
		delete(p.tags, name)
	case http.MethodPut:
		color := p.tags[name]
		delete(p.tags, name)
		if q.Tag != "" {
			name = q.Tag
		}
		if q.Color != "" {
			color = q.Color
		}
		p.tags[name] = color
	default:
		p.tags[name] = q.Color
	}
	return 0, map[string]any{}
}

func (s *Server) calendar(method, name string, q managing, t *token) (int, map[string]any) {
	p := &s.person
	at := slices.IndexFunc(p.calendars, func(c *calendar) bool { return c.Name == name || c.ID == name })
	switch {
	case name == "" && method == http.MethodGet:
		return 0, map[string]any{"calendars": p.calendars}
	case name == "" && method == http.MethodPost:
		c := &calendar{ID: rand.Text(), Name: q.Name, Tags: q.Tags}
		c.Path = s.URL + "/calendars/" + c.ID
		p.calendars = append(p.calendars, c)
		return http.StatusCreated, map[string]any{"id": c.ID, "name": c.Name, "ics_path": c.Path}
	case at < 0:
		return refusal(http.StatusNotFound, "not_found", "no such calendar")
	case method == http.MethodDelete && q.MOMID != "":
		p.calendars[at].Tokens = slices.DeleteFunc(p.calendars[at].Tokens, func(id string) bool { return id == q.MOMID })
		return 0, map[string]any{}
	case method == http.MethodDelete:
		p.calendars = slices.Delete(p.calendars, at, at+1)
		return 0, map[string]any{}
	case method == http.MethodPut:
		if q.Description != "" {
			p.calendars[at].Name = q.Description
		}
		if q.Tags != nil {
			p.calendars[at].Tags = q.Tags
		}
		return 0, map[string]any{}
	}
	id := q.MOMID
	if id == "" {
		id = momID(t.jti)
	}
	p.calendars[at].Tokens = append(p.calendars[at].Tokens, id)
	return 0, map[string]any{"name": name, "ics_path": p.calendars[at].Path, "subscribed_tokens": p.calendars[at].Tokens}
}

func (s *Server) notifications(method string, q managing, t *token) (int, map[string]any) {
	p := &s.person
	if method == http.MethodGet {
		return 0, map[string]any{"notifications": p.notifications}
	}
	switch {
	case p.mail == "":
		return refusal(http.StatusUnprocessableEntity, "mail_required", "email not verified")
	case q.Type == "ics_invite":
		return 0, map[string]any{}
	case q.Type != "mail":
		return refusal(http.StatusBadRequest, "invalid_request", "unknown notification_type")
	}
	n := &notification{
		ID: len(p.notifications) + 1, Type: q.Type, Code: rand.Text() + rand.Text(), UserWide: q.UserWide, Classes: q.Classes,
		Tags: q.Tags,
	}
	if !q.UserWide {
		n.Tokens = []string{q.MOMID}
		if q.MOMID == "" {
			n.Tokens[0] = momID(t.jti)
		}
	}
	p.notifications = append(p.notifications, n)
	return http.StatusCreated, map[string]any{"management_code": n.Code}
}

// notification is a request with a management code.
func (s *Server) notification(w http.ResponseWriter, what string, at int, q managing) {
	n := s.person.notifications[at]
	if jti, _, ok := s.open(q.Mytoken); ok && q.MOMID == "" {
		q.MOMID = momID(jti)
	}
	switch what {
	case "GET ":
		answerJSON(w, http.StatusOK, n)
		return
	case "DELETE ":
		s.person.notifications = slices.Delete(s.person.notifications, at, at+1)
	case "PUT nc":
		if q.Classes != nil {
			n.Classes = q.Classes
		}
		if q.Tags != nil {
			n.Tags = q.Tags
		}
	case "POST token":
		n.Tokens = append(n.Tokens, q.MOMID)
	case "DELETE token":
		n.Tokens = slices.DeleteFunc(n.Tokens, func(id string) bool { return id == q.MOMID })
	default:
		refuse(w, http.StatusNotFound, "not_found", what)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}
