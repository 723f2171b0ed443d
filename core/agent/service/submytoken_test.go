package service

import (
	"context"
	"encoding/json"
	"strings"
	"sync"
	"testing"

	"github.com/oidcbox/oidcbox/core/agent/prompt"
	"github.com/oidcbox/oidcbox/core/agent/proto"
	"github.com/oidcbox/oidcbox/core/mytoken/mytokentest"
	"github.com/oidcbox/oidcbox/core/secret"
)

// person answers every question and keeps them.
type person struct {
	mu     sync.Mutex
	yes    bool
	asked  []prompt.Question
	before func() // runs while the question is open
	open   func(link string)
}

func (p *person) Ask(_ context.Context, q prompt.Question) (prompt.Answer, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked = append(p.asked, q)
	if p.before != nil {
		p.before()
	}
	if q.Kind == prompt.Link && p.open != nil {
		p.open(q.Label)
	}
	if q.Kind == prompt.Input {
		return prompt.Answer{Text: secret.FromString("typed")}, nil
	}
	return prompt.Answer{Yes: p.yes}, nil
}

func subtoken(profile string) proto.Request {
	r := proto.Request{Type: proto.TypeMytoken, Account: "kit", Hint: "oidc-token"}
	if profile != "" {
		r.MytokenProfile = json.RawMessage(profile)
	}
	return r
}

func members(t *testing.T, rep proto.Reply) map[string]any {
	t.Helper()
	m := map[string]any{}
	if err := rep.Mytoken.Use(func(b []byte) error { return json.Unmarshal(b, &m) }); err != nil {
		t.Fatal(err)
	}
	return m
}

func TestSubmytoken(t *testing.T) {
	w, srv := withMytoken(t, func(o *mytokentest.Options) { o.RotateOnOther = true })
	w.must(proto.Request{Type: proto.TypeAdd, Config: mtAccount(srv, "kit", srv.Mint(), nil)})
	p := &person{yes: true}
	w.opts.Asker = p
	m := members(t, w.must(subtoken("")))
	mt, _ := m["mytoken"].(string)
	if !srv.Current(mt) {
		t.Fatal("the answer has no mytoken that is good")
	}
	for name, want := range map[string]any{
		"oidc_issuer": mytokentest.Provider, "mytoken_issuer": srv.URL, "expires_at": 0.0, "mytoken_type": "token",
	} {
		if m[name] != want {
			t.Errorf("%s is %v, want %v", name, m[name], want)
		}
	}
	for _, name := range []string{"token_update", "updated_token", "expires_in"} {
		if _, there := m[name]; there {
			t.Errorf("the answer has %s", name)
		}
	}
	text := p.asked[0].Text
	for _, want := range []string{"oidc-token", "login kit", srv.URL, "web-default", "AT tokeninfo"} {
		if !strings.Contains(text, want) {
			t.Errorf("the question does not name %q:\n%s", want, text)
		}
	}
	sent := lastBody(srv, mytokentest.PathMytoken)
	if sent["name"] != "mytoken requested by oidc-token" || sent["oidc_issuer"] != mytokentest.Provider {
		t.Errorf("sent %v", sent)
	}
	// The mytoken that was used has been replaced, and what replaced it is in use.
	w.must(proto.Request{Type: proto.TypeAccessToken, Account: "kit", MinValid: proto.ForceNew})
	w.must(subtoken(`{"capabilities":["AT"],"restrictions":[{"exp":4102444800,"scope":"openid"}],"response_type":"transfer_code"}`))
	m = members(t, w.must(subtoken(`{"capabilities":["AT"],"restrictions":[{"exp":4102444800}]}`)))
	if m["expires_at"] != 4102444800.0 {
		t.Errorf("expires_at is %v", m["expires_at"])
	}
	if !strings.Contains(p.asked[2].Text, "until 2100-01-01") {
		t.Errorf("the question does not say how long:\n%s", p.asked[2].Text)
	}
}

func lastBody(srv *mytokentest.Server, path string) map[string]any {
	var m map[string]any
	for _, r := range srv.Requests() {
		if r.Path == path {
			m = r.Body
		}
	}
	return m
}

func TestSubmytokenRefused(t *testing.T) {
	w, srv := withMytoken(t)
	w.must(proto.Request{Type: proto.TypeAdd, Config: mtAccount(srv, "kit", srv.Mint("AT", "tokeninfo"), nil)})
	w.add("plain", nil)
	before := srv.Count(mytokentest.PathMytoken)
	t.Run("nobody_to_ask", func(t *testing.T) {
		rep := w.refused(subtoken(""), proto.TextForbidden)
		if !strings.Contains(rep.Info.Text(), "terminal") {
			t.Errorf("help %q", rep.Info.Text())
		}
	})
	p := &person{}
	w.opts.Asker = p
	t.Run("person_says_no", func(t *testing.T) { w.refused(subtoken(""), proto.TextForbidden) })
	t.Run("login_at_a_provider", func(t *testing.T) {
		r := subtoken("")
		r.Account = "plain"
		w.refused(r, proto.TextNotMytoken)
	})
	t.Run("profile_that_is_none", func(t *testing.T) {
		w.refused(subtoken(`{"capabilities":7}`), "Bad Request: mytoken_profile is not usable")
	})
	if got := srv.Count(mytokentest.PathMytoken); got != before {
		t.Fatalf("%d requests reached the server without a yes", got-before)
	}
	p.yes = true
	t.Run("mytoken_may_not", func(t *testing.T) {
		w.refused(subtoken(""), "insufficient_capabilities: "+
			"The provided token does not have the required capability for this operation")
		w.must(proto.Request{Type: proto.TypeAccessToken, Account: "kit", MinValid: proto.ForceNew}) // the login goes on
	})
	t.Run("login_changes_during_the_question", func(t *testing.T) {
		other := mytokentest.Start(t)
		p.before = func() {
			w.must(proto.Request{Type: proto.TypeRemove, Account: "kit"})
			w.must(proto.Request{Type: proto.TypeAdd, Config: mtAccount(other, "kit", other.Mint(), nil)})
		}
		n := srv.Count(mytokentest.PathMytoken)
		w.refused(subtoken(""), proto.TextNotMytoken)
		if srv.Count(mytokentest.PathMytoken) != n || other.Count(mytokentest.PathMytoken) != 0 {
			t.Fatal("a mytoken went to a server that nobody agreed to")
		}
	})
}
