package httpapi

import (
	"errors"
	"slices"
	"testing"

	"github.com/oidcbox/oidcbox/core/mytoken"
	"github.com/oidcbox/oidcbox/core/mytoken/desk"
	"github.com/oidcbox/oidcbox/core/oidc/flow"
	"github.com/oidcbox/oidcbox/core/secret"
)

// TestOurClient has our own client use every endpoint of the server that it has a method for.
func TestOurClient(t *testing.T) {
	for name, rotation := range map[string]m{
		"plain": nil, "rotating": {"on_AT": true, "on_other": true, "lifetime": 3600, "auto_revoke": true},
	} {
		t.Run(name, func(t *testing.T) { ourClient(t, rotation) })
	}
}

func ourClient(t *testing.T, rotation m) {
	b := start(t, func(_ *desk.Options, o *Options) { o.Features.Templates = true })
	c, ctx := b.client(), t.Context()
	w, err := c.Start(ctx, mytoken.Request{Issuer: provIssuer, Name: "mine", Capabilities: all()})
	must(t, err)
	if _, err := c.Poll(ctx, w); !errors.Is(err, mytoken.ErrPending) {
		t.Fatalf("before the consent: %v", err)
	}
	b.consent(w.URI, m{"capabilities": all(), "name": "mine", "rotation": rotation})
	got, err := c.Poll(ctx, w)
	must(t, err)
	mt, uses, updates := got.Token, 0, 0
	used := func(u *mytoken.Issued, err error) {
		t.Helper()
		must(t, err)
		if uses++; u != nil {
			updates++
			mt = u.Token
		}
	}

	at, err := c.AccessToken(ctx, mt, mytoken.AccessRequest{Scope: []string{"profile"}, Comment: "hello"})
	used(at.Update, err)
	if at.Token.Expose() != "access-1" || at.Scope != "profile" || at.Expires.IsZero() {
		t.Errorf("access token: %+v", at)
	}
	tokens, err := c.Refresh(ctx, mt, flow.Request{Scope: []string{"openid"}})
	must(t, err)
	if uses++; !tokens.Refresh.Empty() {
		updates++
		mt = tokens.Refresh
	}
	child, err := c.Subtoken(ctx, mt, mytoken.Request{Name: "child", Capabilities: mytoken.Capabilities{
		"AT",
		"tokeninfo",
	}})
	used(child.Update, err)
	info, err := c.Introspect(ctx, mt)
	must(t, err)
	if !info.Valid || info.Claims.Name != "mine" || info.MOMID != got.MOMID || info.Kind != mytoken.KindToken {
		t.Errorf("introspection: %+v", info)
	}
	events, update, err := c.History(ctx, mt)
	used(update, err)
	if !slices.ContainsFunc(events, func(e mytoken.Event) bool { return e.Event == "AT_created" }) {
		t.Errorf("history: %+v", events)
	}
	tree, update, err := c.Subtokens(ctx, mt)
	used(update, err)
	if len(tree.Children) != 1 || tree.Children[0].Name != "child" || tree.MOMID != got.MOMID {
		t.Errorf("tree: %+v", tree)
	}
	list, update, err := c.List(ctx, mt)
	used(update, err)
	if len(list) != 1 || list[0].Name != "mine" {
		t.Errorf("list: %+v", list)
	}
	code, err := c.Transfer(ctx, child.Token)
	must(t, err)
	moved, err := c.Redeem(ctx, code.Code)
	must(t, err)
	if !moved.Token.Equal(child.Token) {
		t.Error("the transfer code gave another mytoken")
	}
	if _, err := c.Redeem(ctx, secret.FromString("ABCDEFGHJKLM")); mytoken.Temporary(err) || err == nil {
		t.Errorf("a code that is none: %v", err)
	}
	ourSettings(t, c, used, &mt)
	ourTags(t, c, used, &mt, child.MOMID)

	update, err = c.Revoke(ctx, mytoken.Revocation{Token: mt, MOMID: child.MOMID})
	used(update, err)
	if _, err := c.Introspect(ctx, child.Token); !mytoken.NeedsLogin(err) {
		t.Errorf("the child was revoked and is used: %v", err)
	}
	update, err = c.Revoke(ctx, mytoken.Revocation{Token: mt, Recursive: true})
	must(t, err)
	if update != nil {
		t.Error("revoking itself replaced it")
	}
	if _, err := c.Introspect(ctx, mt); !mytoken.NeedsLogin(err) {
		t.Errorf("revoked and used: %v", err)
	}
	if want := map[bool]int{true: uses}[rotation != nil]; updates != want {
		t.Errorf("%d uses replaced the mytoken %d times, want %d", uses, updates, want)
	}
	if len(b.op.revoked) != 1 {
		t.Errorf("%d refresh tokens were revoked at the provider, want 1", len(b.op.revoked))
	}
}

func ourSettings(t *testing.T, c *mytoken.Client, used func(*mytoken.Issued, error), mt *secret.Text) {
	t.Helper()
	ctx := t.Context()
	for _, on := range []bool{true, false} {
		used(c.SetGrant(ctx, *mt, mytoken.GrantSSH, on))
		grants, update, err := c.Grants(ctx, *mt)
		used(update, err)
		if len(grants) != 1 || grants[0] != (mytoken.Grant{Type: "ssh", Enabled: on}) {
			t.Errorf("grants: %+v", grants)
		}
	}
}

func ourTags(t *testing.T, c *mytoken.Client, used func(*mytoken.Issued, error), mt *secret.Text, child string) {
	t.Helper()
	ctx := t.Context()
	used(c.AddTag(ctx, *mt, mytoken.Tag{Name: "réseau 1/2"[:9], Color: "#aabbcc"}))
	used(c.AddTag(ctx, *mt, mytoken.Tag{Name: "job"}))
	used(c.ChangeTag(ctx, *mt, "job", mytoken.Tag{Name: "jobs"}))
	used(c.Tag(ctx, *mt, mytoken.Tagging{Tag: "jobs", MOMID: child}))
	used(c.Tag(ctx, *mt, mytoken.Tagging{Tag: "new one", IncludeChildren: true}))
	tags, update, err := c.Tags(ctx, *mt)
	used(update, err)
	want := []mytoken.Tag{{Name: "jobs", Color: "#6c757d"}, {Name: "new one", Color: "#6c757d"}, {
		Name:  "réseau 1",
		Color: "#aabbcc",
	}}
	if !slices.Equal(tags, want) {
		t.Errorf("tags: %+v\nwant  %+v", tags, want)
	}
	used(c.Tag(ctx, *mt, mytoken.Tagging{Tag: "jobs", MOMID: child, Remove: true}))
	used(c.RemoveTag(ctx, *mt, "jobs"))
}
