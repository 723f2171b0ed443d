package service

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/oidcbox/oidcbox/core/agent/proto"
)

func (s *Service) check(context.Context, proto.Request) (proto.Reply, error) {
	return proto.Success(""), nil
}

func (s *Service) loadedAccounts(context.Context, proto.Request) (proto.Reply, error) {
	return proto.Reply{Status: proto.StatusSuccess, Info: proto.InfoValue(s.loadedNames())}, nil
}

func (s *Service) loadedNames() []string {
	names := []string{} // an empty array, not null
	for _, l := range s.logins.list() {
		names = append(names, l.name)
	}
	return names
}

// issuerInfo is one member of the answer to account_info.
type issuerInfo struct {
	PublicClient bool            `json:"pubclient"`
	Accounts     map[string]bool `json:"accounts,omitempty"`
}

// accountInfo lists logins by issuer, with whether each is served. It refuses while the agent is locked: the original
// then says that nothing is loaded.
func (s *Service) accountInfo(ctx context.Context, _ proto.Request) (proto.Reply, error) {
	info := make(map[string]issuerInfo)
	note := func(issuer, name string, served bool) {
		i := info[issuer]
		if i.Accounts == nil {
			i.Accounts = make(map[string]bool)
		}
		i.Accounts[name] = i.Accounts[name] || served
		info[issuer] = i
	}
	for _, l := range s.logins.list() {
		note(l.issuer, l.name, true)
	}
	if sh, err := s.keystore(); err == nil {
		configs, err := sh.all(ctx)
		if err != nil {
			return proto.Reply{}, err
		}
		for _, c := range configs {
			note(c.Issuer, c.Name, false)
		}
	}
	return proto.Reply{Status: proto.StatusSuccess, Info: proto.InfoValue(info)}, nil
}

// statusText is the text of "oidc-agent --status".
func (s *Service) statusText(context.Context, proto.Request) (proto.Reply, error) {
	var b strings.Builder
	rule := strings.Repeat("#", 36)
	fmt.Fprintf(&b, "%s\n##       oidc-agent status        ##\n%s\n\n", rule, rule)
	fmt.Fprintf(&b, "This agent is running version %s.\n\n", s.opts.Version)
	b.WriteString("This agent was started with the following options:\n")
	for _, o := range s.optionLines() {
		fmt.Fprintf(&b, "%s:%s%s\n", o.label, strings.Repeat("\t", o.tabs), o.value)
	}
	names := s.loadedNames()
	fmt.Fprintf(&b, "\nCurrently there are %d accounts loaded: %s\n\n", len(names), strings.Join(names, ", "))
	return proto.Success(b.String()), nil
}

type optionLine struct {
	label string
	tabs  int // so that values stand below each other
	value string
}

func (s *Service) optionLines() []optionLine {
	sw := s.opts.Switches
	lifetime := "Forever"
	if sw.Lifetime > 0 {
		lifetime = fmt.Sprintf("%d seconds", int64(sw.Lifetime/time.Second))
	}
	group := sw.Group
	if group == "" {
		group = "false"
	}
	lines := []optionLine{
		{label: "Lifetime", value: lifetime},
		{label: "Confirm", value: truth(sw.Confirm)},
		{label: "Autoload", value: truth(!sw.NoAutoload)},
		{label: "Auto Re-authenticate", value: truth(!sw.NoReauthenticate)},
		{label: "Use custom URI scheme", value: truth(!sw.NoScheme)},
		{label: "Webserver", value: truth(!sw.NoWebserver)},
		{label: "Allow ID-Token", value: truth(sw.AlwaysAllowIDToken)},
		{label: "Group", value: group},
		{label: "Daemon", value: truth(!sw.Console)},
		{label: "Log Debug", value: truth(sw.Debug)},
		{label: "Log to stderr", value: truth(sw.LogStderr)},
	}
	const width = 24 // three tab stops
	for i, l := range lines {
		lines[i].tabs = (width - len(l.label) - 1 + 7) / 8
	}
	return lines
}

func truth(b bool) string {
	if b {
		return "true"
	}
	return "false"
}

// statusObject is the answer to status_json. The original has its options as one text, which its service splits at
// blanks; Arguments are the same as they were given. PID tells a client whether the control socket it found belongs to
// the agent it talks to.
type statusObject struct {
	Version     string   `json:"version"`
	CommandLine string   `json:"command_line_options"`
	Loaded      []string `json:"loaded_accounts"`
	Arguments   []string `json:"arguments"`
	PID         int      `json:"pid,omitempty"`
}

func (s *Service) statusJSON(context.Context, proto.Request) (proto.Reply, error) {
	line := slices.Clone(s.opts.CommandLine)
	if line == nil {
		line = []string{}
	}
	return proto.Reply{Status: proto.StatusSuccess, Info: proto.InfoValue(statusObject{
		Version: s.opts.Version, CommandLine: strings.Join(line, " "), Loaded: s.loadedNames(), Arguments: line, PID: s.opts.PID,
	})}, nil
}
