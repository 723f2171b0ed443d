package mytokentest

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
)

func (s *Server) info(w http.ResponseWriter, r *http.Request) {
	var q struct {
		Action  string   `json:"action"`
		Mytoken string   `json:"mytoken"`
		MOMIDs  []string `json:"mom_ids"`
	}
	if !s.read(w, r, &q) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	capability, known := map[string]string{
		"introspect": "tokeninfo:introspect", "event_history": "tokeninfo:history", "subtokens": "tokeninfo:subtokens",
		"list_mytokens": "manage_mytokens:list", "notifications": "tokeninfo:notify",
	}[q.Action]
	if !known {
		refuse(w, http.StatusBadRequest, "invalid_request", "value '"+q.Action+"' not valid for TokeninfoAction")
		return
	}
	t, ok := s.usable(w, q.Mytoken, capability)
	if !ok {
		return
	}
	answer := map[string]any{}
	switch q.Action {
	case "introspect":
		answer = s.introspection(t, q.Mytoken)
	case "event_history":
		events := []map[string]any{}
		for _, name := range slices.Backward(t.events) {
			events = append(events, map[string]any{
				"event": name, "time": t.created.Unix(), "ip": "127.0.0.1", "user_agent": "test", "mom_id": momID(t.jti),
			})
		}
		answer["events"] = events
	case "subtokens":
		answer["mytokens"] = s.tree(t)
	case "notifications":
		answer = map[string]any{"notifications": s.person.notifications, "calendars": s.person.calendars}
	case "list_mytokens":
		list := []any{}
		for _, t := range s.tokens {
			if t.parent == "" && !t.revoked {
				list = append(list, s.tree(t))
			}
		}
		answer["mytokens"] = list
	}
	s.rotate(t, answer, false)
	answerJSON(w, http.StatusOK, answer)
}

func (s *Server) introspection(t *token, mt string) map[string]any {
	kind := "token"
	claims := map[string]any{"jti": t.jti, "iss": s.URL, "oidc_iss": Provider, "capabilities": t.capabilities}
	if parts := strings.Split(mt, "."); len(parts) == 3 {
		payload, _ := base64.RawURLEncoding.DecodeString(parts[1])
		_ = json.Unmarshal(payload, &claims)
	} else {
		kind = "short_token"
	}
	return map[string]any{"valid": true, "token_type": kind, "mom_id": momID(t.jti), "token": claims}
}

func (s *Server) tree(t *token) map[string]any {
	entry := map[string]any{
		"mom_id": momID(t.jti), "name": t.name, "created": t.created.Unix(), "ip": "127.0.0.1",
	}
	if !t.expires.IsZero() {
		entry["expires_at"] = t.expires.Unix()
	}
	m := map[string]any{"token": entry}
	var children []any
	for _, c := range s.tokens {
		if c.parent == t.jti && !c.revoked {
			children = append(children, s.tree(c))
		}
	}
	if children != nil {
		m["children"] = children
	}
	return m
}
