package mytokentest

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// mytokenRequest is everything a request for a mytoken may hold.
type mytokenRequest struct {
	GrantType     string          `json:"grant_type"`
	Issuer        string          `json:"oidc_issuer"`
	Flow          string          `json:"oidc_flow"`
	ClientType    string          `json:"client_type"`
	Name          string          `json:"name"`
	Capabilities  []string        `json:"capabilities"`
	Restrictions  json.RawMessage `json:"restrictions"`
	Rotation      *rotation       `json:"rotation"`
	ResponseType  string          `json:"response_type"`
	MaxTokenLen   int             `json:"max_token_len"`
	Application   string          `json:"application_name"`
	Include       []string        `json:"include"`
	Mytoken       string          `json:"mytoken"`
	Strict        bool            `json:"error_on_restrictions"`
	PollingCode   string          `json:"polling_code"`
	TransferCode  string          `json:"transfer_code"`
	Notifications json.RawMessage `json:"subscribe_notifications"`
	Tags          json.RawMessage `json:"tags"`
}

// read decodes a JSON body strictly: what is not in the protocol fails the test.
func (s *Server) read(w http.ResponseWriter, r *http.Request, into any) bool {
	b, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil {
		return false
	}
	seen := Request{Method: r.Method, Path: r.URL.Path}
	_ = json.Unmarshal(b, &seen.Body)
	s.note(seen)
	if got := r.Header.Get("Content-Type"); got != "application/json" {
		s.t.Errorf("%s: content type %q", r.URL.Path, got)
	}
	if r.URL.RawQuery != "" || r.Header.Get("Authorization") != "" || r.Header.Get("Cookie") != "" {
		s.t.Errorf("%s: something beside the body: %q", r.URL.Path, r.URL.RawQuery)
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		s.t.Errorf("%s: %v", r.URL.Path, err)
		refuse(w, http.StatusBadRequest, "invalid_request", "the test server is strict")
		return false
	}
	return true
}

func (s *Server) my(w http.ResponseWriter, r *http.Request) {
	var q mytokenRequest
	if !s.read(w, r, &q) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch q.GrantType {
	case "oidc_flow":
		s.begin(w, q)
	case "polling_code":
		s.poll(w, q.PollingCode)
	case "mytoken":
		s.sub(w, q)
	case "transfer_code":
		s.redeem(w, q.TransferCode)
	default:
		refuse(w, http.StatusBadRequest, "invalid_grant", "Unsupported grant_type")
	}
}

func (s *Server) begin(w http.ResponseWriter, q mytokenRequest) {
	if q.Flow != "authorization_code" || q.ClientType != "native" || q.Mytoken != "" || q.Strict {
		s.t.Errorf("oidc_flow: %+v", q)
	}
	if strings.TrimSuffix(q.Issuer, "/") != strings.TrimSuffix(Provider, "/") {
		refuse(w, http.StatusBadRequest, "invalid_request", "The provided issuer is not supported")
		return
	}
	if i := slices.IndexFunc(q.Include, unknownProfile); i >= 0 {
		refuse(w, http.StatusBadRequest, "invalid_request", "unknown include name: '"+q.Include[i]+"'")
		return
	}
	p := &poll{consent: rand.Text(), asked: q}
	code := rand.Text()
	s.polls[code] = p
	answerJSON(w, http.StatusOK, map[string]any{
		"consent_uri": s.URL + "/c/" + p.consent, "polling_code": code, "expires_in": 300, "interval": s.opt.Interval,
	})
}

func unknownProfile(name string) bool {
	return !slices.Contains([]string{"agent", "web-default"}, name)
}

// consentPage is where the person decides: opening it is agreeing, with Options.Approve.
func (s *Server) consentPage(w http.ResponseWriter, code string) {
	if s.opt.Approve {
		s.decide(code, "approved")
	}
	w.Header().Set("Content-Type", "text/html")
	_, _ = io.WriteString(w, "<html><body>consent</body></html>")
}

// Agree lets the person agree on the consent page at uri.
func (s *Server) Agree(uri string) { s.decide(uri[strings.LastIndex(uri, "/")+1:], "approved") }

// Decline lets the person say no.
func (s *Server) Decline(uri string) { s.decide(uri[strings.LastIndex(uri, "/")+1:], "declined") }

// Expire lets the code of the consent page at uri become too old.
func (s *Server) Expire(uri string) { s.decide(uri[strings.LastIndex(uri, "/")+1:], "expired") }

func (s *Server) decide(code, state string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.polls {
		if p.consent == code {
			p.state = state
		}
	}
}

// Asked is what the consent page at uri is about.
func (s *Server) Asked(uri string) (name, application string, include []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.polls {
		if strings.HasSuffix(uri, "/"+p.consent) {
			return p.asked.Name, p.asked.Application, p.asked.Include
		}
	}
	return "", "", nil
}

func (s *Server) poll(w http.ResponseWriter, code string) {
	p, ok := s.polls[code]
	switch {
	case !ok:
		refuse(w, http.StatusUnauthorized, "invalid_token", "Bad polling or transfer code")
	case p.state == "approved":
		delete(s.polls, code)
		answerJSON(w, http.StatusOK, s.object(s.issue(p.asked, nil)))
	case p.state == "declined":
		refuse(w, http.StatusUnauthorized, "access_denied", "user declined consent")
	case p.state == "expired":
		refuse(w, http.StatusUnauthorized, "expired_token", "polling or transfer code is expired")
	default:
		refuse(w, http.StatusPreconditionRequired, "authorization_pending", "")
	}
}

func (s *Server) sub(w http.ResponseWriter, q mytokenRequest) {
	t, ok := s.usable(w, q.Mytoken, "create_mytoken")
	if !ok {
		return
	}
	if !q.Strict {
		s.t.Error("a sub-mytoken was asked for without error_on_restrictions")
	}
	if i := slices.IndexFunc(q.Include, unknownProfile); i >= 0 {
		refuse(w, http.StatusBadRequest, "invalid_request", "unknown include name: '"+q.Include[i]+"'")
		return
	}
	q.Capabilities = slices.DeleteFunc(q.Capabilities, func(c string) bool { return !may(t, c) })
	answer := s.object(s.issue(q, t))
	if q.ResponseType == "transfer_code" {
		mt, _ := answer["mytoken"].(string)
		delete(answer, "mytoken")
		code := rand.Text()[:8]
		s.transfer[code] = mt
		answer["transfer_code"], answer["mytoken_type"], answer["expires_in"] = code, "transfer_code", 300
	}
	t.events = append(t.events, "MT_created")
	s.rotate(t, answer, false)
	answerJSON(w, http.StatusOK, answer)
}

// usable is the mytoken of a request, or a refusal.
func (s *Server) usable(w http.ResponseWriter, mt, capability string) (*token, bool) {
	t, ok := s.valid(mt)
	switch {
	case mt == "":
		refuse(w, http.StatusUnauthorized, "invalid_token", "no mytoken found in request")
	case !ok:
		refuse(w, http.StatusUnauthorized, "invalid_token", "")
	case capability != "" && !may(t, capability):
		refuse(w, http.StatusForbidden, "insufficient_capabilities",
			"The provided token does not have the required capability for this operation")
	default:
		return t, true
	}
	return nil, false
}

func (s *Server) redeem(w http.ResponseWriter, code string) {
	mt, ok := s.transfer[code]
	delete(s.transfer, code)
	t, valid := s.valid(mt)
	if !ok || !valid {
		refuse(w, http.StatusUnauthorized, "invalid_token", "Bad polling or transfer code")
		return
	}
	answer := s.object(t)
	answer["mytoken"] = mt
	answerJSON(w, http.StatusOK, answer)
}

func (s *Server) makeTransfer(w http.ResponseWriter, r *http.Request) {
	var q struct {
		Mytoken string `json:"mytoken"`
	}
	if !s.read(w, r, &q) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.usable(w, q.Mytoken, ""); !ok {
		return
	}
	code := rand.Text()[:8]
	s.transfer[code] = q.Mytoken
	answerJSON(w, http.StatusOK, map[string]any{
		"mytoken_type": "transfer_code", "transfer_code": code, "expires_in": 300,
	})
}

// accessRequest is a request for an access token, in either form.
type accessRequest struct {
	GrantType    string `json:"grant_type"`
	Mytoken      string `json:"mytoken"`
	RefreshToken string `json:"refresh_token"`
	Issuer       string `json:"oidc_issuer"`
	Scope        string `json:"scope"`
	Audience     string `json:"audience"`
	Comment      string `json:"comment"`
}

func (s *Server) access(w http.ResponseWriter, r *http.Request) {
	var q accessRequest
	if strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded") {
		if !s.readForm(w, r, &q) {
			return
		}
	} else if !s.read(w, r, &q) {
		return
	}
	mt := q.Mytoken
	switch q.GrantType {
	case "mytoken":
	case "refresh_token":
		mt = q.RefreshToken
	default:
		refuse(w, http.StatusBadRequest, "invalid_grant", "Unsupported grant_type")
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	t, ok := s.usable(w, mt, "AT")
	if !ok {
		return
	}
	answer := map[string]any{
		"access_token": "at." + rand.Text(), "token_type": "Bearer", "expires_in": 3600, "scope": q.Scope,
	}
	if q.Audience != "" {
		answer["audience"] = strings.Fields(q.Audience)
	}
	t.events = append(t.events, "AT_created")
	s.rotate(t, answer, true)
	answerJSON(w, http.StatusOK, answer)
}

func (s *Server) readForm(w http.ResponseWriter, r *http.Request, q *accessRequest) bool {
	b, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil {
		return false
	}
	form, err := url.ParseQuery(string(b))
	if err != nil {
		s.t.Error(err)
	}
	s.note(Request{Method: r.Method, Path: r.URL.Path, Form: maps.Clone(form)})
	for name, to := range map[string]*string{
		"grant_type": &q.GrantType, "mytoken": &q.Mytoken, "refresh_token": &q.RefreshToken, "issuer": &q.Issuer,
		"scope": &q.Scope, "audience": &q.Audience, "comment": &q.Comment,
	} {
		if v := form[name]; len(v) > 1 {
			s.t.Errorf("%s is there %d times", name, len(v))
		}
		*to = form.Get(name)
		delete(form, name)
	}
	if len(form) > 0 {
		s.t.Errorf("the form has what the protocol has not: %v", form)
		refuse(w, http.StatusBadRequest, "invalid_request", "the test server is strict")
		return false
	}
	return true
}

func (s *Server) revoke(w http.ResponseWriter, r *http.Request) {
	var q struct {
		Token     string `json:"token"`
		MOMID     string `json:"mom_id"`
		Recursive bool   `json:"recursive"`
		Issuer    string `json:"oidc_issuer"`
	}
	if !s.read(w, r, &q) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	jti, _, ok := s.open(q.Token)
	if ok && q.MOMID != "" {
		for id := range s.tokens {
			if momID(id) == q.MOMID {
				jti = id
			}
		}
	}
	if ok {
		s.end(jti, q.Recursive)
	}
	w.WriteHeader(http.StatusNoContent)
}

func (s *Server) end(jti string, recursive bool) {
	s.tokens[jti].revoked = true
	if !recursive {
		return
	}
	for id, t := range s.tokens {
		if t.parent == jti && !t.revoked {
			s.end(id, true)
		}
	}
}
