package service

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/agent/control"
	"github.com/oidcbox/oidcbox/core/agent/proto"
	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/oidc/issuer"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/secret/keystore"
	"github.com/oidcbox/oidcbox/core/secret/vault"
	"github.com/oidcbox/oidcbox/core/transport/sock"
)

func (w *world) save(name string, more map[string]any) {
	w.t.Helper()
	if err := w.Admin().SaveLogin(context.Background(), w.account(name, more)); err != nil {
		w.t.Fatal(err)
	}
}

func codeOf(err error) int {
	var ce *cli.Error
	if err == nil {
		return cli.OK
	}
	if !errors.As(err, &ce) {
		return -1
	}
	return ce.Code
}

// TestSavedLoginSurvives: what is in the keystore is served again after a restart, with the refresh token as it was
// rotated last.
func TestSavedLoginSurvives(t *testing.T) {
	w := newWorld(t)
	w.makeKeystore()
	w.save("a", map[string]any{"refresh_token": w.refreshToken()})
	force := proto.Request{Type: proto.TypeAccessToken, Account: "a", MinValid: proto.ForceNew}
	for range 3 {
		w.must(force)
	}
	for range 3 {
		w.end(w.Service)
		w.restart(Switches{})
		rep := w.refused(force, proto.TextNotLoaded)
		if !strings.Contains(rep.Info.Text(), "unlock") {
			t.Errorf("a locked keystore: help %q does not say what to do", rep.Info.Text())
		}
		w.unlockKeystore()
		w.must(force)
	}
}

// TestLockedKeystoreStillServes: an agent whose keystore is locked works for what is loaded over its socket.
func TestLockedKeystoreStillServes(t *testing.T) {
	w := newWorld(t)
	w.makeKeystore()
	w.end(w.Service)
	w.restart(Switches{})
	w.add("a", nil)
	w.token("a")
	if err := w.Admin().SaveLogin(t.Context(), w.account("a", nil)); codeOf(err) != cli.Human {
		t.Errorf("saving into a locked keystore: %v", err)
	}
}

// TestSaveTakesTheNewestToken: between gen's answer and its saving, a client may have made the token rotate.
func TestSaveTakesTheNewestToken(t *testing.T) {
	w := newWorld(t)
	w.makeKeystore()
	rt := w.refreshToken()
	w.add("a", map[string]any{"refresh_token": rt})
	w.save("a", map[string]any{"refresh_token": rt})
	w.must(proto.Request{Type: proto.TypeAccessToken, Account: "a", MinValid: proto.ForceNew})
	if _, _, err := w.memory().config(t.Context(), "a"); !errors.Is(err, ErrUnknownLogin) {
		t.Errorf("the login is in memory as well: %v", err)
	}
}

// TestAddOfSupersededToken: an account file goes stale when the provider rotates; sending its token would end the login.
func TestAddOfSupersededToken(t *testing.T) {
	w := newWorld(t)
	w.makeKeystore()
	rt := w.refreshToken()
	w.save("a", map[string]any{"refresh_token": rt})
	force := proto.Request{Type: proto.TypeAccessToken, Account: "a", MinValid: proto.ForceNew}
	w.must(force)
	w.must(force)
	w.must(proto.Request{Type: proto.TypeRemove, Account: "a"})
	w.refused(force, proto.TextNotLoaded)
	w.must(proto.Request{Type: proto.TypeAdd, Config: w.account("a", map[string]any{"refresh_token": rt})})
	w.must(force)
}

func TestRemoveKeepsTheSavedLogin(t *testing.T) {
	w := newWorld(t)
	w.makeKeystore()
	w.save("a", map[string]any{"refresh_token": w.refreshToken()})
	w.must(proto.Request{Type: proto.TypeRemoveAll})
	if got := w.loaded(); len(got) != 0 {
		t.Errorf("loaded %v", got)
	}
	life := int64(60)
	info, err := w.Admin().LoadLogin(t.Context(), "a", control.LoadOptions{Lifetime: &life})
	if err != nil || info != "Lifetime set to 60 seconds" {
		t.Fatalf("load: %q, %v", info, err)
	}
	w.token("a")
	if _, err := w.Admin().LoadLogin(t.Context(), "nope", control.LoadOptions{}); codeOf(err) != cli.NotFound {
		t.Errorf("load of nothing: %v", err)
	}
}

// TestLoadTriesAgain: a provider that refused a login in an outage has not ended it when a person asks once more; a
// program that asks for a token does not bother the provider again.
func TestLoadTriesAgain(t *testing.T) {
	w := newWorld(t)
	w.makeKeystore()
	w.save("a", map[string]any{"refresh_token": w.refreshToken()})
	w.op.Fault(issuer.Fault{Path: "/token", Status: 400, Body: `{"error":"invalid_grant"}`})
	force := proto.Request{Type: proto.TypeAccessToken, Account: "a", MinValid: proto.ForceNew}
	w.ask(force)
	if _, err := w.Admin().LoadLogin(t.Context(), "a", control.LoadOptions{}); codeOf(err) != cli.Human {
		t.Errorf("load during the outage: %v", err)
	}
	w.op.ClearFaults()
	asked := w.refreshes()
	if rep := w.ask(force); rep.Error == "" || w.refreshes() != asked {
		t.Errorf("a program asked the provider again: %q", rep.Error)
	}
	if _, err := w.Admin().LoadLogin(t.Context(), "a", control.LoadOptions{}); err != nil {
		t.Errorf("load after the outage: %v", err)
	}
	w.must(force)
}

func TestAdmin(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	a := w.Admin()
	state := func() string { st, _ := a.Status(ctx); return st.Keystore }
	if state() != control.KeystoreAbsent {
		t.Errorf("state %q before there is one", state())
	}
	if err := a.Unlock(ctx, control.Unlock{Passphrase: secret.FromString("x")}); err == nil {
		t.Error("unlocked what is not there")
	}
	if err := a.RemoveLogin(ctx, "stored"); codeOf(err) != cli.NotFound {
		t.Errorf("remove without a keystore: %v", err)
	}
	w.makeKeystore()
	if err := a.Create(ctx, secret.FromString("x")); !errors.Is(err, ErrKeystoreExists) {
		t.Errorf("create a second one: %v", err)
	}
	w.save("stored", map[string]any{"refresh_token": w.refreshToken()})
	w.add("memory", nil)
	list, err := a.Logins(ctx)
	if err != nil || len(list) != 2 || list[0].Name != "memory" || list[0].Stored || !list[1].Stored || !list[1].Loaded {
		t.Errorf("logins %+v, %v", list, err)
	}
	config, err := a.ExportLogin(ctx, "stored")
	if err != nil || !strings.Contains(config.Expose(), `"refresh_token":"`) {
		t.Errorf("export: %v", err)
	}
	if err := a.Lock(ctx); err != nil {
		t.Fatal(err)
	}
	if state() != control.KeystoreLocked || !slices.Equal(w.loaded(), []string{"memory"}) {
		t.Errorf("locked: state %q, loaded %v", state(), w.loaded())
	}
	if err := a.Unlock(ctx, control.Unlock{Passphrase: secret.FromString("wrong")}); !errors.Is(err, keystore.ErrWrongPassphrase) ||
		codeOf(err) != cli.Denied {
		t.Errorf("wrong passphrase: %v", err)
	}
	w.unlockKeystore()
	if err := a.RemoveLogin(ctx, "stored"); err != nil {
		t.Error(err)
	}
	if err := a.RemoveLogin(ctx, "stored"); codeOf(err) != cli.NotFound {
		t.Errorf("remove twice: %v", err)
	}
	slots, err := a.Slots(ctx)
	if err != nil || len(slots) != 1 || slots[0].Kind != "passphrase" {
		t.Errorf("slots %+v, %v", slots, err)
	}
	tok, err := a.Token(ctx, control.TokenRequest{Login: "memory"})
	if err != nil || tok.Access.Empty() {
		t.Errorf("token: %v", err)
	}
}

// storedToken is the name of the refresh token that the keystore holds, and the client in the row.
func (w *world) storedToken(name string) (id, client string) {
	w.t.Helper()
	sh, err := w.keystore()
	if err != nil {
		w.t.Fatal(err)
	}
	st, err := sh.keeper.State(w.t.Context(), name)
	if err != nil {
		w.t.Fatal(err)
	}
	cfg, _, err := sh.config(w.t.Context(), name)
	if err != nil {
		w.t.Fatal(err)
	}
	return st.TokenID, cfg.ClientID
}

// TestRenewedLoginIsSavedByControl: what comes over the agent's socket, which may be forwarded, is served from memory;
// the keystore takes it when its owner says so.
func TestRenewedLoginIsSavedByControl(t *testing.T) {
	w := newWorld(t)
	w.makeKeystore()
	w.save("a", map[string]any{"refresh_token": w.refreshToken()})
	before, _ := w.storedToken("a")
	rep := w.must(proto.Request{Type: proto.TypeReauthenticate, Account: "a", Flow: []string{"code"}})
	visit(t, w.op.Login(rep.URI, "alice"))
	done := w.eventually(proto.Request{Type: proto.TypeStateLookup, State: rep.State},
		func(r proto.Reply) bool { return !r.Config.Empty() })
	force := proto.Request{Type: proto.TypeAccessToken, Account: "a", MinValid: proto.ForceNew}
	w.must(force)
	if now, _ := w.storedToken("a"); now != before {
		t.Error("the keystore holds another refresh token")
	}
	if err := w.Admin().SaveLogin(t.Context(), done.Config); err != nil {
		t.Fatal(err)
	}
	if now, _ := w.storedToken("a"); now == before {
		t.Error("the new refresh token was not saved")
	}
	w.end(w.Service)
	w.restart(Switches{})
	w.unlockKeystore()
	w.must(force)
}

// TestSocketCannotChangeTheKeystore: none of the requests of the agent's socket replaces, removes or revokes a login
// that the keystore holds.
func TestSocketCannotChangeTheKeystore(t *testing.T) {
	w := newWorld(t)
	w.makeKeystore()
	w.save("a", map[string]any{"refresh_token": w.refreshToken()})
	token, client := w.storedToken("a")
	foreign := map[string]any{"refresh_token": w.refreshToken(), "client_secret": "web-secret", "scope": "openid"}
	for name, attack := range map[string]func(){
		"delete":         func() { w.ask(proto.Request{Type: proto.TypeDelete, Config: w.account("a", foreign)}) },
		"delete_without": func() { w.ask(proto.Request{Type: proto.TypeDelete, Config: w.account("a", nil)}) },
		"remove":         func() { w.must(proto.Request{Type: proto.TypeRemove, Account: "a"}) },
		"add_of_the_same_name": func() {
			w.must(proto.Request{Type: proto.TypeRemove, Account: "a"})
			w.must(proto.Request{Type: proto.TypeAdd, Config: w.account("a", foreign)})
			w.must(proto.Request{Type: proto.TypeDelete, Config: w.account("a", foreign)})
		},
		"gen": func() {
			w.must(proto.Request{Type: proto.TypeGen, Flow: []string{"refresh"}, Config: w.account("a", map[string]any{
				"refresh_token": w.refreshToken(),
			})})
		},
		"gen_that_fails": func() {
			w.ask(proto.Request{Type: proto.TypeGen, Flow: []string{"refresh"}, Config: w.account("a", map[string]any{
				"refresh_token": "made-up",
			})})
			if l, ok := w.logins.get("a"); !ok || !l.stored {
				t.Error("the saved login is not served any more")
			}
		},
		"reauthenticate": func() {
			rep := w.must(proto.Request{Type: proto.TypeReauthenticate, Account: "a", Flow: []string{"code"}})
			visit(t, w.op.Login(rep.URI, "bob"))
			w.eventually(proto.Request{Type: proto.TypeStateLookup, State: rep.State},
				func(r proto.Reply) bool { return r.Status != proto.StatusNotFound })
		},
	} {
		t.Run(name, func(t *testing.T) {
			attack()
			if now, c := w.storedToken("a"); now != token || c != client {
				t.Errorf("token %s of client %s has become %s of %s", token, client, now, c)
			}
			w.end(w.Service)
			w.restart(Switches{})
			w.unlockKeystore()
			w.must(proto.Request{Type: proto.TypeAccessToken, Account: "a", MinValid: proto.ForceNew})
			token, client = w.storedToken("a") // rotated
		})
	}
}

// TestDeleteOfASavedLogin: who knows the refresh token, from the control socket, may have it revoked.
func TestDeleteOfASavedLogin(t *testing.T) {
	w := newWorld(t)
	w.makeKeystore()
	w.save("a", map[string]any{"refresh_token": w.refreshToken()})
	config, err := w.Admin().ExportLogin(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	w.must(proto.Request{Type: proto.TypeDelete, Config: config})
	if _, err := w.Admin().LoadLogin(t.Context(), "a", control.LoadOptions{}); codeOf(err) != cli.Human {
		t.Errorf("a revoked login was loaded: %v", err)
	}
}

// TestLockWithKeystore: after the agent's own unlock, saved and loaded logins are all there again, by its password alone.
func TestLockWithKeystore(t *testing.T) {
	w := newWorld(t)
	w.makeKeystore()
	w.save("stored", map[string]any{"refresh_token": w.refreshToken()})
	w.add("memory", nil)
	if rep := w.lockWith("swordfish"); rep.Error != "" {
		t.Fatal(rep.Error)
	}
	if _, err := w.Admin().ExportLogin(t.Context(), "stored"); codeOf(err) != cli.Human {
		t.Errorf("export from a locked agent: %v", err)
	}
	sh, err := w.keystore()
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := sh.config(t.Context(), "stored"); !errors.Is(err, vault.ErrLocked) {
		t.Errorf("reading a saved login behind the lock: %v, want vault.ErrLocked", err)
	}
	if _, err := sh.keeper.Token(t.Context(), "stored"); !errors.Is(err, vault.ErrLocked) {
		t.Errorf("reading its refresh token behind the lock: %v, want vault.ErrLocked", err)
	}
	cred := keystore.Passphrase(secret.FromString(passphrase))
	if err := w.OpenKeystore(t.Context(), cred); !errors.Is(err, ErrLocked) {
		t.Errorf("a locked agent opened its keystore: %v", err)
	}
	if rep := w.unlockWith("wrong"); rep.Error != proto.TextWrongPassword {
		t.Errorf("wrong password: %q", rep.Error)
	}
	if rep := w.unlockWith("swordfish"); rep.Error != "" {
		t.Fatal(rep.Error)
	}
	w.token("memory")
	w.must(proto.Request{Type: proto.TypeAccessToken, Account: "stored", MinValid: proto.ForceNew})
}

// TestLockSavesTheRefreshInFlight: the refresh token that comes while the agent is being locked is in the file before
// the keys go.
func TestLockSavesTheRefreshInFlight(t *testing.T) {
	w := newWorld(t)
	w.makeKeystore()
	w.save("a", map[string]any{"refresh_token": w.refreshToken()})
	w.op.Fault(issuer.Fault{Path: "/token", Delay: 300 * time.Millisecond})
	force := proto.Request{Type: proto.TypeAccessToken, Account: "a", MinValid: proto.ForceNew}
	asked := w.refreshes()
	// Whoever asked has gone: the refresh goes on.
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { w.Handle(ctx, sock.Peer{}, force) })
	for w.refreshes() == asked {
		time.Sleep(time.Millisecond)
	}
	cancel()
	wg.Wait()
	if rep := w.lockWith("swordfish"); rep.Error != "" {
		t.Fatal(rep.Error)
	}
	w.op.ClearFaults()
	// Unlocked by nobody: a new agent has only the file.
	w.end(w.Service)
	w.restart(Switches{})
	w.unlockKeystore()
	w.must(force)
}
