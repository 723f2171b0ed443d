package sshwrap

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/oidcbox/oidcbox/core/account/state"
	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/sshlogin"
	"github.com/oidcbox/oidcbox/core/transport/httpc"
)

// visit is one host that somebody may log in to now: the account is ready.
type visit struct {
	*service
	held held
	user string
	// stopped: the account is suspended, and mccli goes on as the original does.
	stopped bool
}

// visit makes the account ready at a destination of ssh.
func (s *session) visit(ctx context.Context, options []string, destination string) (*visit, error) {
	t, err := s.resolve(ctx, options, destination)
	if err != nil {
		return nil, err
	}
	v, err := s.enter(ctx, t)
	if v == nil && err != nil && s.moved(err) {
		// The service may have moved since it was found.
		s.say("%v: looking for the service again", err)
		_ = os.Remove(s.cachePath(t.host))
		v, err = s.enter(ctx, t)
	}
	return v, err
}

// movedError is a request that did not reach a service known from a while ago.
type movedError struct{ error }

func (e movedError) Unwrap() error { return e.error }

func (s *session) moved(err error) bool {
	var m movedError
	return errors.As(err, &m)
}

func (s *session) enter(ctx context.Context, t target) (*visit, error) {
	svc, err := s.service(ctx, t)
	if err != nil {
		return nil, err
	}
	h, err := s.token(ctx, svc)
	if err != nil {
		return nil, err
	}
	v := &visit{service: svc, held: h}
	if v.user, err = s.account(ctx, v); err != nil {
		h.text.Wipe()
		if svc.kept != "" && httpc.Unsent(err) {
			err = movedError{err}
		}
		return nil, err
	}
	s.say("local user: %s", v.user)
	return v, nil
}

// account brings the account up to date and returns the local name.
func (s *session) account(ctx context.Context, v *visit) (string, error) {
	now, err := v.Status(ctx, v.held.text)
	if err != nil {
		return "", s.noUser(err)
	}
	s.say("account: %s, %s", now.State, now.Message)
	switch now.State {
	case state.Suspended, state.Limited:
		if now.State == state.Suspended && !s.compat {
			return "", cli.Fail(cli.Denied, fmt.Errorf("your account at %s is suspended", v.Base),
				"its administrator can say why")
		}
		v.stopped = now.State == state.Suspended
		s.warn("your account at %s is %s", v.Base, now.State)
		return s.userOf(now)
	case state.Rejected:
		return "", cli.Fail(cli.Denied, fmt.Errorf("%s: %s", v.Base, now.Message), "its administrator can change that")
	}
	made, err := v.Deploy(ctx, v.held.text)
	if err != nil {
		if name, nameErr := now.User(); now.State == state.Deployed && nameErr == nil && name != "" {
			s.warn("%v", err)
			return name, nil
		}
		return "", s.noUser(err)
	}
	s.say("account: %s, %s", made.State, made.Message)
	if made.State == state.Pending {
		return "", fmt.Errorf("%w: %s", sshlogin.ErrPending, made.Message)
	}
	return s.userOf(made)
}

// noUser ends as the original does.
func (s *session) noUser(err error) error {
	var refused *sshlogin.CallError
	if s.compat && errors.As(err, &refused) {
		s.env.Note("error: %v", err)
		//lint:ignore ST1005 the words are the original's
		return cli.Fail(cli.No, errors.New("Failed to get ssh username"), "")
	}
	return err
}

func (s *session) userOf(a sshlogin.Account) (string, error) {
	name, err := a.User()
	if err != nil {
		return "", err
	}
	if name == "" {
		return "", s.noUser(fmt.Errorf("the service names no local user: %s", a.Message))
	}
	return name, nil
}

// maxPlain is what ssh takes from an askpass program.
const maxPlain = 1023

// password is the secret for one login: a one-time password, or the token itself where there are none. The caller wipes
// it.
func (v *visit) password(ctx context.Context) (secret.Text, error) {
	otp, err := v.OTP(ctx, v.held.text, v.info.OwnOTP)
	var refused *sshlogin.CallError
	none := errors.Is(err, sshlogin.ErrNoOTP) || errors.As(err, &refused) && refused.Status == 404
	if !none {
		return otp, err
	}
	if v.stopped {
		return secret.Text{}, cli.Fail(cli.Denied, fmt.Errorf("your account at %s is suspended", v.Base), "its administrator can say why")
	}
	if n := v.held.text.Len(); n > maxPlain {
		//lint:ignore ST1005 the words are the original's
		return secret.Text{}, cli.Fail(cli.No, fmt.Errorf(
			"Sorry, your token is too long (%d >= 1024) and cannot be used for SSH authentication: %w", n, err), "the administrator of the service can switch one-time passwords on")
	}
	return v.held.text.Clone(), nil
}

// wanted refuses to log in as somebody else than was asked for.
func (s *session) wanted(v *visit, user string) error {
	if user == "" || user == v.user {
		return nil
	}
	if s.compat {
		s.warn("logging in as %s, not as %s", v.user, user)
		return nil
	}
	return cli.Fail(cli.Usage, fmt.Errorf("with this token you are %s at %s, not %s", v.user, v.target.host, user),
		"leave the user out; plain ssh knows other ways in")
}

// keys are the host keys that the service vouches for, when it may: its certificate was checked, it is the host itself
// or the one the person named for it, and nothing is known of the host yet.
func (v *visit) keys() []string {
	if !v.Verified() || len(v.info.HostKeys) == 0 || v.target.release < hostKeysCommand || v.target.keysCommand {
		return nil
	}
	if v.target.known() {
		return nil
	}
	return v.info.HostKeys
}
