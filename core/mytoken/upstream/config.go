package upstream

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/oidcbox/oidcbox/core/oidc/custody"
	"github.com/oidcbox/oidcbox/core/oidc/flow"
	"github.com/oidcbox/oidcbox/core/oidc/provider"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/token/jose"
	"github.com/oidcbox/oidcbox/core/transport/httpc"
)

// Methods of client authentication, as in a configuration.
const (
	MethodBasic = "client_secret_basic"
	MethodPost  = "client_secret_post"
	MethodKey   = "private_key_jwt"
	MethodNone  = "none"
)

// Methods returns all of them.
func Methods() []string { return []string{MethodBasic, MethodPost, MethodKey, MethodNone} }

// Config is what an operator says of one provider. Issuer and ClientID are needed.
type Config struct {
	// Issuer as the provider's discovery document has it, to the last slash: it is part of who a person is.
	Issuer string
	Name   string // short, as in `mytoken --oidc`; "": the issuer
	Kind   string // of Kinds; "": that of a well-known issuer, else Generic

	ClientID string
	Secret   secret.Text
	// Key signs the assertions of private_key_jwt. See jose.ParsePrivateKey and jose.ParsePrivatePEM.
	Key *jose.PrivateKey
	// Method of client authentication; "": private_key_jwt with a key, none without key and secret, else what the
	// provider lists, basic first.
	Method string

	// Scopes asked for with a login that names none; nil: openid, profile, email.
	Scopes []string
	// MaxLifetime of a mytoken; 0: no limit.
	MaxLifetime time.Duration
	// Sources are asked for the claims that decide which restrictions are enforced, by Enforced.
	Sources  []Source
	Enforced Enforced

	// CAFile replaces the system's certificates for this provider.
	CAFile string

	// What follows overrules the kind.
	Offline     *string // scope; "" asks for none
	Parameters  url.Values
	Audience    Style
	Extra       []string
	ExtraScopes []string
	Again       []string
	Fixed       *bool
	Assertion   flow.AssertionAudience
	Habit       custody.Habit
	// Push authorization requests: "" wherever the provider offers it.
	Push flow.Pushing
}

// Source is a userinfo-like endpoint: a URL that is fetched with the access token of a login, and the claim of the JSON
// object that comes.
type Source struct {
	URL   string // https; "": the userinfo endpoint of the provider
	Claim string
}

// Enforced says which template of restrictions every mytoken of a person has to stay inside.
type Enforced struct {
	// Templates are tried in their order: the first whose value a source gives counts.
	Templates []Mapping
	// Default is for people of whom no value is known; "": they have no limits. With Forbid they get no mytoken at all.
	Default string
	Forbid  bool
	Help    string // text for people who get none
}

// Mapping is the template for a value of a claim. "": no limits.
type Mapping struct{ Value, Template string }

// quirks are those of the kind with what the operator says otherwise.
func (c Config) quirks() (Quirks, error) {
	k, ok := kindOf(c.Kind, c.Issuer)
	if !ok {
		return Quirks{}, fmt.Errorf("kind %q is not known", c.Kind)
	}
	q := k.Quirks.clone()
	if c.Offline != nil {
		q.Offline = *c.Offline
	}
	if c.Parameters != nil {
		q.Parameters = c.Parameters
	}
	if c.Audience != "" {
		q.Audience = c.Audience
	}
	if c.Extra != nil {
		q.Extra = c.Extra
	}
	if c.ExtraScopes != nil {
		q.ExtraScopes = c.ExtraScopes
	}
	if c.Again != nil {
		q.Again = c.Again
	}
	if c.Fixed != nil {
		q.Fixed = *c.Fixed
	}
	if c.Assertion != "" {
		q.Assertion = c.Assertion
	}
	if c.Habit != custody.HabitUnknown {
		q.Habit = c.Habit
	}
	return q, nil
}

// scopes are what a login asks for that names none.
func (c Config) scopes() []string {
	if c.Scopes == nil {
		return []string{scopeOpenID, "profile", "email"}
	}
	return c.Scopes
}

// Check returns every fault of the configuration, joined, each wrapping ErrConfig; nil when there is none.
func (c Config) Check() error {
	var faults []error
	fault := func(format string, args ...any) {
		faults = append(faults, fmt.Errorf("%w %s: "+format, append([]any{ErrConfig, c.label()}, args...)...))
	}
	if err := provider.CheckIssuer(c.Issuer); err != nil {
		fault("%w", err)
	} else if err := httpc.CheckURL(c.Issuer); err != nil {
		fault("%w", err)
	}
	if c.ClientID == "" {
		fault("client_id is missing")
	}
	if _, err := c.quirks(); err != nil {
		fault("%w", err)
	}
	if c.Audience != "" && !slices.Contains(Styles(), c.Audience) {
		fault("audience style %q is not known", c.Audience)
	}
	if err := c.checkMethod(); err != nil {
		fault("%w", err)
	}
	for _, s := range slices.Concat(c.Scopes, c.ExtraScopes, c.Again) {
		if s == "" || strings.ContainsAny(s, " \t\r\n\"\\") {
			fault("scope %q is not one scope", s)
		}
	}
	for _, s := range c.Sources {
		if err := s.check(); err != nil {
			fault("claim source: %w", err)
		}
	}
	if e := c.Enforced; len(c.Sources) == 0 && (len(e.Templates) > 0 || e.Default != "" || e.Forbid) {
		fault("restrictions are to be enforced, and no claim source says for whom")
	}
	if c.MaxLifetime < 0 {
		fault("the longest life of a mytoken is negative")
	}
	return errors.Join(faults...)
}

func (c Config) label() string {
	if c.Name != "" {
		return fmt.Sprintf("%q", c.Name)
	}
	return fmt.Sprintf("%q", c.Issuer)
}

func (c Config) checkMethod() error {
	switch c.Assertion {
	case "", flow.ForIssuer, flow.ForTokenEndpoint:
	default:
		return fmt.Errorf("assertions cannot be for %q", c.Assertion)
	}
	switch c.Push {
	case "", flow.PushOffered, flow.PushRequired:
	default:
		return fmt.Errorf("pushing cannot be %q", c.Push)
	}
	switch c.Method {
	case "", MethodNone:
		return nil
	case MethodBasic, MethodPost:
		if c.Secret.Empty() {
			return fmt.Errorf("%s needs a client secret", c.Method)
		}
		return nil
	case MethodKey:
		if c.Key == nil {
			return fmt.Errorf("%s needs a key", c.Method)
		}
		return nil
	}
	return fmt.Errorf("client authentication %q is not known", c.Method)
}

func (s Source) check() error {
	if s.Claim == "" {
		return errors.New("no claim is named")
	}
	if s.URL == "" {
		return nil
	}
	u, err := url.Parse(s.URL)
	if err != nil || u.User != nil || u.Fragment != "" {
		return fmt.Errorf("%q is not a plain URL", s.URL)
	}
	return httpc.CheckURL(s.URL)
}
