package pages_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/mytoken/desk"
	"github.com/oidcbox/oidcbox/core/mytoken/ledger"
	"github.com/oidcbox/oidcbox/core/mytoken/pages"
)

type (
	ctx   = context.Context
	nodes = []ledger.Node
)

func TestHome(t *testing.T) {
	b := newBed(t)
	b.login()
	b.get("/home").want(http.StatusOK, "night run", "at most 9 access tokens, 5 left", "in 2 days", "1 hour ago",
		"1; they count as used",
		"2 usable, 1 ended", "192.0.2.7, Belgium (BE)").without("last week")
	b.get("/home?ended=1").want(http.StatusOK, "last week", "revoked", "5 days ago")
	b.get("/home?q=NIGHT").want(http.StatusOK, "night run")
	b.get("/home?q=other").want(http.StatusOK, "There is nothing to show")
}

func TestHomePages(t *testing.T) {
	b := newBed(t)
	b.login()
	b.trees = nil
	for i := range 120 {
		b.trees = append(b.trees, ledger.Node{Token: ledger.Token{
			MOMID: fmt.Sprint("m", i), Name: fmt.Sprintf("number %03d.", i), Condition: ledger.Live,
			Created: start().Add(time.Duration(i)),
		}})
	}
	b.get("/home").want(http.StatusOK, "number 119.", "number 070.",
		`<a href="/home?page=2">Older</a>`).without("number 069.", "Newer")
	b.get("/home?page=3&view=list").want(http.StatusOK, "number 019.", "number 000.",
		`page=2&amp;view=list`).without("number 020.", "Older")
	b.get("/home?page=99999999999999999999").want(http.StatusOK)
}

func TestHomeManyBelow(t *testing.T) {
	b := newBed(t)
	b.login()
	b.trees = b.trees[:1]
	b.trees[0].Children = nil
	for i := range 1000 {
		b.trees[0].Children = append(b.trees[0].Children, ledger.Node{Token: ledger.Token{
			MOMID: fmt.Sprint("m", i), Name: "below", Condition: ledger.Live, Created: start(),
		}})
	}
	a := b.get("/home").want(http.StatusOK, "1001 usable", "601 more were made from it")
	if n := strings.Count(a.Body, "<article"); n != 400 {
		t.Errorf("%d mytokens on one page", n)
	}
	a.valid()
}

func TestRevoke(t *testing.T) {
	b := newBed(t)
	b.login()
	page := b.get("/home/revoke?mom_id=one%2B%2F%3D%3D").want(http.StatusOK, "1 usable mytoken was made from it",
		"night run")
	form := page.form()
	if form.Get("recursive") != "1" || form.Get("mom_id") != "one+/==" {
		t.Fatalf("the form has %v", form)
	}
	form.Set("recursive", "0")
	b.post("/home/revoke", form).want(http.StatusOK, "The mytoken has ended").valid()
	if len(b.revoked) != 1 || b.revoked[0] != "one+/== false" {
		t.Errorf("revoked %q", b.revoked)
	}
	form.Set("mom_id", "")
	b.post("/home/revoke", form).want(http.StatusBadRequest) // never the session by mistake
	if len(b.revoked) != 1 {
		t.Errorf("revoked %q", b.revoked)
	}
}

func TestCreateByLogin(t *testing.T) {
	b := newBed(t)
	page := b.get("/create").want(http.StatusOK)
	form := page.form()
	form.Set("do", "add")
	page = b.post("/create", form).want(http.StatusOK, "Way 2 of using it")
	page.valid()
	form = page.form()
	form.Set("name", "job")
	form.Set("c1.usages_AT", "3")
	form.Set("do", "create")
	a := b.post("/create", form).want(http.StatusOK, "Go on to")
	if len(b.accepted) != 1 || len(b.accepted[0].Restrictions) != 2 || b.accepted[0].Name != "job" {
		t.Fatalf("accepted %+v", b.accepted)
	}
	if c := a.Header.Values("Set-Cookie"); !strings.Contains(strings.Join(c, "\n"),
		"mytoken-pending=mytoken:polling; Path=/; Max-Age=300; HttpOnly; SameSite=Strict") {
		t.Errorf("cookies %q", c)
	}
	page = b.get("/native").want(http.StatusOK, "It is shown once")
	form = url.Values{"csrf": {page.token()}}
	b.post("/created", form).want(http.StatusOK, "has not ended yet")
	b.post("/created", form).want(http.StatusOK, "the.new.mytoken").valid()
	b.post("/created", form).want(http.StatusNotFound)
}

func TestCreateFrom(t *testing.T) {
	b := newBed(t)
	b.login()
	form := b.get("/create").form()
	form.Set("do", "create")
	form.Set("from", "session")
	form.Set("kind", "transfer_code")
	b.post("/create", form).want(http.StatusOK, "TransferCode1", "mytoken MT --TC TransferCode1").valid()
	if len(b.subs) != 1 || b.subs[0]["error_on_restrictions"] != true {
		t.Errorf("asked for %v", b.subs)
	}
	form.Set("from", "mytoken")
	b.post("/create", form).want(http.StatusUnprocessableEntity, "Paste the mytoken")
	form.Set("mytoken", "bad")
	b.post("/create", form).want(http.StatusForbidden, "may not do this").without(`value="bad"`).valid()
	form.Set("mytoken", "good")
	b.post("/create", form).want(http.StatusOK, "TransferCode1")
}

func TestCreateLink(t *testing.T) {
	b := newBed(t)
	link := base64.RawURLEncoding.EncodeToString([]byte(`{"name":"night","capabilities":["AT"],"restrictions":[{"exp":"+1d"}]}`))
	form := b.get("/?r="+link).want(http.StatusOK,
		"nothing is made yet").form()
	if form.Get("name") != "night" || form.Get("c0.exp") != "2026-11-23T09:00" || form.Get("cap") != "AT" {
		t.Errorf("the form has %v", form)
	}
}

func TestTransfer(t *testing.T) {
	guesses := 0
	b := newBed(t, func(o *pages.Options) {
		o.Guess = func(netip.Addr) error {
			if guesses++; guesses > 2 {
				return &desk.Error{Status: http.StatusTooManyRequests, Code: desk.CodeTooMany, RetryAfter: time.Minute}
			}
			return nil
		}
	})
	form := url.Values{"csrf": {b.get("/home/transfer").token()}, "mytoken": {"bad"}}
	b.post("/home/transfer", form).want(http.StatusUnprocessableEntity, "This is not valid").without(`"bad"`).valid()
	form.Set("mytoken", "good")
	b.post("/home/transfer", form).want(http.StatusOK, "TransferCode1")
	form.Set("transfer_code", "x")
	b.post("/home/redeem", form).want(http.StatusUnprocessableEntity, "This is not valid")
	form.Set("transfer_code", " TransferCode1 ")
	b.post("/home/redeem", form).want(http.StatusOK, "the.new.mytoken")
	b.post("/home/redeem", form).want(http.StatusTooManyRequests, "Try again in 1 minute").valid()
}

func TestSettings(t *testing.T) {
	b := newBed(t)
	b.login()
	post := func(path string, status int, pairs ...string) answer {
		form := url.Values{"csrf": {b.get("/settings").token()}}
		for i := 0; i < len(pairs); i += 2 {
			form.Add(pairs[i], pairs[i+1])
		}
		a := b.post(path, form).want(status)
		a.valid()
		return a
	}
	post("/settings/email", 422, "email", "bad").want(422, "not a mail address", `aria-invalid="true"`)
	post("/settings/email", 422, "email", "a b@c").want(422, "This is no mail address")
	post("/settings/email", 200, "email", "eve@example.org", "html", "1").want(200, "eve@example.org", "not confirmed yet")
	post("/settings/grant", 200, "enabled", "1").want(200, "Switch ssh off")
	post("/settings/ssh", 422, "ssh_key", "nonsense").want(422, "not a public key", "nonsense")
	a := post("/settings/ssh", 200, "ssh_key", "ssh-ed25519 AAAA", "name", "laptop")
	if to := a.Header.Get("Refresh"); to != "0; url=/c/forssh" {
		t.Errorf("goes to %q", to)
	}
	b.get("/c/forssh").want(200, "for an ssh key")
	form := url.Values{"csrf": {b.get("/native").token()}}
	b.sshPending = true
	b.post("/created", form).want(200, "has not ended yet")
	b.sshPending = false
	b.post("/created", form).want(200, "secretuser", "Host mytoken").valid()
	b.get("/settings").want(200, "SHA256:abc", "laptop")
	post("/settings/ssh/remove", 200, "ssh_key_fp", "SHA256:abc").without("laptop")
	post("/settings/notify", 422, "class", "expiration").want(422, "confirm your mail address")
	post("/settings/notify", 422).want(422, "Choose what you want to be told")
	b.email.Verified = true
	post("/settings/notify", 200, "class", "expiration", "class", "made up").want(200, "You will get mails")
	if got := strings.Join(b.told[0].Classes, " "); got != "expiration" || !b.told[0].UserWide {
		t.Errorf("asked for %+v", b.told)
	}
	post("/settings/calendar", 422, "calendar", "").want(422, "Give it a name")
	post("/settings/calendar", 200, "calendar", "runs").want(200, "runs", "/calendars/cal1/view")
	post("/settings/calendar/remove", 200, "id", "cal1").without("/calendars/cal1/view")
}

func TestNotification(t *testing.T) {
	b := newBed(t)
	form := url.Values{"csrf": {b.get("/notifications/management").want(200, "ends soon").token()}}
	b.post("/notifications/management", form).want(422, "Choose what you want to be told")
	form["class"] = []string{"security", "AT_creations"}
	b.post("/notifications/management", form).want(200, "Changed")
	if got := strings.Join(b.classes, " "); got != "security AT_creations" {
		t.Errorf("classes %s", got)
	}
	form.Set("do", "end")
	b.post("/notifications/management", form).want(200, "You will not be told any more").valid()
	form.Set("csrf", b.get("/").token())
	b.post("/notifications/management", form).want(403)
}
