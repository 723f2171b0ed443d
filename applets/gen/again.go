package gen

import (
	"context"
	"fmt"

	"github.com/oidcbox/oidcbox/core/agent/login"
	"github.com/oidcbox/oidcbox/core/agent/proto"
	"github.com/oidcbox/oidcbox/core/cli"
	"github.com/oidcbox/oidcbox/core/secret"
)

// reauthenticate logs in again with a login that there is: same client, same scopes, a new refresh token.
func (s *session) reauthenticate(ctx context.Context) error {
	name, err := s.shortName(ctx)
	if err != nil {
		return err
	}
	where, err := s.whereSaved(ctx, name)
	defer where.wipe()
	if err != nil {
		return err
	}
	s.say("Generating account configuration ...")
	rep, err := s.loginAgain(ctx, name)
	defer rep.Wipe()
	if err != nil && !s.env.Upstream && isRefusal(err) {
		err = fmt.Errorf("log in again with %s: %w", name, err)
	}
	if err != nil {
		return err
	}
	// The agent serves the new refresh token from memory. It is saved where the login is saved: in the keystore, in its
	// account file, or in both.
	return s.keep(ctx, where, rep.Config)
}

// whereSaved is where the new refresh token belongs. What is needed for an account file is asked for now, and the login
// in it loaded, if the agent does not have it: after the login is too late.
func (s *session) whereSaved(ctx context.Context, name string) (*place, error) {
	where := &place{env: s.env, name: name, keystore: s.saved(ctx, name)}
	if s.cmd.NoSave {
		return where, nil
	}
	dir, isFile := s.accountFile(name)
	if !isFile {
		if s.env.Upstream && !where.keystore && !s.known(ctx, name) {
			return where, s.refuse(cli.No, "No account configuration found with that shortname")
		}
		return where, s.planFile(ctx, where)
	}
	f, err := login.ReadAccount(dir, name)
	if err != nil {
		return where, err
	}
	config, key, err := s.open(ctx, name, f)
	if err != nil && (where.keystore || s.known(ctx, name)) {
		s.env.Warn("the account file of %s keeps the old refresh token: %v", name, err)
		return where, nil
	}
	if err != nil {
		return where, err
	}
	defer config.Wipe()
	where.dir, where.lock = dir, key
	if s.cmd.PwGPG != "" {
		where.lock.gpgKey = s.cmd.PwGPG
	}
	return where, s.loadFor(ctx, where, config)
}

// loadFor gives the agent a login of an account file, unless it has it. Its refresh token is not tried: it has probably
// ended.
func (s *session) loadFor(ctx context.Context, where *place, config secret.Text) error {
	if where.keystore || s.known(ctx, where.name) {
		return nil
	}
	entry, err := s.passwordEntry(where.name, where)
	if err != nil {
		return err
	}
	defer entry.Wipe()
	rep, err := s.call(ctx, proto.Request{Type: proto.TypeAdd, Config: config, PWEntry: entry, PlainAdd: true})
	rep.Wipe()
	return err
}

func (s *session) loginAgain(ctx context.Context, name string) (proto.Reply, error) {
	flows := s.cmd.Flow
	if len(flows) == 0 && s.hasScreen() {
		flows = []string{flowCode, flowDevice}
	}
	rep, err := s.call(ctx, proto.Request{
		Type: proto.TypeReauthenticate, Account: name, Flow: flows,
		NoWebserver: s.cmd.NoWebserver, NoScheme: s.cmd.NoScheme,
	})
	if err != nil {
		return rep, err
	}
	return s.follow(ctx, rep)
}
