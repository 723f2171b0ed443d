package httpapi

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/mytoken/desk"
	"github.com/oidcbox/oidcbox/core/mytoken/ledger"
)

// TestLogin is the polling flow, byte by byte where that is possible.
func TestLogin(t *testing.T) {
	b := start(t)
	q := m{"grant_type": "oidc_flow", "oidc_issuer": provIssuer + "/", "name": "n", "capabilities": []string{"AT"}}
	r := b.want(http.StatusOK, b.post(pathMytoken, q))
	if got := r.members(t); got != "consent_uri polling_code expires_in interval" {
		t.Errorf("members %s", got)
	}
	begun := r.obj(t)
	if !strings.HasPrefix(begun["consent_uri"].(string), b.url+"/c/") || begun["expires_in"] != 300.0 ||
		begun["interval"] != 5.0 {
		t.Errorf("got %v", begun)
	}
	if n := len(begun["polling_code"].(string)); n < 22 {
		t.Errorf("a polling code of %d characters", n)
	}
	poll := m{"grant_type": "polling_code", "polling_code": begun["polling_code"]}
	r = b.want(http.StatusPreconditionRequired, b.post(pathMytoken, poll))
	if r.body != `{"error":"authorization_pending"}` {
		t.Errorf("pending: %s", r.body)
	}
	path := strings.TrimPrefix(begun["consent_uri"].(string), b.url)
	terms := m{"oidc_issuer": provIssuer, "capabilities": []string{"AT"}, "name": "other name"}
	b.refused(b.post(path, m{"oidc_issuer": provIssuer, "capabilities": []string{"fly"}}), 400, "invalid_request",
		"unknown capability 'fly'")
	agreed := b.want(StatusForward, b.post(path, terms))
	if got := agreed.members(t); got != "authorization_uri" {
		t.Errorf("278 with %s", got)
	}
	landed := b.land(agreed, "code=abc")
	if landed.status != http.StatusSeeOther || !strings.HasPrefix(landed.header.Get("Location"), b.url+"/native") {
		t.Errorf("landed: %d %q %s", landed.status, landed.header.Get("Location"), landed.body)
	}
	r = b.want(http.StatusOK, b.post(pathMytoken, poll))
	if got := r.members(t); got != "mytoken mytoken_type capabilities mom_id" {
		t.Errorf("members %s", got)
	}
	if o := r.obj(t); o["mytoken_type"] != "token" || fmt.Sprint(o["capabilities"]) != "[AT]" {
		t.Errorf("got %v", o)
	}
	b.refused(b.post(path, terms), 404, "not_found", "this request is not known here: it was answered, or is over")
}

func TestDecline(t *testing.T) {
	b := start(t)
	q := m{"grant_type": "oidc_flow", "oidc_issuer": provIssuer, "application_name": "my app"}
	begun := b.want(200, b.post(pathMytoken, q)).obj(t)
	path := strings.TrimPrefix(begun["consent_uri"].(string), b.url)
	b.refused(b.post(path, "", "Sec-Fetch-Site", "cross-site"), 403, "access_denied",
		"the request comes from another site")
	r := b.want(StatusForward, b.post(path, ""))
	if r.body != `{"url":"/native/abort?application=my+app"}` {
		t.Errorf("declined: %s", r.body)
	}
	poll := m{"grant_type": "polling_code", "polling_code": begun["polling_code"]}
	b.refused(b.post(pathMytoken, poll), 401, "access_denied", "user declined consent")
}

func TestPollRefusals(t *testing.T) {
	b := start(t)
	for _, code := range []any{"", "abcdefgh", strings.Repeat("a", 32), strings.Repeat("a", 100_000)} {
		b.refused(b.post(pathMytoken, m{"grant_type": "polling_code", "polling_code": code}), 401, "invalid_token",
			"Bad polling or transfer code")
	}
	begun := b.want(200, b.post(pathMytoken, m{"grant_type": "oidc_flow", "oidc_issuer": provIssuer})).obj(t)
	b.clock.move(6 * time.Minute)
	poll := m{"grant_type": "polling_code", "polling_code": begun["polling_code"]}
	b.refused(b.post(pathMytoken, poll), 401, "expired_token", "polling or transfer code is expired")
}

func TestWebLogin(t *testing.T) {
	b := start(t, func(d *desk.Options, _ *Options) {
		d.Features.Trusted = func(uri string) bool { return uri == "https://app.example.org/trusted" }
	})
	q := m{"grant_type": "oidc_flow", "oidc_issuer": provIssuer, "client_type": "web"}
	b.refused(b.post(pathMytoken, q), 400, "invalid_request", "parameter redirect_uri must be given for client_type=web")
	q["redirect_uri"] = "https://app.example.org/back"
	r := b.want(200, b.post(pathMytoken, q))
	if got := r.members(t); got != "consent_uri" {
		t.Errorf("members %s", got)
	}
	landed := b.consent(r.obj(t)["consent_uri"].(string), q)
	if landed.header.Get("Location") != "https://app.example.org/back" {
		t.Errorf("landed: %d %s", landed.status, landed.header.Get("Location"))
	}
	cookie := sessionOf(landed)
	if cookie == nil || !cookie.HttpOnly || cookie.Path != "/api" || cookie.SameSite != http.SameSiteStrictMode ||
		cookie.Secure || cookie.MaxAge != 604800 {
		t.Fatalf("cookie %+v", cookie)
	}
	if r := b.post(pathInfo, m{"action": "introspect"}, "Cookie", "mytoken="+cookie.Value); r.status != 200 {
		t.Errorf("the cookie is not taken: %d %s", r.status, r.body)
	}
	q["redirect_uri"] = "https://app.example.org/trusted"
	r = b.want(StatusForward, b.post(pathMytoken, q))
	if got := r.members(t); got != "authorization_uri" {
		t.Errorf("278 with %s", got)
	}
}

func sessionOf(r reply) *http.Cookie {
	for _, k := range (&http.Response{Header: r.header}).Cookies() {
		if k.Name == cookieName {
			return k
		}
	}
	return nil
}

func TestRedirectRefusals(t *testing.T) {
	b := start(t)
	r := b.send(http.MethodGet, pathRedirect+"?state=nope&code=x", "")
	if r.status != 400 || r.body != "invalid_request: State mismatched\n" {
		t.Errorf("unknown state: %d %q", r.status, r.body)
	}
	begun := b.want(200, b.post(pathMytoken, m{"grant_type": "oidc_flow", "oidc_issuer": provIssuer})).obj(t)
	path := strings.TrimPrefix(begun["consent_uri"].(string), b.url)
	agreed := b.want(StatusForward, b.post(path, m{"oidc_issuer": provIssuer, "capabilities": []string{"AT"}}))
	b.op.err = nil
	if r = b.land(agreed, "error=server_error&error_description=no"); r.status != 555 {
		t.Errorf("the provider said no: %d %q", r.status, r.body)
	}
	poll := m{"grant_type": "polling_code", "polling_code": begun["polling_code"]}
	if r = b.post(pathMytoken, poll); r.status == 428 || r.status == 200 {
		t.Errorf("who polls is not told: %d %s", r.status, r.body)
	}
}

func TestAccess(t *testing.T) {
	b := start(t)
	mt := b.token(nil)
	short := b.login(m{"response_type": "short_token"})
	if short["mytoken_type"] != "short_token" || len(short["mytoken"].(string)) != 64 {
		t.Fatalf("short token: %v", short)
	}
	ask := m{"grant_type": "mytoken", "mytoken": mt, "scope": "openid profile", "audience": "a b", "comment": "c"}
	r := b.want(200, b.post(pathAccess, ask))
	if r.body != `{"access_token":"access-1","token_type":"Bearer","expires_in":3600,"scope":"openid profile"}` &&
		!strings.Contains(r.body, `"expires_in":36`) {
		t.Errorf("got %s", r.body)
	}
	for name, r := range map[string]reply{
		"header":      b.post(pathAccess, m{"grant_type": "mytoken"}, "Authorization", "bearer "+mt),
		"cookie":      b.post(pathAccess, m{"grant_type": "mytoken"}, "Cookie", "mytoken="+mt),
		"short token": b.post(pathAccess, m{"grant_type": "mytoken", "mytoken": short["mytoken"]}),
		"refresh token": b.form(pathAccess, url.Values{
			"grant_type": {"refresh_token"}, "refresh_token": {mt},
			"client_id": {"x"},
		}),
		"form": b.form(pathAccess, url.Values{"grant_type": {"mytoken"}, "mytoken": {mt}, "issuer": {provIssuer}}),
		"json as text": b.send("POST", pathAccess, `{"grant_type":"mytoken","mytoken":"`+mt+`"}`, "Content-Type",
			"text/plain"),
		"xml": b.send("POST", pathAccess, "<r><grant_type>mytoken</grant_type><mytoken>"+mt+"</mytoken></r>",
			"Content-Type", "application/xml"),
		"no type":       b.send("POST", pathAccess, `{"grant_type":"mytoken","mytoken":"`+mt+`"}`),
		"slash at end":  b.post(pathAccess+"/", m{"grant_type": "mytoken", "mytoken": mt}),
		"basic ignored": b.post(pathAccess, m{"grant_type": "mytoken", "mytoken": mt}, "Authorization", "Basic eDp5"),
		"issuer fits":   b.post(pathAccess, m{"grant_type": "mytoken", "mytoken": mt, "oidc_issuer": provIssuer + "/"}),
		"body wins": b.post(pathAccess, m{"grant_type": "mytoken", "mytoken": mt}, "Authorization",
			"Bearer "+strings.Repeat("x", 64)),
		"audience array": b.post(pathAccess, m{"grant_type": "mytoken", "mytoken": mt, "audience": []string{"x", "y"}}),
	} {
		if r.status != 200 || !strings.HasPrefix(r.body, `{"access_token":"access-`) {
			t.Errorf("%s: %d %s", name, r.status, r.body)
		}
		if r.header.Get("Cache-Control") != "no-store" || r.header.Get("Content-Type") != "application/json" {
			t.Errorf("%s: headers %v", name, r.header)
		}
	}
}

func TestAccessRefusals(t *testing.T) {
	b := start(t)
	mt := b.token(nil)
	noAT := b.token(nil, "tokeninfo")
	limited := b.token(m{"restrictions": []m{{"usages_AT": 1, "scope": "openid"}}})
	ask := func(change m) m {
		q := m{"grant_type": "mytoken", "mytoken": mt}
		for k, v := range change {
			if q[k] = v; v == nil {
				delete(q, k)
			}
		}
		return q
	}
	const lacking = "The provided token does not have the required capability for this operation"
	for _, c := range []struct {
		name        string
		body        m
		status      int
		code, words string
	}{
		{"no grant type", ask(m{"grant_type": nil}), 400, "invalid_grant", "Unsupported grant_type"},
		{"other grant type", ask(m{"grant_type": "x'y"}), 400, "invalid_request", "value 'x'y' not valid for GrantType"},
		{"no mytoken", ask(m{"mytoken": nil}), 401, "invalid_token", "no mytoken found in request"},
		{"short text", ask(m{"mytoken": "abc"}), 400, "invalid_request", "token not valid"},
		{"no mytoken of ours", ask(m{"mytoken": strings.Repeat("a", 64)}), 401, "invalid_token", "token not valid"},
		{"forged", ask(m{"mytoken": mt[:len(mt)-8] + "AAAAAAAA"}), 401, "invalid_token", "token not valid"},
		{"no capability", ask(m{"mytoken": noAT}), 403, "insufficient_capabilities", lacking},
		{"other issuer", ask(m{"oidc_issuer": "https://x"}), 400, "invalid_request", "token not for specified issuer"},
	} {
		t.Run(c.name, func(t *testing.T) { b.refused(b.post(pathAccess, c.body), c.status, c.code, c.words) })
	}
	if b.op.calls != 0 {
		t.Errorf("the provider was asked %d times", b.op.calls)
	}
	r := b.post(pathAccess, ask(m{"mytoken": limited, "scope": "profile"}))
	if r.status != 403 || r.obj(t)["error"] != "usage_restricted" {
		t.Errorf("scope outside: %d %s", r.status, r.body)
	}
	b.want(200, b.post(pathAccess, ask(m{"mytoken": limited})))
	if r = b.post(pathAccess, ask(m{"mytoken": limited})); r.status != 403 || r.obj(t)["error"] != "usage_restricted" {
		t.Errorf("used up: %d %s", r.status, r.body)
	}
	b.want(204, b.post(pathRevoke, m{"token": limited}))
	b.refused(b.post(pathAccess, ask(m{"mytoken": limited})), 401, "invalid_token", "token was revoked")
}

// TestRotation: what replaced a mytoken is in the answer, under the name for refresh tokens where one was used, and in
// the cookie, unless another site asked.
func TestRotation(t *testing.T) {
	b := start(t)
	rotating := m{"rotation": m{"on_AT": true, "on_other": true}}
	mt := b.token(rotating)
	r := b.want(200, b.post(pathAccess, m{"grant_type": "mytoken", "mytoken": mt}))
	update := r.obj(t)["token_update"].(m)
	if update["mytoken"] == mt || update["mytoken_type"] != "token" || r.obj(t)["refresh_token"] != nil {
		t.Errorf("update %v", update)
	}
	if k := sessionOf(r); k == nil || k.Value != update["mytoken"] {
		t.Errorf("cookie %v", k)
	}
	mt = update["mytoken"].(string)
	r = b.want(200, b.form(pathAccess, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {mt}},
		"Sec-Fetch-Site", "cross-site"))
	if got := r.obj(t); got["refresh_token"] != got["token_update"].(m)["mytoken"] || sessionOf(r) != nil {
		t.Errorf("as a refresh token: %v, cookie %v", got, sessionOf(r))
	}
	mt = r.obj(t)["refresh_token"].(string)
	r = b.want(201, b.post(pathGrants, m{"grant_type": "ssh", "mytoken": b.token(nil)}))
	if r.body != "Created" {
		t.Errorf("201 says %q", r.body)
	}
	r = b.want(200, b.send("DELETE", pathGrants, `{"grant_type":"ssh"}`, "Authorization", "Bearer "+mt))
	if got := r.members(t); got != "token_update" {
		t.Errorf("204 with an update has %s", got)
	}
	next := r.obj(t)["token_update"].(m)["mytoken"].(string)
	if got := strings.Join(b.events(next), " "); !strings.Contains(got, "token_rotated settings_grant_disabled") {
		t.Errorf("events %s", got)
	}
	short := b.login(m{"rotation": m{"on_AT": true}, "response_type": "short_token"})["mytoken"]
	r = b.want(200, b.post(pathAccess, m{"grant_type": "mytoken", "mytoken": short}))
	if u := r.obj(t)["token_update"].(m); u["mytoken_type"] != "short_token" || u["mytoken"] == short {
		t.Errorf("update of a short token: %v", u)
	}
}

func TestTransfer(t *testing.T) {
	b := start(t)
	mt := b.token(nil)
	r := b.want(200, b.post(pathTransfer, m{"mytoken": mt}))
	if got := r.members(t); got != "mytoken_type transfer_code expires_in" {
		t.Errorf("members %s", got)
	}
	code := r.obj(t)["transfer_code"]
	if n := len(code.(string)); n < 8 || n >= 32 {
		t.Errorf("a code of %d characters", n)
	}
	redeem := m{"grant_type": "transfer_code", "transfer_code": code}
	if got := b.want(200, b.post(pathMytoken, redeem)).obj(t); got["mytoken"] != mt || got["rotation"] != nil {
		t.Errorf("redeemed: %v", got)
	}
	b.clock.move(time.Minute)
	b.refused(b.post(pathMytoken, redeem), 401, "invalid_token", "Bad polling or transfer code")
	whole := b.login(m{"response_type": "transfer_code"})
	if whole["mytoken"] != nil || whole["mytoken_type"] != "transfer_code" || whole["expires_in"] != 300.0 {
		t.Errorf("in the place of a mytoken: %v", whole)
	}
	b.want(204, b.post(pathRevoke, m{"token": whole["transfer_code"]}))
	b.refused(b.post(pathMytoken, m{"grant_type": "transfer_code", "transfer_code": whole["transfer_code"]}),
		401, "invalid_token", "Bad polling or transfer code")
	found, err := b.ledger.Find(t.Context(), whole["mom_id"].(string))
	if err != nil || found.Condition != ledger.Ended {
		t.Errorf("the mytoken behind a revoked transfer code: %v, %v", found.Condition, err)
	}
}

func TestSub(t *testing.T) {
	b := start(t)
	mt := b.token(m{"restrictions": []m{{"usages_AT": 5}}})
	r := b.want(200, b.post(pathMytoken, m{
		"grant_type": "mytoken", "mytoken": mt, "capabilities": []string{"AT", "fly"}, "restrictions": []m{{"usages_AT": 2}},
	}))
	if got := r.members(t); got != "mytoken mytoken_type restrictions capabilities mom_id" {
		t.Errorf("members %s", got)
	}
	b.refused(b.post(pathMytoken, m{
		"grant_type": "mytoken", "mytoken": mt, "capabilities": []string{"fly"},
	}), 400, "invalid_request", "mytoken to be issued cannot have any of the requested capabilities")
	r = b.post(pathMytoken, m{
		"grant_type": "mytoken", "mytoken": mt, "restrictions": []m{{"usages_AT": 50}}, "error_on_restrictions": true,
	})
	if r.status != 400 || !strings.HasPrefix(r.obj(t)["error_description"].(string),
		"requested restrictions are not subset") {
		t.Errorf("beyond the parent: %d %s", r.status, r.body)
	}
	// The name in the query wins, and refresh_token is another word for it.
	r = b.post(pathMytoken+"?grant_type=refresh_token", m{"grant_type": "polling_code", "mytoken": mt})
	if r.status != 200 {
		t.Errorf("grant type of the query: %d %s", r.status, r.body)
	}
	for _, g := range []any{nil, "", "password", "ssh"} {
		b.refused(b.post(pathMytoken, m{"grant_type": g, "mytoken": mt}), 400, "invalid_grant", "Unsupported grant_type")
	}
}

// TestRefusedChangesNothing: whatever is refused counts nothing, rotates nothing and writes nothing.
func TestRefusedChangesNothing(t *testing.T) {
	b := start(t)
	got := b.login(m{
		"capabilities": []string{"AT", "create_mytoken", "tokeninfo:introspect", "read@settings"},
		"rotation":     m{"on_AT": true, "on_other": true, "auto_revoke": true},
		"restrictions": []m{{"usages_AT": 5, "usages_other": 5, "scope": "openid"}},
	})
	mt, momID := got["mytoken"].(string), got["mom_id"].(string)
	state := func() string {
		t.Helper()
		found, err := b.ledger.Find(t.Context(), momID)
		must(t, err)
		events, err := b.ledger.Events(t.Context(), momID, 0)
		must(t, err)
		all, err := b.ledger.List(t.Context(), found.User)
		must(t, err)
		return fmt.Sprintf("%d %v %v %d events, %d mytokens", found.SeqNo, found.Counters, found.LastUse, len(events),
			len(all))
	}
	before := state()
	auth := []string{"Authorization", "Bearer " + mt}
	for name, r := range map[string]reply{
		"AT, scope beyond": b.post(pathAccess, m{"grant_type": "mytoken", "mytoken": mt, "scope": "profile"}),
		"AT, other issuer": b.post(pathAccess, m{"grant_type": "mytoken", "mytoken": mt, "oidc_issuer": "https://x"}),
		"AT, bad grant":    b.post(pathAccess, m{"grant_type": "x", "mytoken": mt}),
		"sub, beyond": b.post(pathMytoken, m{
			"grant_type": "mytoken", "mytoken": mt,
			"restrictions": []m{{"usages_AT": 9, "scope": "openid"}}, "error_on_restrictions": true,
		}),
		"sub, no capability": b.post(pathMytoken, m{
			"grant_type": "mytoken", "mytoken": mt,
			"capabilities": []string{"settings"},
		}),
		"sub, dead clause": b.post(pathMytoken, m{
			"grant_type": "mytoken", "mytoken": mt,
			"restrictions": []m{{"exp": 1}},
		}),
		"sub, template":        b.post(pathMytoken, m{"grant_type": "mytoken", "mytoken": mt, "include": "nothing"}),
		"sub, other issuer":    b.post(pathMytoken, m{"grant_type": "mytoken", "mytoken": mt, "oidc_issuer": "https://x"}),
		"history":              b.post(pathInfo, m{"action": "event_history", "mytoken": mt}),
		"subtokens":            b.post(pathInfo, m{"action": "subtokens", "mytoken": mt}),
		"list":                 b.post(pathInfo, m{"action": "list_mytokens", "mytoken": mt}),
		"no action":            b.post(pathInfo, m{"mytoken": mt}),
		"revoke another":       b.post(pathRevoke, m{"token": mt, "mom_id": "x"}),
		"revoke, other issuer": b.post(pathRevoke, m{"token": mt, "oidc_issuer": "https://x"}),
		"grant":                b.post(pathGrants, m{"grant_type": "ssh", "mytoken": mt}),
		"unknown grant":        b.send("DELETE", pathGrants, `{"grant_type":"x"}`, auth...),
		"tag":                  b.post(pathTagList+"/x", m{"mytoken": mt}),
		"tag of a mytoken":     b.post(pathTags, m{"mytoken": mt, "tag": "x"}),
		"exchange":             b.form(pathAccess, exchangeForm(mt, url.Values{"scope": {"profile"}})),
		"narrowed": b.form(pathAccess, exchangeForm(mt, url.Values{
			"scope":                {"profile"},
			"requested_token_type": {typeMytoken},
		})),
		"introspection": b.form(pathIntrospection, url.Values{"token": {mt}}),
	} {
		if r.status < 400 || r.status >= 500 {
			t.Errorf("%s: %d %s", name, r.status, r.body)
		}
	}
	if after := state(); after != before {
		t.Errorf("before %s\nafter  %s", before, after)
	}
	b.want(200, b.post(pathAccess, m{"grant_type": "mytoken", "mytoken": mt}))
	if b.op.calls != 1 {
		t.Errorf("the provider was asked %d times, want once", b.op.calls)
	}
}
