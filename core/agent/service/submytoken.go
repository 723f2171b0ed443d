package service

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/oidcbox/oidcbox/core/agent/login"
	"github.com/oidcbox/oidcbox/core/agent/proto"
	"github.com/oidcbox/oidcbox/core/mytoken"
	"github.com/oidcbox/oidcbox/core/oidc/flow"
	"github.com/oidcbox/oidcbox/core/secret"
)

// profileWait bounds the look at the server's profiles, which is for the person's eyes only.
const profileWait = 5 * time.Second

// mytoken answers with a mytoken made from that of a login. It is the person's to allow: what is handed out lives on
// when the agent has ended. The original shows the server's page in a window for it; ours asks in words.
func (s *Service) mytoken(ctx context.Context, r proto.Request) (proto.Reply, error) {
	l, err := s.find(ctx, want{login: r.Account, issuer: r.Issuer})
	if err != nil {
		return proto.Reply{}, err
	}
	cfg, err := s.configOf(ctx, l)
	if err != nil {
		return proto.Reply{}, err
	}
	defer cfg.Wipe()
	if cfg.MytokenURL == "" {
		return proto.Reply{}, notMytoken(l.name)
	}
	asked, err := mytokenRequest(r.MytokenProfile, profileOfToken)
	if err != nil {
		return proto.Reply{}, err
	}
	if err := s.agreedMytoken(ctx, l, cfg, asked, r.Hint); err != nil {
		return proto.Reply{}, err
	}
	if asked.Name == "" {
		asked.Name = "mytoken requested by " + orElse(oneLine(r.Hint), mytokenApplication)
	}
	var rep proto.Reply
	err = s.orRenew(ctx, l, func() (err error) {
		rep, err = s.submytoken(ctx, l.name, cfg.MytokenURL, asked)
		return err
	})
	return rep, err
}

func notMytoken(name string) error {
	return fail(proto.TextNotMytoken,
		"Login "+name+" is one at a provider. Set up one at a mytoken server with: oidc-gen --mytoken-url=URL NAME")
}

// agreedMytoken asks the person whether a program may have such a mytoken.
func (s *Service) agreedMytoken(
	ctx context.Context, l loaded, cfg login.Config, asked mytoken.Request, hint string,
) error {
	cl, err := s.mytokenClient(ctx, cfg)
	if err != nil {
		return err
	}
	text := strings.TrimSuffix(confirmText(l, "a mytoken", want{hint: hint}, wayOf(ctx)), textAllow)
	text += "\nServer: " + cfg.MytokenURL
	for _, line := range describeMytoken(ctx, cl, asked) {
		text += "\n" + line
	}
	text += "\nIt goes on to be valid when this agent has ended." + textAllow
	return s.agreed(ctx, l, text, "Ask for it at a terminal.")
}

// configOf is the configuration of a served login, without its refresh token.
func (s *Service) configOf(ctx context.Context, l loaded) (login.Config, error) {
	sh, err := s.shelfOf(l)
	if err != nil {
		return login.Config{}, err
	}
	cfg, _, err := sh.config(ctx, l.name)
	return cfg, err
}

// oneLine keeps a text of a stranger short and printable.
func oneLine(s string) string {
	const most = 100
	s = strings.Join(strings.FieldsFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7f }), " ")
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "")
	}
	return s
}

// describeMytoken says, a line each, what a mytoken would be good for. Profiles of the server are looked up, so that
// the person decides about what is in them.
func describeMytoken(ctx context.Context, cl *mytoken.Client, r mytoken.Request) []string {
	ctx, cancel := context.WithTimeout(ctx, profileWait)
	defer cancel()
	lines := describeRequest(r)
	for _, name := range r.Include {
		known, ok, err := cl.Profile(ctx, name)
		if err != nil || !ok {
			lines = append(lines, "Profile of the server: "+quoted(name)+" (what is in it could not be found out)")
			continue
		}
		lines = append(lines, "Profile of the server: "+quoted(name))
		lines = append(lines, describeRequest(known)...)
	}
	const most = 20
	if len(lines) > most {
		lines = append(lines[:most], "and more")
	}
	return lines
}

func describeRequest(r mytoken.Request) []string {
	var lines []string
	if len(r.Capabilities) > 0 {
		lines = append(lines, "Capabilities: "+quoted(strings.Join(r.Capabilities, " ")))
	}
	for _, c := range r.Restrictions {
		lines = append(lines, "Restricted to: "+quoted(c.String()))
	}
	if r.Rotation != nil {
		lines = append(lines, "Replaced: "+quoted(r.Rotation.String()))
	}
	return lines
}

// submytoken has the mytoken of a login used like a refresh token: it may be replaced by this, and is then durable
// before anything else happens. The person agreed to one of the login at the server: another that took its name
// meanwhile is not used.
func (s *Service) submytoken(ctx context.Context, name, server string, asked mytoken.Request) (proto.Reply, error) {
	l, release, err := s.hold(name)
	if err != nil {
		return proto.Reply{}, err
	}
	defer release()
	sh, err := s.shelfOf(l)
	if err != nil {
		return proto.Reply{}, err
	}
	cfg, _, err := sh.config(ctx, name)
	if err != nil {
		return proto.Reply{}, err
	}
	defer cfg.Wipe()
	if cfg.MytokenURL != server {
		return proto.Reply{}, notMytoken(name)
	}
	cl, err := s.mytokenClient(ctx, cfg)
	if err != nil {
		return proto.Reply{}, err
	}
	asked.Issuer = cfg.Issuer
	use := &submytokenUse{client: cl, asked: asked}
	defer use.abandon()
	// Nobody shares what comes back: each request has a name of its own.
	_, err = s.useToken(ctx, l, sh, cfg, func() (flow.Tokens, error) {
		return sh.keeper.Refresh(ctx, name, use, flow.Request{Extra: url.Values{"mytoken": {rand.Text()}}})
	})
	if err != nil {
		return proto.Reply{}, err
	}
	got, ok := use.take()
	if !ok {
		return proto.Reply{}, errors.New("the mytoken server gave no mytoken")
	}
	defer got.Wipe()
	object, err := mytokenAnswer(got, cfg)
	return proto.Reply{Status: proto.StatusSuccess, Mytoken: object}, err
}

// submytokenUse is one use of a mytoken to make another one. It is a custody.Refresher.
type submytokenUse struct {
	client *mytoken.Client
	asked  mytoken.Request

	mu   sync.Mutex
	got  mytoken.Issued
	have bool
	gone bool // nobody comes for it any more
}

func (u *submytokenUse) Refresh(ctx context.Context, rt secret.Text, r flow.Request) (flow.Tokens, error) {
	got, err := u.client.Subtoken(ctx, rt, u.asked)
	t := flow.Tokens{Refresh: mytoken.Kept(got.Update, r)}
	got.Update = nil // it belongs to custody now
	u.mu.Lock()
	defer u.mu.Unlock()
	if err != nil || u.gone || u.have {
		got.Wipe()
		return t, err
	}
	u.got, u.have = got, true
	return t, nil
}

func (u *submytokenUse) take() (mytoken.Issued, bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	got, have := u.got, u.have
	u.got, u.have, u.gone = mytoken.Issued{}, false, true
	return got, have
}

func (u *submytokenUse) abandon() {
	if got, have := u.take(); have {
		got.Wipe()
	}
}

// mytokenAnswer is the server's answer as clients of the agent know it: a time in the place of a span, and whose
// mytoken it is.
func mytokenAnswer(got mytoken.Issued, cfg login.Config) (secret.Text, error) {
	var out []byte
	err := got.JSON.Use(func(b []byte) error {
		m := map[string]json.RawMessage{}
		if err := json.Unmarshal(b, &m); err != nil {
			return fmt.Errorf("read the mytoken server's answer: %w", mytoken.ErrAnswer)
		}
		defer func() {
			for _, raw := range m {
				clear(raw)
			}
		}()
		for _, name := range []string{"updated_token", "token_update", "expires_in", "status", "error"} {
			delete(m, name)
		}
		var expires int64
		if !got.Expires.IsZero() {
			expires = got.Expires.Unix()
		}
		for name, v := range map[string]any{
			"oidc_issuer": cfg.Issuer, "mytoken_issuer": strings.TrimSuffix(cfg.MytokenURL, "/"), "expires_at": expires,
		} {
			b, err := json.Marshal(v)
			if err != nil {
				return err
			}
			m[name] = b
		}
		var err error
		out, err = json.Marshal(m)
		return err
	})
	return secret.New(out), err
}
