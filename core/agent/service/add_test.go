package service

import (
	"bytes"
	"errors"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/agent/proto"
	"github.com/oidcbox/oidcbox/core/secret"
)

func form(kv ...string) url.Values {
	v := url.Values{}
	for i := 0; i+1 < len(kv); i += 2 {
		v.Set(kv[i], kv[i+1])
	}
	return v
}

func (w *world) loaded() []string {
	w.t.Helper()
	var names []string
	if err := w.must(proto.Request{Type: proto.TypeLoadedAccounts}).Info.Into(&names); err != nil {
		w.t.Fatal(err)
	}
	return names
}

func TestAdd(t *testing.T) {
	w := newWorld(t)
	if got := w.loaded(); got == nil || len(got) != 0 {
		t.Errorf("loaded logins of a new agent: %v, want an empty list", got)
	}
	w.add("b", nil)
	w.add("a", nil)
	if got := w.loaded(); !slices.Equal(got, []string{"b", "a"}) {
		t.Errorf("loaded %v, want them in load order", got)
	}
	rep := w.add("a", nil)
	if !strings.HasPrefix(rep.Info.Text(), "account already loaded.") {
		t.Errorf("info of a second add: %q", rep.Info.Text())
	}
	w.must(proto.Request{Type: proto.TypeRemove, Account: "b"})
	if got := w.loaded(); !slices.Equal(got, []string{"a"}) {
		t.Errorf("after remove: %v", got)
	}
	w.must(proto.Request{Type: proto.TypeRemoveAll})
	if got := w.loaded(); len(got) != 0 {
		t.Errorf("after remove_all: %v", got)
	}
}

func TestAddRefuses(t *testing.T) {
	w := newWorld(t)
	w.refused(proto.Request{Type: proto.TypeAdd, Config: w.account("a", nil)}, proto.TextNoRefreshToken)
	w.refused(proto.Request{
		Type: proto.TypeAdd, Config: w.account("a", map[string]any{"mytoken_url": w.op.URL, "refresh_token": "x"}),
	}, proto.TextNotMytoken)
	rep := w.ask(proto.Request{Type: proto.TypeAdd, Config: w.account("a", map[string]any{"refresh_token": "planted-secret"})})
	if !strings.HasPrefix(rep.Error, "invalid_grant") || !strings.Contains(rep.Info.Text(), "--reauthenticate") {
		t.Errorf("dead refresh token: %q, %q", rep.Error, rep.Info.Text())
	}
	if got := w.loaded(); !slices.Equal(got, []string{"a"}) {
		t.Errorf("after a failed test refresh %v is loaded, want it for a moment", got)
	}
	w.clock.add(11 * time.Second)
	w.sweep(t.Context())
	if got := w.loaded(); len(got) != 0 {
		t.Errorf("11 s later %v is still loaded", got)
	}
	if _, _, err := w.memory().config(t.Context(), "a"); err == nil {
		t.Error("the expired login is still kept")
	}
}

func TestLifetime(t *testing.T) {
	w := newWorld(t)
	w.restart(Switches{Lifetime: time.Hour})
	w.add("standard", nil)
	rt := w.refreshToken()
	rep := w.must(proto.Request{
		Type: proto.TypeAdd, Config: w.account("short", map[string]any{"refresh_token": rt}), Lifetime: 60, HasLifetime: true,
	})
	if got := rep.Info.Text(); got != "Lifetime set to 60 seconds" {
		t.Errorf("info %q", got)
	}
	rt = w.refreshToken()
	w.must(proto.Request{
		Type: proto.TypeAdd, Config: w.account("ever", map[string]any{"refresh_token": rt}), HasLifetime: true,
	})
	w.clock.add(61 * time.Second)
	w.refused(proto.Request{Type: proto.TypeAccessToken, Account: "short"}, proto.TextNotConfigured)
	w.clock.add(time.Hour)
	w.refused(proto.Request{Type: proto.TypeAccessToken, Account: "standard"}, proto.TextNotConfigured)
	w.token("ever")
}

func TestTooManyLogins(t *testing.T) {
	r := newRegistry(time.Now)
	for i := range maxLoaded {
		if err := r.put(loaded{name: string(rune('a' + i))}); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.put(loaded{name: "one more"}); err != ErrTooMany {
		t.Errorf("got %v", err)
	}
	if err := r.put(loaded{name: "a"}); err != nil {
		t.Errorf("replacing one of them: %v", err)
	}
}

func TestStatus(t *testing.T) {
	w := newWorld(t)
	w.restart(Switches{Lifetime: 90 * time.Second, NoAutoload: true, CommandLine: []string{"-t", "90"}})
	w.add("a", nil)
	text := w.must(proto.Request{Type: proto.TypeStatus}).Info.Text()
	for _, want := range []string{
		"####################################\n##       oidc-agent status        ##\n",
		"This agent is running version 1.2.3.\n",
		"Lifetime:\t\t90 seconds\n", "Autoload:\t\tfalse\n", "Group:\t\t\tfalse\n",
		"Currently there are 1 accounts loaded: a",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("status text lacks %q:\n%s", want, text)
		}
	}
	var st statusObject
	if err := w.must(proto.Request{Type: proto.TypeStatusJSON}).Info.Into(&st); err != nil {
		t.Fatal(err)
	}
	if st.Version != "1.2.3" || !slices.Equal(st.Loaded, []string{"a"}) || st.CommandLine != "-t 90" {
		t.Errorf("status_json: %+v", st)
	}
	var info map[string]issuerInfo
	if err := w.must(proto.Request{Type: proto.TypeAccountInfo}).Info.Into(&info); err != nil {
		t.Fatal(err)
	}
	if !info[w.op.URL].Accounts["a"] {
		t.Errorf("account_info: %+v", info)
	}
}

func TestScratch(t *testing.T) {
	w := newWorld(t)
	write := func(name, data string) proto.Reply {
		return w.ask(proto.Request{Type: proto.TypeFileWrite, Filename: name, Data: secret.FromString(data)})
	}
	for i := range maxScratch {
		if rep := write("/tmp/oidc-gen:"+string(rune('a'+i)), "e30"); rep.Error != "" {
			t.Fatal(rep.Error)
		}
	}
	if rep := write("one more", "e30"); rep.Error == "" {
		t.Error("there is no bound")
	}
	if rep := write("/tmp/oidc-gen:a", "e31"); rep.Error != "" {
		t.Errorf("writing again: %s", rep.Error)
	}
	if rep := w.must(proto.Request{Type: proto.TypeFileRead, Filename: "/tmp/oidc-gen:a"}); rep.Data.Expose() != "e31" {
		t.Error("read back something else")
	}
	if rep := write("large", strings.Repeat("x", maxScratchData+1)); rep.Error == "" {
		t.Error("data has no bound")
	}
	w.must(proto.Request{Type: proto.TypeFileRemove, Filename: "/tmp/oidc-gen:a"})
	w.refused(proto.Request{Type: proto.TypeFileRead, Filename: "/tmp/oidc-gen:a"}, proto.TextFileNotFound)
	w.refused(proto.Request{Type: proto.TypeFileRemove, Filename: "/tmp/oidc-gen:a"}, proto.TextFileNotFound)
}

// TestAddAfterRemove: with a provider that rotates, the account file's token is dead by the time a login is removed.
func TestAddAfterRemove(t *testing.T) {
	w := newWorld(t)
	rt := w.refreshToken()
	w.add("a", map[string]any{"refresh_token": rt}) // refreshed once already
	for range 2 {
		w.must(proto.Request{Type: proto.TypeRemove, Account: "a"})
		w.refused(proto.Request{Type: proto.TypeAccessToken, Account: "a"}, proto.TextNotConfigured)
		w.add("a", map[string]any{"refresh_token": rt})
		w.must(proto.Request{Type: proto.TypeAccessToken, Account: "a", MinValid: proto.ForceNew})
	}
	// A token that is none of ours is a new login.
	w.must(proto.Request{Type: proto.TypeRemove, Account: "a"})
	w.add("a", nil)
	// One whose token was not replaced leaves nothing behind.
	w.must(proto.Request{Type: proto.TypeAdd, PlainAdd: true, Config: w.account("b", map[string]any{"refresh_token": "x"})})
	w.must(proto.Request{Type: proto.TypeRemove, Account: "b"})
	if _, _, err := w.memory().config(t.Context(), "b"); !errors.Is(err, ErrUnknownLogin) {
		t.Errorf("the removed login is still there: %v", err)
	}
}

// TestLossIsSaid: a login from an account file whose token the provider has replaced cannot be loaded from that file
// again; that is said when it happens, once, and when the agent ends.
func TestLossIsSaid(t *testing.T) {
	w := newWorld(t)
	w.makeKeystore()
	var log bytes.Buffer
	w.opts.Log = slog.New(slog.NewTextHandler(&log, nil))
	w.save("saved", map[string]any{"refresh_token": w.refreshToken()})
	w.must(proto.Request{Type: proto.TypeAccessToken, Account: "saved", MinValid: proto.ForceNew})
	w.must(proto.Request{Type: proto.TypeAdd, PlainAdd: true, Config: w.account("unused", map[string]any{
		"refresh_token": w.refreshToken(),
	})})
	if strings.Contains(log.String(), "ends with the agent") {
		t.Errorf("said too early: %s", log.String())
	}
	w.add("rotated", nil)
	for range 3 {
		w.must(proto.Request{Type: proto.TypeAccessToken, Account: "rotated", MinValid: proto.ForceNew})
	}
	if n := strings.Count(log.String(), "ends with the agent"); n != 1 || !strings.Contains(log.String(), "login=rotated") {
		t.Errorf("said %d times: %s", n, log.String())
	}
	log.Reset()
	w.end(w.Service)
	if n := strings.Count(log.String(), "ends with the agent"); n != 1 || !strings.Contains(log.String(), "login=rotated") {
		t.Errorf("at the end said %d times: %s", n, log.String())
	}
}
