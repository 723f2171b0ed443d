package regapp_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

const (
	uidAttr  = "urn:oid:0.9.2342.19200300.100.1.1"
	password = "http-secret"
)

// script is a reg-app as its interface is described: users, groups, registrations, and what can be made to go wrong.
type script struct {
	tb  testing.TB
	url string

	mu       sync.Mutex
	users    map[string]map[string]any // by externalId
	groups   map[string]int
	regs     map[string]map[string]any
	polls    int
	calls    []string
	dropped  map[string]bool // words of requests that are carried out, and then the connection is cut, once
	slow     int             // find a registration so many times before the hosts were told
	groupPut string          // before the names of groups that are made
	status   int             // every request gets it
}

func newScript(tb testing.TB) *script {
	s := &script{
		tb: tb, users: map[string]map[string]any{}, groups: map[string]int{}, regs: map[string]map[string]any{},
		dropped: map[string]bool{},
	}
	srv := httptest.NewServer(s)
	tb.Cleanup(srv.Close)
	s.url = srv.URL + "/rest"
	return s
}

func (s *script) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if user, pass, _ := r.BasicAuth(); user != "prov" || pass != password {
		http.Error(w, "who are you", http.StatusUnauthorized)
		return
	}
	if s.status != 0 {
		http.Error(w, "out of order", s.status)
		return
	}
	path := strings.Split(strings.TrimPrefix(r.URL.EscapedPath(), "/rest/"), "/")
	for i, p := range path {
		plain, err := unescape(p)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		path[i] = plain
	}
	word := path[0] + "/" + path[1]
	s.calls = append(s.calls, word)
	body, _ := io.ReadAll(r.Body)
	answer := s.handle(r.Method+" "+word, path[2:], body)
	if s.dropped[word] {
		delete(s.dropped, word)
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			s.tb.Error(err)
			return
		}
		conn.Close()
		return
	}
	switch a := answer.(type) {
	case nil:
		w.WriteHeader(http.StatusNoContent)
	case string:
		w.Header().Set("Content-Type", "text/plain")
		fmt.Fprint(w, a)
	default:
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(a)
	}
}

func unescape(s string) (string, error) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '%' {
			b.WriteByte(s[i])
			continue
		}
		var c byte
		if _, err := fmt.Sscanf(s[i+1:i+3], "%02X", &c); err != nil {
			return "", err
		}
		b.WriteByte(c)
		i += 2
	}
	return b.String(), nil
}

func (s *script) handle(what string, args []string, body []byte) any {
	switch what {
	case "GET external-user/find":
		return s.findUser(args)
	case "POST external-user/create":
		var in map[string]string
		s.read(body, &in)
		id := in["externalId"]
		if s.users[id] == nil {
			s.users[id] = map[string]any{
				"id": 4711 + len(s.users), "externalId": id, "userStatus": "ACTIVE", "attributeStore": nil, "genericStore": nil,
				"secondaryGroups": []any{}, "theirs": map[string]any{"kept": true}, "empty": nil,
			}
		}
		return nil
	case "POST external-user/update":
		var in map[string]any
		s.read(body, &in)
		for key, v := range in {
			if v == nil {
				s.tb.Errorf("update sends null for %s", key)
			}
		}
		in["secondaryGroups"] = s.users[in["externalId"].(string)]["secondaryGroups"]
		s.users[in["externalId"].(string)] = in
		return nil
	case "GET external-user/activate", "GET external-user/deactivate":
		s.users[args[1]]["userStatus"] = map[bool]string{true: "ON_HOLD", false: "ACTIVE"}[strings.HasSuffix(what, "deactivate")]
		return nil
	}
	if strings.HasPrefix(what, "GET group-admin/") {
		return s.group(what, args)
	}
	return s.registry(what, args)
}

func (s *script) read(body []byte, into any) {
	if err := json.Unmarshal(body, into); err != nil {
		s.tb.Errorf("%v in %s", err, body)
	}
}

func (s *script) findUser(args []string) any {
	if args[0] == "externalId" {
		if u := s.users[args[1]]; u != nil {
			return u
		}
		return "no such user"
	}
	var found []any
	for _, u := range s.users {
		if attrs, _ := u["attributeStore"].(map[string]any); attrs[args[1]] == args[2] {
			found = append(found, u)
		}
	}
	switch len(found) {
	case 0:
		return "no such user"
	case 1:
		return found[0]
	}
	return found
}

func (s *script) group(what string, args []string) any {
	switch what {
	case "GET group-admin/find":
		if n, ok := s.groups[args[1]]; ok {
			return map[string]any{"id": n, "name": args[1]}
		}
		return "no such group"
	case "GET group-admin/create":
		name := s.groupPut + args[1]
		s.groups[name] = 100 + len(s.groups)
		return map[string]any{"id": s.groups[name], "name": name}
	}
	for name, n := range s.groups {
		if fmt.Sprint(n) != args[1] {
			continue
		}
		for _, u := range s.users {
			if fmt.Sprint(u["id"]) == args[3] {
				list, _ := u["secondaryGroups"].([]any)
				var kept []any
				for _, g := range list {
					if g.(map[string]any)["name"] != name {
						kept = append(kept, g)
					}
				}
				if strings.HasSuffix(what, "add") {
					kept = append(kept, map[string]any{"id": n, "name": name})
				}
				u["secondaryGroups"] = kept
			}
		}
	}
	return nil
}

func (s *script) registry(what string, args []string) any {
	switch what {
	case "GET external-reg/register":
		attrs, _ := s.users[args[1]]["attributeStore"].(map[string]any)
		s.regs[args[1]] = map[string]any{
			"registryStatus": "ACTIVE", "lastReconcile": nil,
			"registryValues": map[string]any{"localUid": fmt.Sprintf("fdl_%v", attrs[uidAttr])},
		}
		s.polls = 0
		return nil
	case "GET external-reg/deregister":
		delete(s.regs, args[1])
		return nil
	case "GET external-reg/find":
		reg := s.regs[args[1]]
		if reg == nil {
			return []any{}
		}
		if s.polls++; s.polls > s.slow {
			reg["lastReconcile"] = 1790000000000
		}
		return []any{reg}
	}
	s.tb.Errorf("unknown request %s", what)
	return nil
}

// count is how often a request was seen.
func (s *script) count(word string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, c := range s.calls {
		if c == word {
			n++
		}
	}
	return n
}
