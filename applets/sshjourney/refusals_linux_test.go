package sshjourney

import (
	"context"
	"encoding/base64"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/account/login"
	"github.com/oidcbox/oidcbox/core/account/otp/form"
	"github.com/oidcbox/oidcbox/core/oidc/issuer"
	"github.com/oidcbox/oidcbox/core/oidc/issuer/issuertest"
	"github.com/oidcbox/oidcbox/core/transport/sock"
	"github.com/oidcbox/oidcbox/testdata/services"
)

// refusal is one row of the matrix: somebody tries something, nobody gets in, a log says why, and no account, group or
// home is there afterwards that was not before.
type refusal struct {
	name string
	try  func(t *testing.T, s *site) (got string) // "" when it was refused as it should be
	log  string                                   // what a log says
}

// refuse plays a row.
func (s *site) refuse(t *testing.T, r refusal) {
	t.Helper()
	t.Run(r.name, func(t *testing.T) {
		before, from := s.accounts(), s.mark()
		if got := r.try(t, s); got != "" {
			t.Errorf("it was not refused: %s", got)
		}
		if r.log != "" {
			s.awaitLogs(t, from, r.log)
		}
		if after := s.accounts(); after != before {
			t.Errorf("accounts have changed from\n%s\nto\n%s", before, after)
		}
	})
}

// status is a try over HTTP that has to end with a status and words.
func status(want int, words string, ask func(s *site) answer) func(*testing.T, *site) string {
	return func(_ *testing.T, s *site) string {
		if a := ask(s); a.status != want || !strings.Contains(a.body, words) {
			return fmt.Sprintf("%s; want %d %s", a, want, words)
		}
		return ""
	}
}

// deployWith is a deployment with a token.
func deployWith(token func(s *site) string) func(*site) answer {
	return func(s *site) answer { return s.get("/user/deploy", token(s)) }
}

// out is a try by ssh in which nobody may arrive.
func out(name, secret func(s *site) string) func(*testing.T, *site) string {
	return func(_ *testing.T, s *site) string {
		if who := s.ssh(name(s), secret(s)); who != "" {
			return "arrived as " + who
		}
		return ""
	}
}

func is(text string) func(*site) string { return func(*site) string { return text } }

// TestRefusedTokens: tokens that are not believed, and people who may not.
func TestRefusedTokens(t *testing.T) {
	t.Parallel()
	var clock time.Duration
	other := issuertest.Start(t)
	s := newSite(t, siteOptions{
		issuer: func(o *issuer.Options) { o.Now = func() time.Time { return time.Now().Add(clock) } },
		provisioner: with("users: ANYONE", `users: {vo: {required: ["urn:geant:example.org:group:physics"], match: one}}
    admins: {subject: {sub: nobody}}`, `assurance: "*"`, "assurance: profile/cappuccino", "assurance: profile/cappuccino,",
			"assurance: profile/cappuccino, assurance_base: optional,"),
	})
	tamper := func(token string, part int, change func([]byte) []byte) string {
		parts := strings.Split(token, ".")
		b, err := base64.RawURLEncoding.DecodeString(parts[part])
		if err != nil {
			t.Fatal(err)
		}
		parts[part] = base64.RawURLEncoding.EncodeToString(change(b))
		return strings.Join(parts, ".")
	}
	at := func(user string) func(*site) string { return func(s *site) string { return s.at(user) } }
	moved := func(d time.Duration, user string) func(*site) string {
		return func(s *site) string {
			clock = d
			defer func() { clock = 0 }()
			return s.at(user)
		}
	}
	for _, r := range []refusal{
		{"no_token", status(403, "Not authenticated", func(s *site) answer { return s.ask("GET", "/user/deploy", "") }), ""},
		{"other_scheme", status(403, "Invalid authentication credentials", func(s *site) answer {
			return s.ask("GET", "/user/deploy", "Basic YTpi")
		}), ""},
		{"no_token_at_all", status(401, "Unauthenticated", deployWith(is("nonsense"))), `"event":"refused"`},
		{"other_audience", status(403, "another audience", deployWith(func(s *site) string {
			return s.op.Tokens("alice", scopes, url.Values{"audience": {"https://other.example.org"}}).Access.Expose()
		})), "audience"},
		{"audience_for_everybody", status(403, "another audience", deployWith(func(s *site) string {
			return s.op.Tokens("alice", scopes).Access.Expose()
		})), "audience"},
		{"other_issuer", status(401, "", deployWith(func(*site) string {
			return other.Tokens("alice", scopes, url.Values{"audience": {audience}}).Access.Expose()
		})), "issuer"},
		{"name_of_our_issuer_and_key_of_another", status(401, "", deployWith(func(s *site) string {
			foreign := other.Tokens("alice", scopes, url.Values{"audience": {audience}}).Access.Expose()
			return tamper(foreign, 1, func(b []byte) []byte {
				return []byte(strings.ReplaceAll(string(b), other.URL, s.op.URL))
			})
		})), `"event":"refused"`},
		{"changed_claims", status(401, "", deployWith(func(s *site) string {
			return tamper(s.at("bob"), 1, func(b []byte) []byte {
				return []byte(strings.Replace(string(b), "626f6200-0000-4000-8000-000000626f62", "616c6963-0000-4000-8000-00616c696365", 1))
			})
		})), "signature"},
		{"no_signature", status(401, "", deployWith(func(s *site) string {
			return tamper(s.at("alice"), 0, func([]byte) []byte { return []byte(`{"alg":"none"}`) })
		})), `"event":"refused"`},
		{"expired", status(401, "Signature has expired", deployWith(moved(-2*time.Hour, "alice"))), "expired"},
		{"issued_tomorrow", status(401, "", deployWith(moved(26*time.Hour, "alice"))), "not valid yet"},
		{"other_vo", status(403, "does not meet requirements", deployWith(at("bob"))), `"event":"refused"`},
		{"no_vo", status(403, "does not meet requirements", deployWith(at("carol"))), `"event":"refused"`},
		{"post_by_who_may_not", status(403, "does not meet requirements", func(s *site) answer {
			return s.ask("POST", "/user/deploy", "Bearer "+s.at("bob"))
		}), `"event":"refused"`},
		{"password_for_who_may_not", status(403, "does not meet requirements", func(s *site) answer {
			return s.get("/user/generate_otp", s.at("bob"))
		}), `"event":"refused"`},
		{"no_administrator", status(403, "Forbidden", func(s *site) answer {
			return s.get("/admin/suspend?"+url.Values{"sub": {"x"}, "iss": {s.op.URL}}.Encode(), s.at("alice"))
		}), `"event":"refused"`},
		{"revoked", status(401, "", deployWith(func(s *site) string {
			token := s.at("alice")
			s.op.Post("/revoke", "web", "web-secret", url.Values{"token": {token}})
			return token
		})), `"event":"refused"`},
		{"token_in_the_query", status(403, "Not authenticated", func(s *site) answer {
			return s.ask("GET", "/user/deploy?access_token="+s.at("alice"), "")
		}), ""},
		{"huge_token", status(401, "", deployWith(is(strings.Repeat("x", 20<<10)))), ""},
	} {
		s.refuse(t, r)
	}
	t.Run("and_one_that_is_right", func(t *testing.T) {
		if name := s.deploy("alice"); name != "alice" {
			t.Errorf("alice is called %q", name)
		}
	})
	t.Run("revoked_after_use", func(t *testing.T) {
		token := s.at("alice")
		if a := s.get("/user/get_status", token); a.status != 200 {
			t.Fatal(a)
		}
		s.op.Post("/revoke", "web", "web-secret", url.Values{"token": {token}})
		s.await("the end of what the issuer said a second ago", func() bool { return s.get("/user/get_status", token).status == 401 })
	})
	t.Run("provider_down", func(t *testing.T) {
		token := s.at("alice")
		s.op.Stop()
		defer s.op.Restart(true)
		s.refuse(t, refusal{"deploy", func(_ *testing.T, s *site) string {
			if a := s.get("/user/deploy", token); a.status < 401 {
				return a.String()
			}
			return ""
		}, `"event":"refused"`})
	})
}

// TestRefusedAssurance: who is not known well enough gets no account, and who is known a little no shell.
func TestRefusedAssurance(t *testing.T) {
	t.Parallel()
	s := newSite(t, siteOptions{provisioner: with(`assurance: "*"`, "assurance: profile/cappuccino, assurance_base: optional")})
	for _, user := range []string{"bob", "carol"} {
		s.refuse(t, refusal{user, status(401, "Your assurance level is insufficient", func(s *site) answer {
			return s.get("/user/deploy", s.at(user))
		}), "assurance"})
	}
	s.deploy("alice")
}

// TestRefusedLogins: secrets at the prompt of a real sshd.
func TestRefusedLogins(t *testing.T) {
	t.Parallel()
	s := newSite(t, siteOptions{})
	alice, bob := s.deploy("alice"), s.deploy("bob")
	s.AddUser("local", "a-password")
	used := s.password("alice")
	if who := s.ssh(alice, used); who != alice {
		t.Fatalf("arrived as %q", who)
	}
	compat := s.compat(t, "alice")
	if who := s.ssh(alice, compat); who != alice {
		t.Fatalf("arrived as %q", who)
	}
	for _, r := range []refusal{
		{"replayed_password", out(is(alice), is(used)), "one-time password is not known"},
		{"replayed_compatible_password", out(is(alice), is(compat)), "one-time password is not known"},
		{"password_of_another", out(is(alice), func(s *site) string { return s.password("bob") }), "the local user of the identity is another one"},
		{
			"password_for_another_account", out(is(bob), func(s *site) string { return s.password("alice") }),
			"the local user of the identity is another one",
		},
		{"password_nobody_made", out(is(alice), func(*site) string { return string(form.New()) }), "one-time password is not known"},
		{"password_with_a_slip", out(is(alice), func(s *site) string {
			pw := []byte(s.password("alice"))
			pw[len(pw)-1] ^= 1
			return string(pw)
		}), "is no one-time password and no token"},
		{
			"compatible_password_nobody_made", out(is(alice), is(strings.Repeat("0123456789abcdef", 8))),
			"one-time password is not known",
		},
		{"some_password", out(is(alice), is("correct horse battery staple")), "is no one-time password and no token"},
		{"empty", out(is(alice), is("")), "no secret came"},
		{"cut_token", out(is(alice), func(s *site) string { return s.at("alice") }), "the secret was cut off"},
		{"cut_to_the_byte", out(is(alice), is(strings.Repeat("a", 511))), "the secret was cut off"},
		{"unknown_user", out(is("nobody-here"), func(s *site) string { return s.password("alice") }), "sshd knows no such user"},
		{"root", out(is("root"), func(s *site) string { return s.password("alice") }), `refused "root"`},
		{"system_user", out(is("daemon"), func(s *site) string { return s.password("alice") }), "name is reserved: daemon"},
		{"local_user", out(is("local"), func(s *site) string { return s.password("alice") }), "account is not managed by the provisioner"},
		{"name_with_a_slash", out(is("../alice"), func(s *site) string { return s.password("alice") }), "sshd knows no such user"},
		{"name_like_an_option", out(is("-oProxyCommand=x"), func(s *site) string { return s.password("alice") }), ""},
		{"verify_for_another", status(200, `"verified":false`, func(s *site) answer {
			return s.get("/verify_user?username="+bob, s.at("alice"))
		}), "the local user of the identity is another one"},
		{"verify_for_root", status(200, `"verified":false`, func(s *site) answer {
			return s.get("/verify_user?username=root", s.at("alice"))
		}), `"name":"root"`},
	} {
		s.refuse(t, r)
	}
	t.Run("wrong_guesses_burn_nothing", func(t *testing.T) {
		pw := s.password("bob")
		if who := s.ssh(alice, pw); who != "" {
			t.Errorf("arrived as %q", who)
		}
		if who := s.ssh(bob, pw); who != bob {
			t.Errorf("bob arrived as %q", who)
		}
	})
	t.Run("plain_password_beside_it", func(t *testing.T) {
		if who := s.ssh("local", "a-password"); who != "local" {
			t.Errorf("arrived as %q", who)
		}
	})
}

// TestRefusedExpired: passwords that nobody used in time.
func TestRefusedExpired(t *testing.T) {
	t.Parallel()
	s := newSite(t, siteOptions{provisioner: with("audit: /var", "passwords: {life: 10s, compatible_life: 10s}\naudit: /var")})
	alice := s.deploy("alice")
	own, compat := s.password("alice"), s.compat(t, "alice")
	time.Sleep(10100 * time.Millisecond)
	s.refuse(t, refusal{"password", out(is(alice), is(own)), "one-time password is not known"})
	s.refuse(t, refusal{"compatible_password", out(is(alice), is(compat)), "one-time password is not known"})
}

// TestRefusedStates: people whose account is in no state to log in, also by a key.
func TestRefusedStates(t *testing.T) {
	t.Parallel()
	s := newSite(t, siteOptions{})
	alice := s.deploy("alice")
	key := s.key(t, alice)
	byKey := func(*testing.T, *site) string {
		return s.login(s.sshd, services.SSHLogin{User: alice, Key: key, Methods: "publickey"})
	}
	if who := byKey(t, s); who != alice {
		t.Fatalf("by key arrived %q", who)
	}
	kept := s.password("alice")
	s.officer(t, "suspend", alice)
	for _, r := range []refusal{
		{"suspended_by_new_password", status(403, "", func(s *site) answer {
			a := s.ask("POST", "/user/generate_otp?form=oxp", "Bearer "+s.at("alice"))
			if a.member("password") == "" { // whatever it says: there is none
				a.status, a.body = 403, ""
			}
			return a
		}), "no one-time password for an account that is suspended"},
		{"suspended_with_password_of_before", out(is(alice), is(kept)), "one-time password is not known"},
		{"suspended_by_key", byKey, "the account is suspended"},
		{"suspended_is_not_verified", status(200, `"verified":false`, func(s *site) answer {
			return s.get("/verify_user?username="+alice, s.at("alice"))
		}), "the account is suspended"},
		{"suspended_stays_after_deploy", func(t *testing.T, s *site) string {
			s.get("/user/deploy", s.at("alice"))
			return byKey(t, s)
		}, "the account is suspended"},
	} {
		s.refuse(t, r)
	}
	s.officer(t, "resume", alice)
	if who := byKey(t, s); who != alice {
		t.Errorf("resumed, by key: %q", who)
	}
	s.officer(t, "limit", alice)
	s.refuse(t, refusal{"limited_gets_no_shell", byKey, ""})
	if a := s.get("/user/get_status", s.at("alice")); a.member("state") != "limited" {
		t.Error(a)
	}
}

// TestRefusedApproval: who waits, or was rejected, has no account.
func TestRefusedApproval(t *testing.T) {
	t.Parallel()
	s := newSite(t, siteOptions{provisioner: with(`assurance: "*"`, `assurance: "*", approval: true`)})
	waiting := status(200, "pending", func(s *site) answer { return s.get("/user/deploy", s.at("alice")) })
	s.refuse(t, refusal{"pending", waiting, `"event":"request"`})
	s.refuse(t, refusal{"pending_again", waiting, ""})
	s.refuse(t, refusal{"pending_at_the_prompt", out(is("alice"), func(*site) string { return string(form.New()) }), "sshd knows no such user"})
	s.refuse(t, refusal{"pending_verify", status(200, `"verified":false`, func(s *site) answer {
		return s.get("/verify_user?username=deployment", s.at("alice"))
	}), "the identity has no account: pending"})
	s.officer(t, "reject", s.id("alice"))
	s.refuse(t, refusal{"rejected", status(401, "rejected", func(s *site) answer {
		return s.get("/user/deploy", s.at("alice"))
	}), `"reason":"rejected: User depl`})
	s.get("/user/deploy", s.at("bob"))
	s.officer(t, "approve", s.id("bob"))
	if name := s.nameOf("bob"); name != "bob" || s.UID("bob") < s.FirstUID {
		t.Errorf("bob is %q, uid %d", name, s.UID("bob"))
	}
}

// TestRefusedClaims: what claims ask for and nobody gets.
func TestRefusedClaims(t *testing.T) {
	t.Parallel()
	const ns = "urn:geant:example.org:group:"
	person := func(name string, entitlements ...string) issuer.User {
		return issuer.User{Name: name, Subject: "sub-" + name, FullName: name, Email: name + "@example.org", Entitlements: entitlements}
	}
	many := make([]string, 400)
	for i := range many {
		many[i] = fmt.Sprintf("%sg%d#aai.example.org", ns, i)
	}
	s := newSite(t, siteOptions{
		issuer: func(o *issuer.Options) {
			o.Users = []issuer.User{
				person("alice"), person("root"), person("daemon"), person("taken"), person("crowd", many...),
				{Name: "collide", Subject: "sub-collide"},
				person("mallory", "urn:geant:sudo:group:sudo", ns+"../../etc", ns+"-G0", ns+"docker", ns+"x%0Ay"),
			}
		},
		provisioner: with("groups: {", `groups: {method: regex, rewrites: ["^.*:group:(.*)$ -> \\1"], `),
	})
	s.AddUser("taken", "")
	s.AddUser("collide", "")
	for _, name := range []string{"root", "daemon", "taken"} {
		t.Run(name, func(t *testing.T) {
			before := s.Read("/etc/passwd")
			a := s.get("/user/deploy", s.at(name))
			got := s.nameOf(name)
			if got == name || a.status == 200 && (got == "" || s.UID(got) < s.FirstUID) {
				t.Errorf("%s: is called %q, uid %d", a, got, s.UID(got))
			}
			if !strings.HasPrefix(s.Read("/etc/passwd"), before) {
				t.Error("accounts of before have changed")
			}
			if who := s.ssh(name, s.password(name)); who == name {
				t.Errorf("arrived as %q", who)
			}
		})
	}
	s.refuse(t, refusal{"no_name_is_free", status(401, "I cannot create usernames", func(s *site) answer {
		return s.get("/user/deploy", s.at("collide"))
	}), "I cannot create usernames"})
	s.refuse(t, refusal{"more_groups_than_may_be", status(401, "rejected", func(s *site) answer {
		return s.get("/user/deploy", s.at("crowd"))
	}), "groups"})
	t.Run("reserved_groups", func(t *testing.T) {
		from := s.mark()
		name := s.deploy("mallory")
		groups := strings.Fields(s.Run("id", "-Gn", name))
		for _, g := range groups {
			if g == "sudo" || g == "docker" || g == "root" || g == "wheel" || strings.ContainsAny(g, "/ \n") {
				t.Errorf("groups %q", groups)
			}
		}
		s.awaitLogs(t, from, `"refused":[`)
	})
}

// TestRefusedMismatch: ledger and account do not agree.
func TestRefusedMismatch(t *testing.T) {
	t.Parallel()
	s := newSite(t, siteOptions{})
	alice, bob := s.deploy("alice"), s.deploy("bob")
	spoil := func(line ...string) func() {
		before, shadow := s.Read("/etc/passwd"), s.Read("/etc/shadow")
		s.Run(line[0], line[1:]...)
		return func() {
			s.Write("/etc/passwd", before, 0o644)
			s.Write("/etc/shadow", shadow, 0o640)
		}
	}
	settle := func() { // what the server has seen of an account it goes by for some seconds
		s.kill(s.serve)
		s.startFront()
	}
	for name, c := range map[string]struct {
		log  string
		line []string
	}{
		"identity_taken_away":     {"the identities of the account do not agree", []string{"usermod", "-c", "", alice}},
		"identity_of_another":     {"the identities of the account do not agree", []string{"usermod", "-c", s.id("bob"), alice}},
		"account_under_the_floor": {"number is outside of the range", []string{"usermod", "-u", "499", alice}},
		"account_made_root":       {`refused "alice"`, []string{"usermod", "-o", "-u", "0", alice}},
		"account_gone":            {"sshd knows no such user", []string{"userdel", alice}},
	} {
		pw := s.password("alice")
		back := spoil(c.line...)
		settle()
		s.refuse(t, refusal{name, out(is(alice), is(pw)), c.log})
		s.refuse(t, refusal{name + "_by_another", func(_ *testing.T, s *site) string {
			if a := s.get("/verify_user?username="+alice, s.at("bob")); strings.Contains(a.body, `"verified":true`) {
				return a.String()
			}
			return ""
		}, `"event":"refused"`})
		back()
		settle()
		if who := s.ssh(bob, s.password("bob")); who != bob {
			t.Errorf("after %s bob arrives as %q", name, who)
		}
	}
	if who := s.ssh(alice, s.password("alice")); who != alice {
		t.Errorf("mended, alice arrives as %q", who)
	}
}

// TestRefusedWhenDown: what is not there lets nobody in.
func TestRefusedWhenDown(t *testing.T) {
	t.Parallel()
	s := newSite(t, siteOptions{})
	alice := s.deploy("alice")
	key := s.key(t, alice)
	t.Run("worker_down", func(t *testing.T) {
		token := s.at("bob")
		s.kill(s.worker)
		s.refuse(t, refusal{"deploy", func(_ *testing.T, s *site) string {
			if a := s.get("/user/deploy", token); a.status < 500 {
				return a.String()
			}
			return ""
		}, "worker"})
		s.startWork()
		if name := s.deploy("bob"); name != "bob" {
			t.Errorf("bob is %q", name)
		}
	})
	t.Run("server_down", func(t *testing.T) {
		pw := s.password("alice")
		s.kill(s.serve)
		s.refuse(t, refusal{"password", out(is(alice), is(pw)), "nobody is listening"})
		s.refuse(t, refusal{"key", func(*testing.T, *site) string {
			return s.login(s.sshd, services.SSHLogin{User: alice, Key: key, Methods: "publickey"})
		}, "nobody is listening"})
		t.Run("somebody_else_at_its_socket", func(t *testing.T) {
			s.AddUser("squatter", "")
			path := s.File("/run/oidcbox/login.sock")
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			ln, err := net.Listen("unix", path) // who says yes to everybody
			if err != nil {
				t.Fatal(err)
			}
			done := make(chan struct{})
			ctx, cancel := context.WithCancel(t.Context())
			go func() {
				defer close(done)
				_ = login.Serve(ctx, ln, func(context.Context, sock.Peer, login.Question) login.Answer {
					return login.Answer{Allowed: true, State: "deployed", ID: s.id("alice")}
				}, login.ServeOptions{})
			}()
			defer func() { cancel(); <-done }()
			s.Run("chown", "-R", "squatter", "/run/oidcbox")
			defer s.Run("chown", "-R", serveUser, "/run/oidcbox")
			s.refuse(t, refusal{"password", out(is(alice), is(pw)), "the socket for logins is somebody else's"})
		})
		s.startFront()
		if who := s.ssh(alice, pw); who != alice {
			t.Errorf("the password of before: arrived as %q", who)
		}
	})
}
