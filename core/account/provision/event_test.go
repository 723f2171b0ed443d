package provision

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/oidcbox/oidcbox/core/token/jose"
	"github.com/oidcbox/oidcbox/core/token/policy"
)

func TestAuditLine(t *testing.T) {
	e := Event{
		Kind: Suspended, ID: "a@b", Name: "alice", State: "suspended", By: "off\u202eicer", Remote: "192.0.2.1",
		Reason: "line\nbreak", Refused: []string{"sudo"}, Request: Request{Revision: "r1"},
	}
	line := string(e.AppendTo([]byte("x"), []byte("2026-01-02T03:04:05Z")))
	if !strings.HasPrefix(line, `x{"time":"2026-01-02T03:04:05Z","event":"suspend","id":"a@b"`) ||
		strings.ContainsAny(line, "\n\u202e") {
		t.Errorf("%q", line)
	}
	var got map[string]any
	if err := json.Unmarshal([]byte(line[1:]), &got); err != nil || got["by"] != "off\u202eicer" ||
		got["reason"] != "line\nbreak" || got["request"] != "r1" {
		t.Errorf("%v, %v", got, err)
	}
}

func TestSubjectOf(t *testing.T) {
	object := func(text string) jose.Object {
		o, err := jose.StrictObject([]byte(text), 8, 100)
		if err != nil {
			t.Fatal(err)
		}
		return o
	}
	p := policy.Subject{Issuer: testIssuer, Subject: "a b", Userinfo: object(`{
		"sub":"a b", "preferred_username":"anna", "given_name":"Anna", "sn":"Berg", "name":"Anna Berg",
			"email":"a@home.example",
		"eduperson_entitlement":["urn:geant:h-df.de:group:vo#aai","x"], "groups":["g1"], "wlcg.groups":["/wlcg"],
		"eduperson_assurance":["https://refeds.org/assurance/IAP/low"], "acr":"https://refeds.org/profile/mfa",
		"keys":["ssh-ed25519 AAAA laptop"," "]}`)}
	s, err := SubjectOf(p, ClaimRules{Keys: "keys"})
	if err != nil {
		t.Fatal(err)
	}
	if s.ID != "a+b@https%3A%2F%2Fop.example" || s.Person.Family != "Berg" || s.Person.Given != "Anna" ||
		s.Email != "a@home.example" || !s.MFA {
		t.Errorf("%+v", s)
	}
	if !slices.Equal(s.Groups, []string{"g1", "/wlcg"}) || len(s.Entitlements) != 2 || len(s.Assurance) != 1 ||
		len(s.Keys) != 1 || s.Keys[0].Value != "ssh-ed25519 AAAA laptop" {
		t.Errorf("%+v", s)
	}
	if !slices.Equal(s.VOs, []string{"/wlcg", "g1", "urn:geant:h-df.de:group:vo", "x"}) {
		t.Errorf("VOs %q", s.VOs)
	}
	t.Run("userinfo_of_somebody_else", func(t *testing.T) {
		p.Userinfo = object(`{"sub":"other","preferred_username":"root","groups":["admins"],"acr":"https://refeds.org/profile/mfa"}`)
		s, err := SubjectOf(p, ClaimRules{})
		if err != nil || s.Person.PreferredUsername != "" || len(s.Groups) > 0 || s.MFA {
			t.Errorf("%+v, %v", s, err)
		}
	})
	t.Run("no_keys_unless_wanted", func(t *testing.T) {
		if s, err := SubjectOf(p, ClaimRules{}); err != nil || s.Keys != nil {
			t.Errorf("%v, %v", s.Keys, err)
		}
	})
	t.Run("nobody", func(t *testing.T) {
		if _, err := SubjectOf(policy.Subject{Issuer: testIssuer}, ClaimRules{}); err == nil {
			t.Error("no error")
		}
	})
}

func TestNodesThatKeepTheirOwn(t *testing.T) {
	b := newBed(t, nil)
	announce := func(n Node) string {
		t.Helper()
		all, err := b.desk.Announce(t.Context(), n)
		if err != nil {
			t.Fatal(err)
		}
		return SeveralLocal(all)
	}
	first := Node{ID: "1", Name: "login1", Local: true}
	for _, n := range []Node{first, first, {ID: "2", Name: "login2"}} {
		if w := announce(n); w != "" {
			t.Errorf("%+v: %q", n, w)
		}
	}
	if w := announce(Node{ID: "3", Name: "login3", Local: true}); !strings.Contains(w, "login1, login3") {
		t.Errorf("%q", w)
	}
}

// TestBusy: who waits too long for another operation on the same identity is told so.
func TestBusy(t *testing.T) {
	b := newBed(t, nil)
	d, err := New(Options{Store: b.eng, System: b.host, Rules: testRules(), Patience: 20 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	inside, goOn := make(chan struct{}), make(chan struct{})
	b.host.fault = func(point, _ string) error {
		if point == "deploy half" {
			close(inside)
			<-goOn
		}
		return nil
	}
	done := make(chan error, 1)
	go func() {
		_, err := b.desk.Deploy(t.Context(), subject("alice"))
		done <- err
	}()
	<-inside
	for range 2 { // at another desk, and then at the same one as another waiter
		_, err = d.Deploy(t.Context(), subject("alice"))
		failed(t, err, ErrBusy)
	}
	close(goOn)
	if err := <-done; err != nil {
		t.Error(err)
	}
	if len(d.turns.held)+len(b.desk.turns.held) != 0 {
		t.Error("a turn was not given back")
	}
}
