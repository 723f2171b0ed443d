package desk

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/oidcbox/oidcbox/core/mytoken"
	"github.com/oidcbox/oidcbox/core/mytoken/profiles"
	"github.com/oidcbox/oidcbox/core/mytoken/rules"
	"github.com/oidcbox/oidcbox/core/token/jose"
)

// Bounds of the JSON of requests; its size is bounded by Limits.
const (
	maxDepth   = 32
	maxMembers = 4000
	maxURI     = 2048
	maxValue   = 512 // one scope, audience, host or capability
	// maxLimits bounds what a mytoken carries of capabilities, restrictions and rotation, as JSON: it travels in a header.
	maxLimits  = 8 << 10
	thumbprint = 43 // characters of an RFC 7638 thumbprint
)

// order is what is asked for: with a login, or of another mytoken. It is kept under the codes of a login as it is, so
// that any server process goes on with it.
type order struct {
	Version      int                  `json:"v"`
	Issuer       string               `json:"iss,omitzero"` // of the provider, as configured
	Name         string               `json:"name,omitzero"`
	Capabilities mytoken.Capabilities `json:"cap,omitempty"`
	Restrictions mytoken.Restrictions `json:"rs,omitempty"`
	Rotation     *mytoken.Rotation    `json:"rot,omitempty"`
	ResponseType string               `json:"type,omitzero"`
	MaxLen       int64                `json:"len,omitzero"`
	Application  string               `json:"app,omitzero"`
	Strict       bool                 `json:"strict,omitzero"` // error_on_restrictions
	Key          string               `json:"jkt,omitzero"`
	Web          bool                 `json:"web,omitzero"`
	RedirectURI  string               `json:"uri,omitzero"`
	Wishes       Wishes               `json:"wishes,omitzero"`
	Purpose      Purpose              `json:"for,omitzero"`
	From         Origin               `json:"from,omitzero"`
	Created      time.Time            `json:"at,omitzero"`
	Until        time.Time            `json:"until,omitzero"`
	Polling      string               `json:"polling,omitzero"` // id of the polling code, "" for none

	flow string // oidc_flow, of the request only
}

// Wishes are what a request wants to become of the new mytoken beside its limits (API 0.12), as JSON came.
type Wishes struct {
	Subscribe json.RawMessage `json:"subscribe_notifications,omitzero"`
	Tags      json.RawMessage `json:"tags,omitzero"`
}

const orderVersion = 1

// Flows by which a person logs in (oidc_flow).
const (
	flowCode   = "authorization_code"
	flowDevice = "device"
	// flowDeviceLong is the name RFC 8628 has for it.
	flowDeviceLong = "device_code"
)

// parse reads a request for a mytoken, with all templates expanded. What it returns is not settled.
func (d *Desk) parse(request []byte) (*order, error) {
	if len(request) > d.o.Limits.Request {
		return nil, refuse(http.StatusRequestEntityTooLarge, CodeRequest, "request is too large", nil)
	}
	expanded, err := profiles.Request(request, d.o.Templates)
	if err != nil {
		return nil, templateError(err)
	}
	var r mytoken.Request
	if err := r.UnmarshalJSON(expanded); err != nil {
		return nil, badRequest(cutTo(err.Error(), maxReasons), err)
	}
	a := &order{
		Version: orderVersion, Issuer: r.Issuer, Name: r.Name, Capabilities: r.Capabilities, Restrictions: r.Restrictions,
		Rotation: r.Rotation, ResponseType: r.ResponseType, MaxLen: r.MaxTokenLen, Application: r.Application,
	}
	if err := a.readHow(expanded); err != nil {
		return nil, badRequest(cutTo(err.Error(), maxReasons), err)
	}
	if err := d.bound(a); err != nil {
		return nil, badRequest(cutTo(err.Error(), maxReasons), err)
	}
	return a, nil
}

// templateError tells apart a request that cannot be expanded and templates that could not be looked up.
func templateError(err error) error {
	for _, known := range []error{
		profiles.ErrRequest, profiles.ErrName, profiles.ErrUnknown, profiles.ErrLoop, profiles.ErrKind,
	} {
		if errors.Is(err, known) {
			return badRequest(cutTo(err.Error(), maxReasons), err)
		}
	}
	return fmt.Errorf("expand the templates of a request: %w", err)
}

// readHow reads the members that say how the mytoken is to be had.
func (a *order) readHow(b []byte) error {
	o, err := jose.StrictObject(b, maxDepth, maxMembers)
	if err != nil {
		return fmt.Errorf("request is no JSON object: %w", err)
	}
	o = o.WithoutNull()
	clientType := "client_type"
	if !o.Has(clientType) {
		clientType = "redirect_type" // its name in old versions
	}
	var client string
	for _, m := range []struct {
		name string
		to   *string
	}{{"oidc_flow", &a.flow}, {clientType, &client}, {"redirect_uri", &a.RedirectURI}, {"dpop_jkt", &a.Key}} {
		if *m.to, err = o.String(m.name); err != nil {
			return err
		}
	}
	a.Web = client == "web"
	if a.Strict, err = o.Bool("error_on_restrictions"); err != nil {
		return err
	}
	for _, m := range []struct {
		name string
		to   *json.RawMessage
	}{{"subscribe_notifications", &a.Wishes.Subscribe}, {"tags", &a.Wishes.Tags}} {
		if raw, ok := o.Raw(m.name); ok {
			*m.to = json.RawMessage(raw)
		}
	}
	return nil
}

// bound refuses what is too long, or cannot be shown.
func (d *Desk) bound(a *order) error {
	l := d.o.Limits
	for _, t := range []struct{ what, text string }{{"name", a.Name}, {"application_name", a.Application}} {
		switch {
		case len([]rune(t.text)) > l.Name:
			return fmt.Errorf("%s is longer than %d characters", t.what, l.Name)
		case strings.ContainsFunc(t.text, unicode.IsControl):
			return fmt.Errorf("%s has control characters in it", t.what)
		}
	}
	switch {
	case len(a.RedirectURI) > maxURI || len(a.Issuer) > maxURI:
		return errors.New("a URL of the request is too long")
	case a.Key != "" && !isThumbprint(a.Key):
		return errors.New("dpop_jkt is no thumbprint of a key")
	case len(a.Restrictions) > l.Clauses:
		return fmt.Errorf("more than %d clauses", l.Clauses)
	case len(a.Wishes.Subscribe)+len(a.Wishes.Tags) > maxLimits:
		return errors.New("too many subscriptions or tags")
	}
	if _, err := wishedTags(a.Wishes.Tags); err != nil {
		return err
	}
	if err := boundList("capabilities", a.Capabilities, l.Items); err != nil {
		return err
	}
	for i, r := range a.Restrictions {
		for what, list := range map[string][]string{
			"scope": strings.Fields(r.Scope), "audience": r.Audience, "hosts": r.Hosts,
			"geoip_allow": r.GeoIPAllow, "geoip_disallow": r.GeoIPDisallow,
		} {
			if err := boundList(what, list, l.Items); err != nil {
				return fmt.Errorf("clause %d: %w", i+1, err)
			}
		}
	}
	return boundSize(a.Capabilities, a.Restrictions)
}

func boundSize(cs mytoken.Capabilities, rs mytoken.Restrictions) error {
	b, err := json.Marshal(struct {
		C mytoken.Capabilities
		R mytoken.Restrictions
	}{cs, rs})
	if err != nil {
		return err
	}
	if len(b) > maxLimits {
		return errors.New("capabilities and restrictions are more than a mytoken can carry")
	}
	return nil
}

func boundList(what string, list []string, most int) error {
	if len(list) > most {
		return fmt.Errorf("%s has more than %d entries", what, most)
	}
	if slices.ContainsFunc(list, func(s string) bool { return len(s) > maxValue }) {
		return fmt.Errorf("an entry of %s is longer than %d bytes", what, maxValue)
	}
	return nil
}

func isThumbprint(s string) bool {
	return len(s) == thumbprint && !strings.ContainsFunc(s, func(r rune) bool {
		return r > unicode.MaxASCII || !unicode.IsLetter(r) && !unicode.IsDigit(r) && r != '-' && r != '_'
	})
}

// settle makes of what was asked for what a mytoken can carry. this is the address "this" stands for.
func (d *Desk) settle(a *order, p Provider, from Origin) error {
	var err error
	a.Capabilities = known(rules.SettleCapabilities(a.Capabilities))
	rs, err := rules.Settle(a.Restrictions, rules.Setting{
		Now: d.now(), Client: from.Client, Supported: d.supported(), ResourceOnly: p.Info().ResourceOnly,
	})
	if err != nil {
		return settleError(err)
	}
	if err := p.Accepts(rs); err != nil {
		return settleError(err)
	}
	a.Restrictions = rs
	if a.Rotation, err = rules.SettleRotation(a.Rotation); err != nil {
		return settleError(err)
	}
	return nil
}

// limitLife keeps what was settled from lasting longer than a mytoken from this provider may.
func (d *Desk) limitLife(a *order, p ProviderInfo) error {
	rs, lowered, err := rules.LimitLifetime(a.Restrictions, d.now(), p.MaxLifetime)
	switch {
	case err != nil:
		return settleError(err)
	case lowered && a.Strict:
		return badRequest(rules.ErrLifetime.Error(), rules.ErrLifetime)
	}
	a.Restrictions = rs
	return nil
}

func settleError(err error) error {
	if errors.Is(err, rules.ErrClauses) {
		return badRequest(cutTo(err.Error(), maxReasons), err)
	}
	return fmt.Errorf("settle the restrictions of a mytoken: %w", err)
}

// known leaves out what the server has no meaning for.
func known(cs mytoken.Capabilities) mytoken.Capabilities {
	return slices.DeleteFunc(slices.Clone(cs), func(c string) bool { return !rules.Known(c) })
}

// supported are the keys that the server looks at, nil for all.
func (d *Desk) supported() []string {
	off := d.o.Features.Unsupported
	if len(off) == 0 {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(rules.Keys()), func(k string) bool { return slices.Contains(off, k) })
}

// union is what a login asks the provider for, so that every clause can have what it names: nothing where nothing is
// named.
func union(rs mytoken.Restrictions, p ProviderInfo) (scopes, audience []string) {
	all := len(rs) == 0
	for _, r := range rs {
		named := strings.Fields(r.Scope)
		all = all || len(named) == 0
		scopes = appendNew(scopes, named)
		audience = appendNew(audience, r.Audience)
	}
	if all {
		scopes = appendNew(scopes, p.Scopes)
	}
	return scopes, audience
}

func appendNew(list, more []string) []string {
	for _, s := range more {
		if !slices.Contains(list, s) {
			list = append(list, s)
		}
	}
	return list
}

// webURI refuses what a browser must not be sent to after a login.
func (d *Desk) webURI(uri string) error {
	if uri == "" {
		return badRequest("parameter redirect_uri must be given for client_type=web", nil)
	}
	u, err := url.Parse(uri)
	if err != nil || u.Host == "" || u.User != nil || u.Fragment != "" || strings.ContainsFunc(uri, unsafeInURI) {
		return badRequest("redirect_uri is not an absolute URL without fragment", err)
	}
	own, _ := url.Parse(d.o.Issuer)
	if u.Scheme == "https" || u.Scheme == "http" && (isLoopback(u.Hostname()) || own.Host == u.Host) {
		return nil
	}
	return badRequest("redirect_uri is not an https URL", nil)
}

func unsafeInURI(r rune) bool { return r <= ' ' || r > unicode.MaxASCII || r == '\\' || r == 0x7f }

func isLoopback(host string) bool { return host == "localhost" || host == "127.0.0.1" || host == "::1" }
