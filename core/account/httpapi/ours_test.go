package httpapi

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/account/login"
	"github.com/oidcbox/oidcbox/core/account/otp"
	"github.com/oidcbox/oidcbox/core/account/provision"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/token/assurance"
	"github.com/oidcbox/oidcbox/store/memstore"
)

func TestPost_changes_state(t *testing.T) {
	for _, noGet := range []bool{false, true} {
		b := newBed(t, func(o *Options, _ *provision.Options) { o.NoGet = noGet })
		token := b.user("alice")
		if r := b.post("/user/deploy", token); r.status != 200 || !strings.Contains(r.body, `"ssh_user":"alice"`) {
			t.Fatalf("deploy: %d %s", r.status, r.body)
		}
		if r := b.post("/api/v1/user/generate_otp/", token); r.body != `{"supported":true,"successful":true}` {
			t.Errorf("generate_otp: %d %s", r.status, r.body)
		}
		if r := b.post("/user/suspend", token); !strings.Contains(r.body, `"state":"suspended"`) {
			t.Errorf("suspend: %d %s", r.status, r.body)
		}
		r := b.post("/admin/resume", b.chief(), "sub", "alice", "iss", opURL) // in the body
		if r.status != 200 || !strings.Contains(r.body, "was resumed") {
			t.Errorf("resume: %d %s", r.status, r.body)
		}
		r = b.get("/user/suspend", token)
		switch {
		case !noGet && r.status != 200:
			t.Errorf("GET: %d %s", r.status, r.body)
		case noGet && (r.status != 405 || r.header.Get("Allow") != "POST"):
			t.Errorf("GET is switched off: %d, Allow %q", r.status, r.header.Get("Allow"))
		}
		if r := b.get("/user/get_status", token); r.status != 200 {
			t.Errorf("get_status: %d", r.status)
		}
	}
}

func TestOwnPassword(t *testing.T) {
	b := newBed(t)
	token := b.user("alice")
	path := "/user/generate_otp?form=oxp"
	b.want(b.post(path, token), 200, `{"supported":true,"successful":false}`) // there is no account
	name := b.deployed(token)
	make := func() string {
		o := b.post(path, token).object(t)
		password, _ := o["password"].(string)
		if o["expires_in"] != 300.0 || !strings.HasPrefix(password, "oxp_") {
			t.Fatalf("%v", o)
		}
		return password
	}
	password := make()
	b.wantVerified(password, "bob", "deployed", false)
	b.wantVerified(password, name, "deployed", true)
	b.want(b.get("/verify_user?username=alice", password), 401, unauthenticatedBody(noIdentity))
	b.want(b.get("/user/get_status", make()), 401, unauthenticatedBody(noIdentity))
	if r := b.post("/user/generate_otp?form=md5", token); r.status != 400 {
		t.Errorf("another form: %d %s", r.status, r.body)
	}
	dead := make()
	b.pass(20 * time.Minute) // the engine's clock goes on as always: it is the token that has ended
	if r := b.get("/verify_user?username=alice", dead); r.status != 401 {
		t.Errorf("with a token that has ended: %d %s", r.status, r.body)
	}
}

func TestOwnPassword_is_burnt_by_suspension(t *testing.T) {
	b := newBed(t)
	token := b.user("alice")
	name := b.deployed(token)
	password, _ := b.post("/user/generate_otp?form=oxp", token).object(t)["password"].(string)
	b.get("/user/generate_otp", token)
	b.post("/user/suspend", token)
	b.post("/admin/resume", b.chief(), "sub", "alice", "iss", opURL)
	for _, secret := range []string{password, compat(token)} {
		if r := b.get("/verify_user?username="+name, secret); r.status != 401 {
			t.Errorf("a password from before: %d %s", r.status, r.body)
		}
	}
	b.wantVerified(token, name, "deployed", true)
}

func TestLogin(t *testing.T) {
	b := newBed(t)
	token := b.user("alice")
	name := b.deployed(token)
	id := identity(t, "alice", opURL)
	password := func() string {
		p, _ := b.post("/user/generate_otp?form=oxp", token).object(t)["password"].(string)
		return p
	}
	ask := func(phase login.Phase, user, text string) login.Answer {
		return b.Login(t.Context(), login.Question{
			Phase: phase, User: user, Secret: secret.FromString(text), Remote: "192.0.2.7", Via: "sshd",
		})
	}
	once := password()
	b.seen()
	for _, c := range []struct {
		name    string
		answer  login.Answer
		allowed bool
		state   string
	}{
		{"token", ask(login.Auth, name, token), true, "deployed"},
		{"token_of_somebody_else", ask(login.Auth, "bob", token), false, "deployed"},
		{"password_of_somebody_else", ask(login.Auth, "bob", once), false, "deployed"},
		{"password", ask(login.Auth, name, once), true, "deployed"},
		{"password_again", ask(login.Auth, name, once), false, ""},
		{"what_is_no_token", ask(login.Auth, name, "hunter2"), false, ""},
		{"nothing", ask(login.Auth, name, ""), false, ""},
		{"root", ask(login.Auth, "root", token), false, "deployed"},
		{"no_phase", ask("session", name, token), false, ""},
		{"account", ask(login.Account, name, ""), true, "deployed"},
		{"account_of_nobody", ask(login.Account, "nobody", ""), false, "not_deployed"},
		{"account_of_root", ask(login.Account, "root", ""), false, "not_deployed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.answer.Allowed != c.allowed || c.answer.State != c.state || c.allowed && c.answer.ID != id {
				t.Errorf("%+v", c.answer)
			}
			if !c.allowed && c.answer.Reason == "" {
				t.Error("there is no reason for the log")
			}
			for _, text := range []string{token, once, "hunter2"} {
				if strings.Contains(c.answer.Reason, text) {
					t.Errorf("the reason has the secret: %s", c.answer.Reason)
				}
			}
		})
	}
	events := b.seen()
	if got := kinds(events); len(got) != 9 || !slices.Contains(got, "login") || !slices.Contains(got, "refused") {
		t.Errorf("the audit has %v", got)
	}
	for _, e := range events {
		if e.Remote != "192.0.2.7" || e.By != "sshd" || e.Kind == "refused" && e.Reason == "" {
			t.Errorf("%+v", e)
		}
	}
	b.post("/user/suspend", token)
	if a := ask(login.Auth, name, token); a.Allowed || a.State != "suspended" {
		t.Errorf("suspended: %+v", a)
	}
	if a := ask(login.Account, name, ""); a.Allowed || a.State != "suspended" {
		t.Errorf("suspended, account phase: %+v", a)
	}
}

func TestLogin_compat_switch_lets_nobody_in(t *testing.T) {
	b := newBed(t, func(_ *Options, p *provision.Options) { p.Rules.CompatVerified = true })
	token := b.user("alice")
	name := b.deployed(token)
	b.get("/user/generate_otp", token)
	b.post("/user/suspend", token)
	a := b.Login(t.Context(), login.Question{Phase: login.Auth, User: name, Secret: secret.FromString(token)})
	if a.Allowed {
		t.Errorf("%+v", a)
	}
}

func TestLimits(t *testing.T) {
	b := newBed(t, func(o *Options, _ *provision.Options) {
		o.Limiter = NewLimiter(Rates{Guesses: Rate{3, time.Hour}, Changes: Rate{4, time.Hour}}, o.Now)
	})
	token := b.user("alice")
	name := b.deployed(token)
	t.Run("guesses_over_http", func(t *testing.T) {
		for range 3 {
			if r := b.get("/verify_user?username=alice", strings.Repeat("0", 128)); r.status != 401 {
				t.Fatalf("%d %s", r.status, r.body)
			}
		}
		r := b.get("/verify_user?username=alice", token)
		b.want(r, 429, `{"detail":"Too Many Requests"}`)
		if r.header.Get("Retry-After") == "" {
			t.Error("no Retry-After")
		}
		b.want(b.get("/user/get_status", token), 429, `{"detail":"Too Many Requests"}`)
	})
	t.Run("guesses_at_a_login_of_one_host_and_no_other", func(t *testing.T) {
		ask := func(remote, user, text string) login.Answer {
			return b.Login(t.Context(), login.Question{
				Phase: login.Auth, User: user, Secret: secret.FromString(text),
				Remote: remote,
			})
		}
		for _, user := range []string{"a", "b", "c"} { // one guesser, whoever is tried
			ask("192.0.2.1", user, strings.Repeat("0", 128))
		}
		if a := ask("192.0.2.1", name, token); a.Allowed {
			t.Error("who guessed too often got in")
		}
		if a := ask("192.0.2.2", name, token); !a.Allowed {
			t.Errorf("another host: %+v", a)
		}
		relayed := login.Question{
			Phase: login.Auth, User: name, Secret: secret.FromString(token), Remote: "192.0.2.1", Via: "sshd@b.example.org",
		}
		if a := b.Login(t.Context(), relayed); !a.Allowed {
			t.Errorf("who guessed at one node is kept out of another: %+v", a)
		}
	})
	t.Run("guesses_behind_a_login_node_count_for_the_user", func(t *testing.T) {
		b := newBed(t, func(o *Options, _ *provision.Options) {
			exempt := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
			o.Limiter = NewLimiter(Rates{Guesses: Rate{3, time.Hour}, Exempt: exempt}, o.Now)
		})
		token := b.user("alice")
		name := b.deployed(token)
		for range 5 {
			b.get("/user/get_status", "wrong")
			b.get("/verify_user?username=bob", strings.Repeat("0", 128))
		}
		b.want(b.get("/verify_user?username=bob", b.user("bob")), 429, `{"detail":"Too Many Requests"}`)
		b.wantVerified(token, name, "deployed", true)
	})
	t.Run("behind_a_host_of_many_people_a_login_counts_for_the_user", func(t *testing.T) {
		b := newBed(t, func(o *Options, _ *provision.Options) {
			exempt := []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
			o.Limiter = NewLimiter(Rates{Guesses: Rate{3, time.Hour}, Exempt: exempt}, o.Now)
		})
		token := b.user("alice")
		name := b.deployed(token)
		ask := func(user, text string) login.Answer {
			return b.Login(t.Context(), login.Question{
				Phase: login.Auth, User: user, Secret: secret.FromString(text), Remote: "192.0.2.1",
			})
		}
		for range 5 {
			ask("bob", strings.Repeat("0", 128))
		}
		if a := ask(name, token); !a.Allowed {
			t.Errorf("who guessed at bob keeps alice out: %+v", a)
		}
	})
	t.Run("refusals_do_not_fill_the_audit", func(t *testing.T) {
		b := newBed(t)
		token := b.user("alice")
		name := b.deployed(token)
		for range 400 {
			b.get("/verify_user?username=root", token)
		}
		told := b.seen()
		if n := len(told); n < 250 || n > 310 {
			t.Errorf("%d lines of 400 refusals", n)
		}
		if last := told[len(told)-1]; !strings.Contains(last.Reason, "not all of it") {
			t.Errorf("the gap is not told: %+v", last)
		}
		b.wantVerified(token, name, "deployed", true)
		if told = b.seen(); len(told) != 1 || told[0].Kind != "login" {
			t.Errorf("a login is told of: %+v", told)
		}
		b.pass(time.Minute)
		b.get("/verify_user?username=root", token)
		if told = b.seen(); len(told) != 1 || strings.Contains(told[0].Reason, "not all of it") {
			t.Errorf("a minute later: %+v", told)
		}
		for range 400 {
			b.wantVerified(token, name, "deployed", true)
		}
		if n := len(b.seen()); n < 250 || n > 310 {
			t.Errorf("%d lines of one token that is verified 400 times", n)
		}
		q := login.Question{Phase: login.Auth, User: name, Secret: secret.FromString(token), Via: "sshd"}
		if a := b.Login(t.Context(), q); !a.Allowed || len(b.seen()) != 1 {
			t.Errorf("a login through PAM is always told of: %+v", a)
		}
	})
	t.Run("changes_of_one_person", func(t *testing.T) {
		b.o.Limiter.guesses = nil
		for range 3 { // the deployment was the first
			if r := b.post("/user/deploy", token); r.status != 200 {
				t.Fatalf("%d %s", r.status, r.body)
			}
		}
		b.want(b.post("/user/deploy", token), 429, `{"detail":"Too Many Requests"}`)
		if r := b.post("/user/deploy", b.user("bob")); r.status != 200 {
			t.Errorf("another person: %d %s", r.status, r.body)
		}
	})
	t.Run("requests_of_one_address", func(t *testing.T) {
		b := newBed(t, func(o *Options, _ *provision.Options) {
			o.Limiter = NewLimiter(Rates{Address: Rate{2, time.Hour}}, o.Now)
		})
		b.get("/", "")
		b.get("/nowhere", "")
		b.want(b.get("/", ""), 429, `{"detail":"Too Many Requests"}`)
	})
}

// scripted is a desk that answers as a test wants.
type scripted struct {
	Desk
	answer provision.Answer
	err    error
}

func (s scripted) Status(context.Context, provision.Subject) (provision.Answer, error) {
	return s.answer, s.err
}

func (s scripted) Deploy(context.Context, provision.Subject) (provision.Answer, error) {
	return s.answer, s.err
}

func (s scripted) Suspend(context.Context, string, provision.By) (provision.Answer, error) {
	return s.answer, s.err
}

func (s scripted) Resume(context.Context, string, provision.By) (provision.Answer, error) {
	return s.answer, s.err
}

func (s scripted) Verify(context.Context, string, string) (provision.Verdict, error) {
	return provision.Verdict{}, s.err
}

func (s scripted) ByName(context.Context, string) (provision.Verdict, error) {
	return provision.Verdict{}, s.err
}

func TestContract_failures_of_the_desk(t *testing.T) {
	low := "Your assurance level is insufficient to access this resource"
	who := "?sub=a&iss=" + url.QueryEscape(otherURL)
	for _, c := range []struct {
		name, path string
		err        error
		status     int
		body       string
	}{
		{
			"rejection", "/user/deploy", &provision.Rejection{Message: low}, 401,
			`{"detail":"Reached state 'rejected': ` + low + `"}`,
		},
		{
			"failure", "/user/deploy", &provision.Failure{Message: "no disk"}, 500,
			`{"detail":"Reached state 'failed': no disk"}`,
		},
		{
			"anything_else", "/user/deploy", errBroken, 500,
			`{"detail":"Something went wrong when trying to reach state deployed"}`,
		},
		{
			"status", "/user/get_status", errBroken, 500,
			`{"detail":"Something went wrong when trying to reach state get_status"}`,
		},
		{
			"suspend", "/user/suspend", errBroken, 500, `{"detail":"Something went wrong when trying to reach state suspended"}`,
		},
		{"verify", "/verify_user?username=a", errBroken, 500, `{"detail":"Something went wrong."}`},
		{
			"admin_suspend", "/admin/suspend" + who, errBroken, 500,
			`{"detail":"Something went wrong with admin action SUSPEND."}`,
		},
		{
			"admin_resume", "/admin/resume" + who, errBroken, 500, `{"detail":"Something went wrong with admin action RESUME."}`,
		},
		{"otp", "/user/generate_otp", errBroken, 200, `{"supported":true,"successful":false}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBed(t, func(o *Options, _ *provision.Options) { o.Desk = scripted{err: c.err} })
			b.want(b.get(c.path, b.chief()), c.status, c.body)
		})
	}
}

func TestAssurance_too_low_is_a_rejection(t *testing.T) {
	b := newBed(t, func(_ *Options, p *provision.Options) {
		e, err := assurance.Parse("profile/cappuccino")
		if err != nil {
			t.Fatal(err)
		}
		p.Rules.Default.Assurance = e
	})
	b.want(b.get("/user/deploy", b.user("alice")), 401,
		`{"detail":"Reached state 'rejected': Your assurance level is insufficient to access this resource"}`)
}

// TestBroken_store: whatever fails inside, nobody gets in and nobody is told why.
func TestBroken_store(t *testing.T) {
	b := newBed(t, func(o *Options, _ *provision.Options) { o.Book = otp.New(brokenStore{memstore.New()}, otp.Options{}) })
	token := b.user("alice")
	name := b.deployed(token)
	b.want(b.get("/user/generate_otp", token), 200, `{"supported":true,"successful":false}`)
	b.want(b.get("/verify_user?username="+name, compat(token)), 500, `{"detail":"Something went wrong."}`)
	a := b.Login(t.Context(), login.Question{Phase: login.Auth, User: name, Secret: secret.FromString(compat(token))})
	if a.Allowed || !strings.Contains(a.Reason, errBroken.Error()) {
		t.Errorf("%+v", a)
	}
}

func TestPanic_is_contained(t *testing.T) {
	b := newBed(t, func(o *Options, _ *provision.Options) { o.HostKeys = func() []string { panic("secret") } })
	b.want(b.get("/info", ""), 500, "Internal Server Error")
	b.want(b.get("/api", ""), 307, "")
}

func TestJudge(t *testing.T) {
	b := newBed(t)
	who, err := b.Judge(t.Context(), secret.FromString(b.user("alice")))
	if err != nil || who.ID != identity(t, "alice", opURL) || who.Person.PreferredUsername != "alice" ||
		len(who.Entitlements) != 1 {
		t.Errorf("%+v, %v", who, err)
	}
	for status, token := range map[int]string{
		401: "nonsense", 403: b.sign(b.claims("eve").with("eduperson_entitlement", nil)),
	} {
		var no *Error
		if who, err := b.Judge(t.Context(), secret.FromString(token)); !errors.As(err, &no) || no.Status != status ||
			who.ID != "" {
			t.Errorf("%+v, %v", who, err)
		}
	}
}

func TestOpenAPI_describes_what_is_there(t *testing.T) {
	b := newBed(t)
	doc := b.get("/openapi.json", "").object(t)
	paths, _ := doc["paths"].(map[string]any)
	if len(paths) < 20 || doc["openapi"] != "3.1.0" {
		t.Fatalf("%v", doc)
	}
	for path, item := range paths {
		operations, _ := item.(map[string]any)
		for method := range operations {
			if r := b.send(strings.ToUpper(method), path, ""); r.status == 404 && path != "/api/privacy" &&
				path != "/api/v1/privacy" || r.status == 405 {
				t.Errorf("%s %s: %d", method, path, r.status)
			}
		}
		if !strings.HasPrefix(path, "/api/") {
			t.Errorf("%s is in the description", path)
		}
	}
	for _, path := range []string{"/api/verify_user", "/api/v1/user/deploy", "/api/v1/admin/v1/accounts"} {
		if paths[path] == nil {
			t.Errorf("%s is not in the description", path)
		}
	}
}

func TestDocs_need_no_script(t *testing.T) {
	b := newBed(t, func(o *Options, _ *provision.Options) { o.Docs = Docs{Path: "/docs", RedocPath: "/redoc"} })
	for _, path := range []string{"/docs", "/redoc"} {
		r := b.get(path, "")
		if r.status != 200 || !strings.Contains(r.body, "/user/deploy") || strings.Contains(r.body, "<script") ||
			!strings.HasPrefix(r.header.Get("Content-Security-Policy"), "default-src 'none'") {
			t.Errorf("%s: %d %s", path, r.status, r.body)
		}
	}
	_, err := New(Options{Gate: b.o.Gate, Desk: b.desk, Book: b.book, Issuers: issuersOf(t), Docs: Docs{Path: "/info"}})
	if !errors.Is(err, ErrOptions) {
		t.Errorf("two routes for one path: %v", err)
	}
}

func TestSeen_names_routes_and_never_paths(t *testing.T) {
	var ops []string
	b := newBed(t, func(o *Options, _ *provision.Options) {
		o.Seen = func(_ context.Context, op string, status int, took time.Duration) {
			ops = append(ops, op)
			if status == 0 || took < 0 {
				t.Errorf("%s: %d after %v", op, status, took)
			}
		}
	})
	b.get("/api/v1/info/", "")
	b.get("/secret-in-a-path", "")
	b.send(http.MethodDelete, "/info", "")
	if want := []string{"/info", "unknown", "/info"}; !slices.Equal(ops, want) {
		t.Errorf("%v, want %v", ops, want)
	}
}
