package httpapi

import (
	"io/fs"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/account/provision"
)

// What follows is motley-cue 0.7.3 as it was seen on the wire: bodies are compared byte for byte.

const (
	notFound = `{"detail":"Not Found"}`
	noMethod = `{"detail":"Method Not Allowed"}`
)

func TestContract_routes(t *testing.T) {
	b := newBed(t)
	token := b.user("alice")
	for _, c := range []struct {
		path   string
		status int
	}{
		{"/", 200},
		{"/info", 200},
		{"/info/op?url=" + url.QueryEscape(opURL), 200},
		{"/info/authorisation", 200},
		{"/user", 200},
		{"/user/get_status", 200},
		{"/user/deploy", 200},
		{"/user/generate_otp", 200},
		{"/verify_user?username=alice", 200},
		{"/admin", 200},
		{"/user/suspend", 200},
		{"/admin/suspend?sub=a&iss=b", 403},
		{"/admin/resume?sub=a&iss=b", 403},
		{"/privacy", 404},
		{"/nowhere", 404},
		{"/user/nowhere", 404},
		{"/v2/user", 404},
	} {
		for _, prefix := range []string{"", "/api", "/api/v1"} {
			path, query, _ := strings.Cut(c.path, "?")
			if prefix != "" && path == "/" {
				continue // below
			}
			for _, slash := range []string{"", "/"} {
				if path == "/" && slash == "/" {
					continue
				}
				full := prefix + path + slash + "?" + query
				if r := b.get(full, token); r.status != c.status {
					t.Errorf("GET %s: %d %s, want %d", full, r.status, r.body, c.status)
				}
			}
		}
	}
	root := b.get("/", "")
	for _, same := range []string{"/api/", "/api/v1", "/api/v1/"} {
		b.want(b.get(same, ""), 200, root.body)
	}
	if r := b.get("/api", ""); r.status != 307 || !strings.HasSuffix(r.header.Get("Location"), "/api/") {
		t.Errorf("/api: %d, Location %q", r.status, r.header.Get("Location"))
	}
	b.want(b.get("/nowhere", ""), 404, notFound)
	b.want(b.get("/user//deploy", token), 404, notFound)
	b.want(b.get("/docs", ""), 404, notFound)
	b.want(b.get("/redoc", ""), 404, notFound)
	if r := b.get("/openapi.json", ""); r.status != 200 {
		t.Errorf("openapi.json: %d", r.status)
	}
}

func TestContract_methods(t *testing.T) {
	b := newBed(t)
	for _, path := range []string{
		"/", "/info", "/info/op", "/user", "/user/get_status", "/verify_user",
		"/privacy", "/api/v1/info",
	} {
		for _, method := range []string{"POST", "PUT", "DELETE", "PATCH", "OPTIONS"} {
			r := b.send(method, path, "")
			b.want(r, 405, noMethod)
			if allow := r.header.Get("Allow"); allow != "GET" {
				t.Errorf("%s %s: Allow %q", method, path, allow)
			}
		}
		if r := b.send("HEAD", path, ""); r.status != 405 {
			t.Errorf("HEAD %s: %d", path, r.status)
		}
	}
	for _, path := range []string{
		"/user/deploy", "/user/suspend", "/user/generate_otp", "/admin/suspend",
		"/admin/resume",
	} {
		r := b.send("PUT", path, "")
		b.want(r, 405, noMethod)
		if allow := r.header.Get("Allow"); allow != "GET, POST" {
			t.Errorf("PUT %s: Allow %q", path, allow)
		}
	}
}

func TestContract_texts(t *testing.T) {
	b := newBed(t)
	for _, c := range []struct {
		path, description, usage string
		endpoints                []string
	}{
		{
			"/", "This is the user API for mapping remote identities to local identities.",
			"All endpoints are available via a bearer token.",
			[]string{"/info", "/info/authorisation", "/info/op", "/user", "/admin", "/verify_user"},
		},
		{
			"/user", "This is the user API for mapping remote identities to local identities.",
			"All endpoints are available using an OIDC Access Token as a bearer token.",
			[]string{"/user/get_status", "/user/deploy", "/user/suspend", "/user/generate_otp"},
		},
		{
			"/admin", "This is the admin API for mapping remote identities to local identities.",
			"All endpoints are available using an OIDC Access Token as a bearer token.",
			[]string{"/admin/suspend", "/admin/resume"},
		},
	} {
		r := b.get(c.path, "")
		o := r.object(t)
		endpoints, _ := o["endpoints"].(map[string]any)
		if o["description"] != c.description || o["usage"] != c.usage {
			t.Errorf("%s: %s", c.path, r.body)
		}
		for _, e := range c.endpoints {
			if text, _ := endpoints[e].(string); text == "" {
				t.Errorf("%s has no %s", c.path, e)
			}
		}
		if r.header.Get("Content-Type") != "application/json" {
			t.Errorf("%s: content type %q", c.path, r.header.Get("Content-Type"))
		}
	}
}

func TestContract_info(t *testing.T) {
	b := newBed(t)
	b.want(b.get("/info", ""), 200, `{"login_info":{"description":"Test","login_help":"ask",`+
		`"ssh_host":"login.example.org"},`+
		`"supported_OPs":["`+opURL+`","`+otherURL+`","`+quietURL+`"],`+
		`"ops_info":{"`+opURL+`":{"scopes":["openid","profile"],"audience":"`+audience+`"},`+
		`"`+otherURL+`":{"scopes":["openid"],"audience":["`+audience+`","second"]},`+
		`"`+quietURL+`":{"scopes":[],"audience":"`+audience+`"}},`+
		`"otp_forms":["oxp","sha512"],"ssh_host_keys":["ssh-ed25519 AAAAC3Nz"]}`)

	op := `{"scopes":["openid","profile"],"audience":"` + audience + `"}`
	for _, spelling := range []string{
		opURL, opURL + "/", "op.example.org/oauth2", "http://op.example.org/oauth2", "https://www.op.example.org/oauth2",
		"HTTPS://OP.EXAMPLE.ORG/OAUTH2",
	} {
		b.want(b.get("/info/op?url="+url.QueryEscape(spelling), ""), 200, op)
		b.want(b.get("/info/op?url="+spelling, ""), 200, op) // as mccli sends it
	}
	b.want(b.get("/info/op?url=https://op.example.org", ""), 404, `{"detail":"OP not supported"}`)
	b.want(b.get("/info/op", ""), 400,
		`{"detail":"1 request validation error: Field required (query -> url)"}`)
}

func TestContract_authorisation(t *testing.T) {
	b := newBed(t)
	for _, c := range []struct{ name, token, want string }{
		{
			"by_vo_also_for_who_is_not_in_it", b.sign(b.claims("eve").with("eduperson_entitlement", nil)),
			`{"OP":"` + opURL + `","authorisation_type":"VO-based",` +
				`"authorisation_info":"Users who are in one of the supported VOs are authorised",` +
				`"supported_VOs":["` + memberOf + `"],"audience":"` + audience + `"}`,
		},
		{
			"everybody", b.sign(b.claims("eve").with("iss", otherURL)),
			`{"OP":"` + otherURL + `","authorisation_type":"all users",` +
				`"authorisation_info":"All users from this OP are authorised.","supported_VOs":[],` +
				`"audience":["` + audience + `","second"]}`,
		},
		{
			"nobody", b.sign(b.claims("eve").with("iss", quietURL)),
			`{"OP":"` + quietURL + `","authorisation_type":"not configured",` +
				`"authorisation_info":"OP is supported but no authorisation is configured.","supported_VOs":[],` +
				`"audience":"` + audience + `"}`,
		},
	} {
		t.Run(c.name, func(t *testing.T) { b.want(b.get("/info/authorisation", c.token), 200, c.want) })
	}
	persons := (&Issuer{URL: "u", Persons: true}).authorisation()
	if persons.Type != "individual users" || persons.Info != "Users are authorised on an individual basis. "+
		"Please contact a service administrator to request access." || persons.Audience != "" {
		t.Errorf("%+v", persons)
	}
	if all := (&Issuer{VOs: []string{"a"}, VOMatch: "all"}).authorisation(); all.Info !=
		"Users who are in all of the supported VOs are authorised" {
		t.Errorf("%+v", all)
	}
}

func unauthenticatedBody(text string) string {
	return `{"error":"Unauthenticated","error_description":"` + text + `"}`
}

func TestContract_who_asks(t *testing.T) {
	b := newBed(t)
	header := func(values ...string) reply {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, b.url+"/user/get_status", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header["Authorization"] = values
		return b.do(r)
	}
	token := b.user("alice")
	for _, c := range []struct {
		name   string
		header []string
		status int
		body   string
	}{
		{"nothing", nil, 403, `{"detail":"Not authenticated"}`},
		{"an_empty_header", []string{""}, 403, `{"detail":"Not authenticated"}`},
		{"a_scheme_alone", []string{"Bearer"}, 403, `{"detail":"Not authenticated"}`},
		{"another_scheme", []string{"Basic YTpi"}, 403, `{"detail":"Invalid authentication credentials"}`},
		{
			"two_headers",
			[]string{"Bearer " + token, "Bearer " + token},
			403,
			`{"detail":"Invalid authentication credentials"}`,
		},
		{
			"scheme_in_lower_case",
			[]string{"bearer " + token},
			200,
			`{"state":"not_deployed","message":"No message","credentials":{}}`,
		},
	} {
		t.Run(c.name, func(t *testing.T) { b.want(header(c.header...), c.status, c.body) })
	}
	now := b.clock().Unix()
	for _, c := range []struct {
		name, token string
		status      int
		body        string
	}{
		{"no_jwt", "opaque", 401, unauthenticatedBody("User identity could not be determined")},
		{"a_one_time_password", compat(token), 401, unauthenticatedBody("User identity could not be determined")},
		{
			"no_issuer", b.sign(b.claims("a").with("iss", nil)), 401,
			unauthenticatedBody("Could not verify JWT: No 'iss' claim in body"),
		},
		{
			"an_issuer_that_is_no_url", b.sign(b.claims("a").with("iss", "x")), 401,
			unauthenticatedBody("Could not verify JWT: No 'iss' claim in body"),
		},
		{
			"an_issuer_of_others", b.sign(b.claims("a").with("iss", "https://evil.example")), 401,
			unauthenticatedBody("Issuer is not trusted: https://evil.example"),
		},
		{
			"an_issuer_with_another_slash", b.sign(b.claims("a").with("iss", opURL+"/")), 401,
			unauthenticatedBody("Issuer is not trusted: " + opURL + "/"),
		},
		{
			"expired", b.sign(b.claims("a").with("exp", now-3600).with("iat", now-7200)), 401,
			unauthenticatedBody("Could not verify JWT: Signature has expired"),
		},
		{
			"forged", token[:len(token)-4] + "AAAA", 401,
			unauthenticatedBody("Could not verify JWT: Signature verification failed"),
		},
		{"no_subject", b.sign(b.claims("a").with("sub", nil)), 401, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := b.get("/user/get_status", c.token)
			if c.body == "" {
				c.body = r.body
			}
			b.want(r, c.status, c.body)
		})
	}
}

func TestContract_not_authorised(t *testing.T) {
	b := newBed(t)
	stranger := b.sign(b.claims("eve").with("eduperson_entitlement", []string{"urn:geant:example.org:group:others"}))
	elsewhere := b.sign(b.claims("eve").with("aud", "https://elsewhere.example"))
	second := b.sign(b.claims("eve").with("aud", "second")) // which only the other issuer's tokens may be for
	for _, path := range []string{
		"/user/get_status", "/user/deploy", "/user/suspend", "/user/generate_otp",
		"/verify_user?username=x",
	} {
		for _, token := range []string{stranger, elsewhere, second} {
			r := b.get(path, token)
			o := r.object(t)
			if r.status != 403 || o["error"] != "Forbidden" || o["error_details"] == nil ||
				o["error_description"] != "User eve@"+opURL+" does not meet requirements" {
				t.Errorf("%s: %d %s", path, r.status, r.body)
			}
		}
	}
	if r := b.get("/user/get_status", b.sign(b.claims("eve").with("iss", otherURL).with("aud",
		"second"))); r.status != 200 {
		t.Errorf("second audience of the other issuer: %d %s", r.status, r.body)
	}
	r := b.get("/admin/suspend?sub=a&iss="+url.QueryEscape(opURL), b.user("alice"))
	if o := r.object(t); r.status != 403 || o["error_description"] != "User alice@"+opURL+" does not meet requirements" {
		t.Errorf("no admin: %d %s", r.status, r.body)
	}
	officer := b.sign(b.claims("officer").with("eduperson_entitlement", nil))
	b.want(b.get("/admin/suspend?sub=a&iss="+url.QueryEscape(otherURL), officer), 403, `{"error":"Forbidden",`+
		`"error_description":"Request from user officer@`+opURL+` does not meet requirements",`+
		`"error_details":["Admin from issuer `+opURL+` is not authorised to manage users of issuer '`+otherURL+`'"]}`)
}

func TestContract_parameters(t *testing.T) {
	b := newBed(t)
	token := b.user("alice")
	b.want(b.get("/verify_user", ""), 403, `{"detail":"Not authenticated"}`)
	b.want(b.get("/verify_user", token), 400,
		`{"detail":"1 request validation error: Field required (query -> username)"}`)
	b.want(b.get("/admin/suspend", token), 400,
		`{"detail":"2 request validation errors: Field required (query -> sub); Field required (query -> iss)"}`)
	b.want(b.get("/admin/resume?sub=a", token), 400,
		`{"detail":"1 request validation error: Field required (query -> iss)"}`)
	b.want(b.get("/verify_user?username=alice&username=root", token), 400,
		`{"detail":"1 request validation error: Input should be a valid string (query -> username)"}`)
}

func TestContract_account(t *testing.T) {
	b := newBed(t)
	token := b.user("alice")
	id := identity(t, "alice", opURL)
	b.want(b.get("/user/get_status", token), 200, `{"state":"not_deployed","message":"No message","credentials":{}}`)
	b.wantVerified(token, "alice", "not_deployed", false)
	b.want(b.get("/user/suspend", token), 200, `{"state":"not_deployed","message":"Suspending user '`+id+
		`' was not possible from the 'not_deployed' state. User was not changed.","credentials":{}}`)

	r := b.get("/user/deploy", token)
	o := r.object(t)
	credentials, _ := o["credentials"].(map[string]any)
	for name, want := range map[string]string{
		"description": "Test", "login_help": "ask", "ssh_host": "login.example.org", "ssh_user": "alice",
		"commandline": "ssh alice@login.example.org",
	} {
		if credentials[name] != want {
			t.Errorf("%s is %v, want %s", name, credentials[name], want)
		}
	}
	if message, _ := o["message"].(string); o["state"] != "deployed" || !strings.HasPrefix(message, "User was created") {
		t.Errorf("%s", r.body)
	}
	again := b.get("/user/deploy", token).object(t)
	if message, _ := again["message"].(string); !strings.HasPrefix(message, "User already existed") {
		t.Errorf("%v", again)
	}
	b.want(b.get("/user/get_status", token), 200, `{"state":"deployed","message":"username alice","credentials":{}}`)
	b.wantVerified(token, "alice", "deployed", true)
	b.wantVerified(token, "bob", "deployed", false)
	b.wantVerified(token, "Alice", "deployed", false)
	b.wantVerified(token, "", "deployed", false)

	b.want(b.get("/user/suspend", token), 200,
		`{"state":"suspended","message":"User '`+id+`' was suspended.","credentials":{}}`)
	b.want(b.get("/user/get_status", token), 200, `{"state":"suspended","message":"username alice","credentials":{}}`)
	b.wantVerified(token, "alice", "suspended", false) // the original says true
	if state := b.get("/user/deploy", token).object(t)["state"]; state != "deployed" {
		t.Errorf("deploy of a suspended account says %v", state)
	}
	b.wantVerified(token, "alice", "suspended", false)

	who := "?sub=alice&iss=" + url.QueryEscape(opURL)
	officer := b.sign(b.claims("officer").with("eduperson_entitlement", nil)) // need not be a user
	b.want(b.get("/admin/resume"+who, officer), 200,
		`{"state":"deployed","message":"User '`+id+`' was resumed.","credentials":{}}`)
	b.wantVerified(token, "alice", "deployed", true)
	b.want(b.get("/admin/resume"+who, officer), 200, `{"state":"deployed","message":"Resuming user '`+id+
		`' was not possible from the 'deployed' state. User was not changed.","credentials":{}}`)
	b.want(b.get("/admin/suspend"+who, b.chief()), 200,
		`{"state":"suspended","message":"User '`+id+`' was suspended.","credentials":{}}`)
	b.want(b.get("/admin/suspend?sub=nobody&iss="+url.QueryEscape(opURL), officer), 200,
		`{"state":"not_deployed","message":"Suspending user '`+identity(t, "nobody", opURL)+
			`' was not possible from the 'not_deployed' state. User was not changed.","credentials":{}}`)
	if r := b.get("/admin/suspend?sub=&iss="+url.QueryEscape(opURL), officer); r.status != 200 {
		t.Errorf("an empty sub: %d %s", r.status, r.body)
	}
}

func TestContract_suspended_as_the_original_has_it(t *testing.T) {
	b := newBed(t, func(_ *Options, p *provision.Options) { p.Rules.CompatVerified = true })
	token := b.user("alice")
	b.deployed(token)
	b.get("/user/suspend", token)
	b.wantVerified(token, "alice", "suspended", true)
}

func TestContract_privacy(t *testing.T) {
	var err error
	b := newBed(t, func(o *Options, _ *provision.Options) {
		o.Contact = "privacy@example.org"
		o.Privacy = func() ([]byte, error) {
			return []byte("# Privacy\n\nWrite to {{privacy_contact}} <script>alert(1)</script>.\n\n" +
				"- one\n- [two](https://example.org)\n"), err
		}
	})
	r := b.get("/privacy", "")
	for _, want := range []string{
		"<h1>Privacy</h1>", "privacy@example.org", "&lt;script&gt;", "<li>one</li>",
		`<a href="https://example.org" rel="noreferrer">two</a>`,
	} {
		if !strings.Contains(r.body, want) {
			t.Errorf("no %s in %s", want, r.body)
		}
	}
	if r.status != 200 || !strings.HasPrefix(r.header.Get("Content-Type"), "text/html") || strings.Contains(r.body,
		"<script") {
		t.Errorf("%d %s %s", r.status, r.header.Get("Content-Type"), r.body)
	}
	err = fs.ErrNotExist
	b.want(b.get("/privacy", ""), 404, `{"detail":"Privacy policy not found"}`)
	err = fs.ErrPermission
	b.want(b.get("/privacy", ""), 500, `{"detail":"Error retrieving privacy policy"}`)
}

func TestContract_one_time_password(t *testing.T) {
	b := newBed(t)
	token := b.user("alice")
	b.deployed(token)
	made := `{"supported":true,"successful":true}`
	b.want(b.get("/user/generate_otp", token), 200, made)
	b.want(b.get("/user/generate_otp", token), 200, made)
	b.wantVerified(compat(token), "bob", "deployed", false) // the original burns it here
	b.wantVerified(compat(token), "alice", "deployed", true)
	b.want(b.get("/verify_user?username=alice", compat(token)), 401,
		unauthenticatedBody("User identity could not be determined"))

	b.want(b.get("/user/generate_otp", token), 200, made)
	b.pass(20 * time.Minute) // it dies with its token
	b.want(b.get("/verify_user?username=alice", compat(token)), 401,
		unauthenticatedBody("Could not verify JWT: Signature has expired"))

	off := newBed(t, func(o *Options, _ *provision.Options) { o.Book = offBook() })
	b = off
	b.want(b.get("/user/generate_otp", b.user("alice")), 200, `{"supported":false,"successful":false}`)
}
