package sshapi_test

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"

	"github.com/oidcbox/oidcbox/core/mytoken"
	"github.com/oidcbox/oidcbox/core/mytoken/desk"
)

func TestCommands(t *testing.T) {
	b := newBed(t)
	key := newSigner(t)
	user := b.add(b.login(), key, mytoken.SSHKeyRequest{Name: "laptop", Capabilities: all()})
	b64 := func(s string) string {
		return "application/json;base64 " + base64.StdEncoding.EncodeToString([]byte(s))
	}

	t.Run("access_token_alone_on_a_line", func(t *testing.T) {
		o := b.run(user, key, "AT")
		if o.status != 0 || !strings.HasPrefix(o.out, "access-") || strings.Count(o.out, "\n") != 1 || o.errOut != "" {
			t.Errorf("%+v", o)
		}
	})
	t.Run("request_as_JSON_and_as_base64", func(t *testing.T) {
		for _, data := range []string{
			`application/json {"scope":"storage.read:/", "comment": "from a job"}`, b64(`{"scope":"storage.read:/"}`),
			"APPLICATION/JSON   {\"scope\":\"storage.read:/\"}",
		} {
			if o := b.run(user, key, "AT "+data); o.status != 0 || !strings.HasPrefix(o.out, "access-") {
				t.Errorf("%s: %+v", data, o)
			}
		}
	})
	t.Run("mytoken", func(t *testing.T) {
		o := b.run(user, key, "MT "+b64(`{"capabilities":["AT"],"restrictions":[{"usages_AT":1}]}`))
		if o.status != 0 || strings.Count(o.out, ".") != 2 || strings.Count(o.out, "\n") != 1 {
			t.Errorf("%+v", o)
		}
		o = b.run(user, key, "MT "+b64(`{"response_type":"transfer_code"}`))
		if o.status != 0 || len(strings.TrimSpace(o.out)) >= 32 {
			t.Errorf("%+v", o)
		}
	})
	t.Run("information_is_JSON_on_one_line", func(t *testing.T) {
		for action, member := range map[string]string{
			"introspect": "valid", "history": "events", "list-subtokens": "mytokens", "list-all-mytokens": "mytokens",
		} {
			o := b.run(user, key, action)
			var m map[string]json.RawMessage
			if err := json.Unmarshal([]byte(o.out), &m); err != nil || o.status != 0 || m[member] == nil ||
				strings.Count(o.out, "\n") != 1 {
				t.Errorf("%s: %v %+v", action, err, o)
			}
		}
	})
	t.Run("history_has_address_and_client", func(t *testing.T) {
		o := b.run(user, key, "history")
		if !strings.Contains(o.out, `"ip":"127.0.0.1"`) || !strings.Contains(o.out, "SSH-2.0-Go") ||
			!strings.Contains(o.out, "AT_created") {
			t.Errorf("%+v", o)
		}
	})
	t.Run("other_mytoken_in_the_data_does_not_count", func(t *testing.T) {
		o := b.run(user, key, "AT "+b64(`{"mytoken":"`+strings.Repeat("x", 64)+`","grant_type":"polling_code"}`))
		if o.status != 0 || !strings.HasPrefix(o.out, "access-") {
			t.Errorf("%+v", o)
		}
	})
	if strings.Contains(b.log.String(), user) {
		t.Error("the user name is in the log")
	}
}

func TestRefusals(t *testing.T) {
	b := newBed(t)
	key := newSigner(t)
	user := b.add(b.login(), key, mytoken.SSHKeyRequest{})
	for name, c := range map[string]struct {
		command string
		status  int
		says    string
	}{
		"capability":     {"introspect", 1, "insufficient_capabilities: "},
		"wrong_member":   {`AT application/json {"scope":["a"]}`, 1, "invalid_request"},
		"no_command":     {"", 2, "usage"},
		"two_words":      {"AT application/json", 2, "neither one nor three words"},
		"unknown_action": {"rm", 2, "unknown action"},
		"unknown_mime":   {"AT text/plain {}", 2, "mime"},
		"no_JSON":        {"AT application/json {", 2, "no JSON object"},
		"twice":          {`AT application/json {"scope":"a","scope":"b"}`, 2, "no JSON object"},
		"no_base64":      {"AT application/json;base64 e30", 2, "no base64"},
		"array":          {"AT application/json []", 2, "no JSON object"},
		"control":        {"AT\x00", 2, "characters"},
		"shell":          {"AT; id", 2, "neither one nor three words"},
	} {
		t.Run(name, func(t *testing.T) {
			o := b.run(user, key, c.command)
			if o.status != c.status || o.out != "" || !strings.Contains(o.errOut, c.says) {
				t.Errorf("%+v", o)
			}
		})
	}
}

// TestRotation: the mytoken under a user name is replaced at each use, and nobody but the server sees that.
func TestRotation(t *testing.T) {
	b := newBed(t)
	key := newSigner(t)
	user := b.add(b.login(), key, mytoken.SSHKeyRequest{Capabilities: all()}, func(terms *desk.Terms) {
		terms.Rotation = &mytoken.Rotation{OnAT: true, OnOther: true, AutoRevoke: true}
	})
	for range 4 {
		if o := b.run(user, key, "AT"); o.status != 0 || !strings.HasPrefix(o.out, "access-") {
			t.Fatalf("%+v", o)
		}
		if o := b.run(user, key, "history"); o.status != 0 || strings.Contains(o.out, "token_update") {
			t.Fatalf("%+v", o)
		}
	}
	var m struct {
		Token struct {
			SeqNo int `json:"seq_no"`
		} `json:"token"`
	}
	o := b.run(user, key, "introspect")
	if err := json.Unmarshal([]byte(o.out), &m); err != nil || m.Token.SeqNo != 9 {
		t.Errorf("%v %+v", err, o)
	}
}
