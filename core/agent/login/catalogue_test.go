package login

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestCatalogue(t *testing.T) {
	t.Run("embedded_list_alone", func(t *testing.T) {
		c, err := LoadCatalogue()
		if err != nil || len(c.All()) < 30 {
			t.Fatalf("%d issuers, %v", len(c.All()), err)
		}
		w, ok := c.Find("https://wlcg.cloud.cnaf.infn.it")
		if !ok || w.Name != "WLCG" || w.AudienceStyle != AudienceJoined || w.Register == "" {
			t.Errorf("%+v", w)
		}
		for _, i := range c.All() {
			if i.PubClient != nil || i.UserClient != nil {
				t.Errorf("%s has a client without a file", i.URL)
			}
			if i.Name == "" || !strings.HasPrefix(i.URL, "https://") {
				t.Errorf("%+v", i)
			}
		}
		if _, ok := c.Public("https://wlcg.cloud.cnaf.infn.it/"); ok {
			t.Error("a public client without a file")
		}
	})
	t.Run("files_go_over_the_embedded_list", func(t *testing.T) {
		dir := write(t,
			"issuer.config", `[{"issuer":"https://wlcg.cloud.cnaf.infn.it","contact":"me","accounts":["a"],
				"legacy_aud_mode":false,"audience_style":"fixed:https://any"}]`,
			"pubclients.config", "id@https://wlcg.cloud.cnaf.infn.it/@openid\n")
		c, err := LoadCatalogue(dir)
		w, _ := c.Find("https://wlcg.cloud.cnaf.infn.it/")
		if err != nil || w.Contact != "me" || w.Name != "WLCG" || w.AudienceStyle != "fixed:https://any" {
			t.Errorf("%+v, %v", w, err)
		}
		if c.All()[0].URL != w.URL {
			t.Error("the issuer with an account is not the first")
		}
		if p, ok := c.Public(w.URL); !ok || p.ID != "id" {
			t.Errorf("%+v", p)
		}
	})
	t.Run("unknown_style_is_a_fault_and_no_style", func(t *testing.T) {
		c, err := LoadCatalogue(write(t, "issuer.config", `[{"issuer":"https://a.example","audience_style":"fixed:"}]`))
		if !errors.Is(err, ErrIssuers) {
			t.Error(err)
		}
		if _, ok := c.Find("https://a.example"); ok {
			t.Error("an entry with a fault was taken")
		}
	})
}

func TestMatch(t *testing.T) {
	c, err := LoadCatalogue()
	if err != nil {
		t.Fatal(err)
	}
	for short, want := range map[string]string{
		"wlcg":         "https://wlcg.cloud.cnaf.infn.it/",
		"wlcg-demo":    "https://wlcg.cloud.cnaf.infn.it/",
		"my":           "",
		"hackathon":    "",
		"EGI":          "https://aai.egi.eu/auth/realms/egi",
		"helmholtz2":   "https://login.helmholtz.de/oauth2",
		"eduteams.org": "https://proxy.eduteams.org",
		"https":        "",
		"":             "",
	} {
		if i, ok := c.Match(short); i.URL != want || ok != (want != "") {
			t.Errorf("%q: %q, want %q", short, i.URL, want)
		}
	}
}

func TestLiveCatalogue(t *testing.T) {
	dir := write(t, "issuer.config", `[{"issuer":"https://a.example","contact":"one"}]`)
	now := time.Unix(1_700_000_000, 0)
	var faults []error
	l := NewLiveCatalogue(LiveOptions{
		Dirs: func() []string { return []string{dir} }, Now: func() time.Time { return now },
		Fault: func(err error) { faults = append(faults, err) },
	})
	contact := func() string { i, _ := l.Get().Find("https://a.example"); return i.Contact }
	edit := func(name, content string) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if contact() != "one" {
		t.Error("the first state was not read")
	}
	edit("issuer.config", `[{"issuer":"https://a.example","contact":"second"}]`)
	if contact() != "one" {
		t.Error("the file was looked at twice within a second")
	}
	now = now.Add(liveCheck)
	if contact() != "second" {
		t.Error("an edit was not seen")
	}
	edit("issuer.config", `[{"issuer":"https://a.example"}]`)
	edit("issuer.config.d/x", `{"issuer":"https://a.example","contact":"dropped in"}`)
	now = now.Add(liveCheck)
	if contact() != "dropped in" {
		t.Error("a new file in issuer.config.d was not seen")
	}
	edit("issuer.config.d/x", `{`)
	for range 3 {
		now = now.Add(liveCheck)
		if contact() != "" {
			t.Error("a broken file counts")
		}
	}
	if len(faults) != 1 || !errors.Is(faults[0], ErrIssuers) {
		t.Errorf("the fault was told %d times: %v", len(faults), faults)
	}
}

func TestNoteAccount(t *testing.T) {
	read := func(t *testing.T, dir string) string {
		t.Helper()
		b, err := os.ReadFile(filepath.Join(dir, "issuer.config"))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	t.Run("a_new_file_is_private", func(t *testing.T) {
		dir := t.TempDir()
		if err := NoteAccount(dir, "https://a.example/", "x"); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(filepath.Join(dir, "issuer.config"))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%v, %v", info, err)
		}
		c, err := LoadCatalogue(dir)
		i, _ := c.Find("https://a.example")
		if err != nil || i.DefaultAccount != "x" {
			t.Errorf("%+v, %v", i, err)
		}
	})
	t.Run("the_rest_is_kept", func(t *testing.T) {
		dir := write(t, "issuer.config", `[{"mine":{"b":1,"a":[2]},"issuer":"https://a.example","accounts":["x"],
			"default_account":"x"},{"issuer":"https://b.example","accounts":["y"]}]`)
		for _, step := range []error{
			NoteAccount(dir, "https://a.example/", "y"), // y moves
			SetDefault(dir, "https://a.example", "y"),
			RenameAccount(dir, "y", "z"),
			ForgetAccount(dir, "x"),
			ForgetAccount(dir, "not there"),
		} {
			if step != nil {
				t.Fatal(step)
			}
		}
		got := strings.Join(strings.Fields(read(t, dir)), "")
		const want = `[{"mine":{"b":1,"a":[2]},"issuer":"https://a.example","accounts":["z"],"default_account":"z"},` +
			`{"issuer":"https://b.example","accounts":[]}]`
		if got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	})
	t.Run("nothing_is_written_for_nothing", func(t *testing.T) {
		const content = "[ {\"issuer\":\"https://a.example\", \"accounts\":[\"x\"]}\n]"
		dir := write(t, "issuer.config", content)
		if err := NoteAccount(dir, "https://a.example", "x"); err != nil || read(t, dir) != content {
			t.Errorf("%v: %s", err, read(t, dir))
		}
	})
	t.Run("the_old_format_is_moved", func(t *testing.T) {
		dir := write(t, "issuer.config", "https://a.example/ one\nhttps://a.example two\nhttps://b.example\n")
		if err := NoteAccount(dir, "https://b.example/", "three"); err != nil {
			t.Fatal(err)
		}
		list, err := LoadIssuers(dir)
		if err != nil || !slices.Equal(find(list, "https://a.example").Accounts, []string{"one", "two"}) ||
			!slices.Equal(find(list, "https://b.example").Accounts, []string{"three"}) {
			t.Errorf("%+v, %v", list, err)
		}
	})
	t.Run("a_broken_file_is_left_alone", func(t *testing.T) {
		for _, content := range []string{`[{"issuer":"https://a.example"},5]`, `[{`, "nonsense\nhttps://a.example\n"} {
			dir := write(t, "issuer.config", content)
			if err := NoteAccount(dir, "https://a.example", "x"); !errors.Is(err, ErrIssuers) {
				t.Errorf("%s: %v", content, err)
			}
			if read(t, dir) != content {
				t.Errorf("%s was changed", content)
			}
		}
	})
	t.Run("many_at_once_lose_nothing", func(t *testing.T) {
		dir := t.TempDir()
		var wg sync.WaitGroup
		for i := range 20 {
			wg.Go(func() {
				if err := NoteAccount(dir, "https://a.example", "x"+strings.Repeat("i", i)); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		list, err := LoadIssuers(dir)
		if err != nil || len(find(list, "https://a.example").Accounts) != 20 {
			t.Errorf("%+v, %v", list, err)
		}
	})
	t.Run("what_cannot_be_a_name_or_issuer", func(t *testing.T) {
		dir := t.TempDir()
		if err := NoteAccount(dir, "https://a.example", "../x"); !errors.Is(err, ErrName) {
			t.Error(err)
		}
		if err := NoteAccount(dir, "nowhere", "x"); !errors.Is(err, ErrIssuers) {
			t.Error(err)
		}
	})
}

// FuzzNotes: whatever of a person's issuer.config is understood is written so that it says the same again.
func FuzzNotes(f *testing.F) {
	f.Add([]byte(`[{"issuer":"https://a.example","accounts":["x"],"default_account":"x","mine":{"a":[1]}}]`))
	f.Add([]byte("https://a.example/ one\nhttps://a.example two\n"))
	f.Add([]byte("# c\n{\"issuer\":\"https://a.example\"}"))
	f.Fuzz(func(t *testing.T, b []byte) {
		n, err := readNotes(b)
		if err != nil {
			return
		}
		once, err := n.encode()
		if err != nil {
			t.Fatal(err)
		}
		again, err := readNotes(once)
		if err != nil {
			t.Fatalf("what was written is not read: %v\n%s", err, once)
		}
		if twice, err := again.encode(); err != nil || string(twice) != string(once) {
			t.Errorf("%v\n%s\n%s", err, once, twice)
		}
	})
}
