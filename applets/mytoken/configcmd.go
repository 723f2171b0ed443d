package mytoken

import (
	"context"
	"strconv"
	"strings"

	"github.com/oidcbox/oidcbox/core/cli"
)

type configCmd struct{ root *Cmd }

type providerOut struct {
	Name   string `json:"name,omitempty"`
	Issuer string `json:"issuer"`
	Token  string `json:"default_token,omitempty"`
}

type configOut struct {
	File         string        `json:"file"`
	Server       string        `json:"instance"`
	Prefix       string        `json:"token_name_prefix"`
	Capabilities []string      `json:"default_token_capabilities"`
	Stored       []string      `json:"stored_token_capabilities"`
	Provider     string        `json:"default_provider,omitempty"`
	Discovery    bool          `json:"use_wlcg_token_discovery"`
	Providers    []providerOut `json:"providers"`
}

// Run shows the configuration as it is understood; nothing is sent.
func (c *configCmd) Run(_ context.Context, env *cli.Env) error {
	return c.root.run(env, func(s *session) error {
		out := configOut{
			File: s.set.file, Server: s.server(), Prefix: s.set.tokenPrefix(), Provider: s.set.provider,
			Discovery: s.set.discovery, Providers: []providerOut{},
			Capabilities: s.set.printedCapabilities(), Stored: s.set.storedCapabilities(),
		}
		rows := [][]string{
			{"SETTING", "VALUE"},
			{"file", or(out.File, "(none)")},
			{"instance", out.Server},
			{"token_name_prefix", out.Prefix},
			{"default_token_capabilities", strings.Join(out.Capabilities, " ")},
			{"capabilities of stored mytokens", strings.Join(out.Stored, " ")},
			{"default_provider", or(out.Provider, "(the only one, or one is asked for)")},
			{"use_wlcg_token_discovery", strconv.FormatBool(out.Discovery)},
		}
		for _, p := range s.set.providers {
			out.Providers = append(out.Providers, providerOut{p.name, p.issuer, p.token})
			rows = append(rows, []string{"provider " + p.name, p.issuer})
		}
		return s.show(out, rows)
	})
}

func or(s, other string) string {
	if s == "" {
		return other
	}
	return s
}
