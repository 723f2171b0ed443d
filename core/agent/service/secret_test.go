package service

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/oidcbox/oidcbox/core/agent/proto"
	"github.com/oidcbox/oidcbox/core/oidc/issuer"
	"github.com/oidcbox/oidcbox/core/secret"
)

// TestNothingTellsSecrets plants secrets in everything a client sends and the provider answers, lets all of it fail, and
// looks through what is said and logged.
func TestNothingTellsSecrets(t *testing.T) {
	w := newWorld(t)
	var log bytes.Buffer
	w.opts.Log = slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	w.mem = w.newShelf(w.mem.raw, w.mem.eng, w.mem.keys) // whose keeper logs there
	good := w.refreshToken()
	planted := []string{"planted-rt", "planted-secret", "planted-pw", "planted-code", "planted-reg", "planted-user-pw", good}
	config := func(name string, more map[string]any) secret.Text {
		m := map[string]any{
			"refresh_token": "planted-rt", "client_secret": "planted-secret", "registration_access_token": "planted-reg",
			"username": "alice", "password": "planted-user-pw",
		}
		for k, v := range more {
			m[k] = v
		}
		return w.account(name, m)
	}
	pw := func() secret.Text { return secret.FromString("planted-pw") }
	var said strings.Builder
	ask := func(r proto.Request) {
		rep := w.ask(r)
		if rep.Error == "" {
			t.Errorf("%s was to fail", r.Type)
		}
		fmt.Fprintln(&said, rep.Error, rep.Info.Text(), rep)
	}
	ask(proto.Request{Type: proto.TypeAdd, Config: config("a", nil)})
	ask(proto.Request{Type: proto.TypeAdd, Config: secret.FromString(`{"name":"x","refresh_token":"planted-rt","broken`)})
	ask(proto.Request{Type: proto.TypeAdd, Config: config("a/b", nil)})
	ask(proto.Request{Type: proto.TypeGen, Config: config("b", nil), Flow: []string{"refresh", "password"}})
	ask(proto.Request{Type: proto.TypeDelete, Config: config("c", map[string]any{"issuer_url": w.op.URL + "/elsewhere"})})
	ask(proto.Request{Type: proto.TypeUnlock, Password: pw()})
	ask(proto.Request{Type: proto.TypeDevice, Device: secret.FromString(`{"device_code":"planted-code"}`)})
	ask(proto.Request{Type: proto.TypeDevice, Device: secret.FromString(`{"device_code":planted-code`)})
	for _, uri := range []string{"http://x/?state=a&code=planted-code", "http://x/%zz?code=planted-code", "http://x/?code=planted-code"} {
		ask(proto.Request{Type: proto.TypeCodeExchange, RedirectURI: secret.FromString(uri), FromGen: true})
	}
	nobody := httptest.NewServer(nil)
	nobody.Close()
	ask(proto.Request{
		Type: proto.TypeDeleteClient, RegistrationClientURI: nobody.URL + "/reg",
		RegistrationAccessToken: secret.FromString("planted-reg"),
	})
	// A provider that repeats what it was sent.
	w.must(proto.Request{Type: proto.TypeAdd, Config: w.account("d", map[string]any{"refresh_token": good}), PlainAdd: true})
	w.op.Fault(issuer.Fault{
		Path: "/token", Status: 400, Body: `{"error":"invalid_request","error_description":"bad token ` + good + `"}`,
	})
	ask(proto.Request{Type: proto.TypeAccessToken, Account: "d", MinValid: proto.ForceNew})
	w.lockWith("planted-pw")
	ask(proto.Request{Type: proto.TypeUnlock, Password: secret.FromString("planted-user-pw")})
	for _, p := range planted {
		if strings.Contains(said.String(), p) {
			t.Errorf("an answer shows %s", p)
		}
		if strings.Contains(log.String(), p) {
			t.Errorf("the log shows %s", p)
		}
	}
	if log.Len() == 0 {
		t.Error("nothing was logged: the test looks at the wrong place")
	}
}
