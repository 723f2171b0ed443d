package remote

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/oidcbox/oidcbox/core/oidc/flow"
	"github.com/oidcbox/oidcbox/core/token/claims"
	"github.com/oidcbox/oidcbox/core/token/jose"
)

// FuzzSaid: any objects as the answers of an issuer. What is believed says that the token is active, now, of this issuer
// and about one person, and what is kept of it is bounded.
func FuzzSaid(f *testing.F) {
	const url = "https://op.example"
	f.Add(`{"active":true,"sub":"alice","exp":1800003600,"aud":"api"}`, `{"sub":"alice","email":"a@example.org"}`)
	f.Add(`{"active":true,"sub":"alice","iss":"https://other.example"}`, `{"sub":"bob"}`)
	f.Add(`{"active":"true","sub":"alice"}`, `{"sub":null}`)
	f.Add(`{"active":true,"exp":null,"nbf":1e30,"token_type":"refresh_token"}`, `{"iss":"https://op.example","sub":"alice"}`)
	f.Add(`{"active":true,"Active":false,"aud":[1],"scope":["a"]}`, `[]`)
	f.Fuzz(func(t *testing.T, introspection, userinfo string) {
		p := newParty(Issuer{URL: url, Introspection: true, Userinfo: true}, Options{Now: (&clock{now: start}).Now})
		o, err := jose.StrictObject([]byte(introspection), jose.PayloadDepth, jose.PayloadMembers)
		if err != nil {
			return
		}
		said, err := p.introspected(o)
		if err != nil {
			known(t, err)
			return
		}
		var plain map[string]any
		if json.Unmarshal([]byte(introspection), &plain) != nil || plain["active"] != true {
			t.Fatalf("active: %s", introspection)
		}
		if c := said.Claims; c.Issuer != url || !c.Expiry.IsZero() && !c.Expiry.After(start) {
			t.Fatalf("%s is believed as %+v", introspection, c)
		}
		before := said.Claims.Subject
		o, err = jose.StrictObject([]byte(userinfo), jose.PayloadDepth, jose.PayloadMembers)
		if err != nil {
			return
		}
		if err := said.person(p, o); err != nil {
			known(t, err)
			return
		}
		if sub := said.Claims.Subject; sub == "" || before != "" && before != sub {
			t.Fatalf("%s and %s are about %q", introspection, userinfo, sub)
		}
		for _, o := range []jose.Object{said.Introspection, said.Userinfo} {
			if b, err := o.MarshalJSON(); err != nil || len(b) > MaxAnswer {
				t.Fatalf("%d bytes are kept: %v", len(b), err)
			}
		}
		_ = said.against(&claims.Token{Issuer: url, Subject: "alice"})
	})
}

// known fails for an error that would not be judged as one about the token or one of the issuer.
func known(t *testing.T, err error) {
	t.Helper()
	for _, e := range []error{ErrInactive, ErrContradiction, ErrKind, flow.ErrAnswer} {
		if errors.Is(err, e) {
			return
		}
	}
	t.Fatalf("%v is none of the errors that are handled", err)
}
