package regapp_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/account/backend"
	"github.com/oidcbox/oidcbox/core/account/names"
	"github.com/oidcbox/oidcbox/core/account/regapp"
	"github.com/oidcbox/oidcbox/core/secret"
)

const goodKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8g"

func id(t *testing.T, sub string) string {
	t.Helper()
	text, err := names.Encode(sub, "https://op.example/")
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func system(t *testing.T, s *script, edit ...func(*regapp.Options)) *regapp.System {
	t.Helper()
	o := regapp.Options{
		URL: s.url + "/", User: "prov", Password: secret.FromString(password), Service: "sshtest",
		Poll: time.Millisecond, Wait: 20 * time.Second, Timeout: 20 * time.Second,
	}
	for _, e := range edit {
		e(&o)
	}
	sys, err := regapp.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return sys
}

func wanted(t *testing.T, sub, name string) backend.Wanted {
	t.Helper()
	return backend.Wanted{ID: id(t, sub), Name: name, Primary: "fed", Tier: backend.Full}
}

func TestAccount(t *testing.T) {
	for name, put := range map[string]string{"groups_as_asked": "", "groups_with_organisation": "fdl_"} {
		t.Run(name, func(t *testing.T) {
			script := newScript(t)
			script.slow, script.groupPut = 3, put
			sys := system(t, script)
			w := wanted(t, "a/b c", "fdl_alice")
			w.Groups, w.Keys = []string{"atlas"}, []backend.Key{{Name: "k", Value: goodKey}, {Value: "x"}}
			done, err := sys.Deploy(t.Context(), w)
			if err != nil || !done.Created || done.Account.Name != "fdl_alice" || !slices.Equal(done.Added, w.Groups) ||
				!slices.Equal(done.Account.Groups, []string{put + "atlas"}) {
				t.Fatalf("%+v, %v", done, err)
			}
			u := script.users[w.ID]
			if keys := u["genericStore"].(map[string]any)["ssh_key"].(string); !strings.Contains(keys, goodKey) ||
				strings.Count(keys, "value") != 1 || u["theirs"] == nil {
				t.Errorf("user: %v", u)
			}
			again, err := sys.Deploy(t.Context(), w)
			if err != nil || again.Created || again.Added != nil || again.Removed != nil ||
				script.count("external-reg/register") != 1 || script.count("group-admin/create") != 1 {
				t.Errorf("again: %+v, %v; %q", again, err, script.calls)
			}
			stopAndGo(t, sys, w)
		})
	}
}

func stopAndGo(t *testing.T, sys *regapp.System, w backend.Wanted) {
	t.Helper()
	ref := backend.Ref{ID: w.ID, Name: w.Name}
	if err := sys.Suspend(t.Context(), backend.Ref{ID: w.ID, Name: "fdl_bob"}, false); !errors.Is(err, backend.ErrMismatch) {
		t.Errorf("another name: %v", err)
	}
	if err := sys.Suspend(t.Context(), ref, true); !errors.Is(err, backend.ErrUnsupported) {
		t.Errorf("end sessions: %v", err)
	}
	if a, err := sys.Find(t.Context(), w.ID); err != nil || !a.Suspended {
		t.Errorf("suspended: %+v, %v", a, err)
	}
	if done, err := sys.Deploy(t.Context(), w); err != nil || !done.Account.Suspended {
		t.Errorf("deploying woke it up: %+v, %v", done, err)
	}
	if err := sys.Resume(t.Context(), ref); err != nil {
		t.Error(err)
	}
	if err := sys.SetTier(t.Context(), ref, backend.Limited); !errors.Is(err, backend.ErrUnsupported) {
		t.Errorf("limit: %v", err)
	}
	if err := sys.Undeploy(t.Context(), ref); err != nil {
		t.Error(err)
	}
	if _, err := sys.Find(t.Context(), w.ID); !errors.Is(err, backend.ErrNoAccount) {
		t.Errorf("after undeploying: %v", err)
	}
	if h, err := sys.Holder(t.Context(), w.Name); err != nil || !h.Taken || h.ID != w.ID {
		t.Errorf("holder: %+v, %v", h, err)
	}
	if _, err := sys.Deploy(t.Context(), wanted(t, "other", w.Name)); !errors.Is(err, backend.ErrTaken) {
		t.Errorf("name given again: %v", err)
	}
	if back, err := sys.Deploy(t.Context(), w); err != nil || !back.Created {
		t.Errorf("back: %+v, %v", back, err)
	}
}

// TestCut: a request that changes something is carried out, and its answer is lost. It is not sent again; the next
// deployment goes on from what it finds.
func TestCut(t *testing.T) {
	for _, word := range []string{
		"external-user/create", "external-user/update", "external-reg/register", "group-admin/create", "group-admin/add",
	} {
		t.Run(strings.ReplaceAll(word, "/", "_"), func(t *testing.T) {
			script := newScript(t)
			sys := system(t, script)
			w := wanted(t, "a", "fdl_alice")
			w.Groups = []string{"atlas"}
			if _, err := sys.Find(t.Context(), w.ID); !errors.Is(err, backend.ErrNoAccount) { // leaves a connection for reuse
				t.Fatal(err)
			}
			script.dropped[word] = true
			if _, err := sys.Deploy(t.Context(), w); !errors.Is(err, backend.ErrUnavailable) {
				t.Fatalf("cut: %v", err)
			}
			if n := script.count(word); n != 1 {
				t.Errorf("%s was sent %d times", word, n)
			}
			done, err := sys.Deploy(t.Context(), w)
			if err != nil || done.Account.Name != "fdl_alice" || !slices.Equal(done.Account.Groups, w.Groups) {
				t.Errorf("next: %+v, %v", done, err)
			}
			if n := script.count(word); n != 1 {
				t.Errorf("%s was sent %d times in the end", word, n)
			}
		})
	}
}

func TestWaiting(t *testing.T) {
	script := newScript(t)
	script.slow = 1 << 30
	sys := system(t, script, func(o *regapp.Options) { o.Wait = 20 * time.Millisecond })
	w := wanted(t, "a", "fdl_alice")
	if _, err := sys.Deploy(t.Context(), w); !errors.Is(err, regapp.ErrWaiting) || !errors.Is(err, backend.ErrUnavailable) {
		t.Fatalf("got %v", err)
	}
	script.slow = 0
	if done, err := sys.Deploy(t.Context(), w); err != nil || script.count("external-reg/register") != 1 {
		t.Errorf("next: %+v, %v", done, err)
	}
}

func TestRefusals(t *testing.T) {
	low := func(o *regapp.Options) {
		o.Look = func(_ context.Context, name string) (backend.Account, error) {
			return backend.Account{Name: name, UID: 7}, nil
		}
	}
	limited := wanted(t, "a", "fdl_alice")
	limited.Tier = backend.Limited
	reserved := wanted(t, "a", "fdl_alice")
	reserved.Groups = []string{"sudo"}
	for name, c := range map[string]struct {
		w    backend.Wanted
		edit func(*regapp.Options)
		want error
	}{
		"name_of_no_organisation": {wanted(t, "a", "alice"), nil, backend.ErrRefused},
		"organisation_alone":      {wanted(t, "a", "fdl_"), nil, backend.ErrRefused},
		"tier":                    {limited, nil, backend.ErrRefused},
		"group":                   {reserved, nil, backend.ErrRefused},
		"uid_of_the_system":       {wanted(t, "a", "fdl_alice"), low, backend.ErrRefused},
	} {
		t.Run(name, func(t *testing.T) {
			if c.edit == nil {
				c.edit = func(*regapp.Options) {}
			}
			if _, err := system(t, newScript(t), c.edit).Deploy(t.Context(), c.w); !errors.Is(err, c.want) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestTrouble(t *testing.T) {
	for name, edit := range map[string]func(*script, *regapp.Options){
		"out_of_order":   func(s *script, _ *regapp.Options) { s.status = http.StatusServiceUnavailable },
		"not_found":      func(s *script, _ *regapp.Options) { s.status = http.StatusNotFound },
		"redirect":       func(s *script, _ *regapp.Options) { s.status = http.StatusFound },
		"wrong_password": func(_ *script, o *regapp.Options) { o.Password = secret.FromString("no") },
		"nobody_there":   func(_ *script, o *regapp.Options) { o.URL = "http://127.0.0.1:1/rest" },
	} {
		t.Run(name, func(t *testing.T) {
			script := newScript(t)
			sys := system(t, script, func(o *regapp.Options) { edit(script, o) })
			_, err := sys.Find(t.Context(), id(t, "a"))
			if !errors.Is(err, backend.ErrUnavailable) || strings.Contains(err.Error(), password) {
				t.Errorf("find: %v", err)
			}
			if _, err := sys.Holder(t.Context(), "fdl_alice"); !errors.Is(err, backend.ErrUnavailable) {
				t.Errorf("holder: %v", err)
			}
		})
	}
	if _, err := regapp.New(regapp.Options{URL: "http://regapp.example.org/", User: "u", Service: "s"}); !errors.Is(
		err, regapp.ErrOptions) {
		t.Errorf("http to another host: %v", err)
	}
}

// TestOthersUser: an answer about somebody else is not taken for the one that was asked for.
func TestOthersUser(t *testing.T) {
	script := newScript(t)
	sys := system(t, script)
	script.users[id(t, "a")] = map[string]any{"id": 1, "externalId": id(t, "A"), "userStatus": "ACTIVE"}
	if _, err := sys.Find(t.Context(), id(t, "a")); !errors.Is(err, backend.ErrMismatch) {
		t.Errorf("got %v", err)
	}
	script.users[id(t, "b")] = map[string]any{"id": "../../7", "externalId": id(t, "b"), "userStatus": "ACTIVE"}
	w := wanted(t, "b", "fdl_bob")
	w.Groups = []string{"atlas"}
	if _, err := sys.Deploy(t.Context(), w); !errors.Is(err, regapp.ErrAnswer) {
		t.Errorf("id that is a path: %v", err)
	}
}
