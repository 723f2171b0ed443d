package sshlogin

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// Provider is one issuer that a service takes tokens of.
type Provider struct {
	Issuer   string   `json:"issuer"`
	Scopes   []string `json:"scopes,omitempty"`   // what it wants to see in a token
	Audience []string `json:"audience,omitempty"` // what it wants the token to be for; more than one: any of them
	Told     bool     `json:"told,omitempty"`     // the service has said what it wants
}

// Info is what a service says of itself to everybody.
type Info struct {
	Providers []Provider
	HostKeys  []string // lines "type base64" of the keys of its ssh server
	OwnOTP    bool     // one-time passwords of its own form are to be had
	Raw       []byte   // as it came
}

// oneOrMore is a JSON string, a list of them, or null.
type oneOrMore []string

func (o *oneOrMore) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*o = nil
		if one != "" {
			*o = oneOrMore{one}
		}
		return nil
	}
	return json.Unmarshal(b, (*[]string)(o))
}

type wishes struct {
	Scopes   oneOrMore `json:"scopes"`
	Audience oneOrMore `json:"audience"`
}

func (w wishes) provider(issuer string) Provider {
	return Provider{Issuer: issuer, Scopes: w.Scopes, Audience: w.Audience, Told: true}
}

// ParseInfo reads the answer of /info. What a key of the host is not, is left out. The error is ErrAnswer.
func ParseInfo(b []byte) (Info, error) {
	var raw struct {
		OPs      []string          `json:"supported_OPs"`
		OldOPs   []string          `json:"supported OPs"`
		Wishes   map[string]wishes `json:"ops_info"`
		HostKeys []string          `json:"ssh_host_keys"`
		OTPForms []string          `json:"otp_forms"`
	}
	if err := json.Unmarshal(b, &raw); err != nil {
		return Info{}, fmt.Errorf("read /info: %w", ErrAnswer)
	}
	info := Info{OwnOTP: slices.Contains(raw.OTPForms, ownForm), Raw: b}
	if raw.OPs == nil {
		raw.OPs = raw.OldOPs
	}
	for _, issuer := range raw.OPs {
		p := Provider{Issuer: issuer}
		for named, w := range raw.Wishes {
			if SameProvider(named, issuer) {
				p = w.provider(issuer)
			}
		}
		info.Providers = append(info.Providers, p)
	}
	for _, line := range raw.HostKeys {
		if key, ok := hostKey(line); ok && !slices.Contains(info.HostKeys, key) {
			info.HostKeys = append(info.HostKeys, key)
		}
	}
	return info, nil
}

// ParseWishes reads the answer of /info/op about one issuer. The error is ErrAnswer.
func ParseWishes(issuer string, b []byte) (Provider, error) {
	var w wishes
	if err := json.Unmarshal(b, &w); err != nil {
		return Provider{}, fmt.Errorf("read /info/op: %w", ErrAnswer)
	}
	return w.provider(issuer), nil
}

// Provider returns what the service says of an issuer.
func (i Info) Provider(issuer string) (Provider, bool) {
	for _, p := range i.Providers {
		if SameProvider(p.Issuer, issuer) {
			return p, true
		}
	}
	return Provider{}, false
}

// SameProvider compares two issuers as account services do: without scheme, a leading "www." and one slash at the end,
// in lower case. It is for finding an entry, never for trusting a token.
func SameProvider(a, b string) bool { return canonical(a) == canonical(b) }

func canonical(u string) string {
	u = strings.ToLower(u)
	if _, rest, ok := strings.Cut(u, "://"); ok {
		u = rest
	}
	return strings.TrimSuffix(strings.TrimPrefix(u, "www."), "/")
}
