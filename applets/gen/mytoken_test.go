//go:build unix

package gen

import (
	"strings"
	"testing"

	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/mytoken/mytokentest"
)

// TestMytoken sets up a login at a mytoken server: no client, a page to agree on, the mytoken in the account file.
func TestMytoken(t *testing.T) {
	w := newWorld(t)
	server := mytokentest.Start(t, func(o *mytokentest.Options) { o.Approve = true })
	w.issuer = server.URL
	w.link = `/c/\S+`
	r := w.must("demo", "--mytoken-url="+server.URL, "--mytoken-profile", "agent", "--prompt", "none", "--pw-file", "pw")
	if strings.Contains(r.errOut, "enter the code") || strings.Contains(r.out, "Registering") {
		t.Errorf("%s\n%s", r.out, r.errOut)
	}
	cfg := w.account("demo")
	if cfg.MytokenURL == "" || cfg.ClientID != "mytoken" || cfg.RefreshToken.Empty() {
		t.Errorf("%+v", cfg.WithoutSecrets())
	}
	if err := w.token("demo"); err != nil {
		t.Error(err)
	}
	if r := w.run("x", "--mytoken-url="+server.URL, "--mytoken", "{broken", "--issuer", "https://op.example", "--prompt", "none"); r.code != cli.Usage {
		t.Errorf("a broken profile: %d %q", r.code, r.errOut)
	}
}

func TestWantsMytoken(t *testing.T) {
	for name, c := range map[string]struct {
		cmd    Cmd
		prefer bool
		want   bool
	}{
		"usual":                   {Cmd{}, false, false},
		"url":                     {Cmd{MytokenURL: usualServer}, false, true},
		"profile":                 {Cmd{MytokenProfile: "x"}, false, true},
		"flow":                    {Cmd{Flow: []string{flowMytoken}}, false, true},
		"preferred":               {Cmd{}, true, true},
		"preferred_but_a_client":  {Cmd{ClientID: "x"}, true, false},
		"preferred_but_a_flow":    {Cmd{Flow: []string{flowCode}}, true, false},
		"preferred_but_one_token": {Cmd{OnlyAT: true}, true, false},
	} {
		s := &session{cmd: &c.cmd}
		s.set.PreferMytoken = c.prefer
		if got := s.wantsMytoken(); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
