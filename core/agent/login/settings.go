package login

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Settings are the values of the file "config": what the commands do when no option says otherwise.
type Settings struct {
	Agent AgentSettings
	Gen   GenSettings
	Add   AddSettings
	Token TokenSettings
}

// AgentSettings are those of the section "oidc-agent".
type AgentSettings struct {
	CertPath           string // certificates to trust instead of the system's, "" for those
	SocketPath         string // "" for the usual place
	Confirm            bool
	Autoload           bool
	Reauthenticate     bool
	Autogen            bool
	AutogenScopes      string // "max" or "exact"
	CustomScheme       bool
	Webserver          bool
	Lifetime           time.Duration // of a loaded login, 0 for ever
	Group              string        // "" for none
	AlwaysAllowIDToken bool
	Debug              bool
}

// GenSettings are those of the section "oidc-gen".
type GenSettings struct {
	CNID           string
	OpenURL        bool
	GPGKey         string // "" for none
	Prompt         string // "cli", "gui" or "none"
	PwPrompt       string // "cli" or "gui"
	Confirm        string // answer to yes-no questions: "", "default", "no" or "yes"
	MytokenServer  string
	MytokenProfile string // a name, or a JSON object
	PreferMytoken  bool
	Debug          bool
}

// AddSettings are those of the section "oidc-add".
type AddSettings struct {
	StorePassword bool
	Prompt        string
	PwPrompt      string
	SkipCheck     bool
	Debug         bool
}

// TokenSettings are those of the section "oidc-token".
type TokenSettings struct {
	MinLifetime    time.Duration
	MytokenProfile string
	Debug          bool
}

// settingsFile is the name of the file in each directory.
const settingsFile = "config"

// DefaultSettings are the values that oidc-agent 5 ships. The original itself has everything switched off when there is
// no file at all.
func DefaultSettings() Settings {
	return Settings{
		Agent: AgentSettings{
			Autoload: true, Reauthenticate: true, Autogen: true, AutogenScopes: "max", CustomScheme: true, Webserver: true,
		},
		Gen: GenSettings{
			OpenURL: true, Prompt: "cli", PwPrompt: "cli",
			MytokenServer: "https://mytoken.data.kit.edu", MytokenProfile: "agent",
		},
		Add:   AddSettings{Prompt: "cli", PwPrompt: "cli"},
		Token: TokenSettings{MytokenProfile: "web-default"},
	}
}

// FindSettings is LoadSettings for the directories that the environment leads to: the person's, and SystemDir.
func FindSettings(getenv func(string) string) (Settings, error) {
	person, found, err := FindDir(getenv, func(path string) bool {
		info, err := os.Stat(path)
		return err == nil && info.IsDir()
	})
	if err != nil || !found {
		person = ""
	}
	return LoadSettings(getenv, person, SystemDir)
}

// LoadSettings reads the settings of the directories, the person's first, "" for one that does not exist. What a file
// says counts more than what a later directory's says, and both more than DefaultSettings (a JSON merge patch, RFC 7396:
// null is the default). $OIDC_USER_CONFIG is another file for the person's, /dev/null for none.
//
// A missing file is no fault. The error names the file or the member that makes no sense, and wraps ErrSettings; the
// settings beside it are the defaults.
func LoadSettings(getenv func(string) string, dirs ...string) (Settings, error) {
	merged := section{}
	for i, dir := range slices.Backward(dirs) {
		path := filepath.Join(dir, settingsFile)
		if dir == "" {
			path = ""
		}
		if user := getenv("OIDC_USER_CONFIG"); i == 0 && user != "" {
			path = user
		}
		if path == "" || path == os.DevNull {
			continue
		}
		b, err := readPlain(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			err = merged.patchFile(b)
		}
		if err != nil {
			return DefaultSettings(), fmt.Errorf("%w: %s: %w", ErrSettings, path, err)
		}
	}
	s, err := merged.settings()
	if err != nil {
		return DefaultSettings(), fmt.Errorf("%w: %w", ErrSettings, err)
	}
	return s, nil
}

// section is a JSON object whose names are written with dashes: the file that is shipped and the code that reads it do
// not agree on how some of them are spelled.
type section map[string]json.RawMessage

// patchFile takes over what a file says. Lines that begin with # are comments.
func (s section) patchFile(b []byte) error {
	var text bytes.Buffer
	for line := range bytes.Lines(b) {
		if !bytes.HasPrefix(bytes.TrimSpace(line), []byte("#")) {
			text.Write(line)
		} else {
			text.WriteByte('\n') // errors go on naming the right line
		}
	}
	if len(bytes.TrimSpace(text.Bytes())) == 0 {
		return nil
	}
	var top map[string]json.RawMessage
	if err := json.Unmarshal(text.Bytes(), &top); err != nil {
		return fmt.Errorf("is no JSON object: %w", err)
	}
	return s.patch(top)
}

// patch is RFC 7396 for the two levels that the file has.
func (s section) patch(with map[string]json.RawMessage) error {
	for name, value := range with {
		var members map[string]json.RawMessage
		if err := json.Unmarshal(value, &members); err != nil {
			return fmt.Errorf("section %q is no object", name)
		}
		if members == nil { // null
			delete(s, name)
			continue
		}
		into := section{}
		if old, ok := s[name]; ok {
			if err := json.Unmarshal(old, &into); err != nil {
				return err
			}
		}
		into.take(members)
		b, err := json.Marshal(into)
		if err != nil {
			return err
		}
		s[name] = b
	}
	return nil
}

// take puts members in under one spelling. Sorted, so that two spellings in one file give the same result every time.
func (s section) take(members map[string]json.RawMessage) {
	names := make([]string, 0, len(members))
	for name := range members {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		key := strings.ReplaceAll(name, "_", "-")
		if string(members[name]) == "null" {
			delete(s, key)
			continue
		}
		s[key] = members[name]
	}
}

// settings puts the members over the defaults.
func (s section) settings() (Settings, error) {
	d := DefaultSettings()
	r := &settingsReader{}
	r.open("oidc-agent", s)
	r.agent(&d.Agent)
	r.open("oidc-gen", s)
	r.gen(&d.Gen)
	r.open("oidc-add", s)
	r.add(&d.Add)
	r.open("oidc-token", s)
	r.seconds("default-min-lifetime", &d.Token.MinLifetime)
	r.profile("default-mytoken-profile", &d.Token.MytokenProfile)
	r.flag("debug-logging", &d.Token.Debug)
	return d, r.err
}

func (r *settingsReader) agent(to *AgentSettings) {
	r.text("cert-path", &to.CertPath)
	r.text("bind-address", &to.SocketPath)
	r.flag("confirm", &to.Confirm)
	r.flag("autoload", &to.Autoload)
	r.flag("auto-reauthenticate", &to.Reauthenticate)
	r.flag("auto-gen", &to.Autogen)
	r.word("auto-gen-scope-mode", &to.AutogenScopes, "max", "exact")
	r.flag("custom-uri-scheme", &to.CustomScheme)
	r.flag("webserver", &to.Webserver)
	r.seconds("lifetime", &to.Lifetime)
	r.group("group", &to.Group)
	r.flag("always-allow-id-token", &to.AlwaysAllowIDToken)
	r.flag("debug-logging", &to.Debug)
}

func (r *settingsReader) gen(to *GenSettings) {
	r.text("cnid", &to.CNID)
	r.flag("auto-open-url", &to.OpenURL)
	r.text("default-gpg-key", &to.GPGKey)
	r.word("prompt", &to.Prompt, "cli", "gui", "none")
	r.word("pw-prompt", &to.PwPrompt, "cli", "gui")
	r.word("answer-confirm-prompts", &to.Confirm, "", "default", "no", "yes")
	r.text("default-mytoken-server", &to.MytokenServer)
	r.profile("default-mytoken-profile", &to.MytokenProfile)
	r.flag("prefer-mytoken-over-oidc", &to.PreferMytoken)
	r.flag("debug-logging", &to.Debug)
}

func (r *settingsReader) add(to *AddSettings) {
	r.flag("store-pw", &to.StorePassword)
	r.word("prompt", &to.Prompt, "cli", "gui", "none")
	r.word("pw-prompt", &to.PwPrompt, "cli", "gui")
	r.flag("skip-check", &to.SkipCheck)
	r.flag("debug-logging", &to.Debug)
}

// settingsReader takes members of one section after the other and remembers the first fault. A member that is not there
// leaves the default.
type settingsReader struct {
	name string
	in   map[string]json.RawMessage
	err  error
}

func (r *settingsReader) open(name string, s section) {
	r.name, r.in = name, nil
	if raw, ok := s[name]; ok {
		r.note("", json.Unmarshal(raw, &r.in))
	}
}

func (r *settingsReader) note(member string, err error) {
	if err != nil && r.err == nil {
		r.err = fmt.Errorf("section %q, member %q: %w", r.name, member, err)
	}
}

func (r *settingsReader) text(member string, to *string) {
	if raw, ok := r.in[member]; ok {
		s, err := text(raw)
		r.note(member, err)
		*to = s
	}
}

// flag takes true and false, and the ways of the original's old files to say so.
func (r *settingsReader) flag(member string, to *bool) {
	raw, ok := r.in[member]
	if !ok {
		return
	}
	s, err := text(raw)
	if err == nil {
		var b bool
		if b, err = strconv.ParseBool(s); err != nil {
			err = errors.New("is neither true nor false")
		}
		*to = b
	}
	r.note(member, err)
}

func (r *settingsReader) word(member string, to *string, words ...string) {
	s := *to
	r.text(member, &s)
	if !slices.Contains(words, s) {
		r.note(member, fmt.Errorf("is none of %q", words))
		return
	}
	*to = s
}

func (r *settingsReader) seconds(member string, to *time.Duration) {
	raw, ok := r.in[member]
	if !ok {
		return
	}
	const most = 100 * 365 * 24 * 60 * 60
	s, err := text(raw)
	if err == nil {
		var n int64
		if n, err = strconv.ParseInt(s, 10, 64); err != nil || n < 0 || n > most {
			err = errors.New("is no number of seconds")
		}
		*to = time.Duration(n) * time.Second
	}
	r.note(member, err)
}

// group takes the name of a group; true is the original's usual one.
func (r *settingsReader) group(member string, to *string) {
	switch string(r.in[member]) {
	case "true":
		*to = "oidc-agent"
	case "false":
	default:
		r.text(member, to)
	}
}

// profile takes the name of a mytoken profile, or a profile.
func (r *settingsReader) profile(member string, to *string) {
	if raw := r.in[member]; len(raw) > 0 && raw[0] == '{' {
		*to = string(raw)
		return
	}
	r.text(member, to)
}
