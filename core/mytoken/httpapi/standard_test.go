package httpapi

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/mytoken"
	"github.com/oidcbox/oidcbox/core/mytoken/desk"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/token/dpop"
)

func exchangeForm(mt string, more url.Values) url.Values {
	v := url.Values{"grant_type": {grantExchange}, "subject_token": {mt}, "subject_token_type": {typeJWT}}
	for k, values := range more {
		if v[k] = values; values == nil {
			delete(v, k)
		}
	}
	return v
}

func TestExchange(t *testing.T) {
	b := start(t)
	mt := b.token(m{"restrictions": []m{
		{"usages_AT": 3, "scope": "storage.read:/vo openid", "exp": "+2h"},
		{"scope": "profile"},
	}})
	r := b.want(200, b.form(pathAccess, exchangeForm(mt, url.Values{"scope": {"storage.read:/vo/run7"}})))
	if got := r.members(t); got != "access_token issued_token_type token_type expires_in scope" {
		t.Errorf("members %s", got)
	}
	if o := r.obj(t); o["issued_token_type"] != typeAccess || o["scope"] != "storage.read:/vo/run7" ||
		o["token_type"] != "Bearer" {
		t.Errorf("got %v", o)
	}
	r = b.want(200, b.form(pathAccess, exchangeForm(mt, url.Values{
		"requested_token_type": {typeRefresh}, "scope": {"storage.read:/vo/run7"}, "name": {"narrow"},
	})))
	if got := r.members(t); got != "access_token issued_token_type token_type expires_in mom_id" {
		t.Errorf("members %s", got)
	}
	o := r.obj(t)
	if o["issued_token_type"] != typeRefresh || o["token_type"] != "N_A" {
		t.Errorf("got %v", o)
	}
	claims, err := mytoken.ReadClaims(secret.FromString(o["access_token"].(string)))
	must(t, err)
	if len(claims.Restrictions) != 1 || claims.Restrictions[0].Scope != "storage.read:/vo/run7" ||
		claims.Name != "narrow" ||
		claims.Restrictions[0].Expires.IsZero() || *claims.Restrictions[0].UsagesAT != 2 {
		t.Errorf("the narrowed mytoken has %v", claims.Restrictions)
	}
	b.want(200, b.form(pathAccess, exchangeForm(o["access_token"].(string), nil)))
	narrow := b.form(pathAccess, exchangeForm(o["access_token"].(string), url.Values{"scope": {"openid"}}))
	if narrow.status != 403 || narrow.obj(t)["error"] != "usage_restricted" {
		t.Errorf("beyond the narrowed one: %d %s", narrow.status, narrow.body)
	}
	// More than that is asked for as the API does, in JSON.
	r = b.want(200, b.form(pathAccess, exchangeForm(mt, url.Values{
		"requested_token_type": {typeMytoken}, "restrictions": {`[{"scope":"profile","usages_AT":1}]`},
		"capabilities": {`["AT"]`},
	})))
	claims, err = mytoken.ReadClaims(secret.FromString(r.obj(t)["access_token"].(string)))
	must(t, err)
	if !slices.Equal(claims.Capabilities, mytoken.Capabilities{"AT"}) || *claims.Restrictions[0].UsagesAT != 1 {
		t.Errorf("as the API does: %v %v", claims.Capabilities, claims.Restrictions)
	}
}

func TestExchangeRotates(t *testing.T) {
	b := start(t)
	mt := b.token(m{"rotation": m{"on_AT": true, "on_other": true}})
	o := b.want(200, b.form(pathAccess, exchangeForm(mt, nil))).obj(t)
	next := o["refresh_token"]
	if next == nil || next == mt || o["token_update"].(m)["mytoken"] != next {
		t.Fatalf("got %v", o)
	}
	o = b.want(200, b.form(pathAccess, exchangeForm(next.(string),
		url.Values{"requested_token_type": {typeMytoken}}))).obj(t)
	if o["token_update"] == nil {
		t.Errorf("got %v", o)
	}
}

func TestExchangeRefusals(t *testing.T) {
	b := start(t)
	mt := b.token(m{"restrictions": []m{{"scope": "openid"}}})
	for _, c := range []struct {
		name   string
		form   url.Values
		status int
		code   string
	}{
		{"no subject token", url.Values{"subject_token": nil}, 400, "invalid_request"},
		{"no type", url.Values{"subject_token_type": nil}, 400, "invalid_request"},
		{
			"another type",
			url.Values{"subject_token_type": {"urn:ietf:params:oauth:token-type:saml2"}},
			400,
			"invalid_request",
		},
		{"an actor", url.Values{"actor_token": {"x"}}, 400, "invalid_request"},
		{
			"ID token wanted",
			url.Values{"requested_token_type": {"urn:ietf:params:oauth:token-type:id_token"}},
			400,
			"invalid_request",
		},
		{"no mytoken", url.Values{"subject_token": {strings.Repeat("a", 50)}}, 400, "invalid_request"},
		{"short text", url.Values{"subject_token": {"a"}}, 400, "invalid_request"},
		{"two subjects", url.Values{"subject_token": {mt, mt}}, 400, "invalid_request"},
		{"audience with blanks", url.Values{"audience": {"a b"}}, 400, "invalid_target"},
		{"scope beyond, access token", url.Values{"scope": {"profile"}}, 403, "usage_restricted"},
		{
			"scope beyond, mytoken",
			url.Values{"scope": {"profile"}, "requested_token_type": {typeMytoken}},
			400,
			"invalid_scope",
		},
		{"scope twice", url.Values{
			"scope": {"openid"}, "restrictions": {"[]"}, "requested_token_type": {typeMytoken},
		}, 400, "invalid_request"},
	} {
		r := b.form(pathAccess, exchangeForm(mt, c.form))
		if r.status != c.status || r.obj(t)["error"] != c.code {
			t.Errorf("%s: %d %s", c.name, r.status, r.body)
		}
	}
	if b.op.calls != 0 {
		t.Error("the provider was asked")
	}
	off := start(t, func(_ *desk.Options, o *Options) { o.Features.NoExchange = true })
	off.refused(off.form(pathAccess, exchangeForm(mt, nil)), 400, "unsupported_grant_type", "")
}

func withClients(_ *desk.Options, o *Options) {
	o.Clients = map[string]secret.Text{"rs": secret.FromString("rs-pw"), "empty": {}}
}

func TestIntrospection(t *testing.T) {
	b := start(t, withClients)
	mt := b.token(m{"name": "n", "restrictions": []m{{"scope": "openid", "exp": "+1h"}}}, "AT", "tokeninfo:introspect")
	noInfo := b.token(nil, "AT")
	ask := func(token string, headers ...string) reply {
		return b.form(pathIntrospection, url.Values{"token": {token}, "token_type_hint": {"refresh_token"}}, headers...)
	}
	basic := func(name, pw string) []string {
		r, _ := http.NewRequest("GET", "/", nil)
		r.SetBasicAuth(name, pw)
		return []string{"Authorization", r.Header.Get("Authorization")}
	}
	service := basic("rs", "rs-pw")
	for _, headers := range [][]string{service, {"Authorization", "Bearer " + mt}} {
		o := b.want(200, ask(mt, headers...)).obj(t)
		if o["active"] != true || o["token_type"] != "Bearer" || o["scope"] != "openid" || o["iss"] != b.url ||
			o["aud"] != b.url ||
			o["sub"] == nil || o["exp"] == nil || o["jti"] == nil || o["name"] != "n" || o["mytoken_type"] != "token" {
			t.Errorf("got %v", o)
		}
	}
	b.want(200, ask(noInfo, service...))
	b.refused(ask(noInfo, "Authorization", "Bearer "+noInfo), 403, "insufficient_capabilities", "*")
	b.refused(ask(noInfo, "Authorization", "Bearer "+mt), 403, "insufficient_capabilities", "*")
	for _, headers := range [][]string{nil, basic("rs", "x"), basic("x", "rs-pw"), basic("empty", ""), {
		"Cookie",
		"mytoken=" + mt,
	}} {
		r := ask(mt, headers...)
		if b.refused(r, 401, "invalid_client", ""); !strings.HasPrefix(r.header.Get("WWW-Authenticate"), "Basic ") {
			t.Errorf("challenge %q", r.header.Get("WWW-Authenticate"))
		}
	}
	b.refused(b.form(pathIntrospection, nil, service...), 400, "invalid_request", "required parameter 'token' is missing")
	b.want(204, b.post(pathRevoke, m{"token": mt}))
	for _, token := range []string{mt, "x", strings.Repeat("x", 64), "a.b.c", strings.Repeat("x", 60_000)} {
		if r := b.want(200, ask(token, service...)); r.body != `{"active":false}` {
			t.Errorf("not active: %s", r.body)
		}
	}
	if r := b.want(200, ask(mt, "Authorization", "Bearer "+mt)); r.body != `{"active":false}` {
		t.Errorf("revoked, with itself: %s", r.body)
	}
}

func TestRevocation7009(t *testing.T) {
	b := start(t)
	mt := b.token(nil)
	kid, _ := b.child(mt, nil)
	for _, token := range []string{"nonsense", strings.Repeat("x", 64), mt, mt} {
		r := b.want(200, b.form(pathRevocation, url.Values{"token": {token}, "token_type_hint": {"access_token"}}))
		if r.body != "" || r.header.Get("Cache-Control") != "no-store" {
			t.Errorf("%q %v", r.body, r.header)
		}
	}
	if b.post(pathInfo, m{"action": "introspect", "mytoken": kid}).status != 401 {
		t.Error("what was made from it goes on")
	}
	b.refused(b.form(pathRevocation, url.Values{"token_type_hint": {"x"}}), 400, "invalid_request", "no token given")
	b.want(200, b.form(pathRevoke, url.Values{"token": {mt}, "token_type_hint": {"refresh_token"}}))
	b.want(204, b.form(pathRevoke, url.Values{"token": {mt}}))
}

// TestDiscovery: both documents, as clients of either kind read them.
func TestDiscovery(t *testing.T) {
	b := start(t, withGroups, withClients, func(d *desk.Options, o *Options) {
		o.Features.SSH, o.Features.Notifications, o.Features.Device = true, true, true
		o.Features.Unsupported = []string{"geoip_allow", "geoip_disallow"}
		o.SSHKeys = []HostKey{{"ssh-ed25519", "SHA256:abc"}}
		o.Documentation = "https://docs.example"
	})
	r := b.want(200, b.send("GET", pathConfiguration, ""))
	const members = "issuer access_token_endpoint token_endpoint mytoken_endpoint tokeninfo_endpoint " +
		"revocation_endpoint " +
		"usersettings_endpoint notifications_endpoint token_transfer_endpoint profiles_endpoint jwks_uri ssh_keys " +
		"providers_supported token_signing_alg_value tokeninfo_endpoint_actions_supported " +
		"access_token_endpoint_grant_types_supported mytoken_endpoint_grant_types_supported " +
		"mytoken_endpoint_oidc_flows_supported response_types_supported restriction_claims_supported " +
		"service_documentation version"
	if got := r.members(t); got != members {
		t.Errorf("members %s", got)
	}
	if r.header.Get("Cache-Control") != "public, max-age=300" || b.send("GET", pathOpenID, "").body != r.body {
		t.Error("the two documents differ, or must not be kept")
	}
	o := r.obj(t)
	for name, want := range map[string]any{
		"issuer": b.url, "token_endpoint": b.url +
			"/api/v0/token/access", "token_signing_alg_value": "ES384", "version": "1.2.3",
		"mytoken_endpoint_grant_types_supported": `["oidc_flow","mytoken","transfer_code","polling_code","ssh"]`,
		"mytoken_endpoint_oidc_flows_supported":  `["authorization_code","device"]`,
		"response_types_supported":               `["token","short_token","transfer_code"]`,
		"restriction_claims_supported":           `["nbf","exp","scope","audience","hosts","usages_AT","usages_other"]`,
		"tokeninfo_endpoint_actions_supported":   `["introspect","event_history","subtokens","list_mytokens"]`,
		"providers_supported": `[{"issuer":"` + provIssuer +
			`","name":"op","scopes_supported":["openid","profile","storage.read:/"]}]`,
		"ssh_keys": `[{"fingerprint":"SHA256:abc","type":"ssh-ed25519"}]`,
	} {
		got := o[name]
		if text, ok := got.(string); !ok || text != want {
			raw, _ := json.Marshal(got)
			if string(raw) != want {
				t.Errorf("%s: %s, want %v", name, raw, want)
			}
		}
	}
	keys := b.want(200, b.send("GET", pathJWKS, "")).obj(t)["keys"].([]any)[0].(m)
	if keys["alg"] != "ES384" || keys["use"] != "sig" || keys["kid"] == "" || keys["d"] != nil {
		t.Errorf("key %v", keys)
	}
	r = b.want(200, b.send("GET", pathMetadata, ""))
	o = r.obj(t)
	if o["issuer"] != b.url || o["introspection_endpoint"] != b.url+pathIntrospection ||
		o["revocation_endpoint"] != b.url+pathRevocation || !strings.Contains(r.body, grantExchange) ||
		!strings.Contains(r.body, `"dpop_signing_alg_values_supported":["RS256"`) {
		t.Errorf("metadata %s", r.body)
	}
	r = b.want(200, b.send("GET", pathSettings, ""))
	if r.body != `{"grant_type_endpoint":"`+b.url+`/api/v0/settings/grants","email_endpoint":"`+b.url+
		`/api/v0/settings/email","tags_endpoint":"`+b.url+`/api/v0/settings/tags"}` {
		t.Errorf("settings %s", r.body)
	}
}

func TestLessIsOffered(t *testing.T) {
	b := start(t, func(d *desk.Options, o *Options) { o.Features, d.Features = Features{}, desk.Features{Polling: true} })
	o := b.want(200, b.send("GET", pathConfiguration, "")).obj(t)
	for _, name := range []string{
		"tokeninfo_endpoint", "revocation_endpoint", "token_transfer_endpoint", "profiles_endpoint", "ssh_keys",
		"tokeninfo_endpoint_actions_supported", "service_documentation", "notifications_endpoint",
	} {
		if _, there := o[name]; there {
			t.Errorf("%s is offered", name)
		}
	}
	for _, path := range []string{pathRevoke, pathTransfer, pathRevocation, pathIntrospection} {
		b.refused(b.post(path, m{"token": "x"}), 404, "not_found", path)
	}
	for _, grant := range []string{"mytoken", "transfer_code", "polling_code"} {
		b.refused(b.post(pathMytoken, m{"grant_type": grant}), 400, "invalid_grant", "Unsupported grant_type")
	}
}

func TestCapabilities(t *testing.T) {
	b := start(t)
	var tree []capability
	must(t, json.Unmarshal([]byte(b.want(200, b.send("GET", pathCapabilities, "")).body), &tree))
	var names []string
	var walk func(list []capability)
	walk = func(list []capability) {
		for _, c := range list {
			names = append(names, c.Full.Name)
			if c.Full.Description == "" || c.ReadOnly != nil && c.ReadOnly.Name != "read@"+c.Full.Name {
				t.Errorf("%+v", c)
			}
			for _, child := range c.Children {
				if !strings.HasPrefix(child.Full.Name, c.Full.Name+":") {
					t.Errorf("%s is below %s", child.Full.Name, c.Full.Name)
				}
			}
			walk(c.Children)
		}
	}
	walk(tree)
	if len(tree) != 5 || len(names) != 19 || !slices.Contains(names, "settings:grants:ssh") {
		t.Errorf("%d at the top, all: %v", len(tree), names)
	}
}

// TestStolenBound: a mytoken that is bound to a key is of no use without it; a nonce that is wanted is told.
func TestStolenBound(t *testing.T) {
	b := start(t)
	key := newProver(t)
	q := m{"grant_type": "oidc_flow", "oidc_issuer": provIssuer, "capabilities": []string{"AT", "tokeninfo"}}
	begun := b.want(200, b.post(pathMytoken, q, "DPoP", key.proof("POST", b.url+pathMytoken, ""))).obj(t)
	b.consent(begun["consent_uri"].(string), q)
	got := b.want(200, b.post(pathMytoken, m{"grant_type": "polling_code", "polling_code": begun["polling_code"]})).obj(t)
	mt := got["mytoken"].(string)
	ask := m{"grant_type": "mytoken", "mytoken": mt}
	r := b.post(pathAccess, ask)
	b.refused(r, 401, "invalid_dpop_proof", "*")
	if !strings.HasPrefix(r.header.Get("WWW-Authenticate"), "DPoP ") {
		t.Errorf("challenge %q", r.header.Get("WWW-Authenticate"))
	}
	for name, proof := range map[string]string{
		"another key":     newProver(t).proof("POST", b.url+pathAccess, mt),
		"another path":    key.proof("POST", b.url+pathInfo, mt),
		"another method":  key.proof("GET", b.url+pathAccess, mt),
		"another mytoken": key.proof("POST", b.url+pathAccess, mt+"x"),
		"another server":  key.proof("POST", "https://other.example"+pathAccess, mt),
	} {
		if r := b.post(pathAccess, ask, "DPoP", proof); r.status != 401 {
			t.Errorf("%s: %d %s", name, r.status, r.body)
		}
	}
	// The server is behind a proxy: what counts is the address that clients know.
	proof := key.proof("POST", b.url+pathAccess, mt)
	b.want(200, b.post(pathAccess, ask, "DPoP", proof, "X-Forwarded-Host", "evil.example"))
	if r := b.post(pathAccess, ask, "DPoP", proof); r.status != 401 {
		t.Errorf("a proof was good twice: %d", r.status)
	}
	b.want(200, b.post(pathAccess, m{"grant_type": "mytoken"}, "Authorization", "DPoP "+mt,
		"DPoP", key.proof("POST", b.url+pathAccess, mt)))
	if r := b.post(pathRevoke, m{"token": mt}); r.status != 204 {
		t.Errorf("who finds it can end it: %d %s", r.status, r.body)
	}
	b.clock.move(time.Second)
	if b.op.calls != 2 {
		t.Errorf("the provider was asked %d times, want 2", b.op.calls)
	}
}

// TestNonce: where proofs need a nonce of the server, an answer tells it, and the next proof is good.
func TestNonce(t *testing.T) {
	proofs, err := dpop.New(dpop.Options{Nonces: true})
	must(t, err)
	b := start(t, func(d *desk.Options, _ *Options) { d.DPoP = proofs })
	key := newProver(t)
	q := m{"grant_type": "oidc_flow", "oidc_issuer": provIssuer}
	r := b.post(pathMytoken, q, "DPoP", key.proof("POST", b.url+pathMytoken, ""))
	b.refused(r, 401, "use_dpop_nonce", "*")
	nonce := r.header.Get("DPoP-Nonce")
	if nonce == "" || !strings.Contains(r.header.Get("Access-Control-Expose-Headers"), "DPoP-Nonce") {
		t.Fatalf("headers %v", r.header)
	}
	b.want(200, b.post(pathMytoken, q, "DPoP", key.proofWith("POST", b.url+pathMytoken, "", nonce)))
}
