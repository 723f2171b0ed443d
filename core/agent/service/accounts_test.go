package service

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/agent/login"
	"github.com/oidcbox/oidcbox/core/agent/proto"
	"github.com/oidcbox/oidcbox/core/secret"
)

const filePassword = "correct horse"

// logged is a log that a test can look into.
type logged struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logged) count(s string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.b.String(), s)
}

// newFileWorld is newWorld with a directory of account files, which has login "a".
func newFileWorld(t *testing.T) (w *world, l *logged) {
	t.Helper()
	w, l = newWorld(t), &logged{}
	w.dir, w.log = t.TempDir(), slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
	w.end(w.Service)
	w.restart(Switches{})
	w.writeFile("a", map[string]any{"refresh_token": w.refreshToken(), "unknown_to_us": []int{1, 2}})
	return w, l
}

// writeFile writes an account file, as somebody else does.
func (w *world) writeFile(name string, more map[string]any) {
	w.t.Helper()
	file, err := login.EncryptFile(context.Background(), w.account(name, more), secret.FromString(filePassword))
	if err != nil {
		w.t.Fatal(err)
	}
	if err := login.WriteAccount(w.dir, name, file); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) rawFile(name string) []byte {
	w.t.Helper()
	b, err := os.ReadFile(filepath.Join(w.dir, name))
	if err != nil {
		w.t.Fatal(err)
	}
	return b
}

// openFile returns the content of an account file.
func (w *world) openFile(name string) secret.Text {
	w.t.Helper()
	f, err := login.ReadAccount(w.dir, name)
	if err != nil {
		w.t.Fatal(err)
	}
	plain, err := f.Open(context.Background(), secret.FromString(filePassword))
	if err != nil {
		w.t.Fatal(err)
	}
	return plain
}

func (w *world) members(name string) map[string]any {
	w.t.Helper()
	m := map[string]any{}
	if err := w.openFile(name).Use(func(b []byte) error { return json.Unmarshal(b, &m) }); err != nil {
		w.t.Fatal(err)
	}
	return m
}

// addFile loads a login with what is in its account file, as oidc-add does; entry says where the password is.
func (w *world) addFile(name string, entry map[string]any) proto.Reply {
	w.t.Helper()
	r := proto.Request{Type: proto.TypeAdd, Config: w.openFile(name)}
	if entry != nil {
		b, err := json.Marshal(entry)
		if err != nil {
			w.t.Fatal(err)
		}
		r.PWEntry = secret.New(b)
	}
	return w.must(r)
}

func (w *world) force(name string) {
	w.t.Helper()
	rep := w.must(proto.Request{Type: proto.TypeAccessToken, Account: name, MinValid: proto.ForceNew})
	rep.Wipe()
}

// endLogin makes the provider refuse the refresh token that the agent has.
func (w *world) endLogin(name string) {
	w.t.Helper()
	sh, err := w.holder(context.Background(), name)
	if err != nil {
		w.t.Fatal(err)
	}
	rt, err := sh.keeper.Token(context.Background(), name)
	if err != nil {
		w.t.Fatal(err)
	}
	w.op.Post("/revoke", "web", "web-secret", url.Values{"token": {rt.Expose()}})
}

// upToDate waits until the account file holds the refresh token that the agent has.
func (w *world) upToDate(name string) {
	w.t.Helper()
	sh, err := w.holder(context.Background(), name)
	if err != nil {
		w.t.Fatal(err)
	}
	var seen []byte
	for end := time.Now().Add(60 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		raw := w.rawFile(name)
		if bytes.Equal(raw, seen) && time.Now().Before(end) {
			continue // opening it costs a derivation
		}
		seen = raw
		rt, err := sh.keeper.Token(context.Background(), name)
		if err != nil {
			w.t.Fatal(err)
		}
		got, _ := w.members(name)["refresh_token"].(string)
		if rt.Expose() == got {
			return
		}
		if time.Now().After(end) {
			w.t.Fatal("the account file was not brought up to date")
		}
	}
}

// reload starts an agent that knows nothing and loads the login with what is in its file.
func (w *world) reload(name string) {
	w.t.Helper()
	w.end(w.Service)
	w.restart(Switches{})
	w.addFile(name, nil)
	w.force(name)
}

// TestWriteBack: with a password at hand, wherever it is, a rotated refresh token goes into the account file, and a
// login loaded from it later lives.
func TestWriteBack(t *testing.T) {
	pw := filepath.Join(t.TempDir(), "pw")
	if err := os.WriteFile(pw, []byte(filePassword+"\nanother line\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, entry := range map[string]map[string]any{
		"in_memory":                   {"type": 9, "password": filePassword},
		"in_memory_for_a_time":        {"type": 9, "password": filePassword, "expires_at": time.Now().Unix() + 600},
		"type_as_a_string":            {"type": "9", "password": filePassword},
		"system_keyring_of_4":         {"type": 10, "password": filePassword},
		"by_a_command":                {"type": 12, "command": "cat " + pw},
		"in_a_file":                   {"type": 24, "pw_file": pw},
		"wrong_in_memory_then_a_file": {"type": 25, "password": "wrong", "pw_file": pw},
	} {
		t.Run(name, func(t *testing.T) {
			w, _ := newFileWorld(t)
			w.addFile("a", entry)
			for range 3 {
				w.force("a")
			}
			w.upToDate("a")
			if m := w.members("a"); len(m["unknown_to_us"].([]any)) != 2 || m["client_id"] != "web" {
				t.Errorf("other members were changed: %v", m)
			}
			fi, err := os.Stat(filepath.Join(w.dir, "a"))
			if err != nil || fi.Mode().Perm() != 0o600 {
				t.Errorf("mode %v, %v", fi.Mode(), err)
			}
			w.reload("a")
		})
	}
}

// TestWriteBackAtTheEnd: what was not written yet is written before the agent ends, and before a login is removed.
func TestWriteBackAtTheEnd(t *testing.T) {
	w, _ := newFileWorld(t)
	w.addFile("a", map[string]any{"type": 1, "password": filePassword})
	for range 4 {
		w.force("a") // faster than files are written
	}
	w.reload("a")

	w.must(proto.Request{Type: proto.TypeRemove, Account: "a"})
	w.addFile("a", map[string]any{"type": 1, "password": filePassword})
	for range 3 {
		w.force("a")
	}
	w.must(proto.Request{Type: proto.TypeRemove, Account: "a"})
	if _, found, err := w.passwords.entry(t.Context(), "a"); found || err != nil {
		t.Errorf("the password outlives the login: %v, %v", found, err)
	}
	w.reload("a")
}

// TestWriteBackOfUnloaded: nobody has written anything when the login is removed, and it is found all the same.
func TestWriteBackOfUnloaded(t *testing.T) {
	w, _ := newFileWorld(t)
	w.addFile("a", map[string]any{"type": 1, "password": filePassword})
	w.files.turn <- struct{}{} // the background waits
	w.force("a")
	go func() { time.Sleep(50 * time.Millisecond); <-w.files.turn }()
	w.must(proto.Request{Type: proto.TypeRemove, Account: "a"})
	w.reload("a")
}

// TestDeletedFileStaysAway: a client removes the account file when its delete request was answered; the answer waits for
// a writing that is under way, which would bring the file back.
func TestDeletedFileStaysAway(t *testing.T) {
	w, _ := newFileWorld(t)
	w.addFile("a", map[string]any{"type": 1, "password": filePassword})
	w.files.turn <- struct{}{} // somebody is writing
	w.force("a")
	answered := make(chan proto.Reply, 1)
	config := w.openFile("a")
	go func() { answered <- w.ask(proto.Request{Type: proto.TypeDelete, Config: config}) }()
	select {
	case <-answered:
		t.Error("the answer did not wait")
	case <-time.After(200 * time.Millisecond):
	}
	<-w.files.turn
	if rep := <-answered; rep.Error != "" {
		t.Fatal(rep.Error)
	}
	if err := login.RemoveAccount(w.dir, "a"); err != nil {
		t.Fatal(err)
	}
	w.end(w.Service)
	if _, err := os.Stat(filepath.Join(w.dir, "a")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the file is there again: %v", err)
	}
}

// TestWriteBackWithoutPassword: nobody is asked, the file stays as it is, and one line of the log says so.
func TestWriteBackWithoutPassword(t *testing.T) {
	for name, entry := range map[string]map[string]any{
		"no_entry":       nil,
		"prompt_only":    {"type": 8},
		"wrong_password": {"type": 9, "password": "wrong"},
		"expired":        {"type": 9, "password": filePassword, "expires_at": 1},
		"not_in_type":    {"type": 8, "password": filePassword, "command": "echo " + filePassword},
		"broken_command": {"type": 12, "command": "/does/not/exist"},
		"relative_file":  {"type": 24, "pw_file": "pw"},
		"missing_file":   {"type": 24, "pw_file": "/does/not/exist"},
	} {
		t.Run(name, func(t *testing.T) {
			w, l := newFileWorld(t)
			before := w.rawFile("a")
			w.addFile("a", entry)
			for range 3 {
				w.force("a")
			}
			w.end(w.Service)
			if !bytes.Equal(before, w.rawFile("a")) {
				t.Error("the file was changed")
			}
			if n := l.count("no password for the account file is at hand"); n != 1 {
				t.Errorf("warned %d times", n)
			}
			if l.count("saved nowhere") != 1 {
				t.Error("nobody was told that the login ends")
			}
		})
	}
}

// TestPasswordComesLater: a second add brings the password, and the file that has fallen behind is written.
func TestPasswordComesLater(t *testing.T) {
	w, _ := newFileWorld(t)
	w.addFile("a", map[string]any{"type": 8})
	w.force("a")
	w.addFile("a", map[string]any{"type": 9, "password": filePassword})
	w.upToDate("a")
	w.addFile("a", map[string]any{"type": 8}) // finds no password by itself, and takes none away
	w.force("a")
	w.upToDate("a")
}

// TestTwoAgents: what another agent has written is taken over before anything is sent, and never overwritten.
func TestTwoAgents(t *testing.T) {
	entry := map[string]any{"type": 9, "password": filePassword}
	t.Run("the_other_rotated", func(t *testing.T) {
		w, _ := newFileWorld(t)
		w.addFile("a", entry)
		w.force("a")
		w.upToDate("a")
		// The other agent loads the file, rotates, and writes what it got.
		mine := w.Service
		w.restart(Switches{})
		w.addFile("a", entry)
		w.force("a")
		w.upToDate("a")
		w.end(w.Service)
		file := w.rawFile("a")

		w.Service = mine
		w.force("a") // with the token from before, the provider would have ended the login
		w.upToDate("a")
		if bytes.Equal(file, w.rawFile("a")) {
			t.Error("what came after was not written")
		}
	})
	t.Run("somebody_logged_in_again", func(t *testing.T) {
		w, _ := newFileWorld(t)
		w.addFile("a", entry)
		w.endLogin("a")
		w.writeFile("a", map[string]any{"refresh_token": w.refreshToken()})
		w.force("a")
	})
	t.Run("the_provider_refuses_ours", func(t *testing.T) {
		w, _ := newFileWorld(t)
		w.addFile("a", entry)
		w.writeFile("a", map[string]any{"refresh_token": w.refreshToken()})
		w.files.forget("a") // so that nothing but the refusal can make us look
		w.endLogin("a")
		w.writeFile("a", map[string]any{"refresh_token": w.refreshToken()})
		w.force("a")
	})
	t.Run("our_writing_was_undone", func(t *testing.T) {
		w, _ := newFileWorld(t)
		old := w.rawFile("a")
		w.addFile("a", entry)
		w.force("a")
		w.upToDate("a")
		if err := login.WriteAccount(w.dir, "a", old); err != nil {
			t.Fatal(err)
		}
		w.force("a")
		w.upToDate("a")
	})
	t.Run("the_file_is_for_another_client", func(t *testing.T) {
		w, _ := newFileWorld(t)
		w.addFile("a", entry)
		w.writeFile("a", map[string]any{"refresh_token": "theirs", "client_id": "another"})
		before := w.rawFile("a")
		w.force("a")
		w.force("a")
		w.end(w.Service)
		if !bytes.Equal(before, w.rawFile("a")) {
			t.Error("the file was changed")
		}
	})
	t.Run("the_file_was_removed", func(t *testing.T) {
		w, _ := newFileWorld(t)
		w.addFile("a", entry)
		if err := os.Remove(filepath.Join(w.dir, "a")); err != nil {
			t.Fatal(err)
		}
		w.force("a")
		w.end(w.Service)
		if _, err := os.Stat(filepath.Join(w.dir, "a")); err == nil {
			t.Error("it came back")
		}
	})
}

// TestStaleFileLives: a login from an account file that nobody can write to lives on over restarts of the agent, because
// the keystore has its newest refresh token.
func TestStaleFileLives(t *testing.T) {
	prompt := map[string]any{"type": 8}
	t.Run("keystore_was_open", func(t *testing.T) {
		w, _ := newFileWorld(t)
		w.makeKeystore()
		for range 3 {
			w.addFile("a", prompt)
			w.force("a")
			w.force("a")
			w.must(proto.Request{Type: proto.TypeRemove, Account: "a"})
			w.end(w.Service)
			w.restart(Switches{})
			w.unlockKeystore()
			w.refused(proto.Request{Type: proto.TypeAccessToken, Account: "a"}, proto.TextNotLoaded)
		}
	})
	t.Run("keystore_was_opened_later", func(t *testing.T) {
		w, _ := newFileWorld(t)
		w.makeKeystore()
		w.end(w.Service)
		w.restart(Switches{})
		w.addFile("a", prompt)
		w.force("a")
		w.unlockKeystore()
		w.force("a")
		w.end(w.Service)
		w.restart(Switches{})
		w.unlockKeystore()
		w.force("a") // it was not unloaded, so it is back
		w.must(proto.Request{Type: proto.TypeRemove, Account: "a"})
		w.addFile("a", prompt) // with a token from before the keystore was open
		w.force("a")
	})
	t.Run("keystore_is_locked_when_it_is_added_again", func(t *testing.T) {
		w, _ := newFileWorld(t)
		w.makeKeystore()
		w.addFile("a", prompt)
		w.force("a")
		w.end(w.Service)
		w.restart(Switches{})
		before := w.refreshes()
		rep := w.ask(proto.Request{Type: proto.TypeAdd, Config: w.openFile("a")})
		if !strings.Contains(rep.Error, "old refresh token") || !strings.Contains(rep.Info.Text(), "--unlock") {
			t.Errorf("%q, %q", rep.Error, rep.Info.Text())
		}
		if n := w.refreshes() - before; n != 0 {
			t.Errorf("%d requests were sent", n)
		}
		w.writeFile("b", map[string]any{"name": "b", "refresh_token": w.refreshToken()})
		w.addFile("b", prompt) // another one is no matter of the keystore
		w.unlockKeystore()
		w.addFile("a", prompt)
		w.force("a")
	})
	t.Run("a_lifetime_is_kept", func(t *testing.T) {
		w, _ := newFileWorld(t)
		w.makeKeystore()
		w.must(proto.Request{Type: proto.TypeAdd, Config: w.openFile("a"), Lifetime: 600, HasLifetime: true})
		w.end(w.Service)
		w.restart(Switches{})
		w.unlockKeystore()
		w.token("a")
		w.clock.add(11 * time.Minute)
		w.refused(proto.Request{Type: proto.TypeAccessToken, Account: "a"}, proto.TextNotLoaded)
		w.end(w.Service)
		w.restart(Switches{})
		w.unlockKeystore()
		w.refused(proto.Request{Type: proto.TypeAccessToken, Account: "a"}, proto.TextNotLoaded)
	})
	t.Run("a_saved_login_is_not_touched", func(t *testing.T) {
		w, _ := newFileWorld(t)
		w.makeKeystore()
		w.save("a", map[string]any{"refresh_token": w.refreshToken()})
		w.must(proto.Request{Type: proto.TypeRemove, Account: "a"})
		w.addFile("a", prompt) // another grant than the saved one
		w.force("a")
		w.end(w.Service)
		w.restart(Switches{})
		w.unlockKeystore()
		w.force("a")
		list, err := w.Admin().Logins(t.Context())
		if err != nil || len(list) != 1 || !list[0].Stored || list[0].FromFile {
			t.Errorf("%+v, %v", list, err)
		}
	})
}

// TestPasswordForATime: one that was kept for a time is asked for again when that is over, and then kept for as long once
// more. One that was never to be kept is not.
func TestPasswordForATime(t *testing.T) {
	w, _ := newFileWorld(t)
	kept := func() string {
		e, _, err := w.passwords.entry(t.Context(), "a")
		if err != nil {
			t.Fatal(err)
		}
		return e.Password
	}
	w.addFile("a", map[string]any{"type": 9, "password": filePassword, "expires_after": 60})
	if kept() != filePassword {
		t.Error("it is not there")
	}
	w.clock.add(61 * time.Second)
	if kept() != "" {
		t.Error("it is there after its time")
	}
	if err := w.passwords.keep(t.Context(), "a", secret.FromString(filePassword)); err != nil || kept() != filePassword {
		t.Errorf("typed again, and not kept: %v", err)
	}
	w.clock.add(61 * time.Second)
	if kept() != "" {
		t.Error("it is there after its second time")
	}
	w.must(proto.Request{Type: proto.TypeRemove, Account: "a"})
	w.addFile("a", map[string]any{"type": 8})
	if err := w.passwords.keep(t.Context(), "a", secret.FromString(filePassword)); err != nil || kept() != "" {
		t.Errorf("kept without being told to: %v", err)
	}
}

// TestLockKeepsPasswords: they are put away with everything else, and are there again after unlock.
func TestLockKeepsPasswords(t *testing.T) {
	w, _ := newFileWorld(t)
	w.addFile("a", map[string]any{"type": 9, "password": filePassword})
	word := secret.FromString("sesame")
	w.must(proto.Request{Type: proto.TypeLock, Password: word})
	if _, found, err := w.passwords.entry(t.Context(), "a"); found || err == nil {
		t.Error("a locked agent has the password")
	}
	w.must(proto.Request{Type: proto.TypeUnlock, Password: word})
	w.force("a")
	w.upToDate("a")
}
