package pages_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/oidcbox/oidcbox/core/mytoken"
	"github.com/oidcbox/oidcbox/core/mytoken/desk"
	"github.com/oidcbox/oidcbox/core/mytoken/ledger"
	"github.com/oidcbox/oidcbox/core/mytoken/pages"
	"github.com/oidcbox/oidcbox/core/mytoken/rules"
	"github.com/oidcbox/oidcbox/core/secret"
)

// start is when the tests take place.
func start() time.Time { return time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC) }

// hostile is a text that would do something on a page that lets it.
const hostile = `<script>window.hacked=1</script><img src=x onerror="window.hacked=2">"'><b>&lt;` + "\u202e"

// fake is a server behind the pages: it decides nothing, and remembers what it was asked.
type fake struct {
	mu       sync.Mutex
	base     string // where it is reached
	asked    map[string]desk.Asked
	accepted []desk.Terms
	declined []string
	begun    []map[string]any
	subs     []map[string]any
	revoked  []string
	trees    []ledger.Node
	grant    bool
	keys     []mytoken.SSHKey
	email    mytoken.Email
	classes  []string
	told     []mytoken.NotificationRequest
	calendar []mytoken.Calendar
	polls    int
	arrivals []desk.Arrival

	sshPending bool
	fail       error // of everything that needs the session
}

func newFake() *fake {
	f := &fake{
		asked: map[string]desk.Asked{}, classes: []string{"expiration"},
		email: mytoken.Email{Address: "ada@example.org"},
	}
	f.trees = someTrees()
	f.asked["ordinary"] = someAsked()
	f.asked["hostile"] = hostileAsked()
	return f
}

func providers() []desk.ProviderInfo {
	return []desk.ProviderInfo{
		{Issuer: "https://aai.example.org", Name: "Example AAI", Scopes: []string{"openid", "profile", "compute.read"}},
		{Issuer: "https://login.example.net/realm", Name: "Second", Down: true},
	}
}

func ptr[T any](v T) *T { return &v }

func someAsked() desk.Asked {
	return desk.Asked{
		Application: "mytoken client on node17", Name: "node17:night run", Issuer: "https://aai.example.org",
		Providers: providers(), Capabilities: mytoken.Capabilities{"AT", "tokeninfo:introspect"},
		Restrictions: mytoken.Restrictions{
			{
				NotBefore: mytoken.At(start()), Expires: mytoken.At(start().Add(72 * time.Hour)),
				Scope: "compute.read storage.read:/vo/run7", Audience: []string{"https://se.example.org"},
				Hosts: []string{"192.0.2.0/24"}, GeoIPAllow: []string{"BE"}, UsagesAT: ptr(int64(5)),
			},
			{Expires: mytoken.At(start().Add(96 * time.Hour)), Scope: "storage.modify:/vo/run7", UsagesAT: ptr(int64(1))},
		},
		Rotation: &mytoken.Rotation{OnAT: true, AutoRevoke: true, Lifetime: 12 * time.Hour},
		From:     desk.Origin{Client: netip.MustParseAddr("192.0.2.7"), UserAgent: "mytoken/1.0"},
		Created:  start().Add(-time.Minute), Expires: start().Add(4 * time.Minute),
	}
}

func hostileAsked() desk.Asked {
	a := someAsked()
	a.Application, a.Name, a.From.UserAgent = hostile, hostile, hostile
	a.Capabilities = mytoken.Capabilities{"AT", hostile}
	a.Restrictions = mytoken.Restrictions{{
		Expires: mytoken.At(start().Add(time.Hour)), Scope: hostile, Audience: []string{hostile, "javascript:alert(1)"},
		Hosts: []string{hostile}, GeoIPAllow: []string{"<b>"},
	}}
	return a
}

func someTrees() []ledger.Node {
	clause := mytoken.Restriction{
		Expires: mytoken.At(start().Add(48 * time.Hour)), Scope: "compute.read",
		UsagesAT: ptr(int64(9)),
	}
	one := ledger.Token{
		MOMID: "one+/==", Name: "night run", User: "u", IP: "192.0.2.7", Created: start().Add(-24 * time.Hour),
		Expires: start().Add(48 * time.Hour), LastUse: start().Add(-time.Hour), Capabilities: mytoken.Capabilities{"AT"},
		Restrictions: mytoken.Restrictions{clause}, Condition: ledger.Live,
		Counters: rules.Counters{{Clause: rules.KeyOf(clause), Kind: rules.Access}: {Used: 4}}, Unknown: 1,
	}
	child := ledger.Token{
		MOMID: "child+/==", Name: hostile, Path: []string{"one+/=="}, IP: "2001:db8::7", Created: start().Add(-2 * time.Hour),
		Expires: start().Add(2 * time.Hour), Capabilities: mytoken.Capabilities{"AT"}, Condition: ledger.Live,
	}
	return []ledger.Node{
		{Token: one, Children: []ledger.Node{{Token: child}}},
		{Token: ledger.Token{
			MOMID: "over+/==", Name: "last week", IP: "127.0.0.1", Created: start().Add(-200 * time.Hour),
			Expires: start().Add(-100 * time.Hour), Condition: ledger.Ended, EndedAt: start().Add(-120 * time.Hour),
			Reason: hostile,
		}},
	}
}

func (f *fake) lock() func() {
	f.mu.Lock()
	return f.mu.Unlock
}

func (f *fake) Providers() []desk.ProviderInfo { return providers() }

func (f *fake) Begin(_ context.Context, request []byte, _ desk.Caller) (desk.Begun, error) {
	defer f.lock()()
	var r map[string]any
	if err := json.Unmarshal(request, &r); err != nil {
		return desk.Begun{}, err
	}
	f.begun = append(f.begun, r)
	if r["oidc_issuer"] != "https://aai.example.org" {
		return desk.Begun{}, &desk.Error{
			Status: 400, Code: desk.CodeRequest,
			Description: "The provided issuer is not supported",
		}
	}
	if r["client_type"] == "web" {
		return desk.Begun{
			AuthorizationURI: f.provider("web"), Binding: secret.FromString("bound-web"), Expires: start().Add(5 * time.Minute),
		}, nil
	}
	f.asked["made"] = desk.Asked{Issuer: "https://aai.example.org", Providers: providers()}
	return desk.Begun{
		ConsentURI: f.base + "/c/made", PollingCode: secret.FromString("polling"), Expires: start().Add(5 * time.Minute),
	}, nil
}

// provider is a provider's page, of another site, that sends the browser back at once.
func (f *fake) provider(state string) string {
	u, _ := url.Parse(f.base)
	return u.Scheme + "://localhost:" + u.Port() + "/provider?" + url.Values{"state": {state}}.Encode()
}

func (f *fake) Asked(_ context.Context, code secret.Text) (desk.Asked, error) {
	defer f.lock()()
	a, ok := f.asked[code.Expose()]
	if !ok {
		return a, &desk.Error{Status: 404, Code: desk.CodeNotFound, Description: "this request is not known here"}
	}
	return a, nil
}

func (f *fake) Accept(_ context.Context, code secret.Text, t desk.Terms, _ desk.Origin) (desk.Redirect, error) {
	defer f.lock()()
	f.accepted = append(f.accepted, t)
	return desk.Redirect{URL: f.provider("native"), Binding: secret.FromString("bound-" + code.Expose())}, nil
}

func (f *fake) Decline(_ context.Context, code secret.Text, _ desk.Origin) (string, error) {
	defer f.lock()()
	f.declined = append(f.declined, code.Expose())
	return "/native/abort?" + url.Values{"application": {f.asked[code.Expose()].Application}}.Encode(), nil
}

func (f *fake) LandIn(_ context.Context, a desk.Arrival) (desk.Landing, error) {
	defer f.lock()()
	a.Binding = a.Binding.Clone()
	f.arrivals = append(f.arrivals, a)
	switch a.Query.Get("state") {
	case "web":
		return desk.Landing{To: f.base + "/home", Session: &desk.Issued{
			Kind: mytoken.KindToken, Token: secret.FromString(sessionToken()), Expires: time.Now().Add(24 * time.Hour),
		}}, nil
	case "native":
		return desk.Landing{To: "/native?application=x", Native: true}, nil
	}
	return desk.Landing{}, &desk.Error{Status: 555, Code: desk.CodeOIDC, Description: "login_required: " + hostile}
}

// sessionToken has the form of a mytoken; nobody looks at its signature.
func sessionToken() string {
	part := base64.RawURLEncoding.EncodeToString
	return part([]byte(`{"alg":"ES512","typ":"MT+JWT"}`)) + "." + part([]byte(`{"ver":"0.7","token_type":"mytoken",`+
		`"iss":"http://127.0.0.1","sub":"x","seq_no":1,"aud":"http://127.0.0.1","oidc_sub":"s",`+
		`"oidc_iss":"https://aai.example.org",`+
		`"capabilities":["AT"],"nbf":1,"iat":1,"auth_time":1,"jti":"4b0a3a64-54e7-4b5b-9d9c-2ee2a6a4e6a1"}`)) +
		"." + part(make([]byte, 132))
}

func (f *fake) Poll(_ context.Context, code secret.Text, _ desk.Origin) (*desk.Issued, error) {
	defer f.lock()()
	f.polls++
	switch {
	case code.Expose() != "polling":
		return nil, &desk.Error{Status: 401, Code: desk.CodeToken, Description: "Bad polling or transfer code"}
	case f.polls == 1:
		return nil, &desk.Error{Status: 428, Code: desk.CodePending}
	}
	return made(mytoken.KindToken), nil
}

func made(kind string) *desk.Issued {
	i := &desk.Issued{
		Kind: kind, MOMID: "new", Expires: start().Add(time.Hour), Now: start(), Capabilities: mytoken.Capabilities{"AT"},
	}
	if kind == mytoken.KindTransferCode {
		i.TransferCode = secret.FromString("TransferCode1")
	} else {
		i.Token = secret.FromString("the.new.mytoken")
	}
	return i
}

func (f *fake) Redeem(_ context.Context, code secret.Text, _ desk.Origin) (*desk.Issued, error) {
	if code.Expose() != "TransferCode1" {
		return nil, &desk.Error{Status: 401, Code: desk.CodeToken, Description: "Bad polling or transfer code"}
	}
	return made(mytoken.KindToken), nil
}

func (f *fake) Sub(_ context.Context, request []byte, c desk.Caller) (*desk.Issued, error) {
	defer f.lock()()
	if f.fail != nil {
		return nil, f.fail
	}
	var r map[string]any
	if err := json.Unmarshal(request, &r); err != nil {
		return nil, err
	}
	if strings.Contains(c.Mytoken.Expose(), "bad") {
		return nil, &desk.Error{Status: 403, Code: desk.CodeCapabilities, Description: "no create_mytoken"}
	}
	f.subs = append(f.subs, r)
	return made(fmt.Sprint(r["response_type"])), nil
}

func (f *fake) Transfer(_ context.Context, c desk.Caller) (*desk.Issued, error) {
	if c.Mytoken.Empty() || strings.Contains(c.Mytoken.Expose(), "bad") {
		return nil, &desk.Error{Status: 401, Code: desk.CodeToken, Description: "token not valid"}
	}
	return made(mytoken.KindTransferCode), nil
}

func (f *fake) List(context.Context, desk.Caller) ([]ledger.Node, *desk.Issued, error) {
	defer f.lock()()
	return f.trees, nil, f.fail
}

func (f *fake) History(context.Context, desk.Caller, string) ([]mytoken.Event, *desk.Issued, error) {
	defer f.lock()()
	return []mytoken.Event{
		{Event: "AT_created", Comment: hostile, IP: "192.0.2.7", UserAgent: hostile, Time: start().Add(-time.Hour)},
		{Event: "created", IP: "192.0.2.7", Time: start().Add(-24 * time.Hour)},
	}, nil, f.fail
}

func (f *fake) Revoke(_ context.Context, _ desk.Caller, id string, recursive bool) (*desk.Issued, error) {
	defer f.lock()()
	if f.fail != nil {
		return nil, f.fail
	}
	f.revoked = append(f.revoked, fmt.Sprint(id, " ", recursive))
	for i := range f.trees {
		if f.trees[i].Token.MOMID == id {
			f.trees[i].Token.Condition, f.trees[i].Token.EndedAt = ledger.Ended, start()
			if recursive {
				f.trees[i].Children = nil
			}
		}
	}
	return nil, nil
}

func (f *fake) Grants(context.Context, desk.Caller) ([]mytoken.Grant, *desk.Issued, error) {
	defer f.lock()()
	return []mytoken.Grant{{Type: mytoken.GrantSSH, Enabled: f.grant}}, nil, f.fail
}

func (f *fake) SetGrant(_ context.Context, _ desk.Caller, _ string, on bool) (*desk.Issued, error) {
	defer f.lock()()
	f.grant = on
	return nil, f.fail
}

func (f *fake) Email(context.Context, desk.Caller) (mytoken.Email, *desk.Issued, error) {
	defer f.lock()()
	return f.email, nil, f.fail
}

func (f *fake) SetEmail(_ context.Context, _ desk.Caller, address string, html bool) (*desk.Issued, error) {
	defer f.lock()()
	if strings.Contains(address, "bad") {
		return nil, &desk.Error{Status: 400, Code: desk.CodeRequest, Description: "not a mail address"}
	}
	f.email = mytoken.Email{Address: address, HTML: html}
	return nil, f.fail
}

// notices is the part of the fake for notifications.
type notices struct{ *fake }

func (s *fake) SSHKeys(context.Context, desk.Caller) ([]mytoken.SSHKey, *desk.Issued, error) {
	defer s.lock()()
	return s.keys, nil, s.fail
}

func (s *fake) AddSSHKey(_ context.Context, _ desk.Caller, r mytoken.SSHKeyRequest) (desk.Begun, *desk.Issued, error) {
	defer s.lock()()
	if !strings.HasPrefix(r.Key, "ssh-") {
		return desk.Begun{}, nil, &desk.Error{Status: 400, Code: desk.CodeRequest, Description: "not a public key"}
	}
	s.keys = append(s.keys, mytoken.SSHKey{Name: r.Name, Fingerprint: "SHA256:abc", Created: start()})
	a := someAsked()
	a.Purpose = "ssh"
	s.asked["forssh"] = a
	return desk.Begun{
		ConsentURI: s.base + "/c/forssh", PollingCode: secret.FromString("sshpolling"),
		Expires: start().Add(time.Minute),
	}, nil, nil
}

func (s *fake) FinishSSHKey(context.Context, secret.Text, desk.Origin) (mytoken.SSHLogin, error) {
	defer s.lock()()
	if s.sshPending {
		return mytoken.SSHLogin{}, &desk.Error{Status: 428, Code: desk.CodePending}
	}
	return mytoken.SSHLogin{User: secret.FromString("secretuser"), Config: secret.FromString("Host mytoken\n")}, nil
}

func (s *fake) RemoveSSHKey(_ context.Context, _ desk.Caller, fingerprint string) (*desk.Issued, error) {
	defer s.lock()()
	s.keys = nil
	return nil, nil
}

func (n notices) Notifications(context.Context, desk.Caller) ([]mytoken.Notification, *desk.Issued, error) {
	defer n.lock()()
	return []mytoken.Notification{{
		Type: "mail", Code: secret.FromString("management"), UserWide: true, Classes: append([]string{hostile}, n.classes...),
	}}, nil, n.fail
}

func (n notices) Notify(_ context.Context, _ desk.Caller, r mytoken.NotificationRequest) (*desk.Issued, error) {
	defer n.lock()()
	if !n.email.Verified {
		return nil, &desk.Error{
			Status: http.StatusUnprocessableEntity, Code: desk.CodeMail,
			Description: "email not verified",
		}
	}
	n.told = append(n.told, r)
	return nil, nil
}

func (n notices) Notification(_ context.Context, code secret.Text) (mytoken.Notification, error) {
	defer n.lock()()
	if code.Expose() != "management" {
		return mytoken.Notification{}, &desk.Error{
			Status: 404, Code: desk.CodeNotFound,
			Description: "management_code not valid",
		}
	}
	return mytoken.Notification{Type: "mail", UserWide: true, Classes: n.classes}, nil
}

func (n notices) SetClasses(_ context.Context, _ secret.Text, classes []string) error {
	defer n.lock()()
	n.fake.classes = classes
	return nil
}

func (n notices) End(context.Context, secret.Text) error { return nil }

func (n notices) Calendars(context.Context, desk.Caller) ([]mytoken.Calendar, *desk.Issued, error) {
	defer n.lock()()
	return n.calendar, nil, n.fail
}

func (n notices) AddCalendar(_ context.Context, _ desk.Caller, name string) (*desk.Issued, error) {
	defer n.lock()()
	n.fake.calendar = append(n.fake.calendar, mytoken.Calendar{
		ID: "cal1", Name: name, URL: n.base + "/calendars/cal1",
		MOMIDs: []string{"x"},
	})
	return nil, nil
}

func (n notices) RemoveCalendar(context.Context, desk.Caller, string) (*desk.Issued, error) {
	defer n.lock()()
	n.fake.calendar = nil
	return nil, nil
}

func (n notices) Subscribe(context.Context, desk.Caller, string, string) (*desk.Issued, error) {
	return nil, nil
}

func (n notices) View(_ context.Context, id string) (pages.CalendarView, error) {
	if id != "cal1" {
		return pages.CalendarView{}, &desk.Error{Status: 404, Code: desk.CodeNotFound}
	}
	return pages.CalendarView{Name: hostile, Feed: n.base + "/calendars/cal1", Entries: []pages.CalendarEntry{
		{Name: hostile, Expires: start().Add(time.Hour), Again: n.base + "/?r=e30"},
	}}, nil
}
