package pam

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/oidcbox/oidcbox/core/account/mark"
	"github.com/oidcbox/oidcbox/core/account/names"
	"github.com/oidcbox/oidcbox/core/account/sysuser"
)

// hostUsers is a host with users of its own in passwd, and those of a directory behind getent.
func hostUsers(t *testing.T, passwd, directory string) sysuser.DB {
	t.Helper()
	if _, err := os.Stat("/bin/sh"); err != nil {
		t.Skip("no shell for a getent of our own")
	}
	root := t.TempDir()
	write := func(name, text string, mode os.FileMode) {
		path := filepath.Join(root, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), mode)); err != nil {
			t.Fatal(err)
		}
	}
	write("etc/passwd", passwd, 0o644)
	write("directory", directory, 0o644)
	write("getent", "#!/bin/sh\ngrep \"^$2:\" "+filepath.Join(root, "directory")+" || exit 2\n", 0o755)
	return sysuser.DB{Root: root, Getent: filepath.Join(root, "getent")}
}

func TestLook(t *testing.T) {
	id := func(sub string) string {
		text, err := names.Encode(sub, "https://a.example.org")
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	users := hostUsers(t, "root:x:0:0:root:/root:/bin/sh\n"+
		"marked:x:2001:2001:"+id("marked")+":/h:/bin/sh\nplain:x:2002:2002:Plain:/h:/bin/sh\n"+
		"claims:x:2003:2003:"+id("claims")+":/h:/bin/sh\nlow:x:200:200:"+id("low")+":/h:/bin/sh\n"+
		"other:x:2004:2004:"+id("other")+":/h:/bin/sh\nmoved:x:2005:2005:"+id("moved")+":/h:/bin/sh\n"+
		"pers:x:2006:2006:Named Person:/h:/bin/sh\n",
		"far:x:3001:3001:"+id("far")+":/h:/bin/sh\nfarplain:x:3002:3002:Far:/h:/bin/sh\nFAR:x:3003:3003:"+id("FAR")+":/h:/bin/sh\n"+
			"farhigh:x:70000:70000:"+id("farhigh")+":/h:/bin/sh\nalias:x:3001:3001:"+id("far")+":/h:/bin/sh\n")
	marks := filepath.Join(t.TempDir(), "marks")
	for _, m := range []mark.Mark{
		{Name: "marked", UID: 2001, ID: id("marked")},
		{Name: "other", UID: 2004, ID: id("somebody")},
		{Name: "moved", UID: 9999, ID: id("moved")},
		{Name: "pers", UID: 2006, ID: id("pers")},
	} {
		if err := mark.Write(marks, m); err != nil {
			t.Skipf("marks cannot be written here: %v", err)
		}
	}
	with, without, ranged := options{}, options{}, options{}
	_, _, _ = with.read([]string{"marks=" + marks}), without.read([]string{"marks=" + marks + "-none"}), ranged.read([]string{"uid-range"})
	for _, tc := range []struct {
		name string
		o    options
		user string
		id   string
		want error
	}{
		{"marked", with, "marked", id("marked"), nil},
		{"marked_with_a_name_in_gecos", with, "pers", id("pers"), nil},
		{"identity_in_passwd_without_a_mark", with, "claims", "", errUnmanaged},
		{"identity_in_passwd_where_there_are_no_marks", without, "claims", id("claims"), nil},
		{"local_user", with, "plain", "", errUnmanaged},
		{"local_user_where_there_are_no_marks", without, "plain", "", errUnmarked},
		{"mark_and_gecos_differ", with, "other", "", errMismatch},
		{"mark_of_another_uid", with, "moved", "", errMismatch},
		{"below_the_floor", without, "low", "", errUnmanaged},
		{"root", ranged, "root", "", errUnmanaged},
		{"directory_user_made_elsewhere", with, "far", id("far"), nil},
		{"directory_user_without_identity", with, "farplain", "", errUnmarked},
		{"directory_user_above_the_ceiling", without, "farhigh", "", errUnmanaged},
		{"nobody", without, "absent", "", errUnmanaged},
		{"no_name", without, "../etc", "", errUnmanaged},
		{"capital_letters", without, "FAR", "", errUnmanaged},
		{"by_range_alone", ranged, "plain", "", nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a, err := tc.o.look(t.Context(), users, tc.user)
			if !errors.Is(err, tc.want) || a.id != tc.id && err == nil || (err == nil) != (tc.want == nil) {
				t.Errorf("got %+v, %v; want %q, %v", a, err, tc.id, tc.want)
			}
		})
	}
	t.Run("marks_that_others_could_write", func(t *testing.T) {
		if err := os.Chmod(marks, 0o777); err != nil {
			t.Fatal(err)
		}
		if a, err := with.look(t.Context(), users, "marked"); err == nil || errors.Is(err, errUnmanaged) {
			t.Errorf("got %+v, %v", a, err)
		}
	})
	t.Run("passwd_that_cannot_be_read", func(t *testing.T) {
		broken := users
		broken.Getent = "/nonexistent/getent"
		if a, err := without.look(t.Context(), broken, "far"); err == nil || errors.Is(err, errUnmanaged) {
			t.Errorf("got %+v, %v", a, err)
		}
	})
}
