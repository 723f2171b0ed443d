package mytokenserver

import (
	"net/url"
	"strings"
	"time"

	"github.com/oidcbox/oidcbox/core/config"
	"github.com/oidcbox/oidcbox/core/mytoken/upstream"
	"github.com/oidcbox/oidcbox/core/oidc/custody"
	"github.com/oidcbox/oidcbox/core/oidc/flow"
	"github.com/oidcbox/oidcbox/core/token/jose"
)

func providerKeys() []string {
	return []string{
		"issuer", "kind", "client_id", "client_secret_file", "client_key_file", "client_auth", "scopes", "max_lifetime",
		"audience", "offline_scope", "parameters", "extra_audiences", "extra_scopes", "refresh_scopes", "fixed_scopes",
		"assertions_for", "refresh_tokens", "par", "claim_sources", "enforced", "ca_file",
	}
}

func enforcedKeys() []string { return []string{"templates", "default", "forbid", "help"} }
func mappingKeys() []string  { return []string{"value", "template"} }

func sourceKeys() []string { return []string{"url", "claim"} }

// Words for what becomes of a refresh token that was used.
const (
	tokensLearn  = "learn"
	tokensKept   = "kept"
	tokensRotate = "rotated"
)

// Words for when authorization requests are pushed.
const (
	parOffered  = "offered"
	parRequired = "required"
)

// providerList reads the providers by their names.
func (r settingsReader) providerList(a config.At) {
	if !a.Present() {
		return
	}
	for _, p := range r.Pairs(a) {
		c := r.provider(p)
		r.s.providers = append(r.s.providers, c)
		if r.Err() == nil {
			r.all(p.At, c.Check())
		}
		for _, other := range r.s.providers[:len(r.s.providers)-1] {
			if c.Issuer != "" && strings.TrimSuffix(c.Issuer, "/") == strings.TrimSuffix(other.Issuer, "/") {
				r.Fault(p.Key, "%s has the same issuer: people would not know which one they are at", other.Name)
			}
		}
	}
}

// all says each of the errors that are joined in err.
func (r settingsReader) all(a config.At, err error) {
	if err == nil {
		return
	}
	for line := range strings.SplitSeq(err.Error(), "\n") {
		r.Fault(a, "%s", line)
	}
}

func (r settingsReader) provider(p config.Pair) upstream.Config {
	f := r.Fields(p.At, providerKeys()...)
	r.Need(p.At, f, "issuer", "client_id")
	c := upstream.Config{Name: p.Name}
	c.Issuer, _ = r.URL(f["issuer"], "https", "http")
	c.ClientID, _ = r.Text(f["client_id"])
	c.Secret, _ = r.SecretFile(f["client_secret_file"])
	c.Key = r.clientKey(f["client_key_file"])
	c.Method = r.word(f["client_auth"], upstream.Methods())
	c.Kind = r.word(f["kind"], kindNames())
	if f["scopes"].Present() {
		c.Scopes = r.Texts(f["scopes"])
	}
	c.MaxLifetime = r.Duration(f["max_lifetime"], 0, time.Minute, maxRetention)
	c.CAFile, _ = r.Path(f["ca_file"])
	r.quirks(f, &c)
	c.Sources = r.sources(f["claim_sources"])
	c.Enforced = r.enforced(f["enforced"])
	return c
}

// quirks reads what overrules the kind of a provider.
func (r settingsReader) quirks(f config.Fields, c *upstream.Config) {
	styles := make([]string, 0, 8)
	for _, s := range upstream.Styles() {
		styles = append(styles, string(s))
	}
	c.Audience = upstream.Style(r.word(f["audience"], styles))
	if s := f["offline_scope"]; s.Present() {
		none := ""
		if c.Offline = &none; s.Raw() != "none" {
			text, _ := r.Text(s)
			c.Offline = &text
		}
	}
	if ps := f["parameters"]; ps.Present() {
		c.Parameters = url.Values{}
		for _, p := range r.Pairs(ps) {
			if text, ok := r.Text(p.At); ok {
				c.Parameters.Set(p.Name, text)
			}
		}
	}
	if f["extra_audiences"].Present() {
		c.Extra = r.Texts(f["extra_audiences"])
	}
	if f["extra_scopes"].Present() {
		c.ExtraScopes = r.Texts(f["extra_scopes"])
	}
	if f["refresh_scopes"].Present() {
		c.Again = r.Texts(f["refresh_scopes"])
	}
	if f["fixed_scopes"].Present() {
		fixed := r.Bool(f["fixed_scopes"], false)
		c.Fixed = &fixed
	}
	c.Assertion = flow.AssertionAudience(
		r.word(f["assertions_for"], []string{string(flow.ForIssuer), string(flow.ForTokenEndpoint)}))
	switch r.word(f["refresh_tokens"], []string{tokensLearn, tokensKept, tokensRotate}) {
	case tokensKept:
		c.Habit = custody.HabitKeeps
	case tokensRotate:
		c.Habit = custody.HabitRotates
	}
	if r.word(f["par"], []string{parOffered, parRequired}) == parRequired {
		c.Push = flow.PushRequired
	}
}

// word reads one of words, "" when the key is absent.
func (r settingsReader) word(a config.At, words []string) string {
	return r.OneOf(a, "", words...)
}

func kindNames() []string {
	var names []string
	for _, k := range upstream.Kinds() {
		names = append(names, k.Name)
	}
	return names
}

func (r settingsReader) sources(a config.At) []upstream.Source {
	if !a.Present() {
		return nil
	}
	var list []upstream.Source
	for _, at := range r.List(a) {
		f := r.Fields(at, sourceKeys()...)
		r.Need(at, f, "claim")
		s := upstream.Source{}
		s.URL, _ = r.URL(f["url"], "https", "http")
		s.Claim, _ = r.Text(f["claim"])
		list = append(list, s)
	}
	return list
}

// clientKey reads the key of private_key_jwt, PEM or JWK.
func (r settingsReader) clientKey(a config.At) *jose.PrivateKey {
	text, ok := r.SecretFile(a)
	if !ok {
		return nil
	}
	defer text.Wipe()
	var key *jose.PrivateKey
	var err error
	_ = text.Use(func(b []byte) error {
		key, err = jose.ReadPrivateKey(b, "")
		return nil
	})
	if err != nil {
		r.Fault(a, "%v", err)
		return nil
	}
	return key
}

// enforced reads which restrictions every mytoken of a person has to stay inside.
func (r settingsReader) enforced(a config.At) (e upstream.Enforced) {
	if !a.Present() {
		return e
	}
	f := r.Fields(a, enforcedKeys()...)
	for _, at := range r.List(f["templates"]) {
		m := r.Fields(at, mappingKeys()...)
		r.Need(at, m, "value", "template")
		value, _ := r.Text(m["value"])
		template, _ := r.Text(m["template"])
		e.Templates = append(e.Templates, upstream.Mapping{Value: value, Template: template})
	}
	e.Default, _ = r.Text(f["default"])
	e.Forbid = r.Bool(f["forbid"], false)
	e.Help, _ = r.Text(f["help"])
	return e
}
