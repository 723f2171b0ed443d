package sshwrap

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/mytoken/mytokentest"
	"github.com/oidcbox/oidcbox/core/sshlogin"
)

// TestMytoken: an access token for what the service wants, and a mytoken that is replaced by its use is not lost.
func TestMytoken(t *testing.T) {
	srv := mytokentest.Start(t, func(o *mytokentest.Options) { o.RotateOnAT = true })
	svc := &service{
		Service: sshlogin.Service{Base: "https://login.example.org"}, target: target{host: "login.example.org", batch: true},
		info: sshlogin.Info{Providers: []sshlogin.Provider{
			{Issuer: mytokentest.Provider, Scopes: []string{"openid"}, Audience: []string{"https://login.example.org"}, Told: true},
		}},
	}
	path := filepath.Join(t.TempDir(), "mt")
	write := func(text string) {
		if err := os.WriteFile(path, []byte(text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Run("file_is_kept_up_to_date", func(t *testing.T) {
		first := srv.Mint("AT")
		write(first)
		s, _ := opened(t, options{MTFile: path}, nil)
		for range 2 {
			h, err := s.token(context.Background(), svc)
			if err != nil || h.text.Empty() {
				t.Fatal(err)
			}
		}
		b, err := os.ReadFile(path)
		if err != nil || strings.TrimSpace(string(b)) == first || !srv.Current(strings.TrimSpace(string(b))) {
			t.Errorf("the file has no mytoken that is good: %v", err)
		}
		asked := srv.Requests()
		last := asked[len(asked)-1].Body
		if last["scope"] != "openid" || !strings.Contains(text(last["audience"]), "login.example.org") {
			t.Errorf("asked for %v", last)
		}
	})
	t.Run("replaced_one_of_a_variable_is_told", func(t *testing.T) {
		s, said := opened(t, options{MTEnv: "MT"}, map[string]string{"MT": srv.Mint("AT")})
		if _, err := s.token(context.Background(), svc); err != nil || !strings.Contains(said.String(), "From now on it is:") {
			t.Error(err, said)
		}
	})
	t.Run("ended", func(t *testing.T) {
		write(srv.Mint("AT"))
		srv.EndAll()
		s, _ := opened(t, options{MTFile: path}, nil)
		if _, err := s.token(context.Background(), svc); code(explain(err)) != cli.Human {
			t.Error(err)
		}
	})
	t.Run("provider_the_service_does_not_take", func(t *testing.T) {
		write(srv.Mint("AT"))
		before := srv.Count("/api/v0/token/access")
		s, _ := opened(t, options{MTFile: path}, nil)
		other := &service{Service: svc.Service, target: svc.target, info: sshlogin.Info{Providers: []sshlogin.Provider{{Issuer: "https://x"}}}}
		if _, err := s.token(context.Background(), other); code(explain(err)) != cli.NotFound {
			t.Error(err)
		}
		if srv.Count("/api/v0/token/access") != before {
			t.Error("a token was made for nothing")
		}
	})
}

func text(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case []any:
		var words []string
		for _, w := range v {
			words = append(words, text(w))
		}
		return strings.Join(words, " ")
	}
	return ""
}
