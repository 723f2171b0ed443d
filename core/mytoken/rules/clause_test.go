package rules

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/mytoken"
)

func parse(t *testing.T, s string) mytoken.Restrictions {
	t.Helper()
	var rs mytoken.Restrictions
	if err := rs.UnmarshalJSON([]byte(s)); err != nil {
		t.Fatal(err)
	}
	return rs
}

func settle1(t *testing.T, s string) mytoken.Restrictions {
	t.Helper()
	rs, err := Settle(parse(t, s), Setting{Now: start, Client: netip.MustParseAddr("192.0.2.7")})
	if err != nil {
		t.Fatal(err)
	}
	return rs
}

// example has the form of the clauses that the service was introduced with: compute and read from one country, later
// the same from anywhere, write at the end. As it was printed, every clause ends before it begins.
const example = `[
	{"exp":1634300000,"nbf":1634301000,"scope":"compute storage.read","audience":["https://hpc.example.org"],
	 "geoip_allow":["BE"],"usages_AT":2},
	{"exp":1634400000,"nbf":1634401000,"scope":"compute storage.read:/vo","usages_AT":5},
	{"exp":1634500000,"nbf":1634501000,"scope":"storage.modify:/vo/results","usages_AT":1,"usages_other":0}]`

// exchanged is the example with the times put right.
func exchanged() string {
	r := strings.NewReplacer(`"exp":`, `"nbf":`, `"nbf":`, `"exp":`)
	return r.Replace(example)
}

func TestPublishedExample(t *testing.T) {
	before := time.Unix(1634000000, 0)
	_, err := Settle(parse(t, example), Setting{Now: before})
	var refused *ClausesError
	if !errors.As(err, &refused) || len(refused.Faults) != 3 {
		t.Fatalf("as printed it gives %v, want three reasons", err)
	}
	for i, f := range refused.Faults {
		if f.Clause != i+1 || !strings.Contains(f.Reason, "is not after nbf") {
			t.Errorf("%v", f)
		}
	}
	rs, err := Settle(parse(t, exchanged()), Setting{Now: before})
	if err != nil || len(rs) != 3 {
		t.Fatalf("with the times exchanged: %v, %v", rs, err)
	}
	if got := Ends(rs).Unix(); got != 1634501000 {
		t.Errorf("ends at %d", got)
	}
	if got := Begins(rs, before).Unix(); got != 1634300000 {
		t.Errorf("begins at %d", got)
	}
}

func TestSettle(t *testing.T) {
	for _, tt := range []struct{ name, in, want string }{
		{"nothing", `[]`, `[]`},
		{"relative_times", `{"nbf":"+1h","exp":"+1d12h"}`, `[{"nbf":1800003600,"exp":1800129600}]`},
		{"seconds_and_fractions", `{"nbf":"+60","exp":"+1.5h"}`, `[{"nbf":1800000060,"exp":1800005400}]`},
		{"local_time", `{"exp":"2030-01-31 12:00"}`, `[{"exp":1896087600}]`},
		{"old_name_of_hosts", `{"ip":["10.0.0.0/8"]}`, `[{"hosts":["10.0.0.0/8"]}]`},
		{"this_is_the_client", `{"hosts":["this"]}`, `[{"hosts":["192.0.2.7"]}]`},
		{"this_and_its_address_are_one", `{"hosts":["this","192.0.2.7/32"]}`, `[{"hosts":["192.0.2.7"]}]`},
		{"network_that_is_none", `{"hosts":["10.1.2.3/8"]}`, `[{"hosts":["10.1.2.3"]}]`},
		{"ipv4_inside_ipv6", `{"hosts":["::ffff:10.0.0.0/104","::ffff:10.1.2.3"]}`, `[{"hosts":["10.0.0.0/8","10.1.2.3"]}]`},
		{"names", `{"hosts":["Host1.Example.ORG.","*.example.org"]}`, `[{"hosts":["host1.example.org","*.example.org"]}]`},
		{"countries", `{"geoip_allow":["be","BE"],"geoip_disallow":["fr"]}`, `[{"geoip_allow":["BE"],"geoip_disallow":["FR"]}]`},
		{"scopes_once", `{"scope":" openid  openid profile "}`, `[{"scope":"openid profile"}]`},
		{"one_audience", `{"audience":"fedcloud"}`, `[{"audience":["fedcloud"]}]`},
		{"counters_are_the_servers", `{"usages_AT":5,"usages_AT_done":3}`, `[{"usages_AT":5}]`},
		{"same_clause_twice", `[{"scope":"a b"},{"scope":"b a"}]`, `[{"scope":"a b"}]`},
		{"empty_clause", `[{"exp":"+1d"},{}]`, `[{"exp":1800086400}]`},
		{"null_is_absent", `[{"exp":"+1d","hosts":null}]`, `[{"exp":1800086400}]`},
		{"no_access_tokens", `{"usages_AT":0}`, `[{"usages_AT":0}]`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			now := start.In(time.FixedZone("", 3600)) // a server one hour east
			rs, err := Settle(parse(t, tt.in), Setting{Now: now, Client: netip.MustParseAddr("192.0.2.7")})
			if err != nil {
				t.Fatal(err)
			}
			if rs == nil {
				rs = mytoken.Restrictions{}
			}
			if got := text(rs); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestSettleRefuses(t *testing.T) {
	for _, tt := range []struct{ name, in, want string }{
		{"exp_before_nbf", `{"nbf":1800000500,"exp":1800000400}`, "clause 1: exp (2027-01-15 08:06:40 UTC) is not after nbf"},
		{"exp_is_nbf", `{"nbf":1800000500,"exp":1800000500}`, "is not after nbf"},
		{"past", `[{"exp":"+1d"},{"exp":1700000000}]`, "clause 2: exp (2023-11-14 22:13:20 UTC) is past"},
		{"now", `{"exp":"+0"}`, "is past"},
		{"empty_audience", `{"audience":[]}`, "clause 1: audience is empty"},
		{"empty_scope", `{"scope":""}`, "scope is empty"},
		{"blank_scope", `{"scope":"  "}`, "scope is empty"},
		{"empty_hosts", `{"hosts":[]}`, "hosts is empty"},
		{"empty_old_hosts", `{"ip":[]}`, "hosts is empty"},
		{"empty_countries", `{"geoip_allow":[]}`, "geoip_allow is empty"},
		{"audience_of_nothing", `{"audience":[""]}`, "an audience is empty"},
		{"no_use_at_all", `{"usages_AT":0,"usages_other":0}`, "both 0"},
		{"no_country_left", `{"geoip_allow":["BE"],"geoip_disallow":["be","FR"]}`, "has every country"},
		{"no_country", `{"geoip_allow":["Belgium"]}`, `country "Belgium" is no two-letter code`},
		{"no_host", `{"hosts":["a b"]}`, `host "a b" is no address`},
		{"network_of_nonsense", `{"hosts":["10.0.0.0/33"]}`, "is no address"},
		{"address_of_nonsense", `{"hosts":["10.0.0.256"]}`, "is no address"},
		{"star_in_the_middle", `{"hosts":["a.*.example.org"]}`, "is no address"},
		{"everything_below_nothing", `{"hosts":["*."]}`, "is no address"},
		{"unknown_member", `{"exp":"+1d","geoip_alow":["BE"]}`, `member "geoip_alow" is not known`},
		{"template", `{"include":["1d"]}`, "it names templates"},
		{"month", `{"exp":"+1month"}`, "exp is not a time"},
		{"backwards", `{"exp":"-1d"}`, "exp is not a time"},
		{"plus_nothing", `{"exp":"+"}`, "exp is not a time"},
		{"too_far", `{"exp":"+300y"}`, "exp is not a time"},
		{"endless", `{"exp":"+99999999999999999999999y"}`, "exp is not a time"},
		{"path_that_climbs", `{"scope":"storage.read:/vo/../else"}`, "the path of scope"},
		{"path_that_is_none", `{"scope":"storage.read:vo"}`, "the path of scope"},
		{"scope_with_quotes", `{"scope":"a\"b"}`, "a scope has characters"},
		{"usages_without_end", `{"usages_AT":9223372036854775807}`, "out of range"},
		{"hostile_text", `{"hosts":["\u001b[31m` + strings.Repeat("x", 500) + `"]}`, `host "\x1b[31mxx`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			rs, err := Settle(parse(t, tt.in), Setting{Now: start, Client: netip.MustParseAddr("192.0.2.7")})
			if !errors.Is(err, ErrClauses) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%s: %v, want %q", text(rs), err, tt.want)
			}
			if err != nil && len(err.Error()) > 400 {
				t.Errorf("the error has %d bytes", len(err.Error()))
			}
		})
	}
	if _, err := Settle(make(mytoken.Restrictions, maxClauses+1), Setting{Now: start}); !errors.Is(err, ErrClauses) {
		t.Errorf("too many clauses: %v", err)
	}
}

func TestSettleRefusesWhatIsNotLookedAt(t *testing.T) {
	rs := parse(t, `{"exp":"+1d","geoip_allow":["BE"]}`)
	_, err := Settle(rs, Setting{Now: start, Supported: []string{"nbf", "exp"}})
	if !errors.Is(err, ErrClauses) || !strings.Contains(err.Error(), "geoip_allow is not supported") {
		t.Error(err)
	}
	if _, err := Settle(rs, Setting{Now: start, Supported: Keys()}); err != nil {
		t.Error(err)
	}
}

func TestAudiencesThatCannotBeAskedFor(t *testing.T) {
	for a, want := range map[string]bool{
		"https://se.example.org": true, "https://se.example.org:8443/vo": true, "urn:example:se": true, "fedcloud": false,
		"se.cern.ch": false, "se.cern.ch:8443": false, "localhost:8443/vo": false, "urn:": false, "/vo": false, "//se.example.org": false, "https://a#b": false,
		"https://a#": false, "https:///vo": false, "": false,
	} {
		if got := Resource(a); got != want {
			t.Errorf("%q: %v", a, got)
		}
	}
	rs := parse(t, `[{"audience":["https://se.example.org"]},{"audience":["https://se.example.org","fedcloud"]}]`)
	_, err := Settle(rs, Setting{Now: start, ResourceOnly: true})
	if !errors.Is(err, ErrClauses) || !strings.Contains(err.Error(), `clause 2: audience "fedcloud" is no absolute URI`) {
		t.Error(err)
	}
	if _, err := Settle(rs, Setting{Now: start}); err != nil {
		t.Error(err)
	}
}

// TestThisWaitsForAnAddress: a request is looked at before anybody has opened the consent page.
func TestThisWaitsForAnAddress(t *testing.T) {
	rs, err := Settle(parse(t, `{"hosts":["this"]}`), Setting{Now: start})
	if err != nil || text(rs) != `[{"hosts":["this"]}]` {
		t.Fatalf("%s, %v", text(rs), err)
	}
	if _, err := Candidates(t.Context(), rs, Use{Kind: Other, Now: start, Client: netip.MustParseAddr("192.0.2.7")}, World{
		Names: func(context.Context, netip.Addr) []string { return []string{"this"} },
	}); !errors.Is(err, ErrRestricted) {
		t.Errorf("a host that calls itself this is let in: %v", err)
	}
}

func TestKeyStaysTheSame(t *testing.T) {
	a := settle1(t, `{"scope":"a b","hosts":["10.0.0.1","10.0.0.2"],"usages_AT":1}`)[0]
	b := settle1(t, `{"usages_AT":1,"ip":["10.0.0.2/32","10.0.0.1"],"scope":"b  a"}`)[0]
	if KeyOf(a) != KeyOf(b) {
		t.Errorf("%s and %s", Canonical(a), Canonical(b))
	}
	used := Annotate(mytoken.Restrictions{a}, Counters{{KeyOf(a), Access}: {Used: 1}})[0]
	if KeyOf(used) != KeyOf(a) || *used.UsedAT != 1 || used.UsedOther != nil {
		t.Errorf("%s", text(used))
	}
	// What is stored names clauses by this.
	if got := KeyOf(a).String(); got != "qblBgkwq2afvauJn8148erFi4dEUW2XWVNkongDW4B0" {
		t.Error(got)
	}
}

func FuzzRestrictions(f *testing.F) {
	f.Add(example)
	f.Add(exchanged())
	f.Add(`{"exp":"+1d","ip":["this"],"geoip_allow":["de"],"usages_AT":1}`)
	f.Add(`[{"scope":"storage.read:/a%2fb storage.read","audience":"x","hosts":["*.a.b","::ffff:1.2.3.4/104"]},{}]`)
	f.Fuzz(func(t *testing.T, s string) {
		var asked mytoken.Restrictions
		if asked.UnmarshalJSON([]byte(s)) != nil {
			return
		}
		setting := Setting{Now: start, Client: netip.MustParseAddr("192.0.2.7")}
		rs, err := Settle(asked, setting)
		if err != nil {
			return
		}
		if len(rs) == 0 {
			for _, r := range asked {
				if !r.Empty() {
					t.Fatalf("%s restricts something, and nothing is left of it", s)
				}
			}
		}
		again, err := Settle(parse(t, text(nonNil(rs))), setting)
		if err != nil || text(again) != text(rs) {
			t.Fatalf("%s became %s (%v)", text(rs), text(again), err)
		}
		for i, r := range rs {
			if KeyOf(r) != KeyOf(again[i]) {
				t.Fatalf("%s has two keys", text(r))
			}
		}
		// A clause lies in itself, and what is made of a restricted token is restricted.
		tight, err := Tighten(Parent{Restrictions: rs, Now: start}, again)
		if err != nil || tight.Strict() != nil || len(rs) > 0 && len(tight.Restrictions) == 0 {
			t.Fatalf("%s from itself: %s, %v, %v", text(rs), text(tight.Restrictions), tight.Dropped, err)
		}
	})
}

func nonNil(rs mytoken.Restrictions) mytoken.Restrictions {
	if rs == nil {
		return mytoken.Restrictions{}
	}
	return rs
}
