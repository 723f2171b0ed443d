package issuer_test

import (
	"net/url"
	"testing"

	"github.com/oidcbox/oidcbox/core/oidc/issuer/issuertest"
)

func TestFirst(t *testing.T) {
	s := issuertest.Start(t)
	tok := s.Tokens("alice", "openid offline_access wlcg.groups storage.read:/ compute.create")
	t.Log(tok.Scope)
	a := s.Token("web", "web-secret", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {tok.Refresh.Expose()}})
	t.Log(a)
	a = s.Token("web", "web-secret", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {tok.Refresh.Expose()}})
	t.Log(a)
	s.Restart(true)
	tok = s.Tokens("bob", "openid offline_access wlcg.groups storage.read:/ compute.create")
	t.Log(tok.Scope)
}
