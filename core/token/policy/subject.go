package policy

import (
	"encoding/json"
	"iter"
	"strings"

	"github.com/oidcbox/oidcbox/core/token/claims"
	"github.com/oidcbox/oidcbox/core/token/jose"
)

// Subject is who asks: what a checked token says, and what the issuer said about it elsewhere. Issuer and Subject are
// believed as they are; they have to come from the check.
type Subject struct {
	Issuer, Subject string
	Profile         claims.Profile
	Claims          claims.Token // of the signed token; the zero value for an opaque one
	// Userinfo counts when its sub is Subject (OIDC Core section 5.3.2).
	Userinfo jose.Object
	// Introspection counts when it says active and contradicts neither Issuer nor Subject (RFC 7662).
	Introspection jose.Object
}

// Texts returns the values of a claim that are text, looked for where a policy looks for it (docs/policy.md), and nil when
// there are none.
func (s Subject) Texts(claim string) []string {
	texts, _ := newPerson(s).texts(claim)
	return texts
}

// Scopes returns what the token was given, or its introspection when it carries none.
func (s Subject) Scopes() claims.Scopes { return newPerson(s).scopes() }

// value is one value of a claim, or one a policy asks for. Text and truth values that look alike are different.
type value struct {
	kind string // text, truth, number
	text string
}

// person is a Subject with the parts that do not count taken out.
type person struct {
	Subject
}

func newPerson(s Subject) person {
	if sub, err := s.Userinfo.String("sub"); err != nil || sub == "" || sub != s.Subject {
		s.Userinfo = jose.Object{}
	}
	if !activeFor(s) {
		s.Introspection = jose.Object{}
	}
	return person{s}
}

func activeFor(s Subject) bool {
	if active, err := s.Introspection.Bool("active"); err != nil || !active {
		return false
	}
	for name, ours := range map[string]string{"iss": s.Issuer, "sub": s.Subject} {
		if theirs, err := s.Introspection.String(name); err != nil || theirs != "" && theirs != ours {
			return false
		}
	}
	return true
}

// sources says where a claim is looked for, the first that has it counts: what is signed wins for what the protocol and
// the profiles define, and userinfo never speaks of the protocol; for the rest the fresher answer wins.
func (p person) sources(name string) []jose.Object {
	switch name {
	case "aud", "exp", "nbf", "iat", "jti", "scope", "scp", "client_id", "azp", "cnf":
		return []jose.Object{p.Claims.All, p.Introspection}
	case "acr", "auth_time", "ver", "eduperson_assurance":
		return []jose.Object{p.Claims.All, p.Introspection, p.Userinfo}
	}
	if strings.HasPrefix(name, "wlcg.") {
		return []jose.Object{p.Claims.All, p.Introspection, p.Userinfo}
	}
	return []jose.Object{p.Userinfo, p.Introspection, p.Claims.All}
}

// values returns the values of a claim, one or the members of its list, and whether it is there.
func (p person) values(name string) ([]value, bool) {
	switch name {
	case "iss":
		return []value{{"text", p.Issuer}}, p.Issuer != ""
	case "sub":
		return []value{{"text", p.Subject.Subject}}, p.Subject.Subject != ""
	}
	if raw, ok := p.raw(name); ok {
		return decode(raw), true
	}
	return nil, false
}

// raw is the JSON of a claim other than iss and sub, where it counts.
func (p person) raw(name string) (string, bool) {
	for _, o := range p.sources(name) {
		if raw, ok := o.Raw(name); ok && raw != "null" {
			return raw, true
		}
	}
	return "", false
}

// All yields every claim known of s with the value that counts in a policy, as raw JSON: iss and sub first, where they
// are known, then those of the token, of the introspection and of userinfo.
func (s Subject) All() iter.Seq2[string, string] {
	p := newPerson(s)
	return func(yield func(string, string) bool) {
		seen := map[string]bool{"iss": true, "sub": true}
		for _, own := range [][2]string{{"iss", s.Issuer}, {"sub", s.Subject}} {
			if own[1] != "" && !yield(own[0], quote(own[1])) {
				return
			}
		}
		for _, o := range []jose.Object{p.Claims.All, p.Introspection, p.Userinfo} {
			for name := range o.All() {
				if seen[name] {
					continue
				}
				seen[name] = true
				if raw, ok := p.raw(name); ok && !yield(name, raw) {
					return
				}
			}
		}
	}
}

func quote(s string) string {
	b, err := json.Marshal(s)
	if err != nil { // text always encodes
		return `""`
	}
	return string(b)
}

// texts is values for claims that hold text; others are left out.
func (p person) texts(name string) ([]string, bool) {
	list, there := p.values(name)
	var texts []string
	for _, v := range list {
		if v.kind == "text" {
			texts = append(texts, v.text)
		}
	}
	return texts, there
}

// decode reads JSON that was read strictly, and within bounds, before.
func decode(raw string) []value {
	dec := json.NewDecoder(strings.NewReader(raw))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return nil
	}
	list, ok := v.([]any)
	if !ok {
		list = []any{v}
	}
	var values []value
	for _, e := range list {
		switch e := e.(type) {
		case string:
			values = append(values, value{"text", e})
		case bool:
			values = append(values, value{"truth", map[bool]string{true: "true", false: "false"}[e]})
		case json.Number:
			values = append(values, value{"number", e.String()})
		}
	}
	return values
}

// scopes are those of the token, or of the introspection of one that carries none.
func (p person) scopes() claims.Scopes {
	if p.Claims.All.Has("scope") || p.Claims.All.Has("scp") {
		return p.Claims.Scopes
	}
	if s, err := p.Introspection.String("scope"); err == nil {
		return claims.ParseScopes(s)
	}
	return nil
}
