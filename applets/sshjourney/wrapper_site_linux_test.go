package sshjourney

import (
	"fmt"
	"net/url"
	"strings"
	"sync"
	"testing"
)

// tokenOfSize is an access token of a user with about that many bytes, for a few services with long names as well.
func (s *site) tokenOfSize(user string, n int) string {
	s.t.Helper()
	of := func(length int) string {
		aud := audience
		for ; length > 0; length -= 900 {
			aud += fmt.Sprintf(" https://o.example.org/%d", length) + strings.Repeat("x", min(length, 900))
		}
		return s.op.Tokens(user, "openid profile", url.Values{"audience": {aud}}).Access.Expose()
	}
	token := of(0)
	if missing := (n-len(token))*3/4 - 30; missing > 40 {
		token = of(missing)
	}
	return token
}

// TestWrapperSite logs in by the wrapper where everything is real: issuer, server, worker, PAM's helper, sshd.
func TestWrapperSite(t *testing.T) {
	s := newSite(t, siteOptions{})
	wrapperLogins(t, s)
}

// wrapperLogins is what a site owes to users of the wrapper: accounts that did not exist before, tokens of any length,
// the exit code of the remote command, many logins at once with one token.
func wrapperLogins(t *testing.T, s *site) {
	t.Helper()
	cl := newClient(s.journey, s.sshd, s.url, "")
	cl.write("home/.ssh/known_hosts", fmt.Sprintf("[127.0.0.1]:%d %s\n", s.sshd.Port, s.sshd.HostKey))
	for user, n := range map[string]int{"alice": 600, "bob": 1500, "carol": 5000} {
		t.Run(fmt.Sprintf("token_of_%d_bytes", n), func(t *testing.T) {
			token := s.tokenOfSize(user, n)
			if d := len(token) - n; d < -250 || d > 250 {
				t.Errorf("the token has %d bytes", len(token))
			}
			o := cl.run(token, cl.wrapped("ssh", "login", "id -un; exit 5")...)
			name := strings.TrimSpace(o.out)
			if o.code != 5 || name == "" || name != s.nameOf(user) {
				t.Fatalf("%v, the account is %q", o, s.nameOf(user))
			}
			if o := cl.run(token, cl.wrapped("ssh", name+"@login", "id -un")...); o.code != 0 || o.out != name+"\n" {
				t.Error(o)
			}
		})
	}
	t.Run("ten_at_once_with_one_token", func(t *testing.T) {
		token, from := s.tokenOfSize("alice", 900), s.mark()
		defer func() {
			if t.Failed() {
				t.Log(s.since(from))
			}
		}()
		var all sync.WaitGroup
		for range 10 {
			all.Go(func() {
				if o := cl.run(token, cl.wrapped("ssh", "login", "exit 7")...); o.code != 7 {
					t.Error(o)
				}
			})
		}
		all.Wait()
	})
	t.Run("suspended", func(t *testing.T) {
		if o := s.admin("suspend", s.id("bob")); o.code != 0 {
			t.Fatal(o)
		}
		if o := cl.run(s.tokenOfSize("bob", 900), cl.wrapped("ssh", "login", "id")...); o.code != 4 || !strings.Contains(o.errOut, "suspended") {
			t.Error(o)
		}
	})
}
