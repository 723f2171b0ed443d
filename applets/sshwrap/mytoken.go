package sshwrap

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/mytoken"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/sshlogin"
	"github.com/oidcbox/oidcbox/core/token/bearer"
)

// fromMytoken gets an access token for a mytoken. Only one that is a JWT says of which server it is.
func (s *session) fromMytoken(ctx context.Context, svc *service) (held, error) {
	var mt secret.Text
	var path string
	switch {
	case s.MTFile != "":
		path = within(s.env.Dir, s.MTFile)
		unlock, err := mytoken.LockFile(ctx, s.env.Getenv, path)
		if err != nil {
			return held{}, cli.Fail(cli.Temporary, err, "try again later")
		}
		defer unlock()
		if mt, err = bearer.ReadFile(path); err != nil || mt.Empty() {
			var bare *os.PathError // the name is not repeated: people put the mytoken itself there
			if errors.As(err, &bare) {
				err = bare.Err
			}
			return held{}, cli.Fail(cli.NotFound, fmt.Errorf("read the mytoken file: %w", errors.Join(err, emptyError(err))), "")
		}
	case s.MTEnv != "":
		if s.env.Getenv(s.MTEnv) == "" {
			return held{}, cli.Failf(cli.NotFound, "there is no mytoken in the variable %s", s.MTEnv)
		}
		var err error
		if mt, err = bearer.Parse([]byte(s.env.Getenv(s.MTEnv))); err != nil {
			return held{}, cli.Fail(cli.Usage, fmt.Errorf("the variable %s: %w", s.MTEnv, mytoken.ErrToken), "")
		}
	default:
		return held{}, errNext
	}
	defer mt.Wipe()
	return s.exchange(ctx, svc, mt, path)
}

func emptyError(err error) error {
	if err == nil {
		return errors.New("it is empty")
	}
	return nil
}

// exchange asks the mytoken server. A mytoken that is replaced by its use goes back to where it was before anything
// else is done.
func (s *session) exchange(ctx context.Context, svc *service, mt secret.Text, path string) (held, error) {
	c, err := mytoken.ReadClaims(mt)
	if err != nil {
		return held{}, cli.Fail(cli.Usage, err, "a short mytoken does not say of which server it is: use it with mytoken AT")
	}
	p := sshlogin.Provider{Issuer: c.OIDCIssuer}
	if svc.Base != "" {
		if p, err = s.wishes(ctx, svc, c.OIDCIssuer); err != nil {
			return held{}, err
		}
	}
	scopes, audience := s.wanting(p)
	if err := s.agree(ctx, svc, scopes, audience); err != nil {
		return held{}, err
	}
	srv, err := mytoken.Discover(ctx, s.call, c.Issuer)
	if err != nil {
		return held{}, err
	}
	req := mytoken.AccessRequest{Scope: fields(scopes), Audience: fields(audience), Comment: "ssh"}
	cl := mytoken.New(s.call, srv, mytoken.Options{Now: s.env.Now, Application: "oidcbox ssh"})
	a, err := cl.AccessToken(ctx, mt, req)
	if kept := s.keepMytoken(mt, a.Update, path); kept != nil {
		a.Wipe()
		return held{}, kept
	}
	if err != nil {
		a.Wipe()
		return held{}, mytokenError(err)
	}
	h := held{text: a.Token.Clone(), where: "mytoken server " + c.Issuer}
	a.Wipe()
	if err := fits(h.text, scopes, audience); err != nil {
		h.text.Wipe()
		return held{}, err
	}
	return h, nil
}

func mytokenError(err error) error {
	err = fmt.Errorf("get an access token for the mytoken: %w", err)
	switch {
	case mytoken.NeedsLogin(err):
		return cli.Fail(cli.Human, err, "it has ended; get another with: mytoken MT --oidc")
	case mytoken.Temporary(err):
		return cli.Fail(cli.Temporary, err, "try again later")
	}
	return err
}

func (s *session) keepMytoken(mt secret.Text, update *mytoken.Issued, path string) error {
	if update == nil || update.Token.Empty() || update.Token.Equal(mt) {
		return nil
	}
	if path != "" {
		err := bearer.Store(path, update.Token)
		if err == nil {
			return nil
		}
		s.warn("%v", err)
	}
	s.env.Note("The mytoken was replaced by its use. From now on it is:")
	s.env.Note("%s", update.Token.Expose())
	return nil
}
