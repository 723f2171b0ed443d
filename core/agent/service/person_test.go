package service

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/agent/proto"
)

// byDevice runs a device flow that user approves.
func (w *world) byDevice(r proto.Request, user string) proto.Reply {
	w.t.Helper()
	r.Flow = []string{flowDevice}
	rep := w.must(r)
	var uri string
	err := rep.Device.Use(func(b []byte) error { return unmarshalMember(b, "verification_uri_complete", &uri) })
	if err != nil {
		w.t.Fatal(err)
	}
	w.op.ApproveDevice(uri, user)
	time.Sleep(1100 * time.Millisecond)
	return w.ask(proto.Request{Type: proto.TypeDevice, Device: rep.Device})
}

// TestOtherPerson: a login keeps its owner, in memory and in the keystore, also when the agent starts anew.
func TestOtherPerson(t *testing.T) {
	w := newWorld(t)
	gen := proto.Request{Type: proto.TypeGen, Config: w.account("a", nil)}
	again := proto.Request{Type: proto.TypeReauthenticate, Account: "a"}
	rep := w.byDevice(gen, "alice")
	if rep.Error != "" {
		t.Fatal(rep.Error)
	}
	alice := subject(t, w.token("a"))
	refuses := func(where string) {
		t.Helper()
		for _, r := range []proto.Request{gen, again} {
			rep := w.byDevice(r, "bob")
			if !strings.Contains(rep.Error, "another person") || !strings.Contains(rep.Info.Text(), "--delete a") {
				t.Errorf("%s: %s by bob: %q, %q", where, r.Type, rep.Error, rep.Info.Text())
			}
		}
		rep := w.must(proto.Request{Type: proto.TypeAccessToken, Account: "a", MinValid: proto.ForceNew})
		if got := subject(t, rep.AccessToken.Expose()); got != alice {
			t.Errorf("%s: the login is one of %s", where, got)
		}
	}
	refuses("in memory")
	w.makeKeystore()
	if err := w.Admin().SaveLogin(context.Background(), rep.Config); err != nil {
		t.Fatal(err)
	}
	w.end(w.Service)
	w.restart(Switches{})
	w.unlockKeystore()
	refuses("in the keystore")
	if rep := w.byDevice(again, "alice"); rep.Error != "" {
		t.Errorf("alice herself: %q", rep.Error)
	}
}

// TestRefreshOfSomebodyElse: OpenID Connect Core 12.2.
func TestRefreshOfSomebodyElse(t *testing.T) {
	w := newWorld(t)
	w.add("a", nil)
	ctx := context.Background()
	owner := func(sub string) {
		t.Helper()
		cfg, _, err := w.memory().config(ctx, "a")
		if err != nil {
			t.Fatal(err)
		}
		if err := w.memory().save(ctx, cfg, loaded{name: "a", subject: sub}); err != nil {
			t.Fatal(err)
		}
	}
	force := proto.Request{Type: proto.TypeAccessToken, Account: "a", MinValid: proto.ForceNew}
	owner("somebody else")
	if rep := w.ask(force); !strings.Contains(rep.Error, "another person") || !rep.AccessToken.Empty() {
		t.Errorf("error %q", rep.Error)
	}
	owner("")
	w.must(force) // the login is kept
}
