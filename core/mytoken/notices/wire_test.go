package notices

import (
	"context"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/mytoken"
	"github.com/oidcbox/oidcbox/core/mytoken/desk"
	"github.com/oidcbox/oidcbox/core/mytoken/httpapi"
	"github.com/oidcbox/oidcbox/core/mytoken/ledger"
	"github.com/oidcbox/oidcbox/core/mytoken/mint"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/token/jose"
	"github.com/oidcbox/oidcbox/core/transport/httpc"
	"github.com/oidcbox/oidcbox/store"
	"github.com/oidcbox/oidcbox/store/memstore"
	"github.com/oidcbox/oidcbox/store/sealed"
)

// quiet is a provider that is never asked for anything: mytokens of these tests are made without a login.
type quiet struct{ desk.Provider }

func (quiet) Info() desk.ProviderInfo { return desk.ProviderInfo{Issuer: "https://op.example.org"} }

func (quiet) Accepts(mytoken.Restrictions) error { return nil }

// registry has that provider alone.
type registry struct{}

func (registry) Provider(issuer string) (desk.Provider, bool) {
	return quiet{}, issuer == quiet{}.Info().Issuer
}

func (registry) Providers() []desk.ProviderInfo { return []desk.ProviderInfo{quiet{}.Info()} }

// server is one on loopback: ledger, desk, HTTP interface, notices.
type server struct {
	*Notices
	t      testing.TB
	url    string
	ledger *ledger.Ledger
	minter *mint.Minter
	post   *postman
	held   store.Lease
	client *mytoken.Client
	hc     *http.Client
}

func serve(t testing.TB, edit ...func(*Options)) *server {
	t.Helper()
	srv := httptest.NewUnstartedServer(nil)
	s := &server{t: t, url: "http://" + srv.Listener.Addr().String(), post: &postman{}}
	key, err := jose.GenerateKey(jose.ES384, "")
	must(t, err)
	s.minter, err = mint.New(s.url, key)
	must(t, err)
	keys := jose.NewKeySet(key.Public())
	eng := sealed.New(memstore.New(), newSealer(t))
	s.ledger = ledger.New(eng, ledger.Options{Minter: s.minter, Verify: mint.NewChecker(s.url, keys).Genuine})
	t.Cleanup(func() { must(t, s.ledger.Close(context.Background())) })
	var d *desk.Desk
	o := Options{
		Issuer: s.url, Engine: eng, Tokens: s.ledger, Open: s.post.Open, From: addr(t, "mytoken@example.org"),
		Enter: func(ctx context.Context, c desk.Caller, n desk.Need) (Visit, error) { return d.Enter(ctx, c, n) },
		Tags: func(ctx context.Context, user string) (func(ledger.Token) []string, error) {
			return d.TagNames(ctx, user)
		},
	}
	for _, e := range edit {
		e(&o)
	}
	s.Notices, err = New(o)
	must(t, err)
	d, err = desk.New(desk.Options{
		Issuer: s.url, Ledger: s.ledger, Minter: s.minter, Upstream: registry{}, Notify: s.Notice,
		Features: desk.Features{Polling: true, Subtokens: true},
	})
	must(t, err)
	api, err := httpapi.New(httpapi.Options{
		Issuer: s.url, Desk: d, Keys: func() *jose.KeySet { return keys }, Alg: jose.ES384, Mount: s.Routes(), About: s.About,
		Features: httpapi.Features{
			Features: desk.Features{Subtokens: true}, Notifications: true, Introspect: true, History: true, Revocation: true,
		},
	})
	must(t, err)
	srv.Config.Handler = api.Handler()
	srv.Start()
	t.Cleanup(srv.Close)
	s.hc = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	hc, err := httpc.New(httpc.Options{})
	must(t, err)
	known, err := mytoken.Discover(t.Context(), hc, s.url)
	must(t, err)
	s.client = mytoken.New(hc, known, mytoken.Options{})
	s.held, err = eng.Lease(t.Context(), leaseName, time.Hour)
	must(t, err)
	return s
}

// mt makes a mytoken of a subject at the provider.
func (s *server) mt(subject string, edit func(*mint.Order), capabilities ...string) (secret.Text, string) {
	s.t.Helper()
	o := mint.Order{
		Name: "job", OIDCIssuer: "https://op.example.org", OIDCSubject: subject, Now: time.Now(), AuthTime: time.Now(),
		Capabilities: capabilities,
	}
	if edit != nil {
		edit(&o)
	}
	jwt, claims, err := s.minter.Issue(o)
	must(s.t, err)
	kept, err := s.ledger.Begin(s.t.Context(), ledger.Login{Refresh: secret.FromString("refresh-token-0123456789")},
		ledger.Grant{JWT: jwt, Claims: claims, Event: ledger.Event{From: ledger.Origin{Client: netip.MustParseAddr("192.0.2.1")}}})
	must(s.t, err)
	return jwt, kept.MOMID
}

func (s *server) child(parent secret.Text) (secret.Text, string) {
	s.t.Helper()
	i, err := s.client.Subtoken(s.t.Context(), parent, mytoken.Request{Name: "child"})
	must(s.t, err)
	return i.Token, i.MOMID
}

func lives(d time.Duration) func(*mint.Order) {
	return func(o *mint.Order) {
		o.Restrictions = mytoken.Restrictions{{Expires: mytoken.At(o.Now.Add(d))}}
	}
}

func (s *server) sends() []string {
	s.t.Helper()
	for {
		select {
		case e := <-s.queue:
			must(s.t, s.take(s.t.Context(), e))
			continue
		default:
		}
		s.sender.scheduled = time.Time{}
		must(s.t, s.turn(s.t.Context(), s.held))
		return subjects(s.post.take())
	}
}

type reply struct {
	status int
	header http.Header
	body   string
}

func (r reply) object(t *testing.T) (m map[string]any) {
	t.Helper()
	if err := json.Unmarshal([]byte(r.body), &m); err != nil {
		t.Fatalf("%d %q: %v", r.status, r.body, err)
	}
	return m
}

func (s *server) send(method, path string, mt secret.Text, kind, body string) reply {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), method, s.url+path, strings.NewReader(body))
	must(s.t, err)
	if kind != "" {
		req.Header.Set("Content-Type", kind)
	}
	if !mt.Empty() {
		req.Header.Set("Authorization", "Bearer "+mt.Expose())
	}
	resp, err := s.hc.Do(req)
	must(s.t, err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	must(s.t, err)
	return reply{resp.StatusCode, resp.Header, string(b)}
}

func (s *server) json(method, path string, mt secret.Text, body string) reply {
	s.t.Helper()
	return s.send(method, path, mt, "application/json", body)
}

func members(m map[string]any) string { return strings.Join(slices.Sorted(maps.Keys(m)), " ") }

func (s *server) verify(subject, address string) {
	s.t.Helper()
	must(s.t, s.Learn(s.t.Context(), ledger.UserID("https://op.example.org", subject), address, true))
}

// The client of this house against the server, with a mytoken that is replaced at each use.
func TestOurClient(t *testing.T) {
	for name, rotation := range map[string]*mytoken.Rotation{"plain": nil, "rotating": {OnOther: true}} {
		t.Run(name, func(t *testing.T) {
			s := serve(t)
			mt, momID := s.mt("alice", func(o *mint.Order) {
				lives(100 * day)(o)
				o.Rotation = rotation
			}, "tokeninfo", "manage_mytokens", "settings")
			updates, uses := 0, 0
			used := func(u *mytoken.Issued, err error) {
				t.Helper()
				must(t, err)
				if uses++; u != nil {
					mt = u.Token
					updates++
				}
			}
			clientMail(t, s, &mt, used)
			clientNotifications(t, s, &mt, momID, used)
			clientCalendars(t, s, &mt, momID, used)
			clientTags(t, s, &mt, momID, used)
			if rotation != nil && updates != uses || rotation == nil && updates != 0 {
				t.Errorf("%d uses, %d updates", uses, updates)
			}
			events, _, err := s.client.History(t.Context(), mt)
			must(t, err)
			var names []string
			for _, e := range events {
				names = append(names, e.Event)
			}
			for _, want := range []string{
				"email_changed", "email_mimetype_changed", "email_settings_listed", "notification_created", "notification_listed",
				"calendar_created", "calendar_listed", "calendar_deleted", "notification_subscribed", "tokeninfo_notifications",
			} {
				if !slices.Contains(names, want) {
					t.Errorf("no %s in %v", want, names)
				}
			}
		})
	}
}

func clientMail(t *testing.T, s *server, mt *secret.Text, used func(*mytoken.Issued, error)) {
	ctx, html := t.Context(), true
	u, err := s.client.SetEmail(ctx, *mt, "alice@example.org", nil)
	used(u, err)
	u, err = s.client.SetEmail(ctx, *mt, "", &html)
	used(u, err)
	e, u, err := s.client.Email(ctx, *mt)
	used(u, err)
	if e.Address != "alice@example.org" || e.Verified || !e.HTML {
		t.Errorf("%+v", e)
	}
	_, _, err = s.client.Notify(ctx, *mt, mytoken.NotificationRequest{Type: "mail", Classes: []string{"security"}})
	if no := mytokenError(t, err); no.Status != 422 || no.Code != desk.CodeMail {
		t.Errorf("%v", err)
	}
	must(t, s.turn(ctx, s.held))
	link := strings.TrimPrefix(linkOf(t, s), s.url)
	if r := s.send(http.MethodGet, link, secret.Text{}, "", ""); r.status != 200 {
		t.Errorf("%d %s", r.status, r.body)
	}
	if r := s.send(http.MethodPost, link, secret.Text{}, "", ""); r.status != 200 {
		t.Errorf("%d %s", r.status, r.body)
	}
}

func linkOf(t *testing.T, s *server) string {
	t.Helper()
	for _, m := range s.post.take() {
		for word := range strings.FieldsSeq(m.Text) {
			if strings.Contains(word, "/actions?action=verify_email") {
				return word
			}
		}
	}
	t.Fatal("no mail with a link")
	return ""
}

func mytokenError(t *testing.T, err error) *mytoken.Error {
	t.Helper()
	e, ok := asMytokenError(err)
	if !ok {
		t.Fatalf("%v", err)
	}
	return e
}

func clientNotifications(t *testing.T, s *server, mt *secret.Text, momID string, used func(*mytoken.Issued, error)) {
	ctx := t.Context()
	code, u, err := s.client.Notify(ctx, *mt, mytoken.NotificationRequest{
		Type: "mail", Classes: []string{"expiration", "security"}, Comment: "farm",
	})
	used(u, err)
	_, u, err = s.client.Notify(ctx, *mt, mytoken.NotificationRequest{Type: "ics_invite"})
	used(u, err)
	if got := s.sends(); !slices.Contains(got, "alice@example.org: Mytoken 'job' expires") {
		t.Errorf("%v", got)
	}
	list, u, err := s.client.Notifications(ctx, *mt)
	used(u, err)
	if len(list) != 1 || !list[0].Code.Equal(code) || list[0].UserWide || !slices.Equal(list[0].MOMIDs, []string{momID}) ||
		!slices.Equal(list[0].Classes, []string{"security", "expiration"}) {
		t.Errorf("%+v", list)
	}
	must(t, s.client.ChangeNotification(ctx, code, mytoken.NotificationChange{Classes: []string{"AT_creations"}}))
	must(t, s.client.NotifyOf(ctx, code, mytoken.NotificationToken{MOMID: momID, Remove: true}))
	must(t, s.client.NotifyOf(ctx, code, mytoken.NotificationToken{MOMID: momID, IncludeChildren: true}))
	told, u, err := s.client.Told(ctx, *mt)
	used(u, err)
	if len(told.Notifications) != 1 || !slices.Equal(told.Notifications[0].Classes, []string{"AT_creations"}) {
		t.Errorf("%+v", told)
	}
	must(t, s.client.EndNotification(ctx, code))
	if no := mytokenError(t, s.client.EndNotification(ctx, code)); no.Status != 404 {
		t.Errorf("%v", no)
	}
}

func clientTags(t *testing.T, s *server, mt *secret.Text, momID string, used func(*mytoken.Issued, error)) {
	ctx := t.Context()
	u, err := s.client.AddTag(ctx, *mt, mytoken.Tag{Name: "farm"})
	used(u, err)
	k, u, err := s.client.AddCalendar(ctx, *mt, "by tag", "farm")
	used(u, err)
	for _, tagged := range []bool{false, true} {
		if tagged {
			u, err = s.client.Tag(ctx, *mt, mytoken.Tagging{Tag: "farm"})
			used(u, err)
		}
		feed := s.send(http.MethodGet, "/calendars/"+k.ID, secret.Text{}, "", "").body
		if strings.Contains(feed, "UID:") != tagged {
			t.Errorf("tagged %v: %s", tagged, feed)
		}
	}
	told, u, err := s.client.Told(ctx, *mt)
	used(u, err)
	if len(told.Calendars) != 1 || told.Calendars[0].ID != k.ID {
		t.Errorf("%+v of %s", told, momID)
	}
	u, err = s.client.RemoveCalendar(ctx, *mt, k.ID)
	used(u, err)
}

func clientCalendars(t *testing.T, s *server, mt *secret.Text, momID string, used func(*mytoken.Issued, error)) {
	ctx := t.Context()
	name := "my farm/№ 1; ../x"
	k, u, err := s.client.AddCalendar(ctx, *mt, name)
	used(u, err)
	if k.Name != name || k.ID == "" || k.URL != s.url+"/calendars/"+k.ID {
		t.Errorf("%+v", k)
	}
	for _, by := range []string{k.ID, name} {
		u, err = s.client.Subscribe(ctx, *mt, by, "", "comment")
		used(u, err)
	}
	r := s.send(http.MethodGet, "/calendars/"+k.ID, secret.Text{}, "", "")
	cal, err := readICS(r.body)
	must(t, err)
	if r.status != 200 || len(cal.parts) != 1 || cal.text("NAME") != name || cal.parts[0].text("COMMENT") != "comment" {
		t.Errorf("%d\n%s", r.status, r.body)
	}
	list, u, err := s.client.Calendars(ctx, *mt)
	used(u, err)
	if len(list) != 1 || !slices.Equal(list[0].MOMIDs, []string{momID}) {
		t.Errorf("%+v", list)
	}
	u, err = s.client.RemoveCalendar(ctx, *mt, name)
	used(u, err)
	if r := s.send(http.MethodGet, "/calendars/"+k.ID, secret.Text{}, "", ""); r.status != 404 {
		t.Errorf("%d", r.status)
	}
}

// The wire as it is, byte for byte where clients look.
func TestWire(t *testing.T) {
	s := serve(t)
	s.verify("alice", "alice@example.org")
	mt, momID := s.mt("alice", lives(10*day), "tokeninfo", "manage_mytokens")
	const path = "/api/v0/notifications"
	t.Run("nothing_yet", func(t *testing.T) {
		if r := s.json("GET", path, mt, ""); r.status != 200 || r.body != `{"notifications":[]}` {
			t.Errorf("%d %s", r.status, r.body)
		}
		if r := s.json("GET", path+"/calendars", mt, ""); r.status != 200 || r.body != `{"calendars":[]}` {
			t.Errorf("%d %s", r.status, r.body)
		}
		r := s.json("POST", "/api/v0/tokeninfo", mt, `{"action":"notifications"}`)
		if r.status != 200 || r.body != `{}` {
			t.Errorf("%d %s", r.status, r.body)
		}
	})
	var code string
	t.Run("create_by_json_and_form", func(t *testing.T) {
		r := s.json("POST", path, mt, `{"notification_type":"mail","notification_classes":["security"],"user_wide":true}`)
		if r.status != 201 || members(r.object(t)) != "management_code" {
			t.Fatalf("%d %s", r.status, r.body)
		}
		code, _ = r.object(t)["management_code"].(string)
		r = s.send("POST", path, mt, "application/x-www-form-urlencoded",
			"notification_type=mail&notification_classes=security&notification_classes=expiration&user_wide=true")
		if r.status != 201 || len(code) != managementLength {
			t.Errorf("%d %s", r.status, r.body)
		}
	})
	t.Run("the_code_is_the_credential", func(t *testing.T) {
		r := s.json("GET", path+"/"+code, secret.Text{}, "")
		if want := "management_code notification_classes notification_id notification_type oidc_iss oidc_sub user_wide"; r.status != 200 || members(r.object(t)) != want {
			t.Errorf("%d %s", r.status, r.body)
		}
		for _, method := range []string{"POST", "PUT"} {
			r = s.json(method, path+"/"+code+"/nc", secret.Text{}, `{"notification_classes":["AT_creations"],"tags":["a"]}`)
			if r.status != 204 || r.body != "" {
				t.Errorf("%d %s", r.status, r.body)
			}
		}
		r = s.json("POST", path+"/"+code+"/token", secret.Text{}, `{"mom_id":"`+momID+`","include_children":true}`)
		if r.status != 204 {
			t.Errorf("%d %s", r.status, r.body)
		}
		r = s.json("DELETE", path+"/"+code+"/token", secret.Text{}, `{"mom_id":"`+momID+`"}`)
		if r.status != 204 {
			t.Errorf("%d %s", r.status, r.body)
		}
		wrong := strings.Repeat("A", managementLength)
		r = s.json("DELETE", path+"/"+wrong, secret.Text{}, "")
		if r.status != 404 || r.body != `{"error":"not_found","error_description":"management_code not valid"}` {
			t.Errorf("%d %s", r.status, r.body)
		}
	})
	t.Run("calendars_by_id_and_description", func(t *testing.T) {
		r := s.json("POST", path+"/calendars", mt, `{"description":"farm","tags":["a","b"]}`)
		k := r.object(t)
		if r.status != 201 || members(k) != "description ics_path id name tags" || k["name"] != "farm" {
			t.Fatalf("%d %s", r.status, r.body)
		}
		id, _ := k["id"].(string)
		one := path + "/calendars/" + id
		if r := s.json("PUT", one, mt, `{"description":"other"}`); r.status != 204 {
			t.Errorf("%d %s", r.status, r.body)
		}
		r = s.json("POST", path+"/calendars/other", mt, `{"mom_id":"`+momID+`","comment":"c"}`)
		if r.status != 200 || r.object(t)["subscribed_tokens"] == nil {
			t.Errorf("%d %s", r.status, r.body)
		}
		r = s.json("GET", one, mt, "")
		if r.status != 302 || r.header.Get("Location") != s.url+"/calendars/"+id {
			t.Errorf("%d %v", r.status, r.header)
		}
		if r := s.json("DELETE", one, mt, `{"mom_id":"`+momID+`"}`); r.status != 204 {
			t.Errorf("%d %s", r.status, r.body)
		}
		if r := s.json("DELETE", one, mt, ""); r.status != 204 {
			t.Errorf("%d %s", r.status, r.body)
		}
		if r := s.json("DELETE", one, mt, ""); r.status != 404 {
			t.Errorf("%d %s", r.status, r.body)
		}
	})
	t.Run("other_methods_and_paths", func(t *testing.T) {
		for _, c := range [][2]string{{"PATCH", path}, {"PUT", path}, {"GET", path + "/" + code + "/nc"}, {"GET", path + "/a/b/c"}} {
			if r := s.json(c[0], c[1], mt, ""); r.status != 404 || r.object(t)["error"] != "not_found" {
				t.Errorf("%v: %d %s", c, r.status, r.body)
			}
		}
	})
}

// A refused request counts nothing and writes nothing.
func TestRefused(t *testing.T) {
	s := serve(t)
	s.verify("alice", "alice@example.org")
	limited := func(o *mint.Order) {
		one := int64(1)
		o.Restrictions = mytoken.Restrictions{{UsagesOther: &one}}
	}
	strong := []string{"tokeninfo", "manage_mytokens", "settings"}
	_, bobs := s.mt("bob", lives(day), strong...)
	other, others := s.mt("alice", lives(day), strong...)
	_ = other
	const path = "/api/v0/notifications"
	sub := `{"notification_type":"mail","notification_classes":["security"]`
	for name, c := range map[string]struct {
		method, path, body string
		status             int
		code               string
		caps               []string
	}{
		"web_socket":        {"POST", path, `{"notification_type":"ws","notification_classes":["security"]}`, 501, desk.CodeNotYet, strong},
		"unknown_type":      {"POST", path, `{"notification_type":"sms","notification_classes":["security"]}`, 400, desk.CodeRequest, strong},
		"unknown_class":     {"POST", path, `{"notification_type":"mail","notification_classes":["x"]}`, 400, desk.CodeRequest, strong},
		"no_class":          {"POST", path, `{"notification_type":"mail"}`, 400, desk.CodeRequest, strong},
		"wrong_type":        {"POST", path, sub + `,"user_wide":7}`, 400, desk.CodeRequest, strong},
		"comment_two_lines": {"POST", path, sub + `,"comment":"a\nb"}`, 400, desk.CodeRequest, strong},
		"of_somebody_else":  {"POST", path, sub + `,"mom_id":"` + bobs + `"}`, 403, desk.CodeGrant, strong},
		"unknown_mom_id":    {"POST", path, sub + `,"mom_id":"x"}`, 403, desk.CodeGrant, strong},
		"no_capability":     {"POST", path, sub + `}`, 403, desk.CodeCapabilities, []string{"AT"}},
		"wide_needs_more":   {"POST", path, sub + `,"user_wide":true}`, 403, desk.CodeCapabilities, []string{"tokeninfo"}},
		"other_needs_more":  {"POST", path, sub + `,"mom_id":"` + others + `"}`, 403, desk.CodeCapabilities, []string{"tokeninfo"}},
		"read_only_writes":  {"POST", path, sub + `,"user_wide":true}`, 403, desk.CodeCapabilities, []string{"read@manage_mytokens:notify"}},
		"list_needs_more":   {"GET", path, "", 403, desk.CodeCapabilities, []string{"tokeninfo"}},
		"invite_endless":    {"POST", path, `{"notification_type":"ics_invite"}`, 400, desk.CodeRequest, strong},
		"invite_everything": {"POST", path, `{"notification_type":"ics_invite","user_wide":true}`, 400, desk.CodeRequest, strong},
		"calendar_endless":  {"POST", path + "/calendars/x", `{}`, 404, desk.CodeNotFound, strong},
		"calendar_bad_name": {"POST", path + "/calendars", `{"name":"a\u202eb"}`, 400, desk.CodeRequest, strong},
		"calendar_tags":     {"POST", path + "/calendars", `{"name":"a","tags":["",{}]}`, 400, desk.CodeRequest, strong},
		"mail_bad_address":  {"PUT", "/api/v0/settings/email", `{"email_address":"a@b.de\r\nBcc: x@y.de"}`, 400, desk.CodeRequest, strong},
		"mail_nothing":      {"PUT", "/api/v0/settings/email", `{}`, 400, desk.CodeRequest, strong},
		"mail_capability":   {"PUT", "/api/v0/settings/email", `{"email_address":"a@b.de"}`, 403, desk.CodeCapabilities, []string{"read@settings"}},
		"no_object":         {"POST", path, `[]`, 400, desk.CodeRequest, strong},
		"twice_the_member":  {"POST", path, sub + `,"comment":"a","comment":"b"}`, 400, desk.CodeRequest, strong},
	} {
		t.Run(name, func(t *testing.T) {
			mt, momID := s.mt("alice", limited, c.caps...)
			r := s.json(c.method, c.path, mt, c.body)
			if r.status != c.status || r.object(t)["error"] != c.code {
				t.Fatalf("%d %s", r.status, r.body)
			}
			kept, err := s.ledger.Find(t.Context(), momID)
			must(t, err)
			for _, counter := range kept.Counters {
				if counter.Taken() != 0 {
					t.Errorf("a use was counted: %+v", counter)
				}
			}
			if events, _ := s.ledger.Events(t.Context(), momID, 0); len(events) != 1 {
				t.Errorf("%+v", events)
			}
		})
	}
	if subs, _ := s.subscriptions(t.Context(), ledger.UserID("https://op.example.org", "alice")); len(subs) != 0 {
		t.Errorf("%d notifications were made", len(subs))
	}
}

func TestCapabilities(t *testing.T) {
	s := serve(t)
	s.verify("alice", "alice@example.org")
	parent, parentID := s.mt("alice", lives(day), "tokeninfo:notify", "create_mytoken")
	_, childID := s.child(parent)
	manager, _ := s.mt("alice", nil, "manage_mytokens:notify")
	ask := func(mt secret.Text, momID string) int {
		return s.json("POST", "/api/v0/notifications", mt,
			`{"notification_type":"mail","notification_classes":["security"],"mom_id":"`+momID+`"}`).status
	}
	for name, got := range map[string]int{
		"itself": ask(parent, ""), "itself_by_id": ask(parent, parentID), "descendant": ask(parent, childID),
		"manager_of_any": ask(manager, childID), "manager_of_itself": ask(manager, ""),
	} {
		if got != 201 {
			t.Errorf("%s: %d", name, got)
		}
	}
	t.Run("foreign_code_and_own_mytoken", func(t *testing.T) {
		s.verify("bob", "bob@example.org")
		bob, _ := s.mt("bob", nil, "tokeninfo")
		r := s.json("POST", "/api/v0/notifications", bob, `{"notification_type":"mail","notification_classes":["security"]}`)
		code, _ := r.object(t)["management_code"].(string)
		r = s.json("POST", "/api/v0/notifications/"+code+"/token", parent, `{}`)
		if r.status != 404 {
			t.Errorf("%d %s", r.status, r.body)
		}
		r = s.json("POST", "/api/v0/notifications/"+code+"/token", secret.Text{}, `{"mom_id":"`+parentID+`"}`)
		if r.status != 404 {
			t.Errorf("%d %s", r.status, r.body)
		}
	})
	t.Run("confirmations_too_many", func(t *testing.T) {
		mt, _ := s.mt("carol", nil, "settings")
		var r reply
		for range 6 {
			r = s.json("PUT", "/api/v0/settings/email", mt, `{"email_address":"carol@example.org"}`)
		}
		if r.status != 429 || r.header.Get("Retry-After") == "" || r.object(t)["error"] != desk.CodeTooMany {
			t.Errorf("%d %v %s", r.status, r.header, r.body)
		}
	})
	t.Run("events_of_the_desk_arrive", func(t *testing.T) {
		weak, momID := s.mt("alice", nil, "AT")
		if got := ask(manager, momID); got != 201 {
			t.Fatal(got)
		}
		if r := s.json("GET", "/api/v0/notifications", weak, ""); r.status != 403 {
			t.Errorf("%d", r.status)
		}
		got := s.sends()
		if !slices.ContainsFunc(got, func(m string) bool { return strings.Contains(m, "lacks a capability") }) {
			t.Errorf("%v", got)
		}
	})
}

func FuzzRequests(f *testing.F) {
	for _, s := range []string{
		`{"notification_type":"mail","notification_classes":["security"],"mom_id":"x","include_children":true,"tags":["a"]}`,
		`notification_type=mail&notification_classes=a+b%2Cc&user_wide=on`, `{"tags":[{"tag":"a"}]}`, `{"description":null,"name":7}`,
		`<a><notification_type>mail</notification_type></a>`, "{}", "[]", "\xff",
	} {
		f.Add(s, "application/json", "a/../b")
		f.Add(s, "application/x-www-form-urlencoded", "%00")
	}
	srv := serve(f)
	mt, momID := srv.mt("alice", lives(day), "tokeninfo", "manage_mytokens", "settings")
	kept, err := srv.ledger.Find(f.Context(), momID)
	must(f, err)
	f.Fuzz(func(t *testing.T, body, kind, name string) {
		here := *srv
		here.t = t
		s := &here
		s.verify("alice", "alice@example.org")
		defer func() { must(t, s.Erase(t.Context(), kept.User)) }()
		for _, path := range []string{
			"/api/v0/notifications", "/api/v0/notifications/calendars",
			"/api/v0/notifications/calendars/" + url.PathEscape(name), "/api/v0/notifications/" + url.PathEscape(name) + "/nc",
		} {
			r := s.post2(path, mt, kind, body)
			if r.status >= 500 && r.status != 501 {
				t.Fatalf("%s: %d %s", path, r.status, r.body)
			}
		}
		for _, k := range mustCalendars(t, s, mt) {
			if _, err := readICS(s.send(http.MethodGet, "/calendars/"+k.ID, secret.Text{}, "", "").body); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// post2 is send for bodies and content types that are no text at all.
func (s *server) post2(path string, mt secret.Text, kind, body string) reply {
	if strings.ContainsFunc(kind, func(r rune) bool { return r < ' ' || r > '~' }) {
		kind = ""
	}
	return s.send(http.MethodPost, path, mt, kind, body)
}

func mustCalendars(t *testing.T, s *server, mt secret.Text) []mytoken.Calendar {
	t.Helper()
	all, _, err := s.client.Calendars(t.Context(), mt)
	must(t, err)
	return all
}
