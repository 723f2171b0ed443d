package rules

import (
	"slices"
	"strings"

	"github.com/oidcbox/oidcbox/core/mytoken"
)

// Capabilities that the server asks for itself.
const (
	AT            = "AT"
	CreateMytoken = "create_mytoken"
	Introspect    = "tokeninfo:introspect"
	History       = "tokeninfo:history"
	Subtokens     = "tokeninfo:subtokens"
	Notify        = "tokeninfo:notify"
	Tags          = "tokeninfo:tags"
	List          = "manage_mytokens:list"
	Revoke        = "manage_mytokens:revoke"
	HistoryOfAny  = "manage_mytokens:history"
	NotifyOfAny   = "manage_mytokens:notify"
	TagsOfAny     = "manage_mytokens:tags"
	Settings      = "settings"
	Grants        = "settings:grants"
	SSHGrant      = "settings:grants:ssh"
	Email         = "settings:email"
	TagSettings   = "settings:tags"
)

// ReadOnly in front of a capability takes away what changes something.
const ReadOnly = "read@"

// Capability is one that the server knows.
type Capability struct {
	Name        string
	Description string
	ReadOnly    bool // there is a read@ form of it
}

// KnownCapabilities returns all there are, each after the one it is a part of.
func KnownCapabilities() []Capability {
	return []Capability{
		{AT, "get access tokens", false},
		{CreateMytoken, "make mytokens from this one", false},
		{"tokeninfo", "learn everything about this mytoken", false},
		{Introspect, "learn what this mytoken says and how often it was used", false},
		{History, "see what this mytoken was used for", false},
		{Subtokens, "see the mytokens made from this one", false},
		{Notify, "manage notifications and calendar entries of this mytoken", false},
		{Tags, "manage the tags of this mytoken", false},
		{"manage_mytokens", "manage all mytokens of this person", false},
		{List, "list all mytokens", false},
		{Revoke, "revoke any mytoken", false},
		{HistoryOfAny, "see what any mytoken was used for", false},
		{NotifyOfAny, "manage notifications and calendars of all mytokens", true},
		{TagsOfAny, "manage the tags of any mytoken", false},
		{Settings, "change all settings", true},
		{Grants, "change how mytokens can be had", true},
		{SSHGrant, "change the ssh keys", true},
		{Email, "change the mail address and the form of mails", true},
		{TagSettings, "change the list of tags", true},
	}
}

// DefaultCapabilities is what a mytoken from a login can do when nothing is asked for.
func DefaultCapabilities() mytoken.Capabilities { return mytoken.Capabilities{AT, "tokeninfo"} }

// Known reports whether the server has a capability of that name, with or without read@.
func Known(name string) bool {
	path, readOnly := strings.CutPrefix(name, ReadOnly)
	return slices.ContainsFunc(KnownCapabilities(), func(c Capability) bool {
		return c.Name == path && (c.ReadOnly || !readOnly)
	})
}

// modern is the name that a capability has now; older clients and profiles say it otherwise.
func modern(name string) string {
	switch name {
	case "tokeninfo_introspect":
		return Introspect
	case "tokeninfo_history":
		return History
	case "tokeninfo_tree", "tokeninfo_subtokens":
		return Subtokens
	case "list_mytokens":
		return List
	case "revoke_any_token":
		return Revoke
	}
	return name
}

// SettleCapabilities gives capabilities that were asked for their present names, each of them once. Names that the
// server does not know stay: they grant nothing that it asks for.
func SettleCapabilities(asked mytoken.Capabilities) mytoken.Capabilities {
	var out mytoken.Capabilities
	for _, name := range asked {
		if name = modern(name); name != "" && !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out
}

// Allows reports whether one of the capabilities held is the required one or one that it is a part of. A capability
// that is held read-only allows what is read-only.
func Allows(held mytoken.Capabilities, required string) bool {
	return slices.ContainsFunc(held, func(h string) bool { return contains(h, required) })
}

func contains(held, required string) bool {
	h, heldReadOnly := strings.CutPrefix(held, ReadOnly)
	r, requiredReadOnly := strings.CutPrefix(required, ReadOnly)
	if h == "" || heldReadOnly && !requiredReadOnly {
		return false
	}
	rest, ok := strings.CutPrefix(r, h)
	return ok && (rest == "" || rest[0] == ':')
}

// SubCapabilities returns the capabilities of a mytoken that is made from one with those of parent: all of the parent's
// when none are asked for, else those of asked that the parent allows, as they were asked for. What is left out is in
// dropped. The error is ErrNoCapability when nothing is left.
func SubCapabilities(parent, asked mytoken.Capabilities) (kept, dropped mytoken.Capabilities, err error) {
	asked = SettleCapabilities(asked)
	if len(asked) == 0 {
		return slices.Clone(parent), nil, nil
	}
	for _, name := range asked {
		if Allows(parent, name) {
			kept = append(kept, name)
		} else {
			dropped = append(dropped, name)
		}
	}
	if len(kept) == 0 {
		return nil, dropped, ErrNoCapability
	}
	return kept, dropped, nil
}
