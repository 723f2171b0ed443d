// Package mytoken is the role that asks a mytoken server: "mytoken AT" for an access token, "mytoken MT" for a mytoken,
// and what else there is to be done with one.
//
// It understands the command lines of today's client and those of the older one with a store of tokens; the store is the
// agent's keystore, where a mytoken is a login with a name. What a mytoken may be used for is judged by
// core/mytoken/rules before anything is sent, so that a restriction nobody could ever use is refused here, with its
// reason. It is not the server, and it refreshes nothing by itself but the file of "AT --watch".
//
// Standards: the mytoken API, version 0; WLCG Bearer Token Discovery 1.0.
//
// Not a public API.
package mytoken

import (
	"context"
	"slices"
	"strings"

	"github.com/oidcbox/oidcbox/core/cli"
)

// Cmd is the grammar.
type Cmd struct {
	Config string `placeholder:"FILE" help:"Configuration instead of ~/.config/mytoken/config.yaml."`
	URL    string `name:"url" aliases:"mytoken-url" placeholder:"URL" help:"Mytoken server (MYTOKEN_URL)."`
	CAFile string `name:"ca-file" placeholder:"FILE" help:"Trust these certificate authorities alone."`
	SSH    string `name:"ssh" placeholder:"HOST" help:"Ask over ssh, at this host of ~/.ssh/config: its key stands for a mytoken."`
	JSON   bool   `name:"json" help:"Print the result as JSON."`

	NoColor bool `name:"no-color" hidden:"" help:"There are no colours; taken for old command lines."`

	AT     atCmd     `cmd:"" name:"AT" aliases:"at,access-token" help:"Print an access token."`
	MT     mtCmd     `cmd:"" name:"MT" aliases:"mt,mytoken" help:"Get a mytoken, and print or store it; what it may do is said by the options of MT create (--help)."`
	Info   infoCmd   `cmd:"" name:"info" aliases:"tokeninfo" help:"Show what a mytoken is, was used for, and what came of it."`
	Revoke revokeCmd `cmd:"" name:"revoke" help:"End a mytoken."`
	List   listCmd   `cmd:"" name:"list" help:"List providers of the server, or stored mytokens."`
	Rename renameCmd `cmd:"" name:"rename" help:"Give a stored mytoken another name."`

	Settings      settingsCmd      `cmd:"" name:"settings" help:"Your settings at the server: grants, ssh keys, mail, tags."`
	Notifications notificationsCmd `cmd:"" name:"notifications" help:"Mails about what happens to mytokens."`
	Calendars     calendarsCmd     `cmd:"" name:"calendars" help:"Calendars of when mytokens expire."`

	Profiles     profilesCmd     `cmd:"" name:"profiles" help:"List the profiles and templates of the server."`
	Capabilities capabilitiesCmd `cmd:"" name:"capabilities" help:"List what a mytoken can be allowed to do."`
	ConfigCmd    configCmd       `cmd:"" name:"config" help:"Show the configuration as it is understood."`
	Import       importCmd       `cmd:"" name:"import" help:"Store the mytokens of an older version's tokens.json."`
}

// New returns the role.
func New() cli.Command {
	c := &Cmd{}
	c.AT.root = c
	c.MT.Create.root, c.MT.Store.root, c.MT.List.root, c.MT.Transfer.root = c, c, c, c
	c.Info.Show.root, c.Info.Introspect.root, c.Info.History.root = c, c, c
	c.Info.Subtokens.root, c.Info.List.root, c.Info.Notify.root = c, c, c
	c.ConfigCmd.root, c.Import.root = c, c
	c.Revoke.root, c.List.Providers.root, c.List.Tokens.root, c.Rename.root = c, c, c, c
	c.Profiles.root, c.Capabilities.root = c, c
	c.MT.Tags.Add.root, c.MT.Tags.Remove.root = c, c
	c.Settings.link(c)
	c.Notifications.link(c)
	c.Calendars.link(c)
	return c
}

// Run is never reached: kong chooses a sub-command.
func (*Cmd) Run(context.Context, *cli.Env) error {
	return cli.Failf(cli.Usage, "a sub-command is missing")
}

// Rewrite takes the flow off "--oidc=default" of versions that had several: there is one.
func (*Cmd) Rewrite(args []string) []string {
	out := slices.Clone(args)
	for i, a := range out {
		if flow, ok := strings.CutPrefix(a, "--oidc="); ok && slices.Contains([]string{"auth", "default"}, flow) {
			out[i] = "--oidc"
		}
	}
	return out
}
