package gen

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"

	"github.com/oidcbox/oidcbox/core/agent/login"
	"github.com/oidcbox/oidcbox/core/agent/proto"
	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/secret"
)

// parkedName is where a registration waits in the agent's memory for the login to be finished. The original looks there
// too.
func parkedName(short string) string { return "/tmp/oidc-gen:" + short }

// park leaves a registration with the agent: when the login is not finished now, the next run for the same name can go
// on with it instead of registering one more client. That it fails costs only that.
func (s *session) park(ctx context.Context, cfg login.Config) {
	config, err := encode(cfg)
	if err != nil {
		return
	}
	defer config.Wipe()
	var data secret.Text
	_ = config.Use(func(b []byte) error {
		text := append(bytes.Clone(b), 0) // the original counts the end of its string in
		out := make([]byte, base64.RawURLEncoding.EncodedLen(len(text)))
		base64.RawURLEncoding.Encode(out, text)
		clear(text)
		data = secret.New(out)
		return nil
	})
	defer data.Wipe()
	rep, err := s.call(ctx, proto.Request{Type: proto.TypeFileWrite, Filename: parkedName(cfg.Name), Data: data})
	rep.Wipe()
	if err != nil {
		s.detail("The registration is not kept for another try: %v", err)
	}
}

// unpark forgets a registration that is in a finished login.
func (s *session) unpark(ctx context.Context, name string) {
	rep, err := s.call(ctx, proto.Request{Type: proto.TypeFileRemove, Filename: parkedName(name)})
	rep.Wipe()
	if err != nil && !isText(err, proto.TextFileNotFound) {
		s.detail("The registration stays with the agent: %v", err)
	}
}

// takeParked offers a registration that an earlier run left behind. Where nobody can be asked it is taken when it is for
// the issuer that the options name.
func (s *session) takeParked(ctx context.Context, d *draft) error {
	if s.cmd.Pub || s.cmd.Manual || s.cmd.ClientID != "" || s.cmd.OnlyAT || s.wantsMytoken() {
		return nil
	}
	cfg, ok := s.parked(ctx, d.cfg.Name)
	if !ok {
		return nil
	}
	named := s.cmd.Issuer != ""
	if named && !login.SameIssuer(s.cmd.Issuer, cfg.Issuer) {
		cfg.Wipe()
		return nil
	}
	use, err := s.confirm(ctx, "Found temporary file for this shortname. Do you want to use it?", true)
	if hasCode(err, cli.Usage) {
		use, err = named, nil
	}
	if err != nil || !use {
		cfg.Wipe()
		return err
	}
	d.cfg, d.kind = cfg, clientParked
	s.detail("Its scopes are: %s", cfg.AuthScope)
	return nil
}

// parked reads what waits under a name. Whatever is wrong with it, it is as if there were none.
func (s *session) parked(ctx context.Context, name string) (login.Config, bool) {
	rep, err := s.call(ctx, proto.Request{Type: proto.TypeFileRead, Filename: parkedName(name)})
	defer rep.Wipe()
	if err != nil || rep.Data.Empty() {
		return login.Config{}, false
	}
	var cfg login.Config
	err = rep.Data.Use(func(b []byte) error {
		plain := make([]byte, base64.RawURLEncoding.DecodedLen(len(b)))
		defer clear(plain)
		n, err := base64.RawURLEncoding.Decode(plain, bytes.TrimRight(b, "="))
		if err != nil {
			return fmt.Errorf("decode what is parked: %w", err)
		}
		cfg, err = login.ParseConfig(bytes.TrimRight(plain[:n], "\x00"))
		return err
	})
	if err != nil || cfg.ClientID == "" || cfg.Issuer == "" {
		s.detail("A registration is parked and cannot be used")
		return login.Config{}, false
	}
	cfg.Name = name
	return cfg, true
}
