package self

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/oidcbox/oidcbox/core/agent/control"
	"github.com/oidcbox/oidcbox/core/cli"
)

// revoker revokes, or does not, by the name of a login, and counts who asks at the same time.
type revoker struct {
	control.Granter
	mu           sync.Mutex
	now, most    int
	removed, all []string
}

func (p *revoker) Revoke(_ context.Context, r control.RevokeRequest) (control.Revoked, error) {
	p.mu.Lock()
	p.now++
	p.most = max(p.most, p.now)
	p.all = append(p.all, r.Login)
	if r.Remove {
		p.removed = append(p.removed, r.Login)
	}
	p.mu.Unlock()
	defer func() { p.mu.Lock(); p.now--; p.mu.Unlock() }()
	out := control.Revoked{Login: r.Login, Confirmed: control.ConfirmedInactive, Removed: r.Remove}
	switch {
	case strings.HasPrefix(r.Login, "away"):
		return control.Revoked{}, cli.Fail(cli.Temporary, errors.New("could not connect"), "")
	case strings.HasPrefix(r.Login, "never"):
		return control.Revoked{}, cli.Fail(cli.No, errors.New("not supported"), "")
	case strings.HasPrefix(r.Login, "active"):
		out.Confirmed = control.ConfirmedActive
	case strings.HasPrefix(r.Login, "client") && r.DeleteClient:
		out.Client, out.Removed, out.Detail = control.ClientFailed, false, "denied"
	}
	return out, nil
}

// TestRevokeEverything: what is done goes, and what is not stays with what it needs.
func TestRevokeEverything(t *testing.T) {
	const a, b = "https://a.example", "https://b.example"
	for name, c := range map[string]struct {
		logins  []control.Login
		code    int
		removed string // tried to remove, in any order
		says    string
	}{
		"none":        {nil, 0, "", ""},
		"all":         {[]control.Login{{Name: "x", Issuer: a}}, 0, "x", "x at https://a.example: revoked, confirmed, removed"},
		"unreachable": {[]control.Login{{Name: "away", Issuer: a}}, cli.Temporary, "", "NOT revoked: could not connect; try again"},
		"no way":      {[]control.Login{{Name: "never", Issuer: a}}, cli.No, "", "NOT revoked: not supported"},
		"no effect":   {[]control.Login{{Name: "active", Issuer: a}}, cli.No, "", "still active"},
		"a client that stays": {
			[]control.Login{{Name: "client", Issuer: a}}, cli.Temporary, "client", "its client was not deleted: denied; try again",
		},
		"a client that another login needs": {
			[]control.Login{{Name: "x", Issuer: a, ClientID: "c"}, {Name: "away", Issuer: a + "/", ClientID: "c"}},
			cli.Temporary, "", "x at https://a.example: revoked, confirmed: kept",
		},
		"a client of that name elsewhere": {
			[]control.Login{{Name: "x", Issuer: a, ClientID: "c"}, {Name: "away", Issuer: b, ClientID: "c"}},
			cli.Temporary, "x", "x at https://a.example: revoked, confirmed, removed",
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := &revoker{}
			ends := revokeAll(t.Context(), p, c.logins)
			finish(t.Context(), p, ends)
			var out, errOut bytes.Buffer
			err := (&RevokeEverythingCmd{}).report(&cli.Env{Stdout: &out, Stderr: &errOut}, ends)
			var coded *cli.Error
			code := 0
			if errors.As(err, &coded) {
				code = coded.Code
			}
			if code != c.code || strings.Join(p.removed, " ") != c.removed || !strings.Contains(out.String(), c.says) {
				t.Errorf("code %d, removed %v, said %q; want %d, %q, %q", code, p.removed, out.String(), c.code, c.removed, c.says)
			}
		})
	}
}

// TestRevokeBounds: a person with a hundred logins does not open a hundred connections.
func TestRevokeBounds(t *testing.T) {
	var list []control.Login
	for i := range 100 {
		list = append(list, control.Login{Name: fmt.Sprint("l", i)})
	}
	p := &revoker{}
	ends := revokeAll(t.Context(), p, list)
	finish(t.Context(), p, ends)
	if p.most > revokingAtOnce || len(p.removed) != len(list) {
		t.Errorf("%d at once, %d removed", p.most, len(p.removed))
	}
}
