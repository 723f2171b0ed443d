package gen

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/oidcbox/oidcbox/core/agent/login"
	"github.com/oidcbox/oidcbox/core/agent/proto"
	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/secret"
)

// runFlow has the agent run the flows and waits for the person where one is needed. The reply holds the login, or an
// access token. The caller wipes it.
func (s *session) runFlow(ctx context.Context, cfg login.Config) (proto.Reply, error) {
	config, err := encode(cfg)
	if err != nil {
		return proto.Reply{}, err
	}
	if s.cmd.OPUser != "" {
		if config, err = s.withPassword(config); err != nil {
			return proto.Reply{}, err
		}
	}
	defer func() { config.Wipe() }()
	rep, err := s.call(ctx, proto.Request{
		Type: proto.TypeGen, Config: config, Flow: s.flows(cfg),
		NoWebserver: s.cmd.NoWebserver, NoScheme: s.cmd.NoScheme, OnlyAT: s.cmd.OnlyAT,
	})
	if err != nil {
		return rep, err
	}
	return s.follow(ctx, rep)
}

// follow sees an accepted flow through.
func (s *session) follow(ctx context.Context, rep proto.Reply) (proto.Reply, error) {
	var err error
	switch {
	case !rep.Device.Empty():
		s.say("accepted")
		defer rep.Device.Wipe()
		rep, err = s.device(ctx, rep.Device)
	case rep.URI != "":
		s.say("accepted")
		rep, err = s.browser(ctx, rep)
	}
	if err == nil && !s.cmd.OnlyAT {
		s.say("success")
	}
	return rep, err
}

// withPassword adds user name and password to the configuration, where the agent expects them for this one flow.
func (s *session) withPassword(config secret.Text) (secret.Text, error) {
	defer config.Wipe()
	pw, err := s.secretFrom(s.cmd.OPPassFile, "", s.cmd.OPPass, "--op-password")
	if err == nil && pw.Empty() {
		pw, err = s.password("Password of " + s.cmd.OPUser + " at the provider")
	}
	if err != nil {
		return secret.Text{}, err
	}
	defer pw.Wipe()
	var out []byte
	err = config.Use(func(b []byte) error {
		m := map[string]json.RawMessage{}
		if err := json.Unmarshal(b, &m); err != nil {
			return err
		}
		user, err := json.Marshal(s.cmd.OPUser)
		if err != nil {
			return err
		}
		m["username"] = user
		if m["password"], err = json.Marshal(pw.Expose()); err != nil {
			return err
		}
		out, err = json.Marshal(m)
		clear(m["password"])
		return err
	})
	return secret.New(out), err
}

// browser shows the link and waits until the agent has got the code.
func (s *session) browser(ctx context.Context, rep proto.Reply) (proto.Reply, error) {
	link := strings.ReplaceAll(rep.URI, " ", "%20") // the original's agent leaves the blanks between scopes
	s.env.Note("To continue and approve the client visit the following URL in a browser of your choice:\n%s", link)
	defer s.openBrowser(link)()
	limited, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	pause := 100 * time.Millisecond
	for {
		got, err := s.call(limited, proto.Request{Type: proto.TypeStateLookup, State: rep.State})
		switch {
		case err == nil && got.Status == proto.StatusFoundButReceived:
			return got, cli.Fail(cli.No, errors.New("another program has fetched this login"), "")
		case err == nil && got.Status != proto.StatusNotFound:
			return got, nil // it is handed out once: also good when the person has just given up
		case ctx.Err() != nil:
			return got, s.interrupted(ctx, rep.State)
		case err != nil:
			return got, err
		}
		if err := sleep(limited, pause); err != nil && ctx.Err() == nil {
			return got, cli.Fail(cli.Temporary, errors.New("nobody logged in in time"),
				"if you still do, fetch the login with: oidc-gen --state="+rep.State)
		}
		pause = min(pause*5/4, 2*time.Second)
	}
}

// interrupted frees the port of a flow that the person gave up.
func (s *session) interrupted(ctx context.Context, state string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	rep, err := s.call(ctx, proto.Request{Type: proto.TypeTermHTTPServer, State: state})
	rep.Wipe()
	return errors.Join(errors.New("interrupted"), err)
}

// deviceCode is what a person needs of a device authorization.
type deviceCode struct {
	UserCode string `json:"user_code"`
	URI      string `json:"verification_uri"`
	Complete string `json:"verification_uri_complete"`
	Expires  int64  `json:"expires_in"`
	Interval int64  `json:"interval"`
}

// device shows the code and polls until the person has approved.
func (s *session) device(ctx context.Context, object secret.Text) (proto.Reply, error) {
	var d deviceCode
	if err := object.Use(func(b []byte) error { return json.Unmarshal(b, &d) }); err != nil {
		return proto.Reply{}, fmt.Errorf("read the device code: %w", err)
	}
	s.env.Note("Using a browser on any device, visit:\n%s\n\nAnd enter the code: %s", d.URI, d.UserCode)
	if d.Complete != "" {
		s.env.Note("Alternatively you can use the following link, which has the code in it:\n%s", d.Complete)
	}
	s.env.Note("Waiting until the login is approved there ...")
	life := wait
	if d.Expires > 0 {
		life = min(wait, time.Duration(d.Expires)*time.Second)
	}
	limited, cancel := context.WithTimeout(ctx, life)
	defer cancel()
	pause := 5 * time.Second
	if d.Interval > 0 && d.Interval < 300 {
		pause = time.Duration(d.Interval) * time.Second
	}
	for {
		if err := sleep(limited, pause); err != nil {
			if ctx.Err() != nil {
				return proto.Reply{}, errors.New("interrupted")
			}
			return proto.Reply{}, cli.Fail(cli.Temporary, errors.New("the code was not entered in time"), "")
		}
		rep, err := s.call(limited, proto.Request{Type: proto.TypeDevice, Device: object, OnlyAT: s.cmd.OnlyAT})
		switch {
		case isText(err, proto.TextPending):
		case isText(err, proto.TextSlowDown):
			pause += 5 * time.Second // RFC 8628 section 3.5
		default:
			return rep, err
		}
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// printAccess prints the token of --only-at.
func (s *session) printAccess(rep proto.Reply) error {
	if rep.AccessToken.Empty() {
		return errors.New("the agent gave no access token")
	}
	return rep.AccessToken.Use(func(b []byte) error {
		_, err := fmt.Fprintf(s.env.Stdout, "%s\n", b)
		return err
	})
}

// codeExchange finishes a flow with an address that the person copied from the browser.
func (s *session) codeExchange(ctx context.Context) error {
	uri := secret.FromString(s.cmd.Exchange)
	defer uri.Wipe()
	rep, err := s.call(ctx, proto.Request{Type: proto.TypeCodeExchange, RedirectURI: uri, FromGen: true})
	defer rep.Wipe()
	if err != nil {
		return err
	}
	return s.keepOrPrint(ctx, rep)
}

// fetchState fetches a login that was finished while nobody waited.
func (s *session) fetchState(ctx context.Context) error {
	rep, err := s.call(ctx, proto.Request{Type: proto.TypeStateLookup, State: s.cmd.State})
	defer rep.Wipe()
	switch {
	case err != nil:
		return err
	case rep.Status == proto.StatusFoundButReceived:
		s.env.Note("%s", rep.Info.Text())
		return nil
	case rep.Status == proto.StatusNotFound:
		return cli.Fail(cli.NotFound, errors.New("no finished login for this state"), "")
	}
	return s.keepOrPrint(ctx, rep)
}

func (s *session) keepOrPrint(ctx context.Context, rep proto.Reply) error {
	if !rep.AccessToken.Empty() {
		return s.printAccess(rep)
	}
	cfg, err := decode(rep.Config)
	if err != nil {
		return err
	}
	defer cfg.Wipe()
	where, err := s.plan(ctx, cfg.Name)
	if err != nil {
		return err
	}
	defer where.wipe()
	s.say("success")
	return s.keep(ctx, where, rep.Config)
}

func decode(config secret.Text) (login.Config, error) {
	var cfg login.Config
	err := config.Use(func(b []byte) (err error) {
		cfg, err = login.ParseConfig(b)
		return err
	})
	if err != nil {
		return cfg, fmt.Errorf("read the login from the agent: %w", err)
	}
	return cfg, nil
}

// reauthenticate logs in again with a login that the agent has.
func (s *session) reauthenticate(ctx context.Context) error {
	name, err := s.shortName()
	if err != nil {
		return err
	}
	flows := s.cmd.Flow
	if len(flows) == 0 && s.hasScreen() {
		flows = []string{flowCode, flowDevice}
	}
	saved := s.saved(ctx, name)
	rep, err := s.call(ctx, proto.Request{
		Type: proto.TypeReauthenticate, Account: name, Flow: flows,
		NoWebserver: s.cmd.NoWebserver, NoScheme: s.cmd.NoScheme,
	})
	if err == nil {
		rep, err = s.follow(ctx, rep)
	}
	defer rep.Wipe()
	if err != nil {
		return err
	}
	// The agent serves the new refresh token from memory. It is saved where the login is saved: in the keystore, and in
	// an account file, if one is wanted.
	where := &place{env: s.env, name: name, keystore: saved}
	if err := s.planFile(ctx, where); err != nil {
		return err
	}
	defer where.wipe()
	return s.keep(ctx, where, rep.Config)
}
