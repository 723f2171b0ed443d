package service

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/oidcbox/oidcbox/core/agent/login"
	"github.com/oidcbox/oidcbox/core/agent/prompt"
	"github.com/oidcbox/oidcbox/core/agent/proto"
)

// fetchOrRenew is fetch, and where the login turns out to have ended and the person can be asked, a new login and
// another fetch. Without somebody to ask the error comes at once.
func (s *Service) fetchOrRenew(ctx context.Context, l loaded, key cacheKey, scopes []string) (granted, error) {
	var g granted
	err := s.orRenew(ctx, l, func() (err error) {
		g, err = s.fetch(ctx, l, key, scopes)
		return err
	})
	return g, err
}

// orRenew tries something with the login l; where that turns out to have ended and the person can be asked, it is tried
// once more after a new login.
func (s *Service) orRenew(ctx context.Context, l loaded, try func() error) error {
	err := try()
	if err == nil || s.opts.NoReauthenticate || !hasEnded(err, l.name) || !s.canAsk(ctx, prompt.Link) {
		return err
	}
	again := s.desk.once(ctx, "log in "+l.name, func(ctx context.Context) error { return s.renew(ctx, l) })
	if errors.Is(again, ErrLocked) {
		return again
	}
	if again != nil {
		s.opts.Log.InfoContext(ctx, "login not renewed", "login", l.name, "err", again)
		return err
	}
	return try()
}

// hasEnded reports whether an error is one that a new login mends, by the marks that the original goes by.
func hasEnded(err error, name string) bool {
	p := explain(err, name)
	return strings.Contains(p.help, "--reauthenticate") && (strings.HasPrefix(p.text, "invalid_grant:") ||
		strings.HasPrefix(p.text, "invalid_token:") || p.text == proto.TextNoRefreshToken)
}

// renew has the person log in again with the login l.
func (s *Service) renew(ctx context.Context, l loaded) error {
	if now, ok := s.logins.get(l.name); ok && now.serial != l.serial {
		return nil // somebody has done it
	}
	saved := false
	if sh, err := s.keystore(); err == nil {
		saved = sh.has(ctx, l.name)
	}
	rep, err := s.reauthenticate(ctx, proto.Request{Account: l.name, Flow: []string{flowDevice, flowCode}})
	if err != nil {
		return err
	}
	rep, err = s.follow(ctx, l.name, prompt.Question{
		Title: "oidc-agent: log in again", Text: fmt.Sprintf("The login %s at %s has ended. Log in again.", l.name, l.issuer),
	}, rep)
	defer rep.Wipe()
	if err != nil {
		return err
	}
	s.opts.Log.InfoContext(ctx, "the person has logged in again", "login", l.name)
	cfg, err := configOf(rep)
	if err != nil {
		return err
	}
	defer cfg.Wipe()
	if saved { // he has just logged in for it, so he is not asked whether to keep it
		err = s.save(ctx, cfg)
	}
	s.files.rotated(l.name, cfg.RefreshToken.ID())
	return err
}

// configOf is the login in an answer. The caller wipes it.
func configOf(rep proto.Reply) (login.Config, error) {
	var cfg login.Config
	err := rep.Config.Use(func(b []byte) (err error) {
		cfg, err = login.ParseConfig(b)
		return err
	})
	if err != nil {
		return cfg, fmt.Errorf("read the new login: %w", err)
	}
	return cfg, nil
}

// Bounds of a login that the person does somewhere else while the agent waits.
const (
	followLife = 300 * time.Second
	codePause  = 500 * time.Millisecond // between two looks at a redirect that may have come
	slowDown   = 5 * time.Second        // RFC 8628 section 3.5
)

// errNotFollowed: the answer of a flow was neither of those that a person can finish.
var errNotFollowed = errors.New("the flow has nothing that a person could do")

// follow shows the person where to log in and waits until that is done. q says why. It is outside the gate meanwhile.
func (s *Service) follow(ctx context.Context, about string, q prompt.Question, rep proto.Reply) (proto.Reply, error) {
	f, err := s.following(rep)
	rep.Wipe()
	if err != nil {
		return proto.Reply{}, err
	}
	defer f.end()
	q.Kind, q.Label, q.Timeout = prompt.Link, f.link, f.life
	if f.anywhere {
		q.Default = prompt.AnyDevice
	}
	q.Text += f.text
	s.gate.leave()
	rep, err = s.watchLogin(ctx, about, q, f)
	if locked := s.gate.reenter(); locked != nil {
		rep.Wipe()
		return proto.Reply{}, locked
	}
	return rep, err
}

// followed is a flow that waits for the person.
type followed struct {
	link  string
	text  string // what goes with the link
	life  time.Duration
	pause time.Duration // between two polls
	// anywhere says that the link can be opened on any device.
	anywhere bool
	poll     func(ctx context.Context) (proto.Reply, error)
	end      func()
}

// following makes one of an answer that was accepted.
func (s *Service) following(rep proto.Reply) (followed, error) {
	switch {
	case !rep.Device.Empty():
		return s.followDevice(rep)
	case rep.URI != "":
		state := rep.State
		return followed{
			link: rep.URI, life: followLife, pause: codePause,
			text: "\nOpen this page in a browser on this machine:",
			poll: func(ctx context.Context) (proto.Reply, error) {
				got, err := s.stateLookup(ctx, proto.Request{State: state})
				if err == nil && got.Status == proto.StatusNotFound {
					err = fail(proto.TextPending, "")
				}
				return got, err
			},
			end: func() { s.pending.remove("state " + state) },
		}, nil
	}
	return followed{}, errNotFollowed
}

func (s *Service) followDevice(rep proto.Reply) (followed, error) {
	o, code, err := readDevice(rep.Device)
	if err != nil {
		return followed{}, err
	}
	key := deviceKey(code)
	code.Wipe()
	f := followed{
		link: o.VerificationURI, life: followLife, anywhere: true, pause: max(time.Second, time.Duration(o.Interval)*time.Second),
		text: "\nThe code is " + o.UserCode + ".\nOpen this page in a browser on any device, and enter the code:",
		poll: func(ctx context.Context) (proto.Reply, error) {
			w, ok := s.pending.get(key)
			if !ok {
				return proto.Reply{}, fail(proto.TextWrongDeviceCode, "It may have waited too long.")
			}
			return s.pollDevice(ctx, w)
		},
		end: func() { s.pending.remove(key) },
	}
	switch {
	case o.UserCode == "": // a mytoken server has none
		f.text = "\nOpen this page in a browser on any device:"
	case o.Complete != "":
		f.link = o.Complete
		f.text = "\nOpen this page in a browser on any device. The code is " + o.UserCode + ":"
	}
	if o.ExpiresIn > 0 {
		f.life = min(f.life, time.Duration(o.ExpiresIn)*time.Second)
	}
	return f, nil
}

// watchLogin shows the question and polls. That the window was closed after reading is no reason to stop; that the
// person cancelled it is.
func (s *Service) watchLogin(ctx context.Context, about string, q prompt.Question, f followed) (proto.Reply, error) {
	ctx, cancel := context.WithTimeout(ctx, f.life)
	defer cancel()
	ctx, done := s.whileRunning(ctx)
	defer done()
	shown := make(chan error, 1)
	go func() {
		_, err := s.askOutside(ctx, about, q)
		shown <- err
	}()
	reading := true
	defer func() {
		done() // takes the question away
		if reading {
			<-shown
		}
	}()
	for pause := f.pause; ; {
		t := time.NewTimer(pause)
		select {
		case err := <-shown:
			t.Stop()
			reading = false
			if err != nil {
				return proto.Reply{}, err
			}
			shown = nil
			continue
		case <-ctx.Done():
			t.Stop()
			return proto.Reply{}, prompt.ErrTimeout
		case <-t.C:
		}
		rep, err := s.pollInside(ctx, f)
		switch {
		case isText(err, proto.TextSlowDown):
			pause += slowDown
		case !isText(err, proto.TextPending):
			return rep, err
		}
	}
}

// pollInside looks once, inside the gate: when the login is done, it is put on a shelf.
func (s *Service) pollInside(ctx context.Context, f followed) (proto.Reply, error) {
	if err := s.gate.enter(); err != nil {
		return proto.Reply{}, err
	}
	defer s.gate.leave()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), workTimeout)
	defer cancel()
	return f.poll(ctx)
}
