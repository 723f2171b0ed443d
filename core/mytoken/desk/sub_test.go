package desk_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/mytoken"
	"github.com/oidcbox/oidcbox/core/mytoken/desk"
	"github.com/oidcbox/oidcbox/core/mytoken/ledger"
	"github.com/oidcbox/oidcbox/core/mytoken/upstream"
	"github.com/oidcbox/oidcbox/core/secret"
)

// sub asks for a mytoken from i.
func (b *bed) sub(i *desk.Issued, more map[string]any) (*desk.Issued, error) {
	b.t.Helper()
	q := map[string]any{"grant_type": "mytoken", "name": "sub-job"}
	for k, v := range more {
		q[k] = v
	}
	raw, err := json.Marshal(q)
	if err != nil {
		b.t.Fatal(err)
	}
	return b.Sub(b.t.Context(), raw, b.caller(i))
}

func parent(rs ...map[string]any) map[string]any {
	return map[string]any{"restrictions": rs, "capabilities": []string{"AT", "create_mytoken", "tokeninfo"}}
}

func TestSub(t *testing.T) {
	t.Run("inside its parent", func(t *testing.T) {
		b := newBed(t, setup{})
		i := b.login(parent(map[string]any{"scope": "storage.read:/vo", "exp": "+1d", "usages_AT": 5}))
		child, err := b.sub(i, map[string]any{
			"restrictions": []map[string]any{{"scope": "storage.read:/vo/run7", "exp": "+1h", "usages_AT": 2}},
			"capabilities": []string{"AT", "settings"},
		})
		if err != nil {
			t.Fatal(err)
		}
		r := child.Restrictions[0]
		if r.Scope != "storage.read:/vo/run7" || *r.UsagesAT != 2 || !slices.Equal(child.Capabilities, []string{"AT"}) {
			t.Errorf("%v %q", child.Restrictions, child.Capabilities)
		}
		if at, err := b.access(child, desk.AccessRequest{}); err != nil || at.Scope != "storage.read:/vo/run7" {
			t.Errorf("%q %v", at.Scope, err)
		}
		if got := b.events(child.MOMID); !slices.Contains(got, "inherited_RT") {
			t.Errorf("%q", got)
		}
	})
}

func TestSubIsCharged(t *testing.T) {
	t.Run("an allowance is taken from the parent", func(t *testing.T) {
		f := &fake{}
		b := faked(t, f, setup{})
		i := b.login(limited(5))
		var given atomic.Int64
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				child, err := b.sub(i, map[string]any{"restrictions": []map[string]any{{"usages_AT": 2}}})
				if err != nil {
					return
				}
				for range 6 {
					if _, err := b.access(child, desk.AccessRequest{}); err == nil {
						given.Add(1)
					}
				}
			})
		}
		wg.Wait()
		for range 6 {
			if _, err := b.access(i, desk.AccessRequest{}); err == nil {
				given.Add(1)
			}
		}
		if given.Load() != 5 {
			t.Errorf("%d access tokens with 5 allowed", given.Load())
		}
	})
}

func TestSubRefused(t *testing.T) {
	t.Run("what is refused counts nothing", func(t *testing.T) {
		b := newBed(t, setup{})
		i := b.login(parent(map[string]any{"scope": "storage.read:/vo", "usages_other": 1}))
		for name, q := range map[string]map[string]any{
			"wider, and strict":  {"restrictions": []map[string]any{{"scope": "storage.read:/"}}, "error_on_restrictions": true},
			"over already":       {"restrictions": []map[string]any{{"exp": 1000}}},
			"nothing it can do":  {"capabilities": []string{"settings"}},
			"another provider":   {"oidc_issuer": "https://other.example.org"},
			"an unknown profile": {"include": []string{"nobody/nothing"}},
		} {
			t.Run(name, func(t *testing.T) {
				_, err := b.sub(i, q)
				refused(t, err, http.StatusBadRequest, desk.CodeRequest)
			})
		}
		child, err := b.sub(i, nil)
		if err != nil {
			t.Fatalf("the one use was spent: %v", err)
		}
		if !slices.Equal(child.Capabilities, []string{"AT", "create_mytoken", "tokeninfo"}) {
			t.Errorf("%q", child.Capabilities)
		}
		_, err = b.sub(i, nil)
		refused(t, err, http.StatusForbidden, desk.CodeRestricted)
	})
}

func TestSubOfRotating(t *testing.T) {
	t.Run("a parent that rotates", func(t *testing.T) {
		b := newBed(t, setup{})
		q := parent()
		q["rotation"] = map[string]any{"on_other": true}
		i := b.login(q)
		child, err := b.sub(i, nil)
		if err != nil || child.Update == nil || child.Rotation != nil {
			t.Fatalf("%+v %v", child, err)
		}
		raw, err := json.Marshal(child)
		if err != nil {
			t.Fatal(err)
		}
		var wire struct {
			Mytoken string `json:"mytoken"`
			MOMID   string `json:"mom_id"`
			Update  struct {
				Mytoken  string          `json:"mytoken"`
				Kind     string          `json:"mytoken_type"`
				Rotation json.RawMessage `json:"rotation"`
			} `json:"token_update"`
		}
		if err := json.Unmarshal(raw, &wire); err != nil {
			t.Fatal(err)
		}
		if wire.Mytoken == "" || wire.MOMID != child.MOMID || wire.Update.Mytoken != child.Update.Token.Expose() ||
			string(wire.Update.Rotation) != `{"on_other":true}` || wire.Update.Kind != "token" {
			t.Errorf("%s", raw)
		}
	})
	t.Run("no capability", func(t *testing.T) {
		b := newBed(t, setup{})
		_, err := b.sub(b.login(nil), nil)
		refused(t, err, http.StatusForbidden, desk.CodeCapabilities)
	})
}

func TestForms(t *testing.T) {
	b := newBed(t, setup{})
	ctx := t.Context()
	short := b.login(map[string]any{
		"response_type": "short_token", "rotation": map[string]any{"on_AT": true},
		"capabilities": []string{"AT", "create_mytoken"},
	})
	if short.Kind != mytoken.KindShortToken || short.Token.Len() != 64 {
		t.Fatalf("%s of %d characters", short.Kind, short.Token.Len())
	}
	t.Run("a short token is replaced by a short token", func(t *testing.T) {
		a, err := b.access(short, desk.AccessRequest{})
		if err != nil {
			t.Fatal(err)
		}
		if a.Update.Kind != mytoken.KindShortToken || a.Update.Token.Len() != 64 || a.Update.Token.Equal(short.Token) {
			t.Errorf("%+v", a.Update)
		}
		b.clock.move(time.Minute)
		_, err = b.access(short, desk.AccessRequest{})
		refused(t, err, http.StatusUnauthorized, desk.CodeToken)
		old := short
		short = a.Update
		b.clock.move(25 * time.Hour)
		_, err = b.ledger.LookCode(ctx, ledger.ShortToken, old.Token)
		if !errors.Is(err, ledger.ErrUnknown) {
			t.Errorf("what was replaced stays for ever: %v", err)
		}
		if a, err = b.access(short, desk.AccessRequest{}); err != nil {
			t.Fatal(err)
		}
		short = a.Update
	})
	t.Run("what fits", func(t *testing.T) {
		for most, want := range map[int]string{
			5000: mytoken.KindToken, 64: mytoken.KindShortToken, 200: mytoken.KindShortToken, 40: mytoken.KindTransferCode,
		} {
			i, err := b.sub(short, map[string]any{"max_token_len": most})
			if err != nil || i.Kind != want {
				t.Errorf("%d: %s, %v", most, i.Kind, err)
			}
		}
	})
	t.Run("a transfer code in the place of a mytoken", func(t *testing.T) {
		i, err := b.sub(short, map[string]any{"response_type": "transfer_code"})
		if err != nil {
			t.Fatal(err)
		}
		if !i.Token.Empty() || i.TransferCode.Empty() || i.ExpiresIn() < 295 || i.ExpiresIn() > 300 {
			t.Errorf("%+v", i)
		}
		got, err := b.Redeem(ctx, i.TransferCode, home())
		if err != nil || got.Kind != mytoken.KindToken || got.MOMID != i.MOMID {
			t.Fatal(got, err)
		}
		if _, err := b.access(got, desk.AccessRequest{}); err != nil {
			t.Error(err)
		}
	})
	t.Run("a transfer code keeps the form, and is good once", func(t *testing.T) {
		code, err := b.Transfer(ctx, b.caller(short))
		if err != nil || code.TransferCode.Len() != 12 {
			t.Fatal(code, err)
		}
		_, err = b.access(&desk.Issued{Token: code.TransferCode}, desk.AccessRequest{})
		refused(t, err, http.StatusBadRequest, desk.CodeRequest)
		got, err := b.Redeem(ctx, code.TransferCode, home())
		if err != nil || got.Kind != mytoken.KindShortToken || !got.Token.Equal(short.Token) || got.Rotation != nil {
			t.Fatal(got, err)
		}
		if _, err := b.another().Redeem(ctx, code.TransferCode, home()); err != nil {
			t.Errorf("the answer was lost, and with it the code: %v", err)
		}
		_, err = b.Redeem(ctx, code.TransferCode, from("198.51.100.4"))
		refused(t, err, http.StatusUnauthorized, desk.CodeToken)
		if got := b.events(short.MOMID); !slices.Contains(got, desk.EventTransferMade) ||
			!slices.Contains(got, desk.EventTransferUsed) {
			t.Errorf("%q", got)
		}
	})
	t.Run("a code that is over, or of a mytoken that is", func(t *testing.T) {
		code, err := b.Transfer(ctx, b.caller(short))
		if err != nil {
			t.Fatal(err)
		}
		b.clock.move(6 * time.Minute)
		_, err = b.Redeem(ctx, code.TransferCode, home())
		refused(t, err, http.StatusUnauthorized, desk.CodeExpired)
		if code, err = b.Transfer(ctx, b.caller(short)); err != nil {
			t.Fatal(err)
		}
		if _, err := b.ledger.Revoke(ctx, short.MOMID, true, "over"); err != nil {
			t.Fatal(err)
		}
		_, err = b.Redeem(ctx, code.TransferCode, home())
		refused(t, err, http.StatusUnauthorized, desk.CodeToken)
		_, err = b.Redeem(ctx, secret.FromString("AAAAAAAAAAAA"), home())
		refused(t, err, http.StatusUnauthorized, desk.CodeToken)
	})
}

func TestLifetime(t *testing.T) {
	b := newBed(t, setup{up: func(c *upstream.Config) { c.MaxLifetime = time.Hour }})
	i := b.login(nil)
	if n := i.ExpiresIn(); n < 3590 || n > 3601 {
		t.Errorf("%d s", n)
	}
	_, err := b.Begin(t.Context(), b.ask(map[string]any{
		"restrictions": []map[string]any{{"exp": "+1d"}}, "error_on_restrictions": true,
	}), desk.Caller{Origin: home()})
	refused(t, err, http.StatusBadRequest, desk.CodeRequest)
}

func TestEnforced(t *testing.T) {
	templates := func(e upstream.Enforced) setup {
		return setup{up: func(c *upstream.Config) {
			c.Sources, c.Enforced = []upstream.Source{{Claim: "preferred_username"}}, e
		}}
	}
	t.Run("a template by the value of a claim", func(t *testing.T) {
		b := newBed(t, templates(upstream.Enforced{Templates: []upstream.Mapping{{Value: "alice", Template: "1d"}}}))
		i := b.login(map[string]any{"restrictions": []map[string]any{{"exp": "+3d"}}})
		if n := i.ExpiresIn(); n < 86000 || n > 86401 {
			t.Errorf("%d s", n)
		}
	})
	t.Run("a template without an end", func(t *testing.T) {
		s := templates(upstream.Enforced{Default: "ip-this"})
		claims := s.up
		s.up = func(c *upstream.Config) {
			claims(c)
			c.MaxLifetime = time.Hour
		}
		i := newBed(t, s).login(nil)
		if n := i.ExpiresIn(); n < 3590 || n > 3601 || !slices.Equal(i.Restrictions[0].Hosts, []string{"192.0.2.7"}) {
			t.Errorf("%d s, %v", n, i.Restrictions)
		}
	})
	t.Run("nobody else", func(t *testing.T) {
		b := newBed(t, templates(upstream.Enforced{
			Templates: []upstream.Mapping{{Value: "bob", Template: "1d"}}, Forbid: true,
		}))
		begun, err := b.Begin(t.Context(), b.ask(nil), desk.Caller{Origin: home()})
		if err != nil {
			t.Fatal(err)
		}
		_, err = b.land(b.agree(begun), "alice")
		refused(t, err, http.StatusForbidden, desk.CodeDenied)
		_, err = b.Poll(t.Context(), begun.PollingCode, home())
		refused(t, err, http.StatusForbidden, desk.CodeDenied)
	})
}

func TestDevice(t *testing.T) {
	begin := func(t *testing.T, b *bed) desk.Begun {
		t.Helper()
		begun, err := b.Begin(t.Context(), b.ask(map[string]any{"oidc_flow": "device"}), desk.Caller{Origin: home()})
		if err != nil {
			t.Fatal(err)
		}
		return begun
	}
	t.Run("the provider is asked when the client asks", func(t *testing.T) {
		b := newBed(t, setup{})
		begun := begin(t, b)
		if begun.ConsentURI != "" || begun.Device.UserCode == "" || begun.Interval != 5*time.Second {
			t.Fatalf("%+v", begun)
		}
		asked := func() int { return b.posted("/token", "grant_type", "urn:ietf:params:oauth:grant-type:device_code") }
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() {
				if _, err := b.another().Poll(t.Context(), begun.PollingCode, home()); !pending(err) {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if asked() != 1 {
			t.Errorf("the provider was asked %d times", asked())
		}
		b.op.ApproveDevice(begun.Device.URIComplete, "alice")
		_, err := b.Poll(t.Context(), begun.PollingCode, home())
		refused(t, err, http.StatusPreconditionRequired, desk.CodePending)
		b.clock.move(5 * time.Second)
		var mu sync.Mutex
		got := map[string]int{}
		for range 10 {
			wg.Go(func() {
				i, err := b.another().Poll(t.Context(), begun.PollingCode, home())
				if pending(err) {
					return
				}
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				defer mu.Unlock()
				got[i.Token.Expose()]++
			})
		}
		wg.Wait()
		if len(got) != 1 || asked() != 2 {
			t.Errorf("%d mytokens, %d questions", len(got), asked())
		}
		for mt := range got {
			if _, err := b.access(&desk.Issued{Token: secret.FromString(mt)}, desk.AccessRequest{}); err != nil {
				t.Error(err)
			}
		}
	})
	t.Run("the person says no", func(t *testing.T) {
		b := newBed(t, setup{})
		begun := begin(t, b)
		b.op.ApproveDevice(begun.Device.URIComplete, "deny")
		for range 2 {
			_, err := b.Poll(t.Context(), begun.PollingCode, home())
			refused(t, err, http.StatusUnauthorized, desk.CodeDenied)
		}
	})
}

func FuzzBegin(f *testing.F) {
	for _, s := range []string{
		`{"oidc_issuer":"x"}`, `{"restrictions":[{"exp":"+1d","include":["1d"]}],"capabilities":["@all"]}`,
		`{"include":"agent","rotation":"daily"}`, `{"client_type":"web","redirect_uri":"https://x/"}`, `[]`, `{"name":null}`,
	} {
		f.Add([]byte(s))
	}
	b := newBed(f, setup{})
	f.Fuzz(func(t *testing.T, request []byte) {
		var q map[string]json.RawMessage
		if json.Unmarshal(request, &q) == nil && q != nil {
			q["oidc_issuer"] = json.RawMessage(fmt.Sprintf("%q", b.op.URL))
			delete(q, "oidc_flow") // a device would be a request to the provider for each
			request, _ = json.Marshal(q)
		}
		begun, err := b.Begin(t.Context(), request, desk.Caller{Origin: home()})
		if err != nil {
			if !errors.As(err, new(*desk.Error)) {
				t.Fatalf("not refused in the API's words: %v", err)
			}
			return
		}
		a, err := b.Asked(t.Context(), codeOf(begun.ConsentURI))
		if err != nil || len(a.Capabilities) == 0 || len(a.Restrictions) > 16 {
			t.Fatalf("%+v %v", a, err)
		}
	})
}
