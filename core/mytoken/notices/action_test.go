package notices

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/mytoken"
	"github.com/oidcbox/oidcbox/core/mytoken/desk"
	"github.com/oidcbox/oidcbox/core/mytoken/httpapi"
	"github.com/oidcbox/oidcbox/core/mytoken/ledger"
)

func requestOf(comment string) mytoken.NotificationRequest {
	return mytoken.NotificationRequest{Type: mytoken.NotifyInvite, Comment: comment}
}

func (b *bed) action(method, target, body string) *httptest.ResponseRecorder {
	b.t.Helper()
	at := slices.IndexFunc(b.Routes(), func(r httpapi.Route) bool { return r.Path == PathActions })
	r := httptest.NewRequest(method, strings.TrimPrefix(target, issuer), strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	w := httptest.NewRecorder()
	b.Routes()[at].Page.ServeHTTP(w, r)
	return w
}

func TestActions(t *testing.T) {
	setup := func(t *testing.T) (*bed, string) {
		b := newBed(t)
		must(t, b.SetMail(t.Context(), "alice", "alice@example.org", nil))
		return b, linkIn(t, b.sends()[0], forConfirming)
	}
	verified := func(b *bed) bool {
		e, err := b.Mail(b.t.Context(), "alice")
		must(b.t, err)
		return e.Verified
	}
	t.Run("a_get_asks_and_does_nothing", func(t *testing.T) {
		b, link := setup(t)
		for _, method := range []string{http.MethodGet, http.MethodHead} {
			w := b.action(method, link, "")
			csp := w.Header().Get("Content-Security-Policy")
			if w.Code != 200 || verified(b) || !strings.Contains(csp, "default-src 'none'") ||
				!strings.Contains(csp, styleHash()) || w.Header().Get("Referrer-Policy") != "no-referrer" {
				t.Errorf("%s: %d %v", method, w.Code, w.Header())
			}
		}
	})
	t.Run("the_button_of_the_page_acts", func(t *testing.T) {
		b, link := setup(t)
		w := b.action(http.MethodPost, "/actions", "action=verify_email&code="+codeOf(t, link))
		if w.Code != 200 || !verified(b) {
			t.Errorf("%d\n%s", w.Code, w.Body)
		}
	})
	t.Run("one_click_of_a_mail_program_acts", func(t *testing.T) {
		b, _ := setup(t)
		b.verified("bob", "bob@example.org")
		b.mt("bob", "m1", 0)
		_, err := b.subscribe(t.Context(), "bob", subscription{classes: []string{"security"}, wide: true})
		must(t, err)
		b.tell(desk.Notice{User: "bob", MOMID: "m1", Class: desk.ClassIPs})
		link := b.sends()[0].Unsubscribe
		if w := b.action(http.MethodPost, link, "List-Unsubscribe=One-Click"); w.Code != 200 {
			t.Errorf("%d\n%s", w.Code, w.Body)
		}
		if subs, _ := b.subscriptions(t.Context(), "bob"); len(subs) != 0 {
			t.Errorf("%d notifications", len(subs))
		}
		if w := b.action(http.MethodPost, link, "List-Unsubscribe=One-Click"); w.Code != 404 {
			t.Errorf("again: %d", w.Code)
		}
	})
	t.Run("a_code_is_good_for_its_action_only", func(t *testing.T) {
		b, link := setup(t)
		code := codeOf(t, link)
		for _, p := range []purpose{forMuting, forUnsubscribe, forRemoving, forRecreating} {
			for _, method := range []string{http.MethodGet, http.MethodPost} {
				if w := b.action(method, b.link(p, code), ""); w.Code != 404 {
					t.Errorf("%s %s: %d", method, p, w.Code)
				}
			}
		}
		if w := b.action(http.MethodPost, b.link(forConfirming, strings.Repeat("A", 32)), ""); w.Code != 404 || verified(b) {
			t.Errorf("%d", w.Code)
		}
	})
	t.Run("hostile", func(t *testing.T) {
		b, _ := setup(t)
		for _, q := range []string{
			"", "action=x&code=y", "action=manage&code=" + strings.Repeat("A", 64), "action=%3Cscript%3E&code=%22%3E%3Cscript%3E",
			"action=verify_email&code=%22%3E%3Cscript%3E", "action=verify_email&code=" + strings.Repeat("A", 9000),
		} {
			for _, method := range []string{http.MethodGet, http.MethodPost} {
				w := b.action(method, "/actions?"+q, "")
				if w.Code != 400 && w.Code != 404 || strings.Contains(w.Body.String(), "<script") {
					t.Errorf("%s %s: %d\n%s", method, q, w.Code, w.Body)
				}
			}
		}
		if w := b.action(http.MethodPost, "/actions", "action="+strings.Repeat("a", maxForm)); w.Code != 400 {
			t.Errorf("long form: %d", w.Code)
		}
		if w := b.action(http.MethodDelete, "/actions", ""); w.Code != 405 {
			t.Errorf("DELETE: %d", w.Code)
		}
	})
}

func TestRecreate(t *testing.T) {
	b := newBed(t)
	created := b.clock.now()
	b.mt("alice", "m1", 10*day, func(t *ledger.Token) {
		t.Name = "job <7>"
		t.Restrictions = mytoken.Restrictions{
			{Expires: mytoken.At(created.Add(10 * day)), Scope: "storage.read:/", Hosts: []string{"192.0.2.0/24"}},
			{NotBefore: mytoken.At(created.Add(day))},
		}
		t.Rotation = &mytoken.Rotation{OnAT: true, Lifetime: time.Hour}
	})
	k, err := b.addCalendar(t.Context(), "alice", "farm", nil, true)
	must(t, err)
	_, err = b.enter(t.Context(), "alice", k.ID, "m1", "")
	must(t, err)
	f, err := b.Feed(t.Context(), k.ID)
	must(t, err)
	b.clock.move(9*day + 1500*time.Millisecond)
	w := b.action(http.MethodGet, f.Entries[0].Again, "")
	to, err := url.Parse(w.Header().Get("Location"))
	must(t, err)
	if w.Code != 303 || to.Fragment != "mt" || !strings.HasPrefix(to.String(), issuer+"/?r=") {
		t.Fatalf("%d %s", w.Code, to)
	}
	raw, err := base64.RawURLEncoding.DecodeString(to.Query().Get("r"))
	must(t, err)
	var q struct {
		Issuer       string `json:"oidc_issuer"`
		Name         string
		Capabilities []string
		Restrictions []map[string]any
		Rotation     map[string]any
	}
	must(t, json.Unmarshal(raw, &q))
	age := int64((9*day + time.Second) / time.Second)
	if q.Issuer != "https://op.example.org" || q.Name != "job <7>" || len(q.Restrictions) != 2 ||
		int64(q.Restrictions[0]["exp"].(float64)) != created.Add(10*day).Unix()+age ||
		int64(q.Restrictions[1]["nbf"].(float64)) != created.Add(day).Unix()+age ||
		q.Restrictions[0]["scope"] != "storage.read:/" || q.Rotation["on_AT"] != true || len(q.Capabilities) != 4 {
		t.Errorf("%s", raw)
	}
	if got := b.people.all[0].Restrictions[0].Expires.Unix(); got != created.Add(10*day).Unix() {
		t.Error("the mytoken itself was changed")
	}
	b.people.all = nil
	if w := b.action(http.MethodGet, f.Entries[0].Again, ""); w.Code != 404 {
		t.Errorf("of a mytoken that is gone: %d", w.Code)
	}
}

func TestLimits(t *testing.T) {
	b := newBed(t, func(o *Options) {
		o.Limits = Limits{Notifications: 3, Calendars: 2, Tokens: 4}
	})
	b.verified("alice", "alice@example.org")
	var code string
	for range 3 {
		code = b.wantsEnds("alice", "m0")
	}
	_, err := b.subscribe(t.Context(), "alice", subscription{classes: []string{"security"}, wide: true})
	is(t, err, ErrTooMany)
	k, err := b.addCalendar(t.Context(), "alice", "a", nil, true)
	must(t, err)
	_, err = b.addCalendar(t.Context(), "alice", "a", nil, true)
	is(t, err, ErrTaken)
	_, err = b.addCalendar(t.Context(), "alice", "a", nil, false)
	must(t, err)
	_, err = b.addCalendar(t.Context(), "alice", "b", nil, true)
	is(t, err, ErrTooMany)
	for i := range 6 {
		m := fmt.Sprint("m", i)
		b.mt("alice", m, day)
		_, err := b.enter(t.Context(), "alice", k.ID, m, "")
		if want := i >= 4; want != (err != nil) {
			t.Errorf("%d in the calendar: %v", i, err)
		}
		if err = b.addToken(t.Context(), code, m, false); (i >= 4) != (err != nil) {
			t.Errorf("%d in the notification: %v", i, err)
		}
	}
	for _, name := range []string{"a\nb", strings.Repeat("x", maxName+1), "\u202e", " a", "\xff", "a  b"} {
		_, err := b.addCalendar(t.Context(), "bob", name, nil, true)
		is(t, err, ErrName)
	}
	t.Run("many_long_comments", func(t *testing.T) {
		b := newBed(t)
		k, err := b.addCalendar(t.Context(), "alice", "a", nil, true)
		must(t, err)
		for i := range 200 {
			m := strings.Repeat("m", 85) + fmt.Sprint(i)
			b.mt("alice", m, day)
			if _, err = b.enter(t.Context(), "alice", k.ID, m, strings.Repeat("<", maxComment)); err != nil {
				break
			}
		}
		refused(t, refusal(err), 403, desk.CodeRequest)
	})
}
