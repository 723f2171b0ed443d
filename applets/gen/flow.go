package gen

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/oidcbox/oidcbox/core/agent/login"
	"github.com/oidcbox/oidcbox/core/agent/proto"
	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/secret"
)

// runFlow has the agent run the flows and waits for the person where one is needed. The reply holds the login, or an
// access token. The caller wipes it.
func (s *session) runFlow(ctx context.Context, d draft, where *place) (proto.Reply, error) {
	config, err := encode(d.cfg)
	if err != nil {
		return proto.Reply{}, err
	}
	entry, err := s.passwordEntry(d.cfg.Name, where)
	if err != nil {
		return proto.Reply{}, err
	}
	defer entry.Wipe()
	if s.cmd.OPUser != "" {
		if config, err = s.withPassword(ctx, config); err != nil {
			return proto.Reply{}, err
		}
	}
	defer func() { config.Wipe() }()
	flows := s.flows(d)
	s.detail("Asking for %q with the flows %v", d.cfg.AuthScope, flows)
	rep, err := s.call(ctx, proto.Request{
		Type: proto.TypeGen, Config: config, Flow: flows, PWEntry: entry,
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
	device := !rep.Device.Empty()
	switch {
	case device:
		s.say("accepted")
		defer rep.Device.Wipe()
		rep, err = s.device(ctx, rep.Device)
	case rep.URI != "":
		s.say("accepted")
		rep, err = s.browser(ctx, rep)
	}
	if err == nil && !s.cmd.OnlyAT && !(device && s.env.Upstream) { // the original says nothing more of a device flow
		s.say("success")
		s.say("The generated account config was successfully added to oidc-agent. You don't have to run oidc-add.")
	}
	return rep, err
}

// withPassword adds user name and password to the configuration, where the agent expects them for this one flow.
func (s *session) withPassword(ctx context.Context, config secret.Text) (secret.Text, error) {
	defer config.Wipe()
	pw, err := s.secretFrom(s.cmd.OPPassFile, "", s.cmd.OPPass, "--op-password")
	if err == nil && pw.Empty() {
		pw, err = s.password(ctx, "Password of "+s.cmd.OPUser+" at the provider")
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
	s.agentOf(stateOf(s.cmd.Exchange))
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
	s.agentOf(s.cmd.State)
	rep, err := s.call(ctx, proto.Request{Type: proto.TypeStateLookup, State: s.cmd.State})
	defer rep.Wipe()
	switch {
	case err != nil:
		return err
	case rep.Status == proto.StatusFoundButReceived:
		s.env.Note("%s", rep.Info.Text())
		return nil
	case rep.Status == proto.StatusNotFound && s.env.Upstream:
		return errors.New(proto.TextWrongState)
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
	s.say("The generated account config was successfully added to oidc-agent. You don't have to run oidc-add.")
	s.unpark(ctx, cfg.Name)
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
