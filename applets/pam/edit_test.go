package pam

import (
	"errors"
	"strings"
	"testing"
)

func TestEditStack(t *testing.T) {
	const debian = "# PAM configuration\n\n@include common-auth\n\naccount    required     pam_nologin.so\n@include common-account\nsession optional x.so\n"
	const red = "auth       substack     password-auth\nauth       include      postlogin\naccount    required     pam_sepermit.so\n"
	for name, text := range map[string]string{"debian": debian, "red_hat": red} {
		t.Run(name, func(t *testing.T) {
			once, err := editStack(text, "auth A", "account B")
			if err != nil {
				t.Fatal(err)
			}
			twice, err := editStack(once, "auth A", "account B")
			if err != nil || twice != once {
				t.Errorf("the second time gives %v\n%s", err, twice)
			}
			back, err := withoutBlocks(once)
			if err != nil || back != text {
				t.Errorf("taken out again: %v\n%s", err, back)
			}
			auth, account := strings.Index(once, "auth A"), strings.Index(once, "account B")
			first := strings.Index(once, map[string]string{"debian": "@include common-auth", "red_hat": "auth       substack"}[name])
			if auth < 0 || account < auth || first < auth {
				t.Errorf("in another order:\n%s", once)
			}
		})
	}
	for name, tc := range map[string]struct {
		text string
		want error
	}{
		"by_hand":    {"auth sufficient pam_exec.so /opt/oidcbox-pam\n" + debian, errHandmade},
		"no_end":     {"# begin oidcbox\n" + debian, errBlock},
		"no_auth":    {"account required pam_unix.so\n", errNoPlace},
		"no_account": {"auth required pam_unix.so\n", errNoPlace},
	} {
		t.Run(name+"_is_refused", func(t *testing.T) {
			if got, err := editStack(tc.text, "auth A", "account B"); !errors.Is(err, tc.want) {
				t.Errorf("got %v\n%s", err, got)
			}
		})
	}
}

func FuzzEditStack(f *testing.F) {
	f.Add("auth required x\naccount required y\n")
	f.Add("# begin oidcbox\n# end oidcbox\n@include common-auth\\\naccount x y\n")
	f.Fuzz(func(t *testing.T, text string) {
		once, err := editStack(text, "auth A", "account B")
		if err != nil {
			return
		}
		if twice, err := editStack(once, "auth A", "account B"); err != nil || twice != once {
			t.Fatalf("%q: twice is not once: %v\n%q\n%q", text, err, once, twice)
		}
	})
}

func TestIncludes(t *testing.T) {
	for text, want := range map[string]bool{
		"Include /etc/ssh/sshd_config.d/*.conf\n": true, "include sshd_config.d/*.conf\n": true, "Port 22\n": false,
		"#Include /etc/ssh/sshd_config.d/*.conf\n": false, "Match User x\nInclude /etc/ssh/sshd_config.d/*.conf\n": false,
		"Include /etc/ssh/sshd_config.d/50-*.conf\n": false,
	} {
		if got := includes(text); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}

func TestDispatch(t *testing.T) {
	rules := func(text string) []rule {
		r, err := readStack(stackFiles(t, map[string]string{"sshd": text, "sub": "auth sufficient pam_a.so\nauth required pam_deny.so\n"}), "sshd", "auth")
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	returns := func(by map[string]string) func(rule) string {
		return func(r rule) string {
			if got, ok := by[r.module]; ok {
				return got
			}
			return retSuccess
		}
	}
	for name, tc := range map[string]struct {
		text string
		by   map[string]string
		want string
	}{
		"required_failure_is_remembered": {"auth required pam_a.so\nauth required pam_b.so\n", map[string]string{"pam_a": retAuthErr}, retAuthErr},
		"first_failure_counts":           {"auth required pam_a.so\nauth required pam_b.so\n", map[string]string{"pam_a": retAuthErr, "pam_b": retExpired}, retAuthErr},
		"sufficient_ends":                {"auth sufficient pam_a.so\nauth required pam_b.so\n", map[string]string{"pam_b": retAuthErr}, retSuccess},
		"sufficient_ends_no_failure":     {"auth required pam_b.so\nauth sufficient pam_a.so\n", map[string]string{"pam_b": retAuthErr}, retAuthErr},
		"nobody_had_an_opinion":          {"auth required pam_a.so\n", map[string]string{"pam_a": retIgnore}, retUnknown},
		"jump":                           {"auth [success=1 default=ignore] pam_a.so\nauth requisite pam_deny.so\nauth required pam_permit.so\n", map[string]string{"pam_deny": retAuthErr}, retSuccess},
		"jump_alone_is_no_opinion":       {"auth [success=1 default=ignore] pam_a.so\nauth required pam_b.so\n", nil, retUnknown},
		"substack_ends_itself_alone":     {"auth substack sub\nauth required pam_b.so\n", map[string]string{"pam_b": retExpired}, retExpired},
		"die_in_a_substack":              {"auth substack sub\nauth required pam_b.so\n", map[string]string{"pam_a": retAuthErr, "pam_deny": retDenied}, retDenied},
		"empty":                          {"", nil, retUnknown},
	} {
		t.Run(name, func(t *testing.T) {
			if got := dispatch(rules(tc.text), returns(tc.by)); got != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
		})
	}
}
