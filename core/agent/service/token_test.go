package service

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/agent/proto"
	"github.com/oidcbox/oidcbox/core/oidc/issuer"
)

func TestEveryRequestIsAnswered(t *testing.T) {
	w := newWorld(t)
	w.must(proto.Request{Type: proto.TypeCheck})
	for _, c := range []struct {
		req  proto.Request
		want string
	}{
		{proto.Request{}, proto.TextNoType},
		{proto.Request{Type: "dance"}, proto.TextUnknownType},
		{proto.Request{Type: proto.TypeMytoken, Account: "a"}, proto.TextNotConfigured},
		{proto.Request{Type: proto.TypeMytokenProviders}, "Bad Request: issuer is missing"},
		{proto.Request{Type: proto.TypeAccessToken}, proto.TextNotYet},
		{proto.Request{Type: proto.TypeAccessToken, Account: "nope"}, proto.TextNotConfigured},
		{proto.Request{Type: proto.TypeAccessToken, Issuer: "https://op.example.org"}, proto.TextNotLoaded},
		{proto.Request{Type: proto.TypeRemove, Account: "nope"}, proto.TextNotLoaded},
		{proto.Request{Type: proto.TypeUnlock}, proto.TextNotLocked},
		{proto.Request{Type: proto.TypeFileRead, Filename: "x"}, proto.TextFileNotFound},
		{proto.Request{Type: proto.TypeStateLookup}, proto.TextStateMalformed},
	} {
		t.Run(c.req.Type+"_"+c.want, func(t *testing.T) {
			w.t = t
			w.refused(c.req, c.want)
		})
	}
}

// TestHostileNames: names are file names elsewhere.
func TestHostileNames(t *testing.T) {
	w := newWorld(t)
	for _, name := range []string{"../x", "/etc/passwd", ".hidden", "a/b", "a\nb", "x.config"} {
		for _, r := range []proto.Request{
			{Type: proto.TypeAccessToken, Account: name},
			{Type: proto.TypeRemove, Account: name},
			{Type: proto.TypeAdd, Config: w.account(name, map[string]any{"refresh_token": "rt"})},
			{Type: proto.TypeGen, Config: w.account(name, nil)},
		} {
			if rep := w.ask(r); !strings.HasPrefix(rep.Error, proto.TextBadRequest) {
				t.Errorf("%s with name %q: %q", r.Type, name, rep.Error)
			}
		}
	}
}

func TestTokenCache(t *testing.T) {
	w := newWorld(t, func(o *issuer.Options) { o.AccessTTL = 10 * time.Minute })
	w.add("a", nil)
	first := w.token("a")
	count := w.refreshes()
	same := func(why string, r proto.Request, want bool) proto.Reply {
		t.Helper()
		r.Type, r.Account = proto.TypeAccessToken, "a"
		rep := w.must(r)
		if got := w.refreshes() == count; got != want {
			t.Errorf("%s: from the cache: %v, want %v", why, got, want)
		}
		count = w.refreshes()
		return rep
	}
	same("nothing asked", proto.Request{}, true)
	same("valid for long enough", proto.Request{MinValid: 500}, true)
	same("valid for too short", proto.Request{MinValid: 700}, false)
	if rep := same("forced", proto.Request{MinValid: proto.ForceNew}, false); rep.AccessToken.Expose() == first {
		t.Error("a forced token is the old one")
	}
	same("first time with this scope", proto.Request{Scope: "storage.read:/data"}, false)
	w.clock.add(5 * time.Minute)
	rep := same("the scope again", proto.Request{Scope: "storage.read:/data "}, true)
	if left := time.Until(time.Unix(rep.ExpiresAt, 0)); left < 9*time.Minute || left > 11*time.Minute {
		t.Errorf("the scoped token is said to expire in %v of real time, want 10 min after it was issued", left)
	}
	same("another audience", proto.Request{Audience: "https://se.example.org"}, false)
	same("the order of scopes", proto.Request{Scope: "storage.read:/data openid"}, false)
	same("the order of scopes again", proto.Request{Scope: "openid storage.read:/data"}, true)
	w.clock.add(20 * time.Minute)
	same("expired", proto.Request{}, false)
}

func TestTokenByIssuer(t *testing.T) {
	w := newWorld(t)
	w.add("a", nil)
	for _, iss := range []string{w.op.URL, w.op.URL + "/"} {
		rep := w.must(proto.Request{Type: proto.TypeAccessToken, Issuer: iss})
		if rep.Issuer != w.op.URL {
			t.Errorf("issuer %q, want %q", rep.Issuer, w.op.URL)
		}
	}
}

// TestManyAskForOne: with a provider that rotates, parallel refreshes would end the login.
func TestManyAskForOne(t *testing.T) {
	w := newWorld(t)
	w.add("a", nil)
	w.op.Fault(issuer.Fault{Path: "/token", Delay: 100 * time.Millisecond})
	before := w.refreshes()
	var wg sync.WaitGroup
	for range 32 {
		wg.Go(func() { w.must(proto.Request{Type: proto.TypeAccessToken, Account: "a", MinValid: proto.ForceNew}) })
	}
	wg.Wait()
	if n := w.refreshes() - before; n != 1 {
		t.Errorf("%d refreshes for 32 requests at the same time", n)
	}
	w.op.ClearFaults()
	w.must(proto.Request{Type: proto.TypeAccessToken, Account: "a", MinValid: proto.ForceNew})
}

// TestNameTakenMeanwhile: a refresh that was under way when another login took the name gives its token to those who
// asked for it, and to nobody later.
func TestNameTakenMeanwhile(t *testing.T) {
	w := newWorld(t)
	w.add("a", nil)
	w.op.Fault(issuer.Fault{Path: "/token", Times: 1, Delay: time.Second})
	before := w.refreshes()
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.ask(proto.Request{Type: proto.TypeAccessToken, Account: "a", MinValid: proto.ForceNew})
	}()
	time.Sleep(200 * time.Millisecond) // the provider has the request, and sits on it
	bob := w.op.Tokens("bob", loginScope)
	w.must(proto.Request{
		Type: proto.TypeGen, Flow: []string{flowRefresh},
		Config: w.account("a", map[string]any{"refresh_token": bob.Refresh.Expose()}),
	})
	if sub := subject(t, w.token("a")); sub != subject(t, bob.Access.Expose()) {
		t.Errorf("right after the new login the token is one of %s", sub)
	}
	<-done
	if n := w.refreshes() - before; n < 2 {
		t.Errorf("%d refreshes; the new login took the answer to the old one", n)
	}
	if sub := subject(t, w.token("a")); sub != subject(t, bob.Access.Expose()) {
		t.Errorf("when the answer for the old login has come the token is one of %s", sub)
	}
}

// subject is that of a JWT.
func subject(t *testing.T, jwt string) string {
	t.Helper()
	parts := strings.Split(jwt, ".")
	if len(parts) != 3 {
		t.Fatalf("a token of %d parts", len(parts))
	}
	b, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	var c struct{ Sub string }
	if err := json.Unmarshal(b, &c); err != nil {
		t.Fatal(err)
	}
	return c.Sub
}

func TestLoginAgain(t *testing.T) {
	w := newWorld(t)
	rt := w.refreshToken()
	w.add("a", map[string]any{"refresh_token": rt})
	w.op.Post("/revoke", "web", "web-secret", form("token", rt)) // a used one: the family ends
	rep := w.ask(proto.Request{Type: proto.TypeAccessToken, Account: "a", MinValid: proto.ForceNew})
	if !strings.HasPrefix(rep.Error, "invalid_grant") || !strings.Contains(rep.Info.Text(), "oidc-gen a --reauthenticate") {
		t.Errorf("error %q, info %q", rep.Error, rep.Info.Text())
	}
	n := w.refreshes()
	rep = w.ask(proto.Request{Type: proto.TypeAccessToken, Account: "a", MinValid: proto.ForceNew})
	if !strings.HasPrefix(rep.Error, "invalid_grant:") || !strings.Contains(rep.Info.Text(), "--reauthenticate") {
		t.Errorf("second time: error %q, info %q", rep.Error, rep.Info.Text())
	}
	if w.refreshes() != n {
		t.Error("the provider was asked again with a token it had refused")
	}
}

func TestProviderFaults(t *testing.T) {
	w := newWorld(t)
	w.add("a", nil)
	force := proto.Request{Type: proto.TypeAccessToken, Account: "a", MinValid: proto.ForceNew}
	for _, c := range []struct {
		name  string
		fault issuer.Fault
		want  string
	}{
		{"503", issuer.Fault{Path: "/token", Times: 9, Status: 503}, "Received Http Status Code 503"},
		{"html", issuer.Fault{Path: "/token", Times: 9, Status: 502, Body: "<html>oops</html>"}, "Received Http Status Code 502"},
		{"invalid_scope", issuer.Fault{
			Path: "/token", Times: 1, Status: 400, Body: `{"error":"invalid_scope","error_description":"not yours"}`,
		}, "invalid_scope: not yours"},
		{"no description", issuer.Fault{Path: "/token", Times: 1, Status: 400, Body: `{"error":"invalid_request"}`}, "invalid_request"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w.t = t
			w.op.Fault(c.fault)
			w.refused(force, c.want)
			w.op.ClearFaults()
			w.must(force)
		})
	}
}

func TestProviderDown(t *testing.T) {
	w := newWorld(t)
	w.add("a", nil)
	force := proto.Request{Type: proto.TypeAccessToken, Account: "a", MinValid: proto.ForceNew}
	w.op.Stop()
	w.refused(force, proto.TextCannotReach)
	w.must(proto.Request{Type: proto.TypeAccessToken, Account: "a"}) // the cached one is still good
	w.op.Restart(true)
	w.must(force)
}

func TestIDToken(t *testing.T) {
	w := newWorld(t)
	w.add("a", nil)
	w.refused(proto.Request{Type: proto.TypeIDToken, Account: "a"}, proto.TextForbidden)
	w.restart(Switches{AlwaysAllowIDToken: true})
	w.add("a", nil)
	rep := w.must(proto.Request{Type: proto.TypeIDToken, Account: "a"})
	if strings.Count(rep.IDToken.Expose(), ".") != 2 || rep.Issuer != w.op.URL {
		t.Errorf("id token of %d bytes from %q", rep.IDToken.Len(), rep.Issuer)
	}
}

func TestConfirmWithoutAnybody(t *testing.T) {
	w := newWorld(t)
	rt := w.refreshToken()
	w.must(proto.Request{Type: proto.TypeAdd, Config: w.account("a", map[string]any{"refresh_token": rt}), Confirm: true})
	w.refused(proto.Request{Type: proto.TypeAccessToken, Account: "a"}, proto.TextForbidden)
}

func TestCloseTwice(t *testing.T) {
	w := newWorld(t)
	for range 2 {
		if err := w.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
}
