package desk_test

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/mytoken"
	"github.com/oidcbox/oidcbox/core/mytoken/desk"
	"github.com/oidcbox/oidcbox/core/oidc/issuer"
	"github.com/oidcbox/oidcbox/core/secret"
)

func TestLogin(t *testing.T) {
	t.Run("a program gets a mytoken and access tokens", func(t *testing.T) {
		b := newBed(t, setup{})
		ctx := t.Context()
		begun, err := b.Begin(ctx, b.ask(map[string]any{
			"restrictions": []map[string]any{
				{"scope": "storage.read:/vo", "audience": []string{"https://se.example.org"}, "exp": "+1d"},
			},
			"capabilities": []string{"AT", "tokeninfo", "nonsense"}, "application_name": "a job",
		}), desk.Caller{Origin: home()})
		if err != nil {
			t.Fatal(err)
		}
		if begun.Interval != 5*time.Second || !strings.HasPrefix(begun.ConsentURI, server+"/c/") {
			t.Fatalf("%+v", begun)
		}
		_, err = b.Poll(ctx, begun.PollingCode, home())
		refused(t, err, http.StatusPreconditionRequired, desk.CodePending)
		a, err := b.Asked(ctx, codeOf(begun.ConsentURI))
		if err != nil {
			t.Fatal(err)
		}
		if a.Application != "a job" || !slices.Equal(a.Capabilities, []string{"AT", "tokeninfo"}) ||
			a.From.Client != home().Client {
			t.Errorf("asked: %+v", a)
		}
		l, err := b.land(b.agree(begun), "alice")
		if err != nil {
			t.Fatal(err)
		}
		if !l.Native || l.To != "/native?application=a+job" || l.Session != nil {
			t.Errorf("landing: %+v", l)
		}
		i, err := b.another().Poll(ctx, begun.PollingCode, home())
		if err != nil {
			t.Fatal(err)
		}
		if i.Kind != mytoken.KindToken || i.ExpiresIn() < 86000 || i.Restrictions[0].Scope != "storage.read:/vo" {
			t.Errorf("mytoken: %s %d %v", i.Kind, i.ExpiresIn(), i.Restrictions)
		}
		at, err := b.access(i, desk.AccessRequest{Scope: []string{"storage.read:/vo/run7"}, Comment: "stage in"})
		if err != nil {
			t.Fatal(err)
		}
		if at.Scope != "storage.read:/vo/run7" || at.Update != nil ||
			!slices.Equal(at.Audience, []string{"https://se.example.org"}) {
			t.Errorf("access token: %q %q", at.Scope, at.Audience)
		}
		if got := b.events(i.MOMID); !slices.Equal(got, []string{"AT_created", "created"}) {
			t.Errorf("history %q", got)
		}
		_, err = b.access(i, desk.AccessRequest{Scope: []string{"storage.modify:/vo"}})
		refused(t, err, http.StatusForbidden, desk.CodeRestricted)
		if got := b.heard(); !slices.Contains(got, desk.ClassRestrictions) || !slices.Contains(got, desk.ClassAccess) {
			t.Errorf("notices %q", got)
		}
	})
}

func TestPollAgain(t *testing.T) {
	t.Run("a code is good once, and again for who lost the answer", func(t *testing.T) {
		b := newBed(t, setup{})
		ctx := t.Context()
		begun, err := b.Begin(ctx, b.ask(nil), desk.Caller{Origin: home()})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.land(b.agree(begun), "alice"); err != nil {
			t.Fatal(err)
		}
		first, err := b.Poll(ctx, begun.PollingCode, home())
		if err != nil {
			t.Fatal(err)
		}
		again, err := b.another().Poll(ctx, begun.PollingCode, home())
		if err != nil || !again.Token.Equal(first.Token) {
			t.Fatalf("the answer was lost, and with it the mytoken: %v", err)
		}
		_, err = b.Poll(ctx, begun.PollingCode, from("198.51.100.9"))
		refused(t, err, http.StatusUnauthorized, desk.CodeToken)
		b.clock.move(21 * time.Second)
		_, err = b.Poll(ctx, begun.PollingCode, home())
		refused(t, err, http.StatusUnauthorized, desk.CodeToken)
	})
}

func TestLoginDeclined(t *testing.T) {
	t.Run("declined", func(t *testing.T) {
		b := newBed(t, setup{})
		ctx := t.Context()
		begun, err := b.Begin(ctx, b.ask(map[string]any{"application_name": "x&y"}), desk.Caller{Origin: home()})
		if err != nil {
			t.Fatal(err)
		}
		code := codeOf(begun.ConsentURI)
		to := b.agree(begun) // and goes back
		next, err := b.Decline(ctx, code, home())
		if err != nil || next != "/native/abort?application=x%26y" {
			t.Fatal(next, err)
		}
		for range 2 {
			_, err = b.Poll(ctx, begun.PollingCode, home())
			refused(t, err, http.StatusUnauthorized, desk.CodeDenied)
		}
		_, err = b.Asked(ctx, code)
		refused(t, err, http.StatusNotFound, desk.CodeNotFound)
		_, err = b.land(to, "alice")
		refused(t, err, http.StatusBadRequest, desk.CodeRequest)
		if n := b.posted("/token", "grant_type", "authorization_code"); n != 0 {
			t.Errorf("%d codes were exchanged for a login that was declined", n)
		}
	})
	t.Run("the person says no at the provider", func(t *testing.T) {
		b := newBed(t, setup{})
		ctx := t.Context()
		begun, err := b.Begin(ctx, b.ask(nil), desk.Caller{Origin: home()})
		if err != nil {
			t.Fatal(err)
		}
		_, err = b.land(b.agree(begun), "deny")
		refused(t, err, http.StatusUnauthorized, desk.CodeDenied)
		_, err = b.Poll(ctx, begun.PollingCode, home())
		refused(t, err, http.StatusUnauthorized, desk.CodeDenied)
	})
}

func TestLoginHostile(t *testing.T) {
	t.Run("two ways to the provider end in one mytoken", func(t *testing.T) {
		b := newBed(t, setup{})
		ctx := t.Context()
		begun, err := b.Begin(ctx, b.ask(nil), desk.Caller{Origin: home()})
		if err != nil {
			t.Fatal(err)
		}
		one, two := b.back(b.agree(begun), "alice"), b.back(b.agree(begun), "alice")
		if _, err := b.LandIn(ctx, one); err != nil {
			t.Fatal(err)
		}
		_, err = b.LandIn(ctx, two)
		refused(t, err, http.StatusBadRequest, desk.CodeRequest)
		_, err = b.LandIn(ctx, one)
		refused(t, err, http.StatusBadRequest, desk.CodeRequest)
		i, err := b.Poll(ctx, begun.PollingCode, home())
		if err != nil {
			t.Fatal(err)
		}
		if all, err := b.ledger.List(ctx, b.find(i.MOMID).User); err != nil || len(all) != 1 {
			t.Errorf("%d mytokens, %v", len(all), err)
		}
	})
	t.Run("the one who agrees sends somebody else to the provider", func(t *testing.T) {
		b := newBed(t, setup{})
		begun, err := b.Begin(t.Context(), b.ask(nil), desk.Caller{Origin: home()})
		if err != nil {
			t.Fatal(err)
		}
		in := b.back(b.agree(begun), "bob")
		for _, other := range []secret.Text{{}, secret.FromString("of another login")} {
			_, err := b.LandIn(t.Context(), desk.Arrival{Query: in.Query, Binding: other, From: home()})
			refused(t, err, http.StatusBadRequest, desk.CodeRequest)
		}
		if _, err = b.Poll(t.Context(), begun.PollingCode, home()); !pending(err) {
			t.Errorf("it has the mytoken of somebody else: %v", err)
		}
		if _, err := b.LandIn(t.Context(), in); err != nil {
			t.Errorf("another browser used the login up: %v", err)
		}
	})
	t.Run("a state that nobody was given", func(t *testing.T) {
		b := newBed(t, setup{})
		for _, q := range []url.Values{
			{"state": {"x"}, "code": {"y"}},
			{},
			{"state": {strings.Repeat("A", 32), strings.Repeat("A", 32)}},
			{"state": {strings.Repeat("A", 100_000)}},
		} {
			_, err := b.LandIn(t.Context(), desk.Arrival{Query: q, From: home()})
			refused(t, err, http.StatusBadRequest, desk.CodeRequest)
		}
	})
}

func TestLoginTooLate(t *testing.T) {
	t.Run("too late", func(t *testing.T) {
		b := newBed(t, setup{})
		begun, err := b.Begin(t.Context(), b.ask(nil), desk.Caller{Origin: home()})
		if err != nil {
			t.Fatal(err)
		}
		q := b.back(b.agree(begun), "alice")
		b.clock.move(5*time.Minute + time.Second)
		_, err = b.Poll(t.Context(), begun.PollingCode, home())
		refused(t, err, http.StatusUnauthorized, desk.CodeExpired)
		_, err = b.LandIn(t.Context(), q)
		refused(t, err, http.StatusBadRequest, desk.CodeRequest)
		b.clock.move(time.Hour)
		_, err = b.Poll(t.Context(), begun.PollingCode, home())
		refused(t, err, http.StatusUnauthorized, desk.CodeToken)
	})
}

func TestAccept(t *testing.T) {
	b := newBed(t, setup{})
	ctx := t.Context()
	begun, err := b.Begin(ctx, b.ask(map[string]any{
		"restrictions": []map[string]any{{"hosts": []string{"this"}, "usages_AT": 3}},
		"rotation":     map[string]any{"on_AT": true},
	}), desk.Caller{Origin: from("203.0.113.5")})
	if err != nil {
		t.Fatal(err)
	}
	code := codeOf(begun.ConsentURI)
	a, err := b.Asked(ctx, code)
	if err != nil || !slices.Equal(a.Restrictions[0].Hosts, []string{"203.0.113.5"}) {
		t.Fatalf("this is %v, %v", a.Restrictions, err)
	}
	t.Run("an unknown capability", func(t *testing.T) {
		terms := termsOf(a)
		terms.Capabilities = append(slices.Clone(terms.Capabilities), "everything")
		_, err := b.Accept(ctx, code, terms, home())
		refused(t, err, http.StatusBadRequest, desk.CodeRequest)
	})
	t.Run("a clause that nothing can use", func(t *testing.T) {
		terms := termsOf(a)
		terms.Restrictions = clauses(mytoken.Restriction{Expires: mytoken.At(b.clock.now().Add(-time.Hour))})
		_, err := b.Accept(ctx, code, terms, home())
		refused(t, err, http.StatusBadRequest, desk.CodeRequest)
	})
	t.Run("another provider that is not there", func(t *testing.T) {
		terms := termsOf(a)
		terms.Issuer = "https://evil.example.org"
		_, err := b.Accept(ctx, code, terms, home())
		refused(t, err, http.StatusBadRequest, desk.CodeRequest)
	})
	t.Run("what is agreed to replaces what was asked for", func(t *testing.T) {
		body := `{"name":"other","capabilities":["AT"],"restrictions":[{"hosts":["this"],"scope":"storage.read:/"}]}`
		terms, err := b.Terms([]byte(body))
		if err != nil {
			t.Fatal(err)
		}
		to, err := b.Accept(ctx, code, terms, from("198.51.100.3"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.land(to, "bob"); err != nil {
			t.Fatal(err)
		}
		i, err := b.Poll(ctx, begun.PollingCode, home())
		if err != nil {
			t.Fatal(err)
		}
		r := i.Restrictions[0]
		if r.UsagesAT != nil || r.Scope != "storage.read:/" || !slices.Equal(r.Hosts, []string{"198.51.100.3"}) ||
			i.Rotation != nil || !slices.Equal(i.Capabilities, []string{"AT"}) || b.find(i.MOMID).Name != "other" {
			t.Errorf("%v %v %v", i.Restrictions, i.Rotation, i.Capabilities)
		}
	})
}

func TestBeginRefuses(t *testing.T) {
	b := newBed(t, setup{})
	long := strings.Repeat("x", 300)
	for name, q := range map[string]map[string]any{
		"an unknown provider":      {"oidc_issuer": "https://evil.example.org"},
		"no provider":              {"oidc_issuer": ""},
		"an unknown flow":          {"oidc_flow": "implicit"},
		"a clause that is over":    {"restrictions": []map[string]any{{"exp": 1000}}},
		"an empty audience":        {"restrictions": []map[string]any{{"audience": []string{}}}},
		"end before begin":         {"restrictions": []map[string]any{{"nbf": "+2d", "exp": "+1d"}}},
		"an unknown member":        {"restrictions": []map[string]any{{"planet": "mars"}}},
		"a template of nobody":     {"restrictions": "nowhere/nothing"},
		"web without redirect_uri": {"client_type": "web"},
		"web to a script":          {"client_type": "web", "redirect_uri": "javascript:alert(1)"},
		"web to plain http":        {"client_type": "web", "redirect_uri": "http://example.org/"},
		"only unknown abilities":   {"capabilities": []string{"fly"}},
		"a long name":              {"name": long},
		"a name with an escape":    {"name": "a\u001b[31mb"},
		"a key that is none":       {"dpop_jkt": "x"},
		"too many clauses":         {"restrictions": many(17)},
		"a long scope":             {"restrictions": []map[string]any{{"scope": strings.Repeat("y", 600)}}},
		"a name that is a number":  {"name": 7},
		"more than a header holds": {"restrictions": []map[string]any{{"audience": wide(100)}}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := b.Begin(t.Context(), b.ask(q), desk.Caller{Origin: home()})
			no := refused(t, err, http.StatusBadRequest, desk.CodeRequest)
			if no.Description == "" {
				t.Error("no reason is given")
			}
		})
	}
	t.Run("too large", func(t *testing.T) {
		_, err := b.Begin(t.Context(), b.ask(map[string]any{"x": strings.Repeat("x", 70_000)}), desk.Caller{Origin: home()})
		refused(t, err, http.StatusRequestEntityTooLarge, desk.CodeRequest)
	})
	if n := len(b.op.Requests()); b.posted("/authorize", "", "") != 0 {
		t.Errorf("the provider was asked: %d requests", n)
	}
}

func many(n int) (list []map[string]any) {
	for i := range n {
		list = append(list, map[string]any{"usages_AT": i + 1})
	}
	return list
}

func wide(n int) (list []string) {
	for i := range n {
		list = append(list, fmt.Sprintf("https://%0100d.example.org", i))
	}
	return list
}

func TestProviderFaults(t *testing.T) {
	start := func(t *testing.T, b *bed, more map[string]any) (desk.Begun, desk.Arrival) {
		t.Helper()
		begun, err := b.Begin(t.Context(), b.ask(more), desk.Caller{Origin: home()})
		if err != nil {
			t.Fatal(err)
		}
		return begun, b.back(b.agree(begun), "carol")
	}
	t.Run("a broken answer ends the login, and the one who polls hears of it", func(t *testing.T) {
		b := newBed(t, setup{})
		begun, q := start(t, b, nil)
		b.op.Fault(issuer.Fault{Path: "/token", Status: 500, Body: "<html>SECRET</html>"})
		_, err := b.LandIn(t.Context(), q)
		no := refused(t, err, 500, desk.CodeOIDC)
		if strings.Contains(no.Description, "SECRET") {
			t.Errorf("%s", no.Description)
		}
		_, err = b.Poll(t.Context(), begun.PollingCode, home())
		refused(t, err, 500, desk.CodeOIDC)
	})
	t.Run("a scope that the provider does not give", func(t *testing.T) {
		b := newBed(t, setup{})
		begun, q := start(t, b, map[string]any{"restrictions": []map[string]any{{"scope": "compute.cancel"}}})
		_, err := b.LandIn(t.Context(), q)
		if err == nil {
			i, err := b.Poll(t.Context(), begun.PollingCode, home())
			t.Fatalf("a mytoken without limits: %v, %v", i.Restrictions, err)
		}
		if n := b.posted("/revoke", "token_type_hint", "refresh_token"); n != 1 {
			t.Errorf("the refresh token was revoked %d times", n)
		}
	})
	t.Run("a part of the scopes", func(t *testing.T) {
		b := newBed(t, setup{})
		q := map[string]any{"restrictions": []map[string]any{{"scope": "compute.cancel storage.read:/"}}}
		begun, in := start(t, b, q)
		if _, err := b.LandIn(t.Context(), in); err != nil {
			t.Fatal(err)
		}
		i, err := b.Poll(t.Context(), begun.PollingCode, home())
		if err != nil || i.Restrictions[0].Scope != "storage.read:/" {
			t.Errorf("%v %v", i.Restrictions, err)
		}
		q["error_on_restrictions"] = true
		_, in = start(t, b, q)
		_, err = b.LandIn(t.Context(), in)
		refused(t, err, http.StatusBadRequest, desk.CodeRequest)
	})
	t.Run("the store fails when the login is there", func(t *testing.T) {
		b := newBed(t, setup{})
		_, q := start(t, b, nil)
		b.o.Minter = brokenMinter{}
		if _, err := b.another().LandIn(t.Context(), q); err == nil {
			t.Fatal("no error")
		}
		if n := b.posted("/revoke", "token_type_hint", "refresh_token"); n != 1 {
			t.Errorf("the refresh token was revoked %d times", n)
		}
	})
}

func TestWeb(t *testing.T) {
	trusted := func(o *desk.Options) {
		o.Features.Trusted = func(uri string) bool {
			return uri == "https://portal.example.org/back" || uri == server+"/home"
		}
	}
	b := newBed(t, setup{desk: trusted})
	ctx := t.Context()
	begin := func(t *testing.T, uri string) desk.Begun {
		q := b.ask(map[string]any{"client_type": "web", "redirect_uri": uri})
		begun, err := b.Begin(ctx, q, desk.Caller{Origin: home()})
		if err != nil {
			t.Fatal(err)
		}
		return begun
	}
	t.Run("a page of another site has no cookie to give", func(t *testing.T) {
		begun := begin(t, "https://portal.example.org/back")
		if begun.ConsentURI != "" || begun.AuthorizationURI == "" || !begun.Binding.Empty() {
			t.Fatalf("%+v", begun)
		}
		if _, err := b.land(desk.Redirect{URL: begun.AuthorizationURI}, "alice"); err != nil {
			t.Error(err)
		}
	})
	land := func(t *testing.T, to desk.Redirect, uri string) {
		q := b.query(to.URL, "alice")
		for _, other := range []secret.Text{{}, secret.FromString("another browser")} {
			_, err := b.LandIn(ctx, desk.Arrival{Query: q, Binding: other, From: home()})
			refused(t, err, http.StatusBadRequest, desk.CodeRequest)
		}
		l, err := b.LandIn(ctx, desk.Arrival{Query: q, Binding: to.Binding, From: home()})
		if err != nil {
			t.Fatal(err)
		}
		if l.Native || l.To != uri || l.Session == nil || l.Session.Token.Empty() {
			t.Errorf("landing: %+v", l)
		}
		if _, err := b.access(l.Session, desk.AccessRequest{}); err != nil {
			t.Error(err)
		}
	}
	t.Run("with consent", func(t *testing.T) {
		begun := begin(t, "https://app.example.org/cb?x=1")
		if !begun.PollingCode.Empty() || begun.ConsentURI == "" {
			t.Errorf("%+v", begun)
		}
		land(t, b.agree(begun), "https://app.example.org/cb?x=1")
	})
	t.Run("a page of the server", func(t *testing.T) {
		begun := begin(t, server+"/home")
		if begun.ConsentURI != "" || begun.AuthorizationURI == "" || begun.Binding.Empty() {
			t.Fatalf("%+v", begun)
		}
		land(t, desk.Redirect{URL: begun.AuthorizationURI, Binding: begun.Binding}, server+"/home")
	})
}

func TestPurpose(t *testing.T) {
	b := newBed(t, setup{})
	ctx := t.Context()
	p := desk.Purpose{Kind: "ssh", Data: []byte(`{"key":"fingerprint"}`)}
	begun, err := b.BeginFor(ctx, b.ask(nil), desk.Caller{Origin: home()}, p)
	if err != nil {
		t.Fatal(err)
	}
	if l, err := b.land(b.agree(begun), "alice"); err != nil || l.Purpose != "ssh" {
		t.Fatal(l, err)
	}
	_, err = b.Poll(ctx, begun.PollingCode, home())
	refused(t, err, http.StatusUnauthorized, desk.CodeToken)
	_, err = b.FinishFor(ctx, begun.PollingCode, "other", home())
	refused(t, err, http.StatusUnauthorized, desk.CodeToken)
	l, err := b.FinishFor(ctx, begun.PollingCode, "ssh", home())
	if err != nil || string(l.Purpose.Data) != `{"key":"fingerprint"}` || l.User != b.find(l.Claims.MOMID()).User {
		t.Fatal(l, err)
	}
	if _, err := b.access(&desk.Issued{Token: l.JWT}, desk.AccessRequest{}); err != nil {
		t.Error(err)
	}
}
