package approval

import (
	"errors"
	"strings"
	"testing"
	"testing/fstest"
	"unicode/utf8"

	"github.com/oidcbox/oidcbox/core/account/provision"
)

func TestExpand(t *testing.T) {
	values := map[string]string{"a": "1", "user_cmd": "${a} $a $$", "empty": ""}
	for _, c := range []struct{ name, in, want string }{
		{"braces", "x${a}y", "x1y"},
		{"bare", "x$a.", "x1."},
		{"dollar", "$$a $$${a}", "$a $1"},
		{"value_is_not_expanded", "${user_cmd}", "${a} $a $$"},
		{"empty_value", "[${empty}]", "[]"},
		{"unknown_stays", "${nope} $nope", "${nope} $nope"},
		{"not_closed", "${a ${a", "${a ${a"},
		{"at_the_end", "a$", "a$"},
		{"nothing_in_braces", "${}", "${}"},
		{"number", "$1 ${1a}", "$1 ${1a}"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := expand(c.in, values); got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

func TestTemplates(t *testing.T) {
	t.Run("built_in_have_no_unknown_variable", func(t *testing.T) {
		b := newBed(t)
		values := b.values(Asked{Name: "alice"})
		values["link"], values["link_expires"] = "l", "e"
		for _, kind := range kinds() {
			subject, body := b.templates[kind].fill(values)
			if strings.Contains(subject+body, "$") || subject == "" || strings.TrimSpace(body) == "" {
				t.Errorf("%s: %q\n%s", kind, subject, body)
			}
		}
	})
	t.Run("the_adapters_variables", func(t *testing.T) {
		var names []string
		for _, n := range strings.Fields("hostname unique_id full_name email sub iss groups_cmd user_cmd memberships_cmd smtp_server") {
			names = append(names, n+"=${"+n+"}")
		}
		dir := fstest.MapFS{"admin.deploy.template": {Data: []byte(strings.Join(names, "\n"))}}
		b := newBed(t, func(o *Options) {
			o.Templates, o.Settings = dir, map[string]string{"smtp_server": "mail.example.org", "unique_id": "nobody"}
		})
		b.desk.ask("alice", "1")
		b.turn()
		text := b.post.mails[0].Text + b.post.mails[1].Text + b.post.mails[2].Text
		for _, want := range []string{
			"hostname=login.example.org", "unique_id=alice@https%3A%2F%2Fop.example.org", "full_name=Person alice",
			"email=alice@people.example.org", "sub=alice", "iss=https://op.example.org", "groups_cmd=have the group vo_a",
			"memberships_cmd=put alice into vo_a", "smtp_server=mail.example.org",
		} {
			if !strings.Contains(text, want) {
				t.Errorf("no %s in\n%s", want, text)
			}
		}
		b.wantMails(admin, "login.example.org: alice@https%3A%2F%2Fop.example.org asks for an account")
	})
	t.Run("subject_line_of_a_site", func(t *testing.T) {
		dir := fstest.MapFS{"admin.deploy.template": {Data: []byte("SUBJECT: new: ${sub}\r\n\r\nhello\r\n")}}
		b := newBed(t, func(o *Options) { o.Templates = dir })
		b.desk.ask("alice", "1")
		b.turn()
		b.wantMails(admin, "new: alice")
	})
	for name, file := range map[string]*fstest.MapFile{
		"not_utf8":  {Data: []byte("a\xff")},
		"too_large": {Data: make([]byte, maxTemplate+1)},
		"directory": {Mode: 0o755 | (1 << 31)},
	} {
		t.Run(name, func(t *testing.T) {
			o := newBed(t).Office.o
			o.Templates = fstest.MapFS{"unknown.template": file}
			if _, err := New(o); !errors.Is(err, ErrTemplate) {
				t.Errorf("%v", err)
			}
		})
	}
}

// TestHostileTexts has somebody whose provider says the worst about them.
func TestHostileTexts(t *testing.T) {
	evil := "x\r\nBcc: thief@example.net\r\n\r\n.\r\nQUIT\r\n${link} $link \x1b[31m\u202e" + strings.Repeat("ü", 5000)
	b := newBed(t)
	b.desk.ask("alice", "1", func(r *provision.Request) {
		r.Person.Name, r.Sub = evil, evil
		for range 500 {
			r.Groups = append(r.Groups, "g")
		}
	})
	b.turn()
	if len(b.post.mails) != 3 {
		t.Fatalf("%d mails", len(b.post.mails))
	}
	for _, m := range b.post.mails {
		if err := m.Check(); err != nil || strings.ContainsAny(m.Subject, "\r\n\x1b\u202e") || !utf8.ValidString(m.Text) {
			t.Errorf("%v: %q", err, m.Subject)
		}
		if strings.Contains(m.Text, "\nBcc:") || strings.ContainsAny(m.Text, "\r\x1b\u202e") || len(m.Text) > 16<<10 {
			t.Errorf("%d bytes:\n%s", len(m.Text), m.Text)
		}
		if n := strings.Count(m.Text, "/decide/"); n > 1 {
			t.Errorf("%d links: a value was expanded", n)
		}
	}
}

func FuzzExpand(f *testing.F) {
	f.Add("a ${a} $b $$", "${a}")
	f.Fuzz(func(t *testing.T, template, value string) {
		out := expand(template, map[string]string{"a": value})
		if !strings.Contains(template, "$") && out != template {
			t.Errorf("%q became %q", template, out)
		}
		if n := strings.Count(template, "$"); len(out) > len(template)+n*len(value) {
			t.Errorf("%q became %q", template, out)
		}
		if s := oneLine(value); strings.ContainsAny(s, "\r\n\t") || utf8.RuneCountInString(s) > 6*maxValue {
			t.Errorf("%q is not one line", s)
		}
	})
}
