package httpapi

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/oidcbox/oidcbox/core/mytoken/ledger"
)

// child makes a mytoken from one.
func (b *bed) child(parent string, change m) (token, momID string) {
	b.t.Helper()
	q := m{"grant_type": "mytoken", "mytoken": parent}
	for k, v := range change {
		q[k] = v
	}
	o := b.want(200, b.post(pathMytoken, q)).obj(b.t)
	return o["mytoken"].(string), o["mom_id"].(string)
}

func (b *bed) events(mt string) []string {
	b.t.Helper()
	o := b.want(200, b.post(pathInfo, m{"action": "event_history", "mytoken": mt})).obj(b.t)
	return names(o)
}

func names(o m) (out []string) {
	for _, e := range o["events"].([]any) {
		out = append(out, e.(m)["event"].(string))
	}
	return out
}

func TestIntrospect(t *testing.T) {
	b := start(t)
	mt := b.token(m{"name": "n", "restrictions": []m{{"usages_AT": 2, "scope": "openid"}, {
		"usages_other": 0,
		"scope":        "profile",
	}}})
	b.want(200, b.post(pathAccess, m{"grant_type": "mytoken", "mytoken": mt}))
	r := b.want(200, b.post(pathInfo, m{"action": "introspect", "mytoken": mt}))
	if got := r.members(t); got != "valid token_type mom_id token" {
		t.Errorf("members %s", got)
	}
	o := r.obj(t)
	claims := o["token"].(m)
	first := claims["restrictions"].([]any)[0].(m)
	second := claims["restrictions"].([]any)[1].(m)
	if o["valid"] != true || o["token_type"] != "token" || first["usages_AT_done"] != 1.0 ||
		second["usages_AT_done"] != nil {
		t.Errorf("got %v", o)
	}
	if claims["name"] != "n" || claims["oidc_sub"] != "alice" || claims["ver"] != "0.7" {
		t.Errorf("claims %v", claims)
	}
	limited := b.token(m{"restrictions": []m{{"usages_other": 0}}})
	for range 3 { // the restrictions do not matter, and nothing is counted
		b.want(200, b.post(pathInfo, m{"action": "introspect", "mytoken": limited}))
	}
	b.want(204, b.post(pathRevoke, m{"token": mt}))
	b.refused(b.post(pathInfo, m{"action": "introspect", "mytoken": mt}), 401, "invalid_token", "token was revoked")
}

func TestInfoRefusals(t *testing.T) {
	b := start(t)
	mt, noInfo := b.token(nil), b.token(nil, "AT")
	for _, action := range []string{"", "fly", "Introspect", "notifications"} {
		b.refused(b.post(pathInfo, m{"action": action, "mytoken": mt}), 400, "invalid_request",
			"value '"+action+"' not valid for TokeninfoAction")
	}
	for _, action := range []string{"introspect", "event_history", "subtokens", "list_mytokens"} {
		r := b.post(pathInfo, m{"action": action, "mytoken": noInfo})
		if r.status != 403 || r.obj(t)["error"] != "insufficient_capabilities" {
			t.Errorf("%s: %d %s", action, r.status, r.body)
		}
		b.refused(b.post(pathInfo, m{"action": action}), 401, "invalid_token", "no mytoken found in request")
	}
	// A form is not taken here: the body is JSON whatever its type says.
	r := b.form(pathInfo, url.Values{"action": {"introspect"}, "mytoken": {mt}})
	if r.status != 400 || r.obj(t)["error"] != "invalid_request" {
		t.Errorf("a form: %d %s", r.status, r.body)
	}
}

func TestHistory(t *testing.T) {
	b := start(t)
	mt := b.token(nil, "AT", "create_mytoken", "tokeninfo")
	kid, kidID := b.child(mt, nil)
	_, grandID := b.child(kid, nil)
	stranger := b.login(nil)["mom_id"]
	r := b.want(200, b.post(pathInfo, m{"action": "event_history", "mytoken": mt}, "User-Agent", "agent <b>"))
	first := r.obj(t)["events"].([]any)[0].(m)
	for _, name := range []string{"event", "time", "ip", "user_agent", "mom_id"} {
		if _, ok := first[name]; !ok {
			t.Errorf("an event without %s: %v", name, first)
		}
	}
	if got := b.events(mt)[0]; got != "tokeninfo_history" {
		t.Errorf("the newest event is %s", got)
	}
	for _, c := range []struct {
		ids  []any
		want int // mytokens in the answer
	}{
		{[]any{"this"}, 1},
		{[]any{"children"}, 2},
		{[]any{"this", "children"}, 3},
		{[]any{kidID}, 1},
		{[]any{"children@" + kidID}, 1},
		{[]any{kidID, grandID, kidID}, 2},
	} {
		o := b.want(200, b.post(pathInfo, m{"action": "event_history", "mytoken": mt, "mom_ids": c.ids})).obj(t)
		seen := map[any]bool{}
		for _, e := range o["events"].([]any) {
			seen[e.(m)["mom_id"]] = true
		}
		if len(seen) != c.want {
			t.Errorf("%v: events of %d mytokens, want %d", c.ids, len(seen), c.want)
		}
	}
	lacking := b.post(pathInfo, m{"action": "event_history", "mytoken": mt, "mom_ids": []any{stranger}})
	if lacking.status != 403 || lacking.obj(t)["error"] != "insufficient_capabilities" {
		t.Errorf("another one of the person: %d %s", lacking.status, lacking.body)
	}
	manager := b.token(nil, "manage_mytokens:history")
	for _, ids := range [][]any{{stranger}, {"this"}, {"children"}} { // the words as well, unlike the original
		b.want(200, b.post(pathInfo, m{"action": "event_history", "mytoken": manager, "mom_ids": ids}))
	}
	b.op.subject = "bob"
	bob := b.token(nil)
	for _, id := range []any{kidID, "nothing", "children@" + kidID, ""} {
		b.refused(b.post(pathInfo, m{"action": "event_history", "mytoken": bob, "mom_ids": []any{id}}), 403, "invalid_grant",
			"there is no such mytoken of this person")
	}
	many := make([]string, 101)
	b.refused(b.post(pathInfo, m{"action": "event_history", "mytoken": bob, "mom_ids": many}), 400, "invalid_request",
		"more than 100 mom_ids")
}

func TestTreeAndList(t *testing.T) {
	b := start(t)
	mt := b.token(m{"name": "root"})
	kid, kidID := b.child(mt, m{"name": "kid", "restrictions": []m{{"exp": "+1h"}}})
	b.child(kid, m{"name": "grandchild", "restrictions": []m{{"exp": "+1h"}}})
	b.token(m{"name": "other"})
	o := b.want(200, b.post(pathInfo, m{"action": "subtokens", "mytoken": mt})).obj(t)["mytokens"].(m)
	entry := o["token"].(m)
	if len(entry) != 4 || entry["name"] != "root" || entry["ip"] != "127.0.0.1" || entry["expires_at"] != nil {
		t.Errorf("entry %v", entry)
	}
	child := o["children"].([]any)[0].(m)
	if child["token"].(m)["expires_at"] == nil || child["children"].([]any)[0].(m)["token"].(m)["name"] != "grandchild" {
		t.Errorf("child %v", child)
	}
	list := b.want(200, b.post(pathInfo, m{"action": "list_mytokens", "mytoken": mt})).obj(t)["mytokens"].([]any)
	if len(list) != 2 {
		t.Errorf("%d trees, want 2", len(list))
	}
	b.want(204, b.post(pathRevoke, m{"token": mt, "mom_id": kidID}))
	list = b.want(200, b.post(pathInfo, m{"action": "list_mytokens", "mytoken": mt})).obj(t)["mytokens"].([]any)
	var roots []string
	for _, tree := range list {
		roots = append(roots, tree.(m)["token"].(m)["name"].(string))
	}
	if len(roots) != 3 || strings.Contains(strings.Join(roots, " "), "kid") {
		t.Errorf("what was made from a revoked one is no root: %v", roots)
	}
	o = b.want(200, b.post(pathInfo, m{"action": "subtokens", "mytoken": mt})).obj(t)["mytokens"].(m)
	if o["children"] != nil {
		t.Errorf("a revoked child is in the tree: %v", o)
	}
}

func TestRevoke(t *testing.T) {
	b := start(t)
	live := func(mt string) bool {
		t.Helper()
		return b.post(pathInfo, m{"action": "introspect", "mytoken": mt}).status == 200
	}
	mt := b.token(nil)
	kid, kidID := b.child(mt, nil)
	for _, text := range []any{"nonsense", strings.Repeat("x", 64), "a.b.c", mt[:len(mt)-4] + "AAAA"} {
		b.want(204, b.post(pathRevoke, m{"token": text}))
	}
	b.refused(b.post(pathRevoke, m{}), 400, "invalid_request", "no token given")
	b.refused(b.post(pathRevoke, m{"token": mt, "oidc_issuer": "https://x"}), 400, "invalid_request",
		"token not for specified issuer")
	r := b.want(204, b.post(pathRevoke, m{}, "Cookie", "mytoken="+mt))
	if k := sessionOf(r); r.body != "" || k == nil || k.MaxAge >= 0 {
		t.Errorf("body %q, cookie %v", r.body, k)
	}
	if live(mt) || !live(kid) || len(b.op.revoked) != 0 {
		t.Error("without recursive what was made from it goes on, and so does the login")
	}
	b.want(204, b.post(pathRevoke, m{"token": mt})) // once more
	grand, _ := b.child(kid, nil)
	b.want(204, b.form(pathRevoke, url.Values{"token": {kid}, "recursive": {"true"}}))
	if live(kid) || live(grand) || len(b.op.revoked) != 1 {
		t.Errorf("recursive: %v %v, %d revoked at the provider", live(kid), live(grand), len(b.op.revoked))
	}
	login, err := b.ledger.Find(t.Context(), kidID)
	must(t, err)
	if s, err := b.ledger.LoginState(t.Context(), login.Login); err != nil || !s.AtProvider {
		t.Errorf("login %+v, %v", s, err)
	}
}

// TestRevokeNotAtProvider: what could not be ended at the provider is said in the history.
func TestRevokeNotAtProvider(t *testing.T) {
	b := start(t)
	got := b.login(m{"capabilities": all()})
	b.op.err = errors.New("the provider is away")
	b.want(204, b.post(pathRevoke, m{"token": got["mytoken"]}))
	b.op.err = nil
	events, err := b.ledger.Events(t.Context(), got["mom_id"].(string), 1)
	if err != nil || events[0].Comment != "not revoked at provider" {
		t.Errorf("the newest event: %+v, %v", events, err)
	}
	if len(b.op.revoked) != 0 {
		t.Error("revoked at the provider")
	}
}

func TestRevokeByID(t *testing.T) {
	b := start(t)
	parent := b.token(nil, "AT", "create_mytoken", "tokeninfo")
	kid, kidID := b.child(parent, nil)
	other := b.login(nil)
	r := b.post(pathRevoke, m{"token": kid, "mom_id": other["mom_id"]})
	if r.status != 403 || r.obj(t)["error"] != "insufficient_capabilities" {
		t.Errorf("without capability: %d %s", r.status, r.body)
	}
	// An ancestor needs no capability; the restrictions of the caller count.
	b.want(204, b.post(pathRevoke, m{"token": parent, "mom_id": kidID}))
	if got := b.events(parent); got[0] != "revoked_other_token" {
		t.Errorf("events %v", got)
	}
	b.want(204, b.post(pathRevoke, m{"token": parent, "mom_id": kidID})) // once more
	limited := b.token(m{"restrictions": []m{{"usages_other": 0}}})
	r = b.post(pathRevoke, m{"token": limited, "mom_id": other["mom_id"]})
	if r.status != 403 || r.obj(t)["error"] != "usage_restricted" {
		t.Errorf("restrictions: %d %s", r.status, r.body)
	}
	rotating := b.token(m{"rotation": m{"on_other": true}})
	r = b.want(200, b.post(pathRevoke, m{"token": rotating, "mom_id": other["mom_id"]}))
	if got := r.members(t); got != "token_update" {
		t.Errorf("members %s", got)
	}
	b.clock.move(60e9)
	r = b.post(pathRevoke, m{"token": rotating, "mom_id": other["mom_id"]})
	if r.status != http.StatusUnauthorized {
		t.Errorf("a replaced mytoken still revokes: %d %s", r.status, r.body)
	}
	b.op.subject = "bob"
	bob := b.login(nil)
	for _, id := range []any{bob["mom_id"], "unknown"} {
		b.refused(b.post(pathRevoke, m{"token": parent, "mom_id": id}), 403, "invalid_grant",
			"there is no such mytoken of this person")
	}
	// The last mytoken of a login, ended by its ancestor, ends the login at the provider, too.
	last := b.token(nil)
	got := b.want(200, b.post(pathInfo, m{"action": "introspect", "mytoken": last})).obj(t)
	b.want(204, b.post(pathRevoke, m{"token": last, "mom_id": got["mom_id"], "recursive": true}))
	if len(b.op.revoked) != 1 || !strings.Contains(b.op.revoked[0], "bob") {
		t.Errorf("revoked at the provider: %d", len(b.op.revoked))
	}
}

// TestExpiredParent: an expired mytoken can still end what was made from it.
func TestExpiredParent(t *testing.T) {
	b := start(t)
	mt := b.token(m{"restrictions": []m{{"exp": "+1h"}}})
	momID := b.want(200, b.post(pathInfo, m{"action": "introspect", "mytoken": mt})).obj(t)["mom_id"].(string)
	b.clock.move(2 * 3600e9)
	b.want(204, b.post(pathRevoke, m{"token": mt, "recursive": true}))
	if got, err := b.ledger.Find(t.Context(), momID); err != nil || got.Condition != ledger.Ended {
		t.Errorf("got %v, %v", got.Condition, err)
	}
}
