package mytokenserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"

	"github.com/oidcbox/oidcbox/core/mytoken"
	"github.com/oidcbox/oidcbox/core/mytoken/desk"
	"github.com/oidcbox/oidcbox/core/mytoken/httpapi"
	"github.com/oidcbox/oidcbox/core/mytoken/ledger"
	"github.com/oidcbox/oidcbox/core/mytoken/notices"
	"github.com/oidcbox/oidcbox/core/mytoken/pages"
	"github.com/oidcbox/oidcbox/core/mytoken/sshapi"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/transport/mail"
)

// Notices and the ssh server live as long as the process, and use whatever generation answers at the moment.

// openNotices makes what tells people of their mytokens.
func (d *server) openNotices(s *settings) (*notices.Notices, error) {
	o := notices.Options{
		Issuer: s.issuer, Engine: d.state.Engine(), Tokens: d.ledger, Enter: d.enter, Tags: d.tagNames,
		Operator: s.operator.name,
		Count:    d.numbers.mailed, Now: d.env.Now, Log: d.log,
	}
	if s.mail.open {
		m, err := mail.New(s.mail.Config)
		if err != nil {
			return nil, err
		}
		o.From = m.From()
		o.Open = func(ctx context.Context) (notices.Session, error) {
			session, err := m.Open(ctx)
			if err != nil {
				return nil, err // not session: an interface with nothing in it is not nil
			}
			return session, nil
		}
	}
	return notices.New(o)
}

// enter is desk.Enter of the generation that answers now.
func (d *server) enter(ctx context.Context, c desk.Caller, n desk.Need) (notices.Visit, error) {
	g := d.live.Acquire()
	defer g.Release()
	v, err := g.desk.Enter(ctx, c, n)
	if err != nil {
		return nil, err
	}
	return v, nil
}

// tagNames is desk.TagNames of the generation that answers now.
func (d *server) tagNames(ctx context.Context, user string) (func(ledger.Token) []string, error) {
	g := d.live.Acquire()
	defer g.Release()
	return g.desk.TagNames(ctx, user)
}

// openSSH makes the ssh server; nil where there is none.
func (d *server) openSSH(s *settings) (*sshapi.Server, net.Listener, error) {
	if s.ssh.listen == "" {
		return nil, nil, nil
	}
	server, err := sshapi.New(sshapi.Options{
		API: d.front(), Keys: liveKeys{d}, HostKeys: d.hostKeys, Proxies: s.ssh.proxies, Log: d.log, Now: d.env.Now,
		Limits: sshapi.Limits{Connections: s.ssh.connections, PerAddress: s.ssh.perAddress, Grace: s.grace},
		Seen:   d.numbers.commanded,
	})
	if err != nil {
		return nil, nil, err
	}
	ln, err := net.Listen("tcp", s.ssh.listen)
	if err != nil {
		return nil, nil, fmt.Errorf("listen for ssh: %w", err)
	}
	return server, ln, nil
}

// readHostKeys reads the host keys of the ssh server.
func readHostKeys(s *settings) ([]sshapi.Signer, error) {
	if s.ssh.listen == "" {
		return nil, nil
	}
	return sshapi.ReadHostKeys(s.ssh.keys...)
}

// liveKeys are the keys of people, by the generation that answers now.
type liveKeys struct{ d *server }

func (k liveKeys) SSHKnown(ctx context.Context, user secret.Text, fingerprint string) (bool, error) {
	g := k.d.live.Acquire()
	defer g.Release()
	return g.keys.SSHKnown(ctx, user, fingerprint)
}

func (k liveKeys) SSHEnter(ctx context.Context, user secret.Text, fingerprint string) (desk.SSHUse, error) {
	g := k.d.live.Acquire()
	defer g.Release()
	return g.keys.SSHEnter(ctx, user, fingerprint)
}

func (k liveKeys) SSHLeave(ctx context.Context, u desk.SSHUse, update secret.Text) error {
	g := k.d.live.Acquire()
	defer g.Release()
	return g.keys.SSHLeave(ctx, u, update)
}

// openPages makes the pages of a generation; nil where there are none.
func (d *server) openPages(s *settings, g *generation, gate *httpapi.Gate) (*pages.Pages, error) {
	if !s.pages.on {
		return nil, nil //nolint:nilnil // there are none, which is no error
	}
	o := pages.Options{
		Issuer: s.issuer, Logins: g.desk, Mytokens: g.desk, Mail: d.notices, Notices: noticePages{d.notices},
		Operator: pages.Operator{
			Name: s.operator.name, Homepage: s.operator.homepage, Contact: s.operator.contact, PrivacyMail: s.operator.privacy,
		},
		Transfer: s.features.Transfer, Supported: s.supported(), Clauses: s.limits.Clauses,
		Retention: s.retention.ended, SessionLife: s.pages.session,
		Guess:  gate.Guess,
		Origin: func(r *http.Request) desk.Origin { return httpapi.OriginOf(r.Context()) }, Now: d.env.Now, Log: d.log,
	}
	if s.world.geo != "" {
		o.Country = d.geo.Country
	}
	if s.ssh.listen != "" {
		o.SSH = sshPages{g.desk, g.keys}
	}
	return pages.New(o)
}

// sshPages is what the pages have of ssh.
type sshPages struct {
	*desk.Desk
	keys *desk.SSHKeys
}

func (p sshPages) SSHKeys(ctx context.Context, c desk.Caller) ([]mytoken.SSHKey, *desk.Issued, error) {
	return p.keys.List(ctx, c)
}

func (p sshPages) AddSSHKey(
	ctx context.Context, c desk.Caller, r mytoken.SSHKeyRequest,
) (desk.Begun, *desk.Issued, error) {
	return p.keys.Add(ctx, c, r)
}

func (p sshPages) FinishSSHKey(ctx context.Context, code secret.Text, from desk.Origin) (mytoken.SSHLogin, error) {
	return p.keys.Poll(ctx, code, from)
}

func (p sshPages) RemoveSSHKey(ctx context.Context, c desk.Caller, fingerprint string) (*desk.Issued, error) {
	return p.keys.Remove(ctx, c, fingerprint)
}

// noticePages is what the pages have of notices.
type noticePages struct{ *notices.Notices }

// View is a calendar as a page shows it.
func (p noticePages) View(ctx context.Context, id string) (pages.CalendarView, error) {
	f, err := p.Feed(ctx, id)
	if errors.Is(err, notices.ErrUnknown) {
		return pages.CalendarView{}, &desk.Error{
			Status: http.StatusNotFound, Code: desk.CodeNotFound, Description: "there is no such calendar", Err: err,
		}
	}
	if err != nil {
		return pages.CalendarView{}, err
	}
	v := pages.CalendarView{Name: f.Name, Feed: f.URL}
	for _, e := range f.Entries {
		v.Entries = append(v.Entries, pages.CalendarEntry{Name: e.Name, Expires: e.Expires, Again: e.Again})
	}
	return v, nil
}
