package registration

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/token/jose"
)

// Limits of an answer.
const (
	maxDepth   = 16
	maxMembers = 1000
	maxText    = 4096 // of client_id and the like
)

// Kinds of application (OpenID Connect Dynamic Client Registration 2).
const (
	Native = "native"
	Web    = "web"
)

// Request is what to ask for. Empty members are left out.
type Request struct {
	Name            string
	ApplicationType string // "" = native when a redirect URI is loopback or of an own scheme, and the other if refused
	RedirectURIs    []string
	GrantTypes      []string
	ResponseTypes   []string
	Scope           []string
	AuthMethod      string // token_endpoint_auth_method
	Contacts        []string
	SoftwareID      string
	SoftwareVersion string
	Extra           map[string]any // further members; they never replace one of the above
}

// Client is a registration as the provider knows it.
type Client struct {
	ID                string
	Secret            secret.Text
	SecretExpires     time.Time // zero: never, or not said
	Name              string
	ApplicationType   string
	AuthMethod        string
	Scope             string // as granted, which may be less or more than asked for; "" when the answer has none
	RedirectURIs      []string
	GrantTypes        []string
	ResponseTypes     []string
	RegistrationURI   string // "" = the registration cannot be managed
	RegistrationToken secret.Text
	Raw               secret.Text // the whole answer as JSON, secrets included
}

// Missing lists which of the scopes that were asked for the registration does not have. A registration without scope
// says nothing about them (RFC 7591 2: the provider may register a default), so nothing is missing then.
func (c Client) Missing(asked []string) []string {
	if c.Scope == "" {
		return nil
	}
	have := strings.Fields(c.Scope)
	var missing []string
	for _, s := range asked {
		if !slices.Contains(have, s) && !slices.Contains(missing, s) {
			missing = append(missing, s)
		}
	}
	return missing
}

// Wipe clears the secrets.
func (c Client) Wipe() {
	c.Secret.Wipe()
	c.RegistrationToken.Wipe()
	c.Raw.Wipe()
}

// encode returns the JSON of a request; applicationType replaces that of r.
func (r Request) encode(applicationType string, more map[string]any) ([]byte, error) {
	m := map[string]any{}
	text := func(name, v string) {
		if v != "" {
			m[name] = v
		}
	}
	list := func(name string, v []string) {
		if len(v) > 0 {
			m[name] = v
		}
	}
	maps.Copy(m, r.Extra)
	text("client_name", r.Name)
	text("application_type", applicationType)
	list("redirect_uris", r.RedirectURIs)
	list("grant_types", r.GrantTypes)
	list("response_types", r.ResponseTypes)
	text("scope", strings.Join(r.Scope, " "))
	text("token_endpoint_auth_method", r.AuthMethod)
	list("contacts", r.Contacts)
	text("software_id", r.SoftwareID)
	text("software_version", r.SoftwareVersion)
	maps.Copy(m, more)
	b, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("encode registration: %w", err)
	}
	return b, nil
}

// types lists the application types to try, in order. OpenID Connect makes web the default, and web clients may have
// neither loopback nor own-scheme redirects; some providers know only web all the same.
func (r Request) types() []string {
	if r.ApplicationType != "" {
		return []string{r.ApplicationType}
	}
	if slices.ContainsFunc(r.RedirectURIs, nativeURI) {
		return []string{Native, Web}
	}
	return []string{Web, Native}
}

func nativeURI(s string) bool {
	u, err := url.Parse(s)
	return err == nil && u.Scheme != "https"
}

const memberURI = "registration_client_uri"

// parse reads an answer of endpoint (RFC 7591 3.2.1). Only client_id is required; what is there has to have the right
// type. A registration URI that endpoint must not send us to is left out, also of Raw; a new token is good at the URI
// known before.
func parse(body []byte, endpoint string) (Client, error) {
	o, err := jose.StrictObject(body, maxDepth, maxMembers)
	if err != nil {
		return Client{}, err
	}
	if uri, _ := o.String(memberURI); uri != "" && !mayLeadTo(endpoint, uri) {
		o = o.Without(memberURI)
		if body, err = o.MarshalJSON(); err != nil {
			return Client{}, err
		}
	}
	r := reader{o: o}
	c := Client{
		ID:                r.text("client_id"),
		Secret:            secret.FromString(r.text("client_secret")),
		Name:              r.text("client_name"),
		ApplicationType:   r.text("application_type"),
		AuthMethod:        r.text("token_endpoint_auth_method"),
		Scope:             r.scope(),
		RedirectURIs:      r.list("redirect_uris"),
		GrantTypes:        r.list("grant_types"),
		ResponseTypes:     r.list("response_types"),
		RegistrationURI:   r.text(memberURI),
		RegistrationToken: secret.FromString(r.text("registration_access_token")),
	}
	if at, err := o.Time("client_secret_expires_at"); err == nil && at.Unix() > 0 {
		c.SecretExpires = at
	}
	switch {
	case r.err != nil:
		return Client{}, r.err
	case c.ID == "":
		return Client{}, fmt.Errorf("no client_id in it")
	}
	c.Raw = secret.New(slices.Clone(body))
	return c, nil
}

// mayLeadTo reports whether requests with a token may go to uri because endpoint said so: not from https to plain http,
// which leads to the services of this machine, and never to what is no web address.
func mayLeadTo(endpoint, uri string) bool {
	u, err := url.Parse(uri)
	if err != nil || u.Host == "" || u.User != nil {
		return false
	}
	return u.Scheme == "https" || u.Scheme == "http" && !strings.HasPrefix(strings.ToLower(endpoint), "https:")
}

// reader keeps the first fault of many members. null counts as absent: some providers write out all members.
type reader struct {
	o   jose.Object
	err error
}

func (r *reader) absent(name string) bool {
	raw, ok := r.o.Raw(name)
	return !ok || raw == "null"
}

func (r *reader) keep(err error) {
	if r.err == nil {
		r.err = err
	}
}

func (r *reader) text(name string) string {
	if r.absent(name) {
		return ""
	}
	s, err := r.o.String(name)
	if err == nil && len(s) > maxText {
		err = fmt.Errorf("%s is too long", name)
	}
	r.keep(err)
	return s
}

func (r *reader) list(name string) []string {
	if r.absent(name) {
		return nil
	}
	l, err := r.o.Strings(name)
	r.keep(err)
	return l
}

// scope takes the string of RFC 7591 2 and the array that some providers answer with. It may be long: hundreds of
// path scopes are usual.
func (r *reader) scope() string {
	if r.absent("scope") {
		return ""
	}
	l, err := r.o.OneOrMore("scope")
	r.keep(err)
	return strings.Join(strings.Fields(strings.Join(l, " ")), " ")
}
