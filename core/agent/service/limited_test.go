package service

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/agent/control"
	"github.com/oidcbox/oidcbox/core/agent/prompt"
	"github.com/oidcbox/oidcbox/core/agent/proto"
	"github.com/oidcbox/oidcbox/core/transport/sock"
)

// through asks a handler as Serve does.
func through(h proto.Handler, r proto.Request) proto.Reply {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if now, ok := h.(proto.PromptHandler); ok {
		if rep, ok := now.HandleNow(ctx, sock.Peer{}, r); ok {
			return rep
		}
	}
	return h.Handle(ctx, sock.Peer{}, r)
}

func TestLimitedGivesTokensOnly(t *testing.T) {
	w := newWorld(t)
	w.add("open", nil)
	w.add("closed", nil)
	h := w.Limited(Limit{Logins: []string{"open", "absent"}})
	for _, account := range []string{"open", "open"} { // the second from the cache
		rep := through(h, proto.Request{Type: proto.TypeAccessToken, Account: account})
		if rep.Error != "" || rep.AccessToken.Empty() {
			t.Errorf("token of %s: %s", account, rep.Error)
		}
	}
	// closed was loaded last, but here there is none but open.
	rep := through(h, proto.Request{Type: proto.TypeAccessToken, Issuer: w.op.URL})
	if rep.AccessToken.Expose() != w.token("open") {
		t.Errorf("by issuer: not the token of the login that is open (%s)", rep.Error)
	}
	if rep := through(h, proto.Request{Type: proto.TypeCheck}); rep.Error != "" {
		t.Errorf("check: %s", rep.Error)
	}
	if got := string(through(h, proto.Request{Type: proto.TypeLoadedAccounts}).Info); got != `["open"]` {
		t.Errorf("loaded accounts: %s", got)
	}
	info := string(through(h, proto.Request{Type: proto.TypeAccountInfo}).Info)
	if strings.Contains(info, "closed") || !strings.Contains(info, "open") {
		t.Errorf("account info: %s", info)
	}
	for _, kind := range []string{
		proto.TypeAdd, proto.TypeRemove, proto.TypeRemoveAll, proto.TypeLock, proto.TypeUnlock, proto.TypeStatus,
		proto.TypeStatusJSON, proto.TypeGen, proto.TypeReauthenticate, proto.TypeCodeExchange, proto.TypeStateLookup,
		proto.TypeDevice, proto.TypeRegister, proto.TypeDelete, proto.TypeDeleteClient, proto.TypeScopes,
		proto.TypeMytokenProviders, proto.TypeTermHTTPServer, proto.TypeFileWrite, proto.TypeFileRead, proto.TypeFileRemove,
		"", "nonsense",
	} {
		rep := through(h, proto.Request{Type: kind, Account: "open", Config: w.account("x", nil)})
		if rep.Error != proto.TextForbidden {
			t.Errorf("%q: %q", kind, rep.Error)
		}
	}
	w.must(proto.Request{Type: proto.TypeRemove, Account: "open"})
}

// TestLimitedDoesNotTell: a login that is not open looks like one that does not exist, whatever it is.
func TestLimitedDoesNotTell(t *testing.T) {
	w := newWorld(t)
	w.makeKeystore()
	w.add("closed", nil)
	stored := w.account("stored", map[string]any{"refresh_token": w.refreshToken()})
	if err := w.Admin().SaveLogin(t.Context(), stored); err != nil {
		t.Fatal(err)
	}
	h := w.Limited(Limit{Logins: []string{"open"}})
	for _, kind := range []string{proto.TypeAccessToken, proto.TypeIDToken, proto.TypeMytoken} {
		for _, name := range []string{"closed", "stored"} {
			want := through(h, proto.Request{Type: kind, Account: "nowhere"})
			got := through(h, proto.Request{Type: kind, Account: name})
			help := strings.ReplaceAll(got.Info.Text(), name, "nowhere")
			if got.Error != proto.TextNotConfigured || got.Error != want.Error || got.Status != want.Status || help != want.Info.Text() {
				t.Errorf("%s of %s: %s (%s), of one that does not exist: %s (%s)", kind, name, got.Error, help, want.Error, want.Info.Text())
			}
		}
	}
	if rep := through(h, proto.Request{Type: proto.TypeAccessToken, Issuer: w.op.URL}); rep.Error != proto.TextNotLoaded {
		t.Errorf("by issuer: %q", rep.Error)
	}
	// One that was unloaded is loaded from the open keystore where it is named and the person agrees; without names
	// nothing is.
	ask := proto.Request{Type: proto.TypeAccessToken, Account: "stored"}
	w.Admin().s.logins.remove("stored")
	if rep := through(w.Limited(Limit{}), ask); rep.Error != proto.TextNotConfigured {
		t.Errorf("stored without names: %q", rep.Error)
	}
	named := w.Limited(Limit{Logins: []string{"stored"}})
	if rep := through(named, ask); rep.Error != proto.TextNotLoaded {
		t.Errorf("stored and named, with nobody to ask: %q", rep.Error)
	}
	w.opts.Asker = &askedPerson{yes: true}
	if rep := through(named, ask); rep.Error != "" {
		t.Errorf("stored and named: %q", rep.Error)
	}
}

// asked is a person at the agent's screen.
type askedPerson struct {
	yes       bool
	questions []prompt.Question
}

func (a *askedPerson) Ask(_ context.Context, q prompt.Question) (prompt.Answer, error) {
	a.questions = append(a.questions, q)
	return prompt.Answer{Yes: a.yes}, nil
}

// TestLimitedAsks: the person is asked on the agent's screen before each token where that is wanted, and always for ID
// tokens; never at the terminal of a client that may be on another host.
func TestLimitedAsks(t *testing.T) {
	w := newWorld(t)
	person := &askedPerson{}
	w.asker = person
	w.restart(Switches{AlwaysAllowIDToken: true})
	w.add("a", nil)
	h := w.Limited(Limit{Confirm: true, Via: "/run/share.sock"})
	for i, kind := range []string{proto.TypeAccessToken, proto.TypeAccessToken, proto.TypeIDToken} {
		rep := through(h, proto.Request{Type: kind, Account: "a", Relay: "from-over-there"})
		if rep.Error != proto.TextForbidden || rep.Ask != "" || len(person.questions) != i+1 {
			t.Fatalf("%s: %q, asked %d times, relayed %q", kind, rep.Error, len(person.questions), rep.Ask)
		}
		if q := person.questions[i]; q.Kind != prompt.Confirm || !strings.Contains(q.Text, "/run/share.sock") {
			t.Errorf("the question does not say where it comes from: %+v", q)
		}
	}
	person.yes = true
	if rep := through(h, proto.Request{Type: proto.TypeAccessToken, Account: "a"}); rep.Error != "" {
		t.Errorf("after a yes: %q", rep.Error)
	}
}

func TestFront(t *testing.T) {
	w := newWorld(t)
	w.add("a", nil)
	other := false
	h := w.Front(func(sock.Peer) bool { return other })
	for _, other = range []bool{false, true, false} {
		if rep := through(h, proto.Request{Type: proto.TypeAccessToken, Account: "a"}); rep.Error != "" {
			t.Errorf("other %v: %q", other, rep.Error)
		}
		if rep := through(h, proto.Request{Type: proto.TypeStatus}); (rep.Error == proto.TextForbidden) != other {
			t.Errorf("other %v: status %q", other, rep.Error)
		}
	}
}

func TestShare(t *testing.T) {
	w := newWorld(t)
	w.add("a", nil)
	w.add("b", nil)
	admin := w.Admin()
	for _, bad := range []control.ShareRequest{
		{Logins: []string{"nope"}}, {Logins: []string{"../x"}}, {Seconds: -1}, {Socket: "relative"},
	} {
		if s, err := admin.Share(t.Context(), bad); err == nil {
			t.Errorf("%+v gave %+v", bad, s)
		}
	}
	one, err := admin.Share(t.Context(), control.ShareRequest{Logins: []string{"a"}, Seconds: 3600})
	if err != nil {
		t.Fatal(err)
	}
	all, err := admin.Share(t.Context(), control.ShareRequest{})
	if err != nil {
		t.Fatal(err)
	}
	ask := func(path string, r proto.Request) string {
		t.Helper()
		rep, err := proto.Client{Path: path}.Call(t.Context(), r)
		if err != nil {
			return err.Error()
		}
		return rep.Error
	}
	tokenOf := func(name string) proto.Request { return proto.Request{Type: proto.TypeAccessToken, Account: name} }
	for _, c := range []struct{ path, login, want string }{
		{one.Socket, "a", ""}, {one.Socket, "b", proto.TextNotConfigured}, {all.Socket, "a", ""}, {all.Socket, "b", ""},
	} {
		if got := ask(c.path, tokenOf(c.login)); got != c.want {
			t.Errorf("%s at %s: %q, want %q", c.login, c.path, got, c.want)
		}
	}
	if list, err := admin.Shares(t.Context()); err != nil || len(list) != 2 || list[0].Socket != one.Socket {
		t.Errorf("shares: %+v, %v", list, err)
	}
	// The wall clock passes the end while the machine sleeps, which no timer sees.
	w.clock.add(2 * time.Hour)
	if got := ask(one.Socket, tokenOf("a")); got != proto.TextForbidden {
		t.Errorf("after its time: %q", got)
	}
	if err := admin.Unshare(t.Context(), all.Socket); err != nil {
		t.Error(err)
	}
	if got := ask(all.Socket, tokenOf("a")); !strings.Contains(got, "no agent") {
		t.Errorf("after its end: %q", got)
	}
	if err := admin.Unshare(t.Context(), all.Socket); err == nil {
		t.Error("it ended twice")
	}
	w.end(w.Service)
	if got := ask(one.Socket, tokenOf("a")); !strings.Contains(got, "no agent") {
		t.Errorf("after the end of the agent: %q", got)
	}
}

// TestLimitedLeavesAlone: whoever asks until the answer is yes is not put through any more; the owner's own programs and
// other logins are.
func TestLimitedLeavesAlone(t *testing.T) {
	w := newWorld(t)
	person := &askedPerson{}
	w.asker = person
	w.restart(Switches{Confirm: true})
	w.add("a", nil)
	w.add("b", nil)
	h := w.Limited(Limit{Via: "/run/share.sock"})
	ask := func(h proto.Handler, name string) (asked bool) {
		before := len(person.questions)
		through(h, proto.Request{Type: proto.TypeAccessToken, Account: name})
		return len(person.questions) > before
	}
	for i := range maxRefusals {
		if !ask(h, "a") {
			t.Fatalf("not asked after %d refusals", i)
		}
	}
	person.yes = true
	if ask(h, "a") {
		t.Error("asked once more")
	}
	if rep := through(h, proto.Request{Type: proto.TypeAccessToken, Account: "a"}); rep.Error != proto.TextForbidden {
		t.Errorf("got %q", rep.Error)
	}
	if !ask(h, "b") || !ask(w.Service, "a") {
		t.Error("others are not asked for either")
	}
	w.clock.add(restTime)
	if !ask(h, "a") {
		t.Error("not asked after the rest")
	}
	person.yes = false
	if !ask(h, "a") {
		t.Error("a yes did not begin the count anew")
	}
}
