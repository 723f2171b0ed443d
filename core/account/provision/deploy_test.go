package provision

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/account/backend"
	"github.com/oidcbox/oidcbox/core/account/names"
	"github.com/oidcbox/oidcbox/core/account/state"
	"github.com/oidcbox/oidcbox/core/token/assurance"
)

// rejected asserts that err is a *Rejection with the message, and returns it.
func rejected(t *testing.T, err error, message string) *Rejection {
	t.Helper()
	var r *Rejection
	if !errors.As(err, &r) {
		t.Fatalf("%v; want a rejection", err)
	}
	if message != "" && r.Message != message {
		t.Fatalf("message %q, want %q", r.Message, message)
	}
	return r
}

func TestDeploy(t *testing.T) {
	b := newBed(t, func(r *Rules) { r.Additional = []string{"hpc"} })
	alice := subject("alice", inGroups("vo-a", "vo-b"), func(s *Subject) {
		s.Keys = []backend.Key{{Name: "laptop", ID: "1", Value: "ssh-ed25519 AAAA"}}
	})
	got := b.deploy(alice)
	want := "User was created and was added to groups hpc,vo-a,vo-b. Credentials ssh:laptop/1 were activated."
	if got.State != state.Deployed || got.Message != want {
		t.Errorf("first: %s %q\nwant %q", got.State, got.Message, want)
	}
	if c := got.Credentials; c["ssh_user"] != "alice" || c["commandline"] != "ssh alice@node.example" ||
		c["description"] != "Test" || c["login_help"] != "ask" || c["ssh_host"] != "node.example" || len(c) != 5 {
		t.Errorf("credentials %v", c)
	}
	before := b.show(alice)
	if got = b.deploy(alice); got.Message != "User already existed. Credentials ssh:laptop/1 were activated." {
		t.Errorf("again: %q", got.Message)
	}
	if after := b.show(alice); !after.Changed.Equal(before.Changed) {
		t.Error("a login that changes nothing was written down")
	}
	alice.Groups, alice.Keys, alice.VOs = []string{"vo-b", "vo-c"}, nil, nil
	if got = b.deploy(alice); got.Message != "User already existed and was added to groups vo-c and was removed from groups vo-a." {
		t.Errorf("with other groups: %q", got.Message)
	}
	e := b.show(alice)
	if !slices.Equal(e.Groups, []string{"hpc", "vo-b", "vo-c"}) || e.Primary != "vo-b" || e.UID != 2001 ||
		!slices.Equal(e.VOs, []string{"vo-b", "vo-c"}) {
		t.Errorf("ledger has %+v", e)
	}
	if s := b.status(alice); s.State != state.Deployed || s.Message != "username alice" || s.Credentials == nil {
		t.Errorf("status %+v", s)
	}
}

func TestSeenIsRenewedOnceADay(t *testing.T) {
	b := newBed(t, nil)
	b.deploy(subject("alice"))
	first := b.show(subject("alice")).Seen
	b.pass(23 * time.Hour)
	b.deploy(subject("alice"))
	if got := b.show(subject("alice")).Seen; !got.Equal(first) {
		t.Errorf("written after 23 hours: %v", got)
	}
	b.pass(2 * time.Hour)
	b.deploy(subject("alice"))
	if got := b.show(subject("alice")).Seen; got.Equal(first) {
		t.Error("not written after a day")
	}
}

func TestStatusOfNobody(t *testing.T) {
	b := newBed(t, nil)
	if s := b.status(subject("alice")); s.State != state.NotDeployed || s.Message != "No message" || s.Credentials == nil {
		t.Errorf("%+v", s)
	}
}

// TestNames is about names that somebody has or had.
func TestNames(t *testing.T) {
	person := func(sub, preferred string) Subject {
		return subject(sub, func(s *Subject) {
			s.Person = names.Person{PreferredUsername: preferred, Given: "Anna", Family: "Berg"}
		})
	}
	t.Run("collision", func(t *testing.T) {
		b := newBed(t, nil)
		b.deploy(person("1", "anna"))
		b.deploy(person("2", "anna"))
		if got := b.show(person("2", "anna")).Name; got != "annber" {
			t.Errorf("the second one is %q", got)
		}
	})
	t.Run("local_user", func(t *testing.T) {
		b := newBed(t, nil)
		b.host.locals["anna"] = true
		b.deploy(person("1", "anna"))
		if got := b.show(person("1", "anna")).Name; got != "annber" {
			t.Errorf("the name is %q", got)
		}
	})
	t.Run("reserved", func(t *testing.T) {
		b := newBed(t, nil)
		for i, name := range []string{"root", "boss", "Docker", "sudo"} {
			s := person(string(rune('a'+i)), name)
			_, err := b.desk.Deploy(t.Context(), s)
			if err == nil && slices.Contains([]string{"root", "boss", "docker", "sudo"}, b.show(s).Name) {
				t.Errorf("%s was given", name)
			}
		}
	})
	t.Run("host_takes_it_in_between", func(t *testing.T) {
		b := newBed(t, nil)
		b.host.fault = func(point, _ string) error {
			if point == "deploy before" {
				b.host.mu.Lock()
				b.host.locals["anna"] = true
				b.host.mu.Unlock()
			}
			return nil
		}
		b.deploy(person("1", "anna"))
		if got := b.show(person("1", "anna")).Name; got != "annber" {
			t.Errorf("the name is %q", got)
		}
		if id, err := b.desk.owner(t.Context(), "anna"); err != nil || id != "" {
			t.Errorf("the ledger still has the name for %q, %v", id, err)
		}
	})
	t.Run("none_left", func(t *testing.T) {
		b := newBed(t, nil)
		b.deploy(subject("x"))
		_, err := b.desk.Deploy(t.Context(), subject("y",
			func(s *Subject) { s.Person = names.Person{PreferredUsername: "x"} }))
		rejected(t, err, "I cannot create usernames. The list of tried ones is: x")
		b.nothingOf(subject("y"))
	})
}

func TestPool(t *testing.T) {
	b := newBed(t, func(r *Rules) { r.Naming = Naming{Mode: Pooled, Prefix: "u", Digits: 1} })
	b.host.locals["u2"] = true
	for i, want := range []string{"u1", "u3", "u4", "u5", "u6", "u7", "u8", "u9"} {
		s := subject(string(rune('a' + i)))
		if b.deploy(s); b.show(s).Name != want {
			t.Errorf("%d is %q, want %q", i, b.show(s).Name, want)
		}
	}
	_, err := b.desk.Deploy(t.Context(), subject("z"))
	rejected(t, err, "")
	delete(b.host.locals, "u2")
	if b.deploy(subject("z")); b.show(subject("z")).Name != "u2" {
		t.Errorf("the number that became free was not found: %q", b.show(subject("z")).Name)
	}
}

func TestFront(t *testing.T) {
	person := func(sub, preferred string) Subject {
		return subject(sub, func(s *Subject) { s.Person = names.Person{PreferredUsername: preferred} })
	}
	b := newBed(t, func(r *Rules) { r.Naming.Front = "kit_" })
	for preferred, want := range map[string]string{"anna": "kit_anna", "root": "kit_root"} {
		s := person(preferred, preferred)
		b.deploy(s)
		if got := b.show(s).Name; got != want {
			t.Errorf("%s is %q, want %q", preferred, got, want)
		}
	}
	long := strings.Repeat("g", 32)
	b.desk = b.another(func(r *Rules) { r.Naming, r.Primary = Naming{Mode: Pooled, Front: "kit_"}, long })
	s := person("pool", "")
	if b.deploy(s); b.show(s).Name != "kit_"+long[:25]+"001" {
		t.Errorf("of a pool: %q", b.show(s).Name)
	}
}

// TestGroupsOfAnIssuer: an issuer with rules of its own puts nobody into groups of another one's.
func TestGroupsOfAnIssuer(t *testing.T) {
	row, err := names.NewRow("theirs", "guests")
	if err != nil {
		t.Fatal(err)
	}
	own := &names.GroupRules{Method: names.Table, Table: []names.Row{row}}
	b := newBed(t, func(r *Rules) {
		r.Issuers = map[string]IssuerRules{"https://weak.example": {Assurance: anything(), Groups: own}}
	})
	weak := subject("eve", inGroups("core-team", "theirs"), func(s *Subject) { s.Iss = "https://weak.example" })
	b.deploy(weak)
	strong := subject("alice", inGroups("core-team"))
	b.deploy(strong)
	if got := b.host.account(weak.ID, nil).Groups; !slices.Equal(got, []string{"guests"}) {
		t.Errorf("groups %v", got)
	}
	if got := b.host.account(strong.ID, nil).Groups; !slices.Equal(got, []string{"core-team"}) {
		t.Errorf("groups %v", got)
	}
}

// nothingOf asserts that neither the ledger nor the host has anything of s.
func (b *bed) nothingOf(s Subject) {
	b.Helper()
	if e, err := b.desk.Show(b.Context(), s.ID); !errors.Is(err, ErrNoIdentity) {
		b.Errorf("the ledger has %+v, %v", e, err)
	}
	if a := b.host.account(s.ID, nil); a.ID != "" {
		b.Errorf("the host has %+v", a)
	}
}

// TestRefusals: refused, with nothing left.
func TestRefusals(t *testing.T) {
	espresso, err := assurance.Parse("profile/espresso")
	if err != nil {
		t.Fatal(err)
	}
	many := make([]string, 300)
	for i := range many {
		many[i] = "vo" + strings.Repeat("x", i%20) + string(rune('a'+i%26)) + string(rune('a'+i/26))
	}
	for _, c := range []struct {
		name    string
		rules   func(*Rules)
		subject Subject
		message string
	}{
		{"zero_rules", func(r *Rules) { *r = Rules{} }, subject("alice"), state.LowAssurance},
		{"assurance", func(r *Rules) { r.Default.Assurance = espresso }, subject("alice"), state.LowAssurance},
		{
			"assurance_of_the_issuer", func(r *Rules) { r.Issuers = map[string]IssuerRules{testIssuer: {}} },
			subject("alice"), state.LowAssurance,
		},
		{"too_many_groups", nil, subject("alice", inGroups(many...)), "You are in too many groups for this resource."},
		{
			"no_group", func(r *Rules) { r.Fallback = "" }, subject("alice"),
			"There is no group for your account on this resource.",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBed(t, c.rules)
			_, err := b.desk.Deploy(t.Context(), c.subject)
			rejected(t, err, c.message)
			b.nothingOf(c.subject)
			if e := b.event(Refused); e.ID != c.subject.ID || e.Reason == "" {
				t.Errorf("audit has %+v", e)
			}
		})
	}
	for _, refusal := range []error{backend.ErrReadOnly, backend.ErrRefused, backend.ErrUnsupported} {
		t.Run(refusal.Error(), func(t *testing.T) {
			b := newBed(t, nil)
			b.host.failAt("deploy before", refusal)
			_, err := b.desk.Deploy(t.Context(), subject("alice"))
			if rejected(t, err, ""); !errors.Is(err, refusal) {
				t.Errorf("%v does not wrap %v", err, refusal)
			}
			b.nothingOf(subject("alice"))
			if id, _ := b.desk.owner(t.Context(), "alice"); id != "" {
				t.Error("the name stayed reserved")
			}
		})
	}
	t.Run("foreign_id", func(t *testing.T) {
		b := newBed(t, nil)
		s := subject("alice")
		s.Sub = "mallory"
		if _, err := b.desk.Deploy(t.Context(), s); !errors.Is(err, names.ErrIdentity) {
			t.Errorf("%v", err)
		}
	})
}

func TestReservedGroups(t *testing.T) {
	b := newBed(t, nil)
	s := subject("alice", inGroups("sudo", "docker", "wheel", "vo"))
	if got := b.deploy(s); got.Message != "User was created and was added to groups vo." {
		t.Errorf("%q", got.Message)
	}
	if e := b.event(Deployed); !slices.Equal(e.Refused, []string{"sudo", "docker", "wheel"}) {
		t.Errorf("audit has %v", e.Refused)
	}
}

// TestBroken: at whatever point a deployment breaks, the next one finishes it, with the same name and uid.
func TestBroken(t *testing.T) {
	for _, point := range []string{"find", "holder", "deploy before", "deploy half", "deploy done"} {
		t.Run(strings.ReplaceAll(point, " ", "_"), func(t *testing.T) {
			b := newBed(t, nil)
			b.host.failAt(point, errBroken)
			s := subject("alice", inGroups("vo"), func(s *Subject) { s.Person.Given, s.Person.Family = "Ali", "Cent" })
			_, err := b.desk.Deploy(t.Context(), s)
			var failure *Failure
			if !errors.As(err, &failure) || !errors.Is(err, errBroken) {
				t.Fatalf("%v", err)
			}
			if v := b.verify(s, "alice"); v.Allowed || v.Verified {
				t.Errorf("let in half made: %+v", v)
			}
			b.host.mended()
			// somebody else with the same name comes first
			b.deploy(subject("other", func(s *Subject) {
				s.Person = names.Person{PreferredUsername: "alice", Given: "Al", Family: "Ice"}
			}))
			if got := b.deploy(s); got.State != state.Deployed {
				t.Errorf("%+v", got)
			}
			e, a := b.show(s), b.host.account(s.ID, nil)
			if e.UID != a.UID || e.Name != a.Name || !slices.Equal(a.Groups, []string{"vo"}) {
				t.Errorf("ledger %+v\nhost %+v", e, a)
			}
			if v := b.verify(s, e.Name); !v.Allowed {
				t.Errorf("not let in: %+v", v)
			}
		})
	}
}

func TestTiers(t *testing.T) {
	parse := func(s string) assurance.Expr {
		e, err := assurance.Parse(s)
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	tiers := &Tiers{
		Full: parse("IAP/high | " + MFAProfile + " & IAP/medium"), Limited: parse("IAP/medium"), Restricted: parse("+"),
	}
	value := func(words ...string) (out []string) {
		for _, w := range words {
			out = append(out, assurance.Base+"/"+w)
		}
		return out
	}
	for _, c := range []struct {
		name      string
		rules     IssuerRules
		assurance []string
		mfa       bool
		want      backend.Tier
	}{
		{"none_configured", IssuerRules{Assurance: anything()}, nil, false, backend.Full},
		{"high", IssuerRules{Assurance: anything(), Tiers: tiers}, value("IAP/high"), false, backend.Full},
		{"medium_with_mfa", IssuerRules{Assurance: anything(), Tiers: tiers}, value("IAP/medium"), true, backend.Full},
		{"medium", IssuerRules{Assurance: anything(), Tiers: tiers}, value("IAP/medium"), false, backend.Limited},
		{"low", IssuerRules{Assurance: anything(), Tiers: tiers}, value("IAP/low"), false, backend.Restricted},
		{"nothing", IssuerRules{Assurance: anything(), Tiers: tiers}, nil, false, ""},
		{"mfa_is_no_value_of_a_person", IssuerRules{Assurance: anything(), Tiers: tiers}, nil, true, ""},
		{
			"cap",
			IssuerRules{Assurance: anything(), Tiers: tiers, MaxTier: backend.Restricted},
			value("IAP/high"), true,
			backend.Restricted,
		},
		{
			"cap_below",
			IssuerRules{Assurance: anything(), Tiers: tiers, MaxTier: backend.Limited},
			value("IAP/low"), true,
			backend.Restricted,
		},
		{"cap_alone", IssuerRules{Assurance: anything(), MaxTier: backend.NoShell}, nil, false, backend.NoShell},
		{"door_first", IssuerRules{Assurance: parse("IAP/high"), Tiers: tiers}, value("IAP/medium"), true, ""},
		{
			"four_terms",
			IssuerRules{Assurance: parse("IAP/low & ID/unique & ATP/ePA-1m & IAP/medium")},
			value("IAP/medium", "ID/unique", "ATP/ePA-1m"), false, backend.Full,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.rules.LaxBase = true
			b := newBed(t, func(r *Rules) { r.Issuers = map[string]IssuerRules{testIssuer: c.rules} })
			s := subject("alice", func(s *Subject) { s.Assurance, s.MFA = c.assurance, c.mfa })
			_, err := b.desk.Deploy(t.Context(), s)
			if c.want == "" {
				rejected(t, err, state.LowAssurance)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := b.host.account(s.ID, nil).Shell; got != "/shell/"+string(c.want) {
				t.Errorf("%s, want %s", got, c.want)
			}
			want := state.Deployed
			if c.want == backend.NoShell {
				want = state.Limited
			}
			if got := b.status(s); got.State != want {
				t.Errorf("state %s, want %s", got.State, want)
			}
		})
	}
}

func TestBadRules(t *testing.T) {
	for name, r := range map[string]Rules{
		"pool_prefix": {Naming: Naming{Mode: Pooled, Prefix: "-rf"}},
		"pool_digits": {Naming: Naming{Mode: Pooled, Prefix: "u", Digits: 9}},
		"external":    {Naming: Naming{Mode: External}},
		"front":       {Naming: Naming{Front: "-x"}},
		"mode":        {Naming: Naming{Mode: 7}},
		"group":       {Additional: []string{"--help"}},
		"primary":     {Primary: "a b"},
		"tier":        {Default: IssuerRules{MaxTier: "root"}},
		"issuer_tier": {Issuers: map[string]IssuerRules{"x": {MaxTier: "root"}}},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := New(Options{Store: newBed(t, nil).eng, System: newHost(), Rules: r}); !errors.Is(err, ErrRules) {
				t.Errorf("%v", err)
			}
		})
	}
}

// failed asserts that err is a *Failure that wraps want.
func failed(t *testing.T, err, want error) {
	t.Helper()
	var f *Failure
	if !errors.As(err, &f) || !errors.Is(err, want) || f.Message == "" {
		t.Fatalf("%v; want a failure by %v", err, want)
	}
}
