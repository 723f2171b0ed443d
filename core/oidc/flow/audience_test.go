package flow_test

import (
	"errors"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/oidc/flow"
	"github.com/oidcbox/oidcbox/core/secret"
)

// everyRequest makes each request that can name an audience, and returns what was sent by name. The errors are of no
// interest: the fake gives no ID tokens.
func everyRequest(t *testing.T, f *fake, c *flow.Client, audience []string) map[string]url.Values {
	t.Helper()
	sent := map[string]url.Values{}
	note := func(name string) {
		if all := f.requests(); len(all) > 0 {
			sent[name] = all[len(all)-1].form
		}
		f.answersJSON(200, answerOfAll)
	}
	f.answersJSON(200, answerOfAll)
	r := flow.Request{Audience: audience}
	_, _ = c.Refresh(t.Context(), oldRefresh, r)
	note("refresh")
	_, _ = c.ClientCredentials(t.Context(), r)
	note("client credentials")
	_, _ = c.Exchange(t.Context(), flow.ExchangeRequest{Request: r, Subject: secret.FromString("st")})
	note("exchange")
	_, _ = c.Password(t.Context(), "alice", secret.FromString("pw"), r)
	note("password")
	d, err := c.StartDevice(t.Context(), r)
	note("device")
	if err == nil {
		_, _ = c.PollDevice(t.Context(), d)
		note("device poll")
	}
	l, err := c.StartCode(t.Context(), flow.CodeRequest{Request: r, RedirectURI: "http://localhost:4242"})
	if err == nil {
		u, err := url.Parse(l.URL)
		if err != nil {
			t.Fatal(err)
		}
		sent["authorization"] = u.Query()
		_, _ = l.Finish(t.Context(), url.Values{"state": {l.State}, "code": {"code"}})
		note("code")
	}
	return sent
}

const answerOfAll = `{"access_token":"at","token_type":"Bearer","device_code":"d","user_code":"U","verification_uri":"https://x.example/"}`

// TestAudienceInEveryRequest: the audience goes the same way in every request of a login, so that what a person agreed
// to is what is asked for later.
func TestAudienceInEveryRequest(t *testing.T) {
	f := newFake(t)
	both := []string{"https://se.example", "se"}
	for style, want := range map[flow.AudienceStyle]url.Values{
		flow.AudienceResource: {"resource": {"https://se.example"}, "audience": {"se"}},
		flow.AudienceParam:    {"audience": both},
		flow.AudienceRepeated: {"audience": both},
		flow.AudienceJoined:   {"audience": {"https://se.example se"}},
	} {
		c := f.client(t, func(_ *flow.ClientConfig, o *flow.Options) { o.Audience = style })
		requests := everyRequest(t, f, c, both)
		if len(requests) != 8 {
			t.Fatalf("%s: %d requests", style, len(requests))
		}
		for name, form := range requests {
			for _, param := range []string{"resource", "audience"} {
				if !slices.Equal(form[param], want[param]) {
					t.Errorf("%s, %s: %s is %q, want %q", style, name, param, form[param], want[param])
				}
			}
		}
	}
	c := f.client(t, func(_ *flow.ClientConfig, o *flow.Options) { o.Audience = "fixed:any" })
	for name, form := range everyRequest(t, f, c, nil) {
		if !slices.Equal(form["audience"], []string{"any"}) || form.Has("resource") {
			t.Errorf("fixed, %s: %v", name, form)
		}
	}
	c = f.client(t, func(_ *flow.ClientConfig, o *flow.Options) { o.Audience = flow.AudienceNone })
	if sent := everyRequest(t, f, c, both); len(sent) > 0 {
		t.Errorf("a provider without audiences was asked: %v", sent)
	}
}

// TestIsResource: what is sent as a resource is an absolute URI, and what only looks like one to a parser is none.
func TestIsResource(t *testing.T) {
	for v, want := range map[string]bool{
		"https://se.example": true, "https://se.example:8443/path": true, "urn:example:se": true,
		"se": false, "se.example": false, "se.example:8443": false, "se.example:8443/path": false, "localhost:1": false,
		"https://se.example#a": false, "https://se.example#": false, "//se.example": false, "": false,
	} {
		if got := flow.IsResource(v); got != want {
			t.Errorf("%q: %v", v, got)
		}
	}
}

// TestResources go beside the audience, whatever its style, and are URIs or nothing.
func TestResources(t *testing.T) {
	f := newFake(t)
	f.answersJSON(200, `{"access_token":"at"}`)
	c := f.client(t, func(_ *flow.ClientConfig, o *flow.Options) { o.Audience = flow.AudienceJoined })
	_, err := c.Exchange(t.Context(), flow.ExchangeRequest{
		Request: flow.Request{Audience: []string{"a", "b"}, Resource: []string{"https://r.example", "urn:r", "urn:r"}},
		Subject: secret.FromString("st"),
	})
	if err != nil {
		t.Fatal(err)
	}
	form := f.requests()[0].form
	if !slices.Equal(form["resource"], []string{"https://r.example", "urn:r"}) || form.Get("audience") != "a b" ||
		form.Get("subject_token_type") != "urn:ietf:params:oauth:token-type:access_token" {
		t.Errorf("sent %v", form)
	}
	f.answersJSON(200, `{"access_token":"at"}`)
	_, err = c.ClientCredentials(t.Context(), flow.Request{Resource: []string{"r"}})
	if !errors.Is(err, flow.ErrAudience) || len(f.requests()) > 0 {
		t.Errorf("what is no URI: %v", err)
	}
}

// TestExpiryOfTheToken: what the provider leaves out the token may say; what the provider says counts more.
func TestExpiryOfTheToken(t *testing.T) {
	f := newFake(t)
	end := f.now.Add(10 * time.Minute)
	jwt := f.sign(t, "at+jwt", map[string]any{"exp": end.Unix()})
	for name, c := range map[string]struct {
		answer map[string]any
		want   time.Time
	}{
		"neither":         {map[string]any{"access_token": "opaque"}, time.Time{}},
		"the token":       {map[string]any{"access_token": jwt}, end},
		"both":            {map[string]any{"access_token": jwt, "expires_in": 60}, f.now.Add(time.Minute)},
		"no JWT, 3 parts": {map[string]any{"access_token": "a.b.c"}, time.Time{}},
		"a time too far": {
			map[string]any{"access_token": f.sign(t, "", map[string]any{"exp": 1e15})}, time.Time{},
		},
		"a text": {map[string]any{"access_token": f.sign(t, "", map[string]any{"exp": "soon"})}, time.Time{}},
	} {
		t.Run(name, func(t *testing.T) {
			f.answersJSON(200, toJSON(t, c.answer))
			toks, err := f.client(t).Refresh(t.Context(), oldRefresh, flow.Request{})
			if err != nil || !toks.Expires.Equal(c.want) {
				t.Errorf("expires %v, %v; want %v", toks.Expires, err, c.want)
			}
		})
	}
}
