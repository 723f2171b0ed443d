package login

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// settingsOf writes the files of the person and the system, "" for none, and reads them.
func settingsOf(t *testing.T, person, system string, env map[string]string) (Settings, error) {
	t.Helper()
	dirs := []string{t.TempDir(), t.TempDir()}
	for i, text := range []string{person, system} {
		if text == "" {
			continue
		}
		if err := os.WriteFile(filepath.Join(dirs[i], "config"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return LoadSettings(func(k string) string { return env[k] }, dirs...)
}

func TestLoadSettings(t *testing.T) {
	change := func(f func(*Settings)) Settings {
		s := DefaultSettings()
		f(&s)
		return s
	}
	for name, tc := range map[string]struct {
		person, system string
		env            map[string]string
		want           Settings
	}{
		"no_file_is_what_is_shipped": {want: DefaultSettings()},
		"empty_file":                 {person: " \n", want: DefaultSettings()},
		"missing_sections_are_no_fault": {
			person: `{"oidc-add":{"store-pw":true}}`, want: change(func(s *Settings) { s.Add.StorePassword = true }),
		},
		"comments": {
			person: "# mine\n{\n  # off\n\"oidc-agent\":{\"autoload\":false}\n}\n",
			want:   change(func(s *Settings) { s.Agent.Autoload = false }),
		},
		"person_patches_the_system": {
			system: `{"oidc-agent":{"confirm":true,"lifetime":60},"oidc-gen":{"cnid":"site"}}`,
			person: `{"oidc-agent":{"lifetime":5}}`,
			want: change(func(s *Settings) {
				s.Agent.Confirm, s.Agent.Lifetime, s.Gen.CNID = true, 5*time.Second, "site"
			}),
		},
		"null_goes_back_to_the_default": {
			system: `{"oidc-agent":{"autoload":false,"confirm":true},"oidc-gen":{"auto-open-url":false}}`,
			person: `{"oidc-agent":{"autoload":null},"oidc-gen":null}`,
			want:   change(func(s *Settings) { s.Agent.Confirm = true }),
		},
		"both_spellings": {
			system: `{"oidc-agent":{"cert-path":"/a","bind_address":"/b"},"oidc-token":{"default_min_lifetime":7}}`,
			want: change(func(s *Settings) {
				s.Agent.CertPath, s.Agent.SocketPath, s.Token.MinLifetime = "/a", "/b", 7*time.Second
			}),
		},
		"one_spelling_patches_the_other": {
			system: `{"oidc-agent":{"cert_path":"/a"}}`, person: `{"oidc-agent":{"cert-path":"/b"}}`,
			want: change(func(s *Settings) { s.Agent.CertPath = "/b" }),
		},
		"group_true_is_the_usual_one": {
			person: `{"oidc-agent":{"group":true}}`, want: change(func(s *Settings) { s.Agent.Group = "oidc-agent" }),
		},
		"group_by_name": {
			person: `{"oidc-agent":{"group":"physics"}}`, want: change(func(s *Settings) { s.Agent.Group = "physics" }),
		},
		"profile_as_object": {
			person: `{"oidc-token":{"default_mytoken_profile":{"capabilities":"AT"}}}`,
			want:   change(func(s *Settings) { s.Token.MytokenProfile = `{"capabilities":"AT"}` }),
		},
		"user_config_dev_null": {
			person: `{"oidc-agent":{"confirm":true}}`, env: map[string]string{"OIDC_USER_CONFIG": "/dev/null"},
			want: DefaultSettings(),
		},
		"unknown_members_are_left_alone": {
			person: `{"oidc-agent":{"stats_collect_share":true,"new":[1]},"oidc-new":{}}`, want: DefaultSettings(),
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := settingsOf(t, tc.person, tc.system, tc.env)
			if err != nil {
				t.Fatal(err)
			}
			if got != tc.want {
				t.Errorf("got  %+v\nwant %+v", got, tc.want)
			}
		})
	}
}

// TestLoadSettingsOtherFile reads the person's settings from where the variable says.
func TestLoadSettingsOtherFile(t *testing.T) {
	other := filepath.Join(t.TempDir(), "mine.json")
	if err := os.WriteFile(other, []byte(`{"oidc-agent":{"webserver":false}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := settingsOf(t, `{"oidc-agent":{"confirm":true}}`, "", map[string]string{"OIDC_USER_CONFIG": other})
	if err != nil || s.Agent.Webserver || s.Agent.Confirm {
		t.Errorf("%+v, %v", s.Agent, err)
	}
}

// TestLoadSettingsFaults wants the member named: a switch for safety that is misspelt must not count as off in silence.
func TestLoadSettingsFaults(t *testing.T) {
	for name, tc := range map[string]struct{ text, says string }{
		"no_json":         {`confirm: yes`, "no JSON object"},
		"an_array":        {`[]`, "no JSON object"},
		"section":         {`{"oidc-agent":1}`, `section "oidc-agent"`},
		"flag":            {`{"oidc-agent":{"confirm":"perhaps"}}`, `member "confirm"`},
		"flag_is_object":  {`{"oidc-agent":{"confirm":{}}}`, `member "confirm"`},
		"negative_time":   {`{"oidc-agent":{"lifetime":-1}}`, `member "lifetime"`},
		"endless_time":    {`{"oidc-agent":{"lifetime":1e300}}`, `member "lifetime"`},
		"unknown_word":    {`{"oidc-gen":{"prompt":"voice"}}`, `member "prompt"`},
		"text_is_array":   {`{"oidc-agent":{"bind_address":["/a"]}}`, `member "bind-address"`},
		"larger_than_all": {strings.Repeat(" ", MaxFile+1), "too large"},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := settingsOf(t, tc.text, "", nil)
			if !errors.Is(err, ErrSettings) || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("%v", err)
			}
			if s != DefaultSettings() {
				t.Errorf("not the defaults beside the error: %+v", s)
			}
		})
	}
	t.Run("a_directory", func(t *testing.T) {
		dir := t.TempDir()
		if err := os.Mkdir(filepath.Join(dir, "config"), 0o700); err != nil {
			t.Fatal(err)
		}
		if _, err := LoadSettings(func(string) string { return "" }, dir); !errors.Is(err, ErrUnsafe) {
			t.Errorf("%v", err)
		}
	})
}

func FuzzSettings(f *testing.F) {
	f.Add([]byte(`{"oidc-agent":{"confirm":true,"lifetime":60}}`))
	f.Add([]byte("# c\n{\"oidc-gen\":null}"))
	f.Fuzz(func(t *testing.T, b []byte) {
		s := section{}
		if s.patchFile(b) != nil {
			return
		}
		got, err := s.settings()
		if err == nil && (got.Agent.Lifetime < 0 || got.Token.MinLifetime < 0) {
			t.Errorf("a negative time: %+v", got)
		}
	})
}
