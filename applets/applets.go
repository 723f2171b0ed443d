package applets

import (
	"runtime/debug"

	"github.com/oidcbox/oidcbox/applets/add"
	"github.com/oidcbox/oidcbox/applets/agent"
	"github.com/oidcbox/oidcbox/applets/agentservice"
	"github.com/oidcbox/oidcbox/applets/demo"
	"github.com/oidcbox/oidcbox/applets/gen"
	"github.com/oidcbox/oidcbox/applets/issuer"
	"github.com/oidcbox/oidcbox/applets/keychain"
	"github.com/oidcbox/oidcbox/applets/mytoken"
	"github.com/oidcbox/oidcbox/applets/mytokenserver"
	"github.com/oidcbox/oidcbox/applets/pam"
	"github.com/oidcbox/oidcbox/applets/prompt"
	"github.com/oidcbox/oidcbox/applets/provisioner"
	"github.com/oidcbox/oidcbox/applets/self"
	"github.com/oidcbox/oidcbox/applets/sshwrap"
	"github.com/oidcbox/oidcbox/applets/token"
	"github.com/oidcbox/oidcbox/applets/tokensh"
	"github.com/oidcbox/oidcbox/applets/userinfo"
	"github.com/oidcbox/oidcbox/applets/verifier"
	"github.com/oidcbox/oidcbox/core/cli"
)

// All lists every role. Adding a role is adding a row; nothing else registers itself. It is a function because one row
// (self) describes the others.
func All() []cli.Role {
	return []cli.Role{
		{
			Name: "agent", Also: []string{"oidc-agent"}, Upstream: []string{"oidc-agent"}, Argp: true,
			Sum: "hold logins and hand out access tokens", New: agent.New,
		},
		{
			Name: "agent-service", Also: []string{"oidc-agent-service"}, Upstream: []string{"oidc-agent-service"}, Argp: true,
			Sum: "keep one agent that all shells find", New: agentservice.New,
		},
		{
			Name: "gen", Also: []string{"oidc-gen"}, Upstream: []string{"oidc-gen"}, Argp: true,
			Sum: "set up a login with a provider", New: gen.New,
		},
		{
			Name: "add", Also: []string{"oidc-add"}, Upstream: []string{"oidc-add"}, Argp: true,
			Sum: "load, unload, lock and list logins", New: add.New,
		},
		{
			Name: "token", Also: []string{"oidc-token"}, Upstream: []string{"oidc-token"}, Argp: true, Brief: true,
			Sum: "print an access token", New: token.New,
		},
		{
			Name: "prompt", Also: []string{"oidc-prompt"}, Upstream: []string{"oidc-prompt"}, Argp: true,
			Sum: "ask a person one question", New: prompt.New,
		},
		{
			Name: "keychain", Also: []string{"oidc-keychain"}, Upstream: []string{"oidc-keychain"}, Argp: true,
			Sum: "give every shell the same agent, and load logins", New: keychain.New,
		},
		{
			Name: "tokensh", Also: []string{"oidc-tokensh"}, Upstream: []string{"oidc-tokensh"}, Argp: true,
			Sum: "run a command with a token file that stays fresh", New: tokensh.New,
		},
		{
			Name: "userinfo", Also: []string{"flaat-userinfo"}, Upstream: []string{"flaat-userinfo"}, Plain: true, Argp: true,
			Sum: "show what a token and its issuer say about a person", New: userinfo.New,
		},
		{
			Name: "mytoken", Upstream: []string{"mytoken"}, Plain: true,
			Sum: "get mytokens, and access tokens for them, from a mytoken server", New: mytoken.New,
		},
		{Name: "mytoken-server", Sum: "serve mytokens", New: mytokenserver.New},
		{
			Name: "provisioner", Also: []string{"motley-cue"},
			Sum: "give people with a federated identity an account for ssh", New: provisioner.New,
		},
		{
			Name: "feudal", Also: []string{"feudal-adapter"}, Upstream: []string{"feudal-adapter"}, Plain: true,
			Sum: "ask the provisioner in the form of the feudal adapter", New: provisioner.NewFeudal,
		},
		{Name: "verifier", Sum: "say yes or no to a token", New: verifier.New},
		{Name: "pam", Brief: true, Sum: "let PAM ask whether a secret opens an account", New: pam.New},
		{Name: "ssh", Sum: "log in by ssh with an access token", New: sshwrap.NewSSH},
		{Name: "scp", Sum: "copy files by scp with an access token", New: sshwrap.NewSCP},
		{Name: "sftp", Sum: "copy files by sftp with an access token", New: sshwrap.NewSFTP},
		{
			Name: "mccli", Upstream: []string{"mccli"}, Plain: true,
			Sum: "log in by ssh with an access token, as mccli does", New: sshwrap.NewMccli,
		},
		{Name: "ssh-plugin", Sum: "log in with PuTTY and an access token", New: sshwrap.NewPlugin},
		{Name: "ssh-askpass", Hidden: true, Brief: true, Sum: "answer a question of ssh", New: sshwrap.NewAskpass},
		{Name: "ssh-hostkeys", Hidden: true, Brief: true, Sum: "tell ssh the keys of a host", New: sshwrap.NewHostKeys},
		{Name: "ssh-match", Hidden: true, Sum: "keep a connection for plain ssh", New: sshwrap.NewMatch},
		{Name: "issuer", Sum: "development provider on loopback", New: issuer.New},
		{Name: "demo", Sum: "walk through the main job on loopback", New: demo.New},
		{Name: "self", Sum: "version, links, man pages, completion, keystore care", New: newSelf},
	}
}

func newSelf() cli.Command { return self.New(program, Version(), All()) }

// version is set by the linker in releases.
var version = ""

// Version is the release, or what the Go tool recorded of the source.
func Version() string {
	if version != "" {
		return version
	}
	if bi, ok := debug.ReadBuildInfo(); ok && bi.Main.Version != "" && bi.Main.Version != "(devel)" {
		return bi.Main.Version
	}
	return "devel"
}
