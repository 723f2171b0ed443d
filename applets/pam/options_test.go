package pam

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/account/mark"
	"github.com/oidcbox/oidcbox/core/config"
)

func TestOptions(t *testing.T) {
	for name, tc := range map[string]struct {
		args string
		want options
	}{
		"none": {"", options{}},
		"with_dashes": {
			"--socket=/run/x.sock --served-by prov --floor 2000 --ceiling=3000 --mytoken",
			options{Socket: "/run/x.sock", ServedBy: "prov", Floor: 2000, Ceiling: 3000, Mytoken: true},
		},
		"as_options_of_a_module": {
			"--whole config=/etc/pam.d/x.ini marks=/srv/marks",
			options{Whole: true, Config: "/etc/pam.d/x.ini", Marks: "/srv/marks"},
		},
		"other_host": {
			"verify-endpoint=https://h.example.org/verify_user ca-file=/etc/ca.pem uid-range",
			options{VerifyEndpoint: "https://h.example.org/verify_user", CAFile: "/etc/ca.pem", UIDRange: true},
		},
	} {
		t.Run(name, func(t *testing.T) {
			want := tc.want
			for _, d := range []struct {
				at  *string
				def string
			}{{&want.Socket, defaultSocket}, {&want.ServedBy, defaultServedBy}, {&want.Marks, mark.DefaultDir}} {
				if *d.at == "" {
					*d.at = d.def
				}
			}
			if want.Floor == 0 {
				want.Floor, want.Ceiling = 1000, 60000
			}
			var got options
			if err := got.read(strings.Fields(tc.args)); err != nil || got != want {
				t.Errorf("got %+v, %v\nwant %+v", got, err, want)
			}
		})
	}
	for name, args := range map[string][]string{
		"unknown": {"--bogus"}, "flag_with_value": {"mytoken=no"}, "no_value": {"--socket"}, "empty_value": {"socket="},
		"low_floor": {"floor=0"}, "floor_of_the_system": {"floor=100"}, "ceiling_below_floor": {"ceiling=999"},
		"negative": {"floor=-1"}, "relative_socket": {"socket=login.sock"}, "relative_map": {"local=pam.yaml"},
		"two_ways": {"local=/etc/x", "verify-endpoint=https://x/"}, "word": {"debug"},
	} {
		t.Run(name+"_is_refused", func(t *testing.T) {
			var o options
			if err := o.read(args); !errors.Is(err, errOption) && !errors.Is(err, errValue) {
				t.Errorf("got %v, %+v", err, o)
			}
		})
	}
}

func TestIni(t *testing.T) {
	for name, tc := range map[string]struct {
		text string
		want func(o *options)
	}{
		"as_shipped_by_pam_ssh_oidc": {
			"[user_verification]\nlocal = false\nverify_endpoint = http://localhost:8080/verify_user\n",
			func(o *options) { o.VerifyEndpoint = "http://localhost:8080/verify_user" },
		},
		"comments_quotes_and_other_sections": {
			"; x\n[other]\nlocal = true\n[user_verification] # y\n  Verify_Endpoint=\"unix:/run/a.sock\" ; z\nca_file = '/etc/ca.pem'\n",
			func(o *options) { o.Socket, o.CAFile = "/run/a.sock", "/etc/ca.pem" },
		},
		"local":           {"[user_verification]\nlocal = True\nverify_endpoint = https://x/\n", func(o *options) { o.Local = defaultLocal }},
		"local_elsewhere": {"[user_verification]\nlocal=yes\nlocal_file=/srv/pam.yaml\n", func(o *options) { o.Local = "/srv/pam.yaml" }},
		"nothing":         {"", func(*options) {}},
	} {
		t.Run(name, func(t *testing.T) {
			var got, want options
			_, _ = got.read(nil), want.read(nil)
			tc.want(&want)
			values, err := parseIni(tc.text)
			if err == nil {
				err = got.apply(values)
			}
			if err != nil || got != want {
				t.Errorf("got %+v, %v\nwant %+v", got, err, want)
			}
		})
	}
	for name, text := range map[string]string{
		"open_section": "[user_verification\n", "no_equals": "[user_verification]\nlocal\n", "twice": "[user_verification]\nlocal=no\nLOCAL=yes\n",
		"unknown_key": "[user_verification]\nverify=https://x/\n", "empty": "[user_verification]\nverify_endpoint=\n",
		"no_truth": "[user_verification]\nlocal=perhaps\n", "relative": "[user_verification]\nca_file=ca.pem\n",
	} {
		t.Run(name+"_is_refused", func(t *testing.T) {
			var o options
			_ = o.read(nil)
			values, err := parseIni(text)
			if err == nil {
				err = o.apply(values)
			}
			if err == nil {
				t.Errorf("got %+v", o)
			}
		})
	}
}

func FuzzIni(f *testing.F) {
	f.Add("[user_verification]\nlocal = false\nverify_endpoint = unix:/run/x\n")
	f.Fuzz(func(t *testing.T, text string) {
		values, err := parseIni(text)
		if err != nil {
			return
		}
		var o options
		_ = o.read(nil)
		if o.apply(values) == nil && o.check() != nil {
			t.Fatalf("%q gives options that are refused: %+v", text, o)
		}
	})
}

func TestMap(t *testing.T) {
	owners, err := parseMap("# x\n\nada https://a.example.org/ 1234\nada  https://b.example.org  two words \nbob https://a.example.org/ 1234\n")
	if err != nil {
		t.Fatal(err)
	}
	if a := owners["ada"]; len(a) != 2 || a[0] != (identity{"1234", "https://a.example.org/"}) || a[1] != (identity{"two words", "https://b.example.org"}) {
		t.Errorf("ada is %+v", a)
	}
	if len(owners["bob"]) != 1 {
		t.Errorf("bob is %+v", owners["bob"])
	}
	for name, text := range map[string]string{
		"no_sub": "ada https://a.example.org\n", "no_issuer": "ada 1234\n", "bad_name": "../ada https://a.example.org 1\n",
		"name_alone": "ada\n", "order": "https://a.example.org ada 1\n", "empty_sub": "ada https://a.example.org  \n",
	} {
		t.Run(name+"_is_refused", func(t *testing.T) {
			if got, err := parseMap(text); !errors.Is(err, errMap) {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
}

func FuzzMap(f *testing.F) {
	f.Add("ada https://a.example.org two words\n# x\n")
	f.Fuzz(func(t *testing.T, text string) {
		owners, err := parseMap(text)
		for name, list := range owners {
			if err != nil || len(list) == 0 || list[0].sub == "" || list[0].iss == "" {
				t.Fatalf("%q: %q is %+v, %v", text, name, list, err)
			}
		}
	})
}

func TestLocalFile(t *testing.T) {
	const good = "version: 1\nissuers: {https://a.example.org: {check: userinfo}}\naudiences: [https://ssh.example.org]\nusers: users.map\n"
	parse := func(text string) (localSettings, error) {
		r := config.NewReader("/etc/oidcbox/pam.yaml")
		s := parseLocal(r, []byte(text))
		return s, r.Err()
	}
	s, err := parse(good)
	if err != nil || s.users != "/etc/oidcbox/users.map" || len(s.gate.Issuers) != 1 || s.gate.AcceptAnyAudience {
		t.Errorf("got %+v, %v", s, err)
	}
	for name, text := range map[string]string{
		"no_audience": strings.Replace(good, "audiences: [https://ssh.example.org]\n", "", 1),
		"no_users":    strings.Replace(good, "users: users.map\n", "", 1),
		"no_issuer":   strings.Replace(good, "{https://a.example.org: {check: userinfo}}", "{}", 1),
		"unknown_key": good + "user: x\n", "no_version": strings.Replace(good, "version: 1\n", "", 1),
		"plain_http": strings.Replace(good, "https://a.", "http://a.", 1),
	} {
		t.Run(name+"_is_refused", func(t *testing.T) {
			if _, err := parse(text); err == nil {
				t.Error("it was taken")
			}
		})
	}
}

func TestSyslogLine(t *testing.T) {
	s := syslog{tag: "oidcbox-pam", now: func() time.Time { return time.Date(2026, 11, 2, 3, 4, 5, 0, time.UTC) }}
	got := s.line(sevNotice, "refused \"a\nb\x1b[31m\u202e\"\t"+strings.Repeat("ö", 2000))
	if !strings.HasPrefix(got, "<85>Nov  2 03:04:05 oidcbox-pam[") || strings.ContainsAny(got, "\n\t\x1b\u202e") || len(got) > 1024 {
		t.Errorf("got %q", got)
	}
}
