package remote

import (
	"net/http"
	"testing"

	"github.com/oidcbox/oidcbox/core/secret"
)

const opaque = "opaque-token-0001"

func TestOpaque(t *testing.T) {
	t.Run("introspection_says_who_and_for_whom", func(t *testing.T) {
		f := startFake(t)
		f.answers(func(w http.ResponseWriter, r *http.Request) {
			id, pw, ok := r.BasicAuth()
			if !ok || id != "rs" || pw != "s3cret" || r.Method != http.MethodPost || r.PostFormValue("token") != opaque {
				t.Errorf("request %s, client %q %q, token %q", r.Method, id, pw, r.PostFormValue("token"))
			}
			say(200, f.active(set{"scope": "read write"}))(w, r)
		})
		iss, said, err := f.source(t).Opaque(ask(t), []byte(opaque), "")
		if err != nil {
			t.Fatal(err)
		}
		if iss != f.URL || said.Claims.Issuer != f.URL || said.Claims.Subject != "alice" ||
			said.Claims.Scopes.String() != "read write" || len(said.Claims.Audience) != 1 || !said.Introspection.Has("active") {
			t.Errorf("%s said %+v", iss, said)
		}
		if want := start.Add(DefaultCache); !said.Expires.Equal(want) {
			t.Errorf("to be used until %v, want %v", said.Expires, want)
		}
	})
	t.Run("userinfo_says_who", func(t *testing.T) {
		f := startFake(t)
		f.person(func(w http.ResponseWriter, r *http.Request) {
			if got := r.Header.Get("Authorization"); got != "Bearer "+opaque {
				t.Errorf("Authorization: %q", got)
			}
			say(200, set{"sub": "alice", "name": "Alice"})(w, r)
		})
		iss, said, err := f.source(t, onlyUserinfo).Opaque(ask(t), []byte(opaque), "")
		if err != nil {
			t.Fatal(err)
		}
		if iss != f.URL || said.Claims.Subject != "alice" || text(said.Userinfo, "name") != "Alice" ||
			said.Introspection.Len() != 0 {
			t.Errorf("%s said %+v", iss, said)
		}
		if want := start.Add(UserinfoCache); !said.Expires.Equal(want) {
			t.Errorf("to be used until %v, want %v", said.Expires, want)
		}
	})
	t.Run("inactive_is_refused_and_says_nothing_else", func(t *testing.T) {
		f := startFake(t)
		f.answers(say(200, set{"active": false, "sub": "alice"}))
		_, said, err := f.source(t).Opaque(ask(t), []byte(opaque), "")
		wantErr(t, err, ErrInactive)
		if said.Claims.Subject != "" || said.Introspection.Len() != 0 {
			t.Errorf("said %+v", said)
		}
	})
}

// TestClient: name and secret are form-encoded before they are joined (RFC 6749 section 2.3.1), and so is the token.
func TestClient(t *testing.T) {
	f := startFake(t)
	const name, pw = "rs:1 ü", "p%+:/w ä"
	f.answers(func(w http.ResponseWriter, r *http.Request) {
		id, got, ok := r.BasicAuth()
		if !ok || id != "rs%3A1+%C3%BC" || got != "p%25%2B%3A%2Fw+%C3%A4" {
			t.Errorf("Authorization: %q", r.Header.Get("Authorization"))
		}
		if r.PostFormValue("token") != "a+b/c==" || r.PostForm.Has("client_secret") {
			t.Errorf("form: %v", r.PostForm)
		}
		say(200, f.active(nil))(w, r)
	})
	s := f.source(t, func(i *Issuer) { i.ClientID, i.ClientSecret = name, secret.FromString(pw) })
	if _, _, err := s.Opaque(ask(t), []byte("a+b/c=="), ""); err != nil {
		t.Error(err)
	}
}
