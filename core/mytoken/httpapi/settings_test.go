package httpapi

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/mytoken/desk"
	"github.com/oidcbox/oidcbox/core/secret"
)

func TestGrants(t *testing.T) {
	b := start(t)
	mt := b.token(nil)
	auth := []string{"Authorization", "Bearer " + mt}
	if r := b.want(200, b.send("GET", pathGrants, "", auth...)); r.body != `{"grant_types":[]}` {
		t.Errorf("never touched: %s", r.body)
	}
	if r := b.want(201, b.post(pathGrants, m{"grant_type": "ssh", "mytoken": mt})); r.body != "Created" {
		t.Errorf("201 says %q", r.body)
	}
	if r := b.want(200, b.send("GET", pathGrants, "",
		auth...)); r.body != `{"grant_types":[{"grant_type":"ssh","enabled":true}]}` {
		t.Errorf("enabled: %s", r.body)
	}
	b.want(204, b.send("DELETE", pathGrants, `{"grant_type":"ssh"}`, auth...))
	if r := b.want(200, b.send("GET", pathGrants, "",
		auth...)); r.body != `{"grant_types":[{"grant_type":"ssh","enabled":false}]}` {
		t.Errorf("disabled: %s", r.body)
	}
	b.refused(b.post(pathGrants, m{"grant_type": "carrier", "mytoken": mt}), 400, "invalid_request",
		"value 'carrier' not valid for GrantType")
	reader := b.token(nil, "read@settings")
	b.want(200, b.send("GET", pathGrants, "", "Authorization", "Bearer "+reader))
	r := b.post(pathGrants, m{"grant_type": "ssh", "mytoken": reader})
	if r.status != 403 || r.obj(t)["error"] != "insufficient_capabilities" {
		t.Errorf("a reader writes: %d %s", r.status, r.body)
	}
	if got := b.events(mt); fmt.Sprint(got[:3]) != "[settings_grants_listed settings_grant_disabled settings_grants_listed]" {
		t.Errorf("events %v", got)
	}
}

func TestTags(t *testing.T) {
	b := start(t)
	mt := b.token(nil)
	auth := []string{"Authorization", "Bearer " + mt}
	_, kidID := b.child(mt, nil)
	b.want(204, b.post(pathTagList+"/work", m{"mytoken": mt, "color": "#ff0000"}))
	b.want(204, b.send("PUT", pathTagList+"/work", `{"tag":"job"}`, auth...))
	if r := b.want(200, b.send("GET", pathTagList, "", auth...)); r.body != `{"tags":[{"tag":"job","color":"#ff0000"}]}` {
		t.Errorf("tags: %s", r.body)
	}
	b.want(204, b.post(pathTags, m{"mytoken": mt, "tag": "job", "include_children": true}))
	b.want(204, b.post(pathTags, m{"mytoken": mt, "tag": "own"}))
	tree := b.want(200, b.post(pathInfo, m{"action": "subtokens", "mytoken": mt})).obj(t)["mytokens"].(m)
	kidTags, _ := json.Marshal(tree["children"].([]any)[0].(m)["token"].(m)["tags"])
	if string(kidTags) != `[{"color":"#ff0000","include_children":true,"tag":"job"}]` {
		t.Errorf("the child has %s", kidTags)
	}
	if n := len(tree["token"].(m)["tags"].([]any)); n != 2 {
		t.Errorf("the parent has %d tags", n)
	}
	b.want(204, b.send("DELETE", pathTags, `{"tag":"own"}`, auth...))
	b.refused(b.send("DELETE", pathTags, `{"tag":"nothing"}`, auth...), 404, "not_found", "there is no such tag")
	b.want(204, b.send("DELETE", pathTagList+"/job", "", auth...))
	tree = b.want(200, b.post(pathInfo, m{"action": "subtokens", "mytoken": mt})).obj(t)["mytokens"].(m)
	if tree["token"].(m)["tags"] != nil {
		t.Errorf("a deleted tag is on a mytoken: %v", tree)
	}
	for _, name := range []string{strings.Repeat("x", 65), "a%00b", "%2e%2e", "a%2Fb", "%20a", "\u202e"} {
		if r := b.post(pathTagList+"/"+name, m{"mytoken": mt}); r.status != 400 && r.status != 404 {
			t.Errorf("tag %q: %d %s", name, r.status, r.body)
		}
	}
	b.refused(b.post(pathTagList+"/x", m{"mytoken": mt, "color": "url(//x)"}), 400, "invalid_request",
		"a color is #rgb, #rrggbb or a name of letters")
	own := b.token(nil, "tokeninfo:tags")
	b.want(204, b.post(pathTags, m{"mytoken": own, "tag": "mine"}))
	r := b.post(pathTags, m{"mytoken": own, "tag": "mine", "mom_id": kidID})
	if r.status != 403 || r.obj(t)["error"] != "insufficient_capabilities" {
		t.Errorf("tagging another: %d %s", r.status, r.body)
	}
}

// TestTagsOfNew: a request can say with which tags a mytoken begins.
func TestTagsOfNew(t *testing.T) {
	b := start(t)
	mt := b.token(m{"tags": []m{{"tag": "a", "include_children": true}}})
	kid, _ := b.child(mt, m{"tags": []m{{"tag": "b"}}})
	r := b.want(200, b.post(pathInfo, m{"action": "subtokens", "mytoken": kid}))
	got, _ := json.Marshal(r.obj(t)["mytokens"].(m)["token"].(m)["tags"])
	const want = `[{"color":"#6c757d","include_children":true,"tag":"a"},{"color":"#6c757d","include_children":false,"tag":"b"}]`
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	for _, bad := range []any{"x", []any{1}, []m{{"tag": ""}}, []m{{"tag": "a/b"}}, make([]m, 21)} {
		r := b.post(pathMytoken, m{"grant_type": "mytoken", "mytoken": mt, "tags": bad})
		if r.status != 400 || r.obj(t)["error"] != "invalid_request" {
			t.Errorf("%v: %d %s", bad, r.status, r.body)
		}
	}
}

// TestTagsAreBounded: a person cannot grow the record without end.
func TestTagsAreBounded(t *testing.T) {
	b := start(t)
	mt := b.token(nil)
	for i := range 100 {
		b.want(204, b.post(fmt.Sprintf("%s/t%d", pathTagList, i), m{"mytoken": mt}))
	}
	b.refused(b.post(pathTagList+"/more", m{"mytoken": mt}), 400, "invalid_request", "there are 100 tags already")
}

func withGroups(d *desk.Options, o *Options) {
	o.Templates = desk.NewTemplates(d.Ledger, d.Now, nil)
	d.Templates = o.Templates.Lookup
	o.Groups = map[string]secret.Text{"_": secret.FromString("admin-pw"), "vo": secret.FromString("vo-pw"), "off": {}}
}

func TestTemplates(t *testing.T) {
	b := start(t, withGroups)
	if r := b.want(200, b.send("GET", pathTemplates, "")); r.body != `["_","off","vo"]` {
		t.Errorf("groups %s", r.body)
	}
	pw := func(name, password string) []string {
		req, _ := http.NewRequest("GET", "/", nil)
		req.SetBasicAuth(name, password)
		return []string{"Authorization", req.Header.Get("Authorization"), "Content-Type", "application/json"}
	}
	path := pathTemplates + "/vo/restrictions"
	if r := b.want(200, b.send("GET", path, "")); r.body != "[]" {
		t.Errorf("none: %s", r.body)
	}
	if r := b.want(200, b.send("GET", pathTemplates+"/nobody/profiles", "")); r.body != "[]" {
		t.Errorf("unknown group: %s", r.body)
	}
	body := `{"name":"night","payload":{"exp":"+12h","usages_AT":3}}`
	b.refused(b.send("POST", path, body), 401, "Unauthorized", "")
	b.refused(b.send("POST", path, body, pw("vo", "wrong")...), 401, "Unauthorized", "")
	b.refused(b.send("POST", path, body, pw("off", "")...), 401, "Unauthorized", "")
	b.refused(b.send("POST", path, body, pw("_", "admin-pw")...), 403, "Forbidden", "this is another group's")
	if r := b.want(201, b.send("POST", path, body, pw("vo", "vo-pw")...)); r.body != "Created" {
		t.Errorf("201 says %q", r.body)
	}
	b.refused(b.send("POST", path, body, pw("vo", "vo-pw")...), 409, "invalid_request",
		"there is a template of that name already")
	var list []m
	must(t, json.Unmarshal([]byte(b.want(200, b.send("GET", path, "")).body), &list))
	clause := list[0]["payload"].([]any)[0].(m)
	if len(list) != 1 || len(list[0]) != 3 || clause["exp"].(float64) < float64(b.clock.now().Unix()) {
		t.Errorf("list %v", list)
	}
	// A request can name it now.
	got := b.login(m{"restrictions": "vo/night", "capabilities": []string{"AT"}})
	if got["expires_in"] == nil {
		t.Logf("the consent replaced it: %v", got)
	}
	sub := b.want(200, b.post(pathMytoken, m{
		"grant_type": "mytoken", "mytoken": b.token(nil),
		"restrictions": "vo/night",
	})).obj(t)
	if sub["restrictions"].([]any)[0].(m)["usages_AT"] != 3.0 {
		t.Errorf("by name: %v", sub["restrictions"])
	}
	id := list[0]["id"].(string)
	r := b.want(200, b.send("PUT", path+"/"+id, `{"payload":{"usages_AT":7}}`, pw("vo", "vo-pw")...))
	if got := r.obj(t); got["name"] != "night" || got["id"] != id {
		t.Errorf("changed: %v", got)
	}
	b.refused(b.send("PUT", path+"/"+id, `{"payload":{"nonsense":7}}`, pw("vo", "vo-pw")...), 400, "invalid_request", "*")
	b.want(204, b.send("DELETE", path+"/"+id, "", pw("vo", "vo-pw")...))
	b.refused(b.send("DELETE", path+"/"+id, "", pw("vo", "vo-pw")...), 404, "not_found", "there is no such template")
	b.refused(b.send("GET", pathTemplates+"/vo/nothing", ""), 404, "not_found", pathTemplates+"/vo/nothing")
}

// TestShippedTemplates: the administrator can put others in the place of those every server has.
func TestShippedTemplates(t *testing.T) {
	b := start(t, withGroups)
	ids := func() map[string]string {
		var list []m
		must(t, json.Unmarshal([]byte(b.want(200, b.send("GET", pathTemplates+"/capabilities", "")).body), &list))
		out := map[string]string{}
		for _, one := range list {
			out[one["name"].(string)] = one["id"].(string)
		}
		return out
	}
	before := ids()
	if before["default"] == "" || before["all"] == "" {
		t.Fatalf("shipped: %v", before)
	}
	req, _ := http.NewRequest("GET", "/", nil)
	req.SetBasicAuth("_", "admin-pw")
	auth := []string{"Authorization", req.Header.Get("Authorization")}
	b.want(200, b.send("PUT", pathTemplates+"/capabilities/"+before["default"], `{"payload":["AT"]}`, auth...))
	if after := ids(); len(after) != len(before) || after["default"] != before["default"] {
		t.Errorf("after: %v", after)
	}
	r := b.want(200, b.send("GET", pathTemplates+"/_/capabilities", ""))
	if !strings.Contains(r.body, `"name":"default","payload":["AT"]`) {
		t.Errorf("the shipped one is still there: %s", r.body)
	}
	b.want(204, b.send("DELETE", pathTemplates+"/capabilities/"+before["default"], "", auth...))
	if after := ids(); after["default"] != before["default"] {
		t.Errorf("it does not come back: %v", after)
	}
}

// TestGuesses: passwords of groups cannot be tried without end; right ones are not counted.
func TestGuesses(t *testing.T) {
	b := start(t, withGroups, func(_ *desk.Options, o *Options) {
		o.Gate = NewGate(Limits{Guesses: Rate{3, time.Minute}}, o.Now)
	})
	try := func(password string) reply {
		req, _ := http.NewRequest("GET", "/", nil)
		req.SetBasicAuth("vo", password)
		return b.send("DELETE", pathTemplates+"/vo/profiles/x", "", "Authorization", req.Header.Get("Authorization"))
	}
	for range 10 {
		b.want(404, try("vo-pw"))
	}
	for range 3 {
		b.want(401, try("wrong"))
	}
	r := b.want(429, try("vo-pw"))
	if r.header.Get("Retry-After") != "20" || r.obj(t)["error"] != "too_many_requests" {
		t.Errorf("429: %v %s", r.header, r.body)
	}
	b.clock.move(20 * time.Second)
	b.want(404, try("vo-pw"))
}
