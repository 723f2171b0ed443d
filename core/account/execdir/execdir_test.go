//go:build unix

package execdir_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/account/backend"
	"github.com/oidcbox/oidcbox/core/account/command"
	"github.com/oidcbox/oidcbox/core/account/execdir"
	"github.com/oidcbox/oidcbox/core/account/names"
	"github.com/oidcbox/oidcbox/core/account/state"
)

// program writes a script that keeps its input in "asked" beside it and does body, and returns its path.
func program(t *testing.T, body string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "accounts")
	script := "#!/bin/sh\nhere=${0%/*}\ncat >\"$here/asked\"\nword=$(sed 's/.*\"state_target\":\"\\([a-z_]*\\)\".*/\\1/' \"$here/asked\")\n" +
		body
	if err := os.WriteFile(path, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

func asked(t *testing.T, path string) execdir.Form {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(filepath.Dir(path), "asked"))
	if err != nil {
		t.Fatal(err)
	}
	var f execdir.Form
	if err := json.Unmarshal(b, &f); err != nil {
		t.Fatalf("%v in %s", err, b)
	}
	return f
}

func system(t *testing.T, path string) *execdir.System {
	t.Helper()
	s, err := execdir.New(execdir.Options{Command: []string{path}, Timeout: 20 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func id(t *testing.T) string {
	t.Helper()
	text, err := names.Encode("a", "https://op.example/")
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestAdapterForm(t *testing.T) {
	path := program(t, `case $word in
deployed) echo '{"state":"deployed","message":"User was created and was added to groups a.","credentials":{"ssh_user":"alice"}}';;
get_status) echo '{"state":"deployed","message":"username alice"}';;
suspended) echo '{"state":"suspended","message":"User was suspended."}';;
not_deployed) echo '{"state":"not_deployed","message":""}';;
*) exit 1;;
esac`)
	s := system(t, path)
	w := backend.Wanted{
		ID: id(t), Name: "alice", Primary: "fed", Groups: []string{"a"}, Tier: backend.Full,
		Person: backend.Person{Given: "A\nB", Email: "a@example.org"}, Keys: []backend.Key{{Value: "rubbish"}},
	}
	done, err := s.Deploy(t.Context(), w)
	if err != nil || !done.Created || done.Account.Name != "alice" || done.Account.ID != w.ID {
		t.Fatalf("deploy: %+v, %v", done, err)
	}
	f := asked(t, path)
	if f.Target != state.Deploy || f.User.Info.Sub != "a" || f.User.Info.Iss != "https://op.example/" ||
		f.User.Info.GivenName != "A B" || f.User.Credentials.Keys != nil || f.Account.Tier != backend.Full {
		t.Errorf("program was asked %+v", f)
	}
	if a, err := s.Find(t.Context(), w.ID); err != nil || a.Name != "alice" {
		t.Errorf("find: %+v, %v", a, err)
	}
	ref := backend.Ref{ID: w.ID, Name: "alice"}
	if err := s.Suspend(t.Context(), ref, false); err != nil {
		t.Error(err)
	}
	if err := s.Suspend(t.Context(), ref, true); !errors.Is(err, backend.ErrUnsupported) {
		t.Errorf("sessions nobody ended: %v", err)
	}
	if err := s.Suspend(t.Context(), backend.Ref{ID: w.ID, Name: "bob"}, false); !errors.Is(err, backend.ErrMismatch) {
		t.Errorf("another name: %v", err)
	}
	if err := s.Undeploy(t.Context(), ref); err != nil {
		t.Error(err)
	}
	if err := s.All(t.Context(), nil); !errors.Is(err, backend.ErrUnsupported) {
		t.Errorf("list: %v", err)
	}
	if h, err := s.Holder(t.Context(), "alice"); err != nil || h.Taken {
		t.Errorf("holder: %+v, %v", h, err)
	}
	if err := s.Trust(t.Context()); !errors.Is(err, backend.ErrEditable) {
		t.Errorf("trust: %v", err)
	}
}

func TestOwnMembers(t *testing.T) {
	s := system(t, program(t, `case $word in
list) echo '{"state":"deployed","accounts":[{"id":"a@https%3A%2F%2Fop.example%2F","name":"alice","uid":5000},
{"id":"b@https%3A%2F%2Fop.example%2F","name":"root","uid":0},{"id":"c@https%3A%2F%2Fop.example%2F","name":"carl","uid":12},
{"id":"junk","name":"dora","uid":5001}]}';;
holder) echo '{"state":"deployed","holder":{"taken":true,"id":"x@y"}}';;
suspended) echo '{"state":"suspended","sessions_ended":true}';;
*) echo '{"state":"deployed","account":{"name":"alice","uid":5000,"gid":5001,"shell":"/bin/sh"}}';;
esac`))
	var all []string
	if err := s.All(t.Context(), func(a backend.Account) error { all = append(all, a.Name); return nil }); err != nil ||
		!slices.Equal(all, []string{"alice"}) {
		t.Errorf("all: %q, %v", all, err)
	}
	if h, err := s.Holder(t.Context(), "alice"); err != nil || !h.Taken || h.ID != "x@y" {
		t.Errorf("holder: %+v, %v", h, err)
	}
	if a, err := s.Find(t.Context(), id(t)); err != nil || a.UID != 5000 || a.Shell != "/bin/sh" {
		t.Errorf("find: %+v, %v", a, err)
	}
	if err := s.Suspend(t.Context(), backend.Ref{ID: id(t), Name: "alice"}, true); err != nil {
		t.Error(err)
	}
}

func TestRefusals(t *testing.T) {
	for name, c := range map[string]struct {
		body string
		want error
	}{
		"root":              {`echo '{"state":"deployed","credentials":{"ssh_user":"root"}}'`, backend.ErrRefused},
		"uid_of_the_system": {`echo '{"state":"deployed","account":{"name":"alice","uid":1}}'`, backend.ErrRefused},
		"somebody_else":     {`echo '{"state":"deployed","account":{"id":"b@c","name":"alice"}}'`, backend.ErrMismatch},
		"no_name":           {`echo '{"state":"deployed","message":"well done, alice"}'`, backend.ErrRefused},
		"rejected":          {`echo '{"state":"rejected","message":"no"}'`, backend.ErrRefused},
		"questionnaire":     {`echo '{"state":"questionnaire","questionnaire":{}}'`, backend.ErrRefused},
		"pending":           {`echo '{"state":"pending"}'`, backend.ErrUnavailable},
		"unknown_state":     {`echo '{"state":"wonderful"}'`, execdir.ErrAnswer},
		"no_json":           {`echo hello`, execdir.ErrAnswer},
		"nothing":           {`:`, execdir.ErrAnswer},
		"exit_code":         {`echo oops >&2; exit 3`, backend.ErrUnavailable},
		"endless":           {`yes '{"state":"deployed",'`, command.ErrTooLong},
	} {
		t.Run(name, func(t *testing.T) {
			if name == "endless" {
				c.body = "yes x | head -c 200000"
			}
			s := system(t, program(t, c.body+"\n"))
			_, err := s.Deploy(t.Context(), backend.Wanted{ID: id(t), Name: "alice", Primary: "fed"})
			if !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
}

func TestNotStarted(t *testing.T) {
	path := program(t, `echo '{"state":"deployed"}'`)
	s := system(t, path)
	for name, w := range map[string]backend.Wanted{
		"name":     {ID: id(t), Name: "-rf", Primary: "fed"},
		"reserved": {ID: id(t), Name: "root", Primary: "fed"},
		"group":    {ID: id(t), Name: "alice", Primary: "fed", Groups: []string{"a b"}},
		"identity": {ID: "alice", Name: "alice", Primary: "fed"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := s.Deploy(t.Context(), w); !errors.Is(err, backend.ErrRefused) {
				t.Errorf("got %v", err)
			}
		})
	}
	if _, err := os.Stat(filepath.Join(filepath.Dir(path), "asked")); err == nil {
		t.Error("the program was run")
	}
	if _, err := execdir.New(execdir.Options{Command: []string{"accounts"}}); !errors.Is(err, execdir.ErrOptions) {
		t.Errorf("relative path: %v", err)
	}
}

func TestTimeout(t *testing.T) {
	path := program(t, "sleep 600 & echo $! >\"$here/child\"; sleep 600")
	s, err := execdir.New(execdir.Options{Command: []string{path}, Timeout: 500 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Find(t.Context(), id(t)); !errors.Is(err, command.ErrTimeout) || !errors.Is(err, backend.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
}

func TestNames(t *testing.T) {
	path := program(t, "printf 'alice\\n\\nRoot!\\n../x\\nalice2\\n'")
	n, err := execdir.NewNames(execdir.NamesOptions{Command: []string{path}, Timeout: 20 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	list, err := n.Names(t.Context(), "s", "https://op.example/", names.Person{Given: "A;$(id)\n"})
	if err != nil || !slices.Equal(list, []string{"alice", "alice2"}) {
		t.Errorf("%q, %v", list, err)
	}
	b, err := os.ReadFile(filepath.Join(filepath.Dir(path), "asked"))
	if err != nil || strings.Count(string(b), "\n") != 1 || !strings.Contains(string(b), `"given_name":"A;$(id)"`) {
		t.Errorf("asked %q, %v", b, err)
	}
	bad, err := execdir.NewNames(execdir.NamesOptions{Command: []string{program(t, "echo alice; exit 1")}})
	if err != nil {
		t.Fatal(err)
	}
	if list, err := bad.Names(t.Context(), "s", "i", names.Person{}); err == nil || list != nil {
		t.Errorf("names of a program that failed: %q", list)
	}
}
