package mytoken

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestValuesKeepWhatTheyDoNotKnow: a profile of a newer server goes through us unharmed.
func TestValuesKeepWhatTheyDoNotKnow(t *testing.T) {
	for _, tt := range []struct{ name, in, want string }{
		{"empty", `{}`, `{}`},
		{
			"everything",
			`{"oidc_issuer":"https://a","name":"n","capabilities":["AT","@all"],"restrictions":[{"nbf":1,"exp":"+1d","scope":"a b",` +
				`"audience":["x"],"hosts":["this"],"geoip_allow":["DE"],"geoip_disallow":["XX"],"usages_AT":0,"usages_other":3,` +
				`"include":["12h"],"new":{"a":[1,2.5]}}],"rotation":{"on_AT":true,"lifetime":3600,"auto_revoke":true,"later":1},` +
				`"response_type":"short_token","max_token_len":64,"application_name":"app","include":["p"],"tags":[{"tag":"t"}]}`, "",
		},
		{"ip_was_its_name", `{"restrictions":[{"ip":["10.0.0.0/8"]}]}`, `{"restrictions":[{"hosts":["10.0.0.0/8"]}]}`},
		{
			"names_of_templates", `{"capabilities":"all grp/more","restrictions":"1d ip-this","rotation":"daily","include":"a b"}`,
			`{"capabilities":["@all","@grp/more"],"restrictions":[{"include":["1d","ip-this"]}],"rotation":{"include":["daily"]},` +
				`"include":["a","b"]}`,
		},
		{"one_clause", `{"restrictions":{"exp":5}}`, `{"restrictions":[{"exp":5}]}`},
		{
			"empty_is_not_absent", `{"restrictions":{"scope":"","audience":[],"ip":[],"geoip_allow":[],"geoip_disallow":[]}}`,
			`{"restrictions":[{"scope":"","audience":[],"hosts":[],"geoip_allow":[],"geoip_disallow":[]}]}`,
		},
		{"null_is_absent", `{"name":null,"restrictions":null}`, `{}`},
		{"not_how_it_is_asked", `{"grant_type":"x","mytoken":"y","error_on_restrictions":false,"name":"n"}`, `{"name":"n"}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, err := ParseProfile(tt.in)
			if err != nil {
				t.Fatal(err)
			}
			b, err := json.Marshal(r)
			if err != nil {
				t.Fatal(err)
			}
			if tt.want == "" {
				tt.want = tt.in
			}
			if string(b) != tt.want {
				t.Errorf("got  %s\nwant %s", b, tt.want)
			}
		})
	}
}

func TestProfilesThatAreNone(t *testing.T) {
	for _, in := range []string{
		`{`, `{"restrictions":7}`, `{"restrictions":[7]}`, `{"restrictions":[{"exp":true}]}`, `{"restrictions":[{"usages_AT":-1}]}`,
		`{"capabilities":[7]}`, `{"rotation":[]}`, `{"rotation":{"on_AT":"yes"}}`, `{"name":"a","name":"b"}`, `{"name":7}`,
		`{} {}`, `a/b/c`, `["a"]`, `"a"`,
	} {
		if r, err := ParseProfile(in); !errors.Is(err, ErrRequest) {
			t.Errorf("%s: %+v %v", in, r, err)
		}
	}
}

// TestVacant: what was meant as a limit and names nothing is told from what is not there.
func TestVacant(t *testing.T) {
	for in, want := range map[string]string{
		`{"exp":1}`: "", `{"scope":null,"hosts":null}`: "", `{"scope":" "}`: "scope",
		`{"scope":"","audience":[],"ip":[],"geoip_allow":[],"geoip_disallow":[]}`: "scope audience hosts geoip_allow geoip_disallow",
	} {
		r, err := ParseRestriction([]byte(in))
		if got := strings.Join(r.Vacant(), " "); err != nil || got != want {
			t.Errorf("%s: %q, %v", in, got, err)
		}
	}
	r, err := ParseRestriction([]byte(`{"exp":1,"device":"x","include":"1d"}`))
	if err != nil || !slices.Equal(r.Unknown(), []string{"device"}) || r.Empty() || !(Restriction{}).Empty() {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestMoment(t *testing.T) {
	if got := At(time.Unix(4102444800, 0)).String(); got != "2100-01-01 00:00:00 UTC" {
		t.Error(got)
	}
	var m Moment
	for _, bad := range []string{`-1`, `0.5`, `1e30`, `true`, `{}`} {
		if err := m.UnmarshalJSON([]byte(bad)); err == nil {
			t.Errorf("%s was read as %v", bad, m)
		}
	}
}

func FuzzProfile(f *testing.F) {
	f.Add(`{"restrictions":[{"nbf":1,"exp":"+1d","scope":"a b","x":1}],"rotation":"daily"}`)
	f.Add(`a b,c`)
	f.Fuzz(func(t *testing.T, in string) {
		r, err := ParseProfile(in)
		if err != nil {
			return
		}
		once, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		again, err := ParseProfile(string(once))
		if err != nil {
			t.Fatalf("%s: %v", once, err)
		}
		twice, err := json.Marshal(again)
		if err != nil || string(once) != string(twice) {
			t.Fatalf("%s became %s (%v)", once, twice, err)
		}
	})
}

func FuzzServer(f *testing.F) {
	f.Add([]byte(`{"issuer":"https://a","token_endpoint":"https://a/t","mytoken_endpoint":"https://a/m","providers_supported":[{"issuer":"x"}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := ParseServer(b)
		if err == nil && (s.Issuer == "" || s.MytokenEndpoint == "") {
			t.Fatalf("%s: %+v", b, s)
		}
	})
}
