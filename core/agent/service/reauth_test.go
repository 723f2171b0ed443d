package service

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/agent/login"
	"github.com/oidcbox/oidcbox/core/agent/prompt"
	"github.com/oidcbox/oidcbox/core/agent/proto"
	"github.com/oidcbox/oidcbox/core/oidc/issuer"
	"github.com/oidcbox/oidcbox/core/secret"
)

// TestEndedLoginNeverWaits: the original blocks for 300 seconds where nobody can be asked.
func TestEndedLoginNeverWaits(t *testing.T) {
	for name, p := range map[string]*fakePerson{
		"without_a_screen": nil, "with_a_dead_screen": failing(prompt.ErrNobody), "refused": failing(prompt.ErrCancelled),
	} {
		t.Run(name, func(t *testing.T) {
			w, _ := newAskWorld(t, p, Switches{})
			w.add("b", nil)
			w.endLogin("b")
			begin := time.Now()
			rep := w.ask(proto.Request{Type: proto.TypeAccessToken, Account: "b", MinValid: proto.ForceNew})
			if !strings.HasPrefix(rep.Error, "invalid_grant:") || !strings.Contains(rep.Info.Text(), "oidc-gen b --reauthenticate") {
				t.Errorf("got %q, %q", rep.Error, rep.Info.Text())
			}
			if took := time.Since(begin); took > 15*time.Second { // a loaded machine is slow, not that slow
				t.Errorf("it took %v", took)
			}
		})
	}
}

// approving is a person who logs in at the provider when shown where.
func (w *world) approving() *fakePerson {
	return &fakePerson{says: func(ctx context.Context, _ int, q prompt.Question) (prompt.Answer, error) {
		if q.Kind != prompt.Link {
			return prompt.Answer{Yes: true}, nil
		}
		w.op.ApproveDevice(q.Label, "alice")
		<-ctx.Done() // the window stays until it is taken away
		return prompt.Answer{}, ctx.Err()
	}}
}

func TestEndedLoginIsRenewed(t *testing.T) {
	w := newWorld(t, func(o *issuer.Options) { o.DeviceInterval = time.Second })
	w.dir = t.TempDir()
	p := w.approving()
	w.asker = p
	w.end(w.Service)
	w.restart(Switches{})
	w.makeKeystore()
	if err := w.Admin().SaveLogin(t.Context(), w.account("b", map[string]any{"refresh_token": w.refreshToken()})); err != nil {
		t.Fatal(err)
	}
	w.endLogin("b")
	w.must(proto.Request{Type: proto.TypeAccessToken, Account: "b"})
	if q := p.questions(); len(q) != 1 || q[0].Kind != prompt.Link || !strings.Contains(q[0].Text, "login b") {
		t.Fatalf("asked %+v", q)
	}
	// It is saved where the login was: the next agent has it.
	w.end(w.Service)
	w.asker = nil
	w.restart(Switches{})
	w.unlockKeystore()
	w.must(proto.Request{Type: proto.TypeAccessToken, Account: "b", MinValid: proto.ForceNew})
}

func TestReauthenticateSwitchedOff(t *testing.T) {
	p := yes(true)
	w, _ := newAskWorld(t, p, Switches{NoReauthenticate: true})
	w.add("b", nil)
	w.endLogin("b")
	if rep := w.ask(proto.Request{Type: proto.TypeAccessToken, Account: "b", MinValid: proto.ForceNew}); rep.Error == "" {
		t.Error("got a token")
	}
	if len(p.questions()) != 0 {
		t.Error("asked all the same")
	}
}

// TestAutogen: a token by issuer, with nothing but a public client.
func TestAutogen(t *testing.T) {
	w := newWorld(t, func(o *issuer.Options) { o.DeviceInterval = time.Second })
	w.dir = t.TempDir()
	p := w.approving()
	link := p.says
	p.says = func(ctx context.Context, n int, q prompt.Question) (prompt.Answer, error) {
		if q.Kind == prompt.Input {
			return prompt.Answer{Text: secret.FromString(map[bool]string{true: "../x", false: "mine"}[q.Retry == ""])}, nil
		}
		return link(ctx, n, q)
	}
	w.asker = p
	w.end(w.Service)
	line := "native@" + w.op.URL + "@openid profile offline_access storage.read:/\n"
	if err := os.WriteFile(filepath.Join(w.dir, "pubclients.config"), []byte(line), 0o600); err != nil {
		t.Fatal(err)
	}
	issuers, err := login.LoadCatalogue(w.dir)
	if err != nil {
		t.Fatal(err)
	}
	w.issuers = func() login.Catalogue { return issuers }
	w.restart(Switches{})
	w.must(proto.Request{Type: proto.TypeAccessToken, Issuer: w.op.URL + "/", Hint: "rucio"})
	var kinds []string
	for _, q := range p.questions() {
		kinds = append(kinds, string(q.Kind))
	}
	if got := strings.Join(kinds, " "); got != "confirm input input link" {
		t.Errorf("asked %s", got)
	}
	w.token("mine")
	w.end(w.Service)
	w.restart(Switches{NoAutogen: true})
	w.refused(proto.Request{Type: proto.TypeAccessToken, Issuer: w.op.URL}, proto.TextNotLoaded)
}
