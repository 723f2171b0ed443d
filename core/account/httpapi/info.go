package httpapi

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"strings"

	"github.com/oidcbox/oidcbox/core/account/otp/form"
)

// Texts by which clients recognise the service.
const (
	userAPI  = "This is the user API for mapping remote identities to local identities."
	adminAPI = "This is the admin API for mapping remote identities to local identities."
)

type rootBody struct {
	Description string  `json:"description"`
	Usage       string  `json:"usage"`
	Endpoints   ordered `json:"endpoints"`
}

func (a *API) root(c *call) error {
	return c.json(http.StatusOK, rootBody{userAPI, "All endpoints are available via a bearer token.", ordered{
		{"/info", "Service-specific information."},
		{
			"/info/authorisation", "Authorisation information for specific OP; requires valid access token from a supported OP.",
		},
		{
			"/info/op", "Information about a specific OP specified via query parameter 'url'; needs no access token.",
		},
		{"/user", "User API; requires valid access token of an authorised user."},
		{"/admin", "Admin API; requires valid access token of an authorised user with admin role."},
		{"/verify_user", "Verifies if a given token belongs to a given local account via 'username'."},
	}})
}

func (a *API) userRoot(c *call) error {
	return c.json(http.StatusOK, rootBody{
		userAPI, "All endpoints are available using an OIDC Access Token as a bearer token.", ordered{
			{"/user/get_status", "Get information about your local account."},
			{"/user/deploy", "Provision local account."},
			{"/user/suspend", "Suspend local account."},
			{"/user/generate_otp", "Generates a one-time token for given access token."},
		},
	})
}

func (a *API) adminRoot(c *call) error {
	endpoints := ordered{
		{"/admin/suspend", "Suspends a local account."},
		{"/admin/resume", "Restores a suspended local account."},
	}
	if a.o.Officer != nil {
		endpoints = append(endpoints, member{"/admin/v1", "More for administrators, described in /openapi.json."})
	}
	return c.json(http.StatusOK, rootBody{
		adminAPI, "All endpoints are available using an OIDC Access Token as a bearer token.", endpoints,
	})
}

// opInfo is what to ask an issuer for.
type opInfo struct {
	Scopes   []string `json:"scopes"`
	Audience any      `json:"audience"` // text, or a list of more than one; "" for none
}

func (i *Issuer) info() opInfo {
	out := opInfo{Scopes: i.Scopes, Audience: ""}
	if out.Scopes == nil {
		out.Scopes = []string{}
	}
	switch len(i.Audiences) {
	case 0:
	case 1:
		out.Audience = i.Audiences[0]
	default:
		out.Audience = i.Audiences
	}
	return out
}

// makeInfo makes what does not change of /info, without the brace at its end.
func (a *API) makeInfo() ([]byte, error) {
	urls, ops := []string{}, ordered{}
	for i := range a.o.Issuers {
		iss := &a.o.Issuers[i]
		urls = append(urls, iss.URL)
		ops = append(ops, member{iss.URL, iss.info()})
	}
	forms := []string{}
	if a.o.Book.Offers(form.Own) {
		forms = append(forms, formOwn)
	}
	if a.o.Book.Offers(form.CompatForm) {
		forms = append(forms, formCompat)
	}
	b, err := encode(ordered{
		{"login_info", ordered{
			{"description", a.o.Login.Description}, {"login_help", a.o.Login.LoginHelp}, {"ssh_host", a.o.Login.SSHHost},
		}},
		{"supported_OPs", urls},
		{"ops_info", ops},
		{"otp_forms", forms},
	})
	return bytes.TrimSuffix(b, []byte("}")), err
}

func (a *API) getInfo(c *call) error {
	keys := []string{}
	if a.o.HostKeys != nil {
		keys = append(keys, a.o.HostKeys()...)
	}
	list, err := encode(keys)
	if err != nil {
		return err
	}
	b := bytes.Clone(a.info)
	b = append(append(append(b, `,"ssh_host_keys":`...), list...), '}')
	c.text(http.StatusOK, typeJSON, b)
	return nil
}

// canonicalURL is how motley-cue compares the URLs of issuers when it is asked about one.
func canonicalURL(u string) string {
	u = strings.ToLower(strings.TrimSpace(u))
	if _, rest, found := strings.Cut(u, "://"); found {
		u = rest
	}
	return strings.TrimSuffix(strings.TrimPrefix(u, "www."), "/")
}

func (a *API) infoOP(c *call) error {
	asked := canonicalURL(c.arg("url"))
	for i := range a.o.Issuers {
		if iss := &a.o.Issuers[i]; canonicalURL(iss.URL) == asked {
			return c.json(http.StatusOK, iss.info())
		}
	}
	return detail(http.StatusNotFound, "OP not supported")
}

type authorisation struct {
	OP       string   `json:"OP"`
	Type     string   `json:"authorisation_type"`
	Info     string   `json:"authorisation_info"`
	VOs      []string `json:"supported_VOs"`
	Audience any      `json:"audience"`
}

func (a *API) infoAuthorisation(c *call) error {
	who, err := a.asking(c, func() (known, error) { return a.believe(c, c.token) })
	if err != nil {
		return err
	}
	return c.json(http.StatusOK, who.issuer.authorisation())
}

func (i *Issuer) authorisation() authorisation {
	out := authorisation{OP: i.URL, VOs: []string{}, Audience: i.info().Audience}
	switch {
	case i.Everybody:
		out.Type, out.Info = "all users", "All users from this OP are authorised."
	case len(i.VOs) > 0:
		match := i.VOMatch
		if match == "" {
			match = "one"
		}
		out.Type, out.Info = "VO-based", "Users who are in "+match+" of the supported VOs are authorised"
		out.VOs = i.VOs
	case i.Persons:
		out.Type, out.Info = "individual users", "Users are authorised on an individual basis. "+
			"Please contact a service administrator to request access."
	case i.Users != nil:
		out.Type, out.Info = "policy", "Users who satisfy the policy of this service are authorised."
	default:
		out.Type, out.Info = "not configured", "OP is supported but no authorisation is configured."
	}
	return out
}

func (a *API) privacy(c *call) error {
	if a.o.Privacy == nil {
		return detail(http.StatusNotFound, "Privacy policy not found")
	}
	text, err := a.o.Privacy()
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return detail(http.StatusNotFound, "Privacy policy not found")
	case err != nil:
		return &Error{
			Status: http.StatusInternalServerError, Detail: "Error retrieving privacy policy",
			Err: fmt.Errorf("read the privacy statement: %w", err),
		}
	}
	page := privacyPage(strings.ReplaceAll(string(text), "{{privacy_contact}}", a.o.Contact))
	c.w.Header().Set("Content-Security-Policy", pageCSP)
	c.text(http.StatusOK, "text/html; charset=utf-8", page)
	return nil
}
