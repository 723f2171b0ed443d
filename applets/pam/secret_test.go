package pam

import (
	"errors"
	"strings"
	"testing"

	"github.com/oidcbox/oidcbox/core/account/login"
	"github.com/oidcbox/oidcbox/core/account/otp/form"
)

func jwt(n int) string { return "eyJhbGciOiJFUzI1NiJ9." + strings.Repeat("A", n) + ".c2ln" }

func TestJudge(t *testing.T) {
	own := string(form.New())
	for name, tc := range map[string]struct {
		o    options
		in   string
		kind form.Kind
		want error
	}{
		"own_password":                      {in: own, kind: form.Own},
		"own_password_with_nul":             {in: own + "\x00", kind: form.Own},
		"own_password_with_line_end":        {in: own + "\r\n", kind: form.Own},
		"compatible_password":               {in: strings.Repeat("0a", 64), kind: form.CompatForm},
		"token":                             {in: jwt(200), kind: form.JWT},
		"long_token_from_the_module":        {o: options{Whole: true}, in: jwt(5000), kind: form.JWT},
		"token_of_511_from_the_module":      {o: options{Whole: true}, in: jwt(511 - 26), kind: form.JWT},
		"short_mytoken_where_wanted":        {o: options{Mytoken: true}, in: strings.Repeat("aB3", 20) + "abcd"},
		"short_mytoken":                     {in: strings.Repeat("aB3", 20) + "abcd", want: errNotOurs},
		"nothing":                           {want: errNoSecret},
		"line_end_alone":                    {in: "\n", want: errNoSecret},
		"local_password":                    {in: "correct horse battery staple", want: errNotOurs},
		"local_password_where_mytokens_are": {o: options{Mytoken: true}, in: "Tr0ub4dor3", want: errNotOurs},
		"cut_token":                         {in: jwt(1000)[:511], want: errCut},
		"cut_token_and_nul_of_old_pam":      {in: jwt(1000)[:512] + "\x00", want: errCut},
		"cut_token_of_512":                  {in: jwt(1000)[:512], want: errCut},
		"cut_token_of_511_and_nul":          {in: jwt(1000)[:511] + "\x00", want: errCut},
		"junk_of_sshd":                      {in: strings.Repeat(junkWord, 9)[:112], want: errJunk},
		"junk_of_one_byte":                  {in: "\b", want: errJunk},
		"junk_of_511_bytes":                 {in: strings.Repeat(junkWord, 50)[:511], want: errJunk},
		"endless":                           {o: options{Whole: true}, in: strings.Repeat("x", login.MaxSecret+1), want: errLong},
	} {
		t.Run(name, func(t *testing.T) {
			b := []byte(tc.in)
			got, kind, err := tc.o.judge(b)
			if !errors.Is(err, tc.want) || kind != tc.kind {
				t.Fatalf("got %v, %v; want %v, %v", kind, err, tc.kind, tc.want)
			}
			if err == nil && got.Expose() != strings.TrimRight(tc.in, "\x00\r\n") {
				t.Errorf("the secret is another one, of %d bytes", got.Len())
			}
			if err != nil && (!got.Empty() || strings.Trim(string(b), "\x00\r\n") != "") {
				t.Error("a refused secret is still there")
			}
		})
	}
}

// FuzzJudge: nothing but the known forms leaves the process, whatever is typed.
func FuzzJudge(f *testing.F) {
	for _, s := range []string{"", "secret", junkWord, string(form.New()), jwt(30)} {
		f.Add([]byte(s), false, false)
	}
	f.Fuzz(func(t *testing.T, b []byte, whole, mytoken bool) {
		o := options{Whole: whole, Mytoken: mytoken}
		got, kind, err := o.judge(append([]byte(nil), b...))
		if err != nil {
			return
		}
		text := []byte(got.Expose())
		if form.LooksLike(text) != kind || kind == form.Other && !(mytoken && shortMytoken(text)) {
			t.Fatalf("%q was let out as %v", b, kind)
		}
	})
}
