package httpapi

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/oidcbox/oidcbox/core/account/login"
	"github.com/oidcbox/oidcbox/core/account/provision"
	"github.com/oidcbox/oidcbox/core/account/state"
	"github.com/oidcbox/oidcbox/core/secret"
)

// names of the accounts in a list.
func namesIn(t *testing.T, r reply) (list []string, next string) {
	t.Helper()
	if r.status != http.StatusOK {
		t.Fatalf("%d %s", r.status, r.body)
	}
	o := r.object(t)
	accounts, _ := o["accounts"].([]any)
	for _, a := range accounts {
		one, _ := a.(map[string]any)
		name, _ := one["name"].(string)
		list = append(list, name)
	}
	next, _ = o["next"].(string)
	return list, next
}

func (b *bed) officer() string { return b.sign(b.claims("officer").with("eduperson_entitlement", nil)) }

func TestOfficer_sees_people_of_the_own_issuer(t *testing.T) {
	b := newBed(t)
	for _, sub := range []string{"alice", "bob", "carol"} {
		b.deployed(b.user(sub))
	}
	b.deployed(b.sign(b.claims("zoe").with("iss", otherURL)))
	zoe := identity(t, "zoe", otherURL)

	if got, _ := namesIn(t, b.get("/admin/v1/accounts", b.officer())); !slices.Equal(got, []string{
		"alice", "bob",
		"carol",
	}) {
		t.Errorf("the officer sees %v", got)
	}
	if got, _ := namesIn(t, b.get("/api/v1/admin/v1/accounts", b.chief())); !slices.Equal(got, []string{
		"alice",
		"bob", "carol", "zoe",
	}) {
		t.Errorf("the chief sees %v", got)
	}
	got, next := namesIn(t, b.get("/admin/v1/accounts?limit=2", b.chief()))
	if !slices.Equal(got, []string{"alice", "bob"}) || next == "" {
		t.Errorf("the first page is %v, then %q", got, next)
	}
	if got, next = namesIn(t, b.get("/admin/v1/accounts?limit=2&after="+url.QueryEscape(next), b.chief())); next != "" ||
		!slices.Equal(got, []string{"carol", "zoe"}) {
		t.Errorf("the second page is %v, then %q", got, next)
	}
	if got, _ := namesIn(t, b.get("/admin/v1/accounts?vo="+url.QueryEscape(memberOf)+"&name=bob",
		b.officer())); !slices.Equal(got, []string{"bob"}) {
		t.Errorf("by VO and name: %v", got)
	}
	for _, path := range []string{
		"/admin/v1/accounts?state=x", "/admin/v1/accounts?limit=0",
		"/admin/v1/accounts?limit=1001", "/admin/v1/account",
	} {
		if r := b.get(path, b.officer()); r.status != 400 {
			t.Errorf("%s: %d %s", path, r.status, r.body)
		}
	}
	for _, path := range []string{
		"/admin/v1/accounts?issuer=" + url.QueryEscape(otherURL), "/admin/v1/account?id=" + url.QueryEscape(zoe),
		"/admin/v1/account?id=zoe", "/admin/v1/account?id=" + url.QueryEscape(identity(t, "nobody", otherURL)),
	} {
		if r := b.get(path, b.officer()); r.status != 403 {
			t.Errorf("%s: %d %s", path, r.status, r.body)
		}
	}
	if r := b.get("/admin/v1/account?id=zoe", b.chief()); r.status != 200 || r.object(t)["id"] != zoe {
		t.Errorf("%d %s", r.status, r.body)
	}
	b.want(b.get("/admin/v1/account?id=nobody", b.chief()), 404, `{"detail":"Account not found"}`)
}

// TestOfficer_only: nobody else is told or does anything, whatever the path.
func TestOfficer_only(t *testing.T) {
	b := newBed(t)
	token := b.user("alice")
	b.deployed(token)
	for _, r := range b.officerRoutes() {
		method, form := http.MethodGet, []string{}
		if r.post {
			method = http.MethodPost
			form = []string{"id", "alice", "token", token, "action", "suspend", "issuer", opURL}
		}
		path := r.path
		if !r.post && len(r.params) > 0 {
			path += "?id=alice"
		}
		if got := b.send(method, path, token, form...); got.status != 403 || got.object(t)["error"] != "Forbidden" {
			t.Errorf("%s %s as a user: %d %s", method, path, got.status, got.body)
		}
		b.want(b.send(method, path, "", form...), 403, `{"detail":"Not authenticated"}`)
		if r.post {
			if got := b.get(path+"?id=alice", b.officer()); got.status != 405 {
				t.Errorf("GET %s: %d", path, got.status)
			}
		}
	}
	b.wantVerified(token, "alice", "deployed", true)
}

func TestOfficer_changes(t *testing.T) {
	b := newBed(t)
	token := b.user("alice")
	name := b.deployed(token)
	password, _ := b.post("/user/generate_otp?form=oxp", token).object(t)["password"].(string)
	b.want(b.post("/admin/v1/revoke", b.officer(), "id", name), 200, `{"burnt":1}`)
	if r := b.get("/verify_user?username="+name, password); r.status != 401 {
		t.Errorf("a burnt password: %d %s", r.status, r.body)
	}
	for _, c := range []struct {
		path, id, state string
		allowed         bool
	}{
		{"suspend", identity(t, "alice", opURL), "suspended", false},
		{"resume", name, "deployed", true},
		{"limit", name, "limited", true}, // the shell is what stops there
		{"unlimit", name, "deployed", true},
		{"undeploy", name, "not_deployed", false},
	} {
		r := b.post("/admin/v1/"+c.path, b.officer(), "id", c.id, "reason", "incident 4711\nforged line")
		if r.status != 200 || r.object(t)["state"] != c.state {
			t.Errorf("%s: %d %s", c.path, r.status, r.body)
		}
		a := b.Login(t.Context(), login.Question{Phase: login.Auth, User: name, Secret: secret.FromString(token)})
		if a.Allowed != c.allowed {
			t.Errorf("after %s: %+v", c.path, a)
		}
	}
}

func TestOfficer_who(t *testing.T) {
	b := newBed(t)
	token := b.user("alice")
	b.deployed(token)
	id := identity(t, "alice", opURL)
	b.want(b.post("/admin/v1/who", b.officer(), "token", token), 200,
		`{"id":"`+id+`","sub":"alice","iss":"`+opURL+`","authorised":true,"name":"alice","state":"deployed"}`)
	stranger := b.sign(b.claims("eve").with("eduperson_entitlement", nil))
	b.want(b.post("/admin/v1/who", b.officer(), "token", stranger), 200,
		`{"id":"`+identity(t, "eve", opURL)+`","sub":"eve","iss":"`+opURL+`","authorised":false,"state":"not_deployed"}`)
	if r := b.post("/admin/v1/who", b.officer(), "token", b.chief()); r.status != 403 {
		t.Errorf("a token of another issuer: %d %s", r.status, r.body)
	}
	b.want(b.post("/admin/v1/who", b.officer(), "token", "nonsense"), 400,
		`{"detail":"Whose the token is could not be determined"}`)
}

func TestOfficer_approves(t *testing.T) {
	b := newBed(t, func(_ *Options, p *provision.Options) { p.Rules.Default.Approval = true })
	token, refused := b.user("alice"), b.user("mallory")
	for _, who := range []string{token, refused} {
		b.want(b.get("/user/deploy", who), 200, `{"state":"pending","message":"`+state.Submitted+`","credentials":{}}`)
	}
	b.want(b.get("/user/get_status", token), 200,
		`{"state":"pending","message":"User deployment is pending approval.","credentials":{}}`)
	b.wantVerified(token, "deployment", "pending", false) // which the original would let in
	if r := b.get("/admin/v1/pending", b.officer()); strings.Count(r.body, `"revision"`) != 2 {
		t.Errorf("%d %s", r.status, r.body)
	}
	alice := identity(t, "alice", opURL)
	if r := b.post("/admin/v1/accept", b.officer(), "id", alice, "revision", "of another request"); r.status != 409 {
		t.Errorf("another request than the one that waits: %d %s", r.status, r.body)
	}
	if r := b.post("/admin/v1/accept", b.officer(), "id", alice); r.status != 200 {
		t.Errorf("accept: %d %s", r.status, r.body)
	}
	b.wantVerified(token, "alice", "deployed", true)
	if r := b.post("/admin/v1/reject", b.officer(), "id", identity(t, "mallory", opURL)); r.status != 200 {
		t.Errorf("reject: %d %s", r.status, r.body)
	}
	b.want(b.get("/user/get_status", refused), 200,
		`{"state":"rejected","message":"User deployment was rejected.","credentials":{}}`)
	if r := b.post("/admin/v1/accept", b.officer(), "id", alice); r.status != 409 {
		t.Errorf("a second time: %d %s", r.status, r.body)
	}
}

func TestOfficer_bulk(t *testing.T) {
	b := newBed(t)
	tokens := map[string]string{}
	for _, sub := range []string{"alice", "bob"} {
		tokens[sub] = b.user(sub)
		b.deployed(tokens[sub])
	}
	zoe := b.sign(b.claims("zoe").with("iss", otherURL))
	b.deployed(zoe)
	for _, form := range [][]string{
		{"action", "suspend"}, {"action", "delete", "issuer", opURL}, {"issuer", opURL},
	} {
		if r := b.post("/admin/v1/bulk", b.officer(), form...); r.status != 400 && r.status != 403 {
			t.Errorf("%v: %d %s", form, r.status, r.body)
		}
	}
	if r := b.post("/admin/v1/bulk", b.officer(), "action", "suspend", "issuer", otherURL); r.status != 403 {
		t.Errorf("another issuer: %d %s", r.status, r.body)
	}
	if len(b.jobs) != 0 {
		t.Fatalf("jobs %v were begun", b.jobs)
	}
	r := b.post("/admin/v1/bulk", b.officer(), "action", "suspend", "vo", memberOf, "reason", "incident")
	if r.status != 200 || len(b.jobs) != 1 {
		t.Fatalf("%d %s", r.status, r.body)
	}
	if _, err := b.desk.Continue(t.Context(), b.jobs[0]); err != nil {
		t.Fatal(err)
	}
	for sub, token := range tokens {
		b.wantVerified(token, sub, "suspended", false)
	}
	b.wantVerified(zoe, "zoe", "deployed", true)
	job := "/admin/v1/job?id=" + b.jobs[0]
	if o := b.get(job, b.officer()).object(t); o["done"] != 2.0 {
		t.Errorf("%v", o)
	}
	if r := b.get("/admin/v1/jobs", b.officer()); strings.Count(r.body, b.jobs[0]) != 1 {
		t.Errorf("%s", r.body)
	}
	r = b.post("/admin/v1/bulk", b.chief(), "action", "suspend", "issuer", otherURL)
	if _, err := b.desk.Continue(t.Context(), b.jobs[1]); err != nil {
		t.Fatal(err)
	}
	if r.status != 200 || b.get("/admin/v1/job?id="+b.jobs[1], b.officer()).status != 403 {
		t.Errorf("a job of the chief is the officer's to see: %d %s", r.status, r.body)
	}
	b.want(b.get("/admin/v1/job?id=none", b.officer()), 404, `{"detail":"Job not found"}`)
	if r := b.post("/admin/v1/job/continue", b.officer(), "id", b.jobs[0]); r.status != 200 || len(b.jobs) != 3 {
		t.Errorf("%d %s, %v", r.status, r.body, b.jobs)
	}
}
