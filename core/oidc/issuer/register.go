package issuer

import (
	"crypto/subtle"
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"github.com/oidcbox/oidcbox/core/token/jose"
	"github.com/oidcbox/oidcbox/core/transport/httpd"
	"github.com/oidcbox/oidcbox/store"
)

// registration is a client that registered itself (RFC 7591). Its secret and its management token are kept as hashes.
type registration struct {
	ID           string   `json:"id"`
	Issued       int64    `json:"issued"`
	SecretHash   string   `json:"secret,omitempty"`
	TokenHash    string   `json:"token"`
	Name         string   `json:"name,omitempty"`
	RedirectURIs []string `json:"redirect_uris,omitempty"`
	Grants       []string `json:"grants"`
	Scope        []string `json:"scope,omitempty"`
	AuthMethod   string   `json:"auth"`
	AppType      string   `json:"app,omitempty"`
	Contacts     []string `json:"contacts,omitempty"`
	URI          string   `json:"uri,omitempty"`
}

const (
	authNone     = "none"
	authBasic    = "client_secret_basic"
	authPost     = "client_secret_post"
	maxMetadata  = 64 << 10
	maxContacts  = 10
	metaDepth    = 6
	metaMembers  = 200
	codeMetadata = "invalid_client_metadata"
)

func (reg registration) party() party {
	return party{
		Client: Client{
			ID: reg.ID, Name: reg.Name, RedirectURIs: reg.RedirectURIs, Grants: reg.Grants, Scope: reg.Scope,
		},
		SecretHash: reg.SecretHash, reg: &reg,
	}
}

// register is the registration endpoint (RFC 7591 section 3), open to everybody.
func (i *Issuer) register(w http.ResponseWriter, r *http.Request) error {
	reg, err := readRegistration(w, r)
	if err != nil {
		return err
	}
	if err := i.clients.take(r.Context(), i); err != nil {
		return err
	}
	reg.ID, reg.Issued = random(16), i.o.Now().Unix()
	manage, given := random(32), ""
	reg.TokenHash = digest(manage)
	if reg.AuthMethod != authNone {
		given = random(32)
		reg.SecretHash = digest(given)
	}
	if err := i.saveClient(r, reg); err != nil {
		return conflict(err)
	}
	return i.showClient(w, http.StatusCreated, reg, map[string]any{
		"client_secret": given, "registration_access_token": manage,
	})
}

func (i *Issuer) saveClient(r *http.Request, reg registration) error {
	return i.o.Engine.Update(r.Context(), func(tx store.WTx) error {
		return save(tx, slot{table: clientTable(), key: reg.ID}, reg)
	})
}

// readClient is RFC 7592 section 2.1. The secret is not shown again: only its hash is known here.
func (i *Issuer) readClient(w http.ResponseWriter, r *http.Request) error {
	reg, err := i.managed(r)
	if err != nil {
		return err
	}
	return i.showClient(w, http.StatusOK, reg, sameToken(r))
}

// sameToken repeats the management token, which RFC 7592 section 3 wants in every answer.
func sameToken(r *http.Request) map[string]any {
	return map[string]any{"registration_access_token": bearer(r)}
}

// updateClient is RFC 7592 section 2.2: what the request leaves out is gone. Id, secret and kind of client stay.
func (i *Issuer) updateClient(w http.ResponseWriter, r *http.Request) error {
	old, err := i.managed(r)
	if err != nil {
		return err
	}
	reg, err := readRegistration(w, r)
	if err != nil {
		return err
	}
	if reg.ID != old.ID {
		return badRequest("client_id is not that of the client")
	}
	if (reg.AuthMethod == authNone) != (old.AuthMethod == authNone) {
		return bad(codeMetadata, "token_endpoint_auth_method cannot change between none and a secret")
	}
	reg.Issued, reg.SecretHash, reg.TokenHash = old.Issued, old.SecretHash, old.TokenHash
	if err := i.saveClient(r, reg); err != nil {
		return conflict(err)
	}
	return i.showClient(w, http.StatusOK, reg, sameToken(r))
}

// deleteClient is RFC 7592 section 2.3. Its grants end with it: see grantAlive.
func (i *Issuer) deleteClient(w http.ResponseWriter, r *http.Request) error {
	reg, err := i.managed(r)
	if err != nil {
		return err
	}
	err = i.o.Engine.Update(r.Context(), func(tx store.WTx) error {
		return tx.Delete(clientTable(), store.Key{reg.ID})
	})
	if err != nil {
		return conflict(err)
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// managed returns the client of the path if the request has its management token.
func (i *Issuer) managed(r *http.Request) (registration, error) {
	token := bearer(r)
	if token == "" {
		return registration{}, httpd.Unauthorized(i.o.URL, "", "")
	}
	reg, ok, err := find[registration](r.Context(), i, clientTable(), digestSafe(r.PathValue("id")))
	if err != nil {
		return registration{}, err
	}
	if !ok || subtle.ConstantTimeCompare([]byte(digest(token)), []byte(reg.TokenHash)) != 1 {
		return registration{}, httpd.Unauthorized(i.o.URL, codeInvalidToken, "not the token of this client")
	}
	return reg, nil
}

// digestSafe keeps a made-up id from being longer than a key may be.
func digestSafe(id string) string {
	if len(id) > 64 || id == "" {
		return "-"
	}
	return id
}

// readRegistration reads client metadata (RFC 7591 section 2). Grant types that we do not have are left out, as the RFC
// lets us; oidc-agent asks for some.
func readRegistration(w http.ResponseWriter, r *http.Request) (registration, error) {
	body, err := httpd.ReadBody(w, r, maxMetadata)
	if err != nil {
		return registration{}, err
	}
	o, err := jose.StrictObject(body, metaDepth, metaMembers)
	if err != nil {
		return registration{}, bad(codeMetadata, "the body is not one JSON object")
	}
	reg := registration{}
	var scope string
	for _, f := range []struct {
		name string
		into *string
	}{
		{"client_id", &reg.ID},
		{"client_name", &reg.Name},
		{"token_endpoint_auth_method", &reg.AuthMethod},
		{"application_type", &reg.AppType},
		{"client_uri", &reg.URI},
		{"scope", &scope},
	} {
		if *f.into, err = o.String(f.name); err != nil || len(*f.into) > maxScopeText {
			return registration{}, bad(codeMetadata, f.name+" is not a string, or too long")
		}
	}
	for _, f := range []struct {
		name string
		into *[]string
	}{{"redirect_uris", &reg.RedirectURIs}, {"grant_types", &reg.Grants}, {"contacts", &reg.Contacts}} {
		if *f.into, err = o.Strings(f.name); err != nil {
			return registration{}, bad(codeMetadata, f.name+" is not an array of strings")
		}
	}
	return reg, reg.fill(scope, o)
}

// fill puts defaults in place and checks what was asked for.
func (reg *registration) fill(scope string, o jose.Object) (err error) {
	reg.AuthMethod = orDefault(reg.AuthMethod, authBasic)
	if !slices.Contains([]string{authNone, authBasic, authPost}, reg.AuthMethod) {
		return bad(codeMetadata, "token_endpoint_auth_method is not supported")
	}
	if !o.Has("grant_types") {
		reg.Grants = []string{GrantCode} // RFC 7591 section 2
	}
	reg.Grants = slices.DeleteFunc(reg.Grants, func(g string) bool {
		secretOnly := g == GrantClient || g == GrantExchange
		return !slices.Contains(grantTypes(), g) || secretOnly && reg.AuthMethod == authNone
	})
	slices.Sort(reg.Grants)
	reg.Grants = slices.Compact(reg.Grants)
	if len(reg.Grants) == 0 {
		return bad(codeMetadata, "none of the grant types is supported")
	}
	if err := checkRedirectURIs(reg.RedirectURIs); err != nil {
		return bad("invalid_redirect_uri", err.Error())
	}
	if slices.Contains(reg.Grants, GrantCode) && len(reg.RedirectURIs) == 0 {
		return bad("invalid_redirect_uri", "redirect_uris is missing")
	}
	if len(reg.Name) > maxClientName || len(reg.Contacts) > maxContacts || len(strings.Join(reg.Contacts, "")) > 1024 {
		return bad(codeMetadata, "client_name or contacts are too long")
	}
	if reg.Scope, err = parseScope(scope); err != nil {
		return bad(codeMetadata, "scope is not well formed")
	}
	return nil
}

// showClient is the answer of RFC 7591 section 3.2.1; more holds what is shown once.
func (i *Issuer) showClient(w http.ResponseWriter, status int, reg registration, more map[string]any) error {
	m := map[string]any{
		"client_id": reg.ID, "client_id_issued_at": reg.Issued, "grant_types": reg.Grants,
		"token_endpoint_auth_method": reg.AuthMethod,
		"registration_client_uri":    i.endpoint("/register/" + reg.ID),
		"response_types":             []string{},
	}
	if slices.Contains(reg.Grants, GrantCode) {
		m["response_types"] = []string{"code"}
	}
	if reg.SecretHash != "" {
		m["client_secret_expires_at"] = 0
	}
	for name, v := range map[string]string{
		"client_name": reg.Name, "application_type": reg.AppType, "client_uri": reg.URI,
		"scope": strings.Join(reg.Scope, " "),
	} {
		if v != "" {
			m[name] = v
		}
	}
	for name, v := range map[string][]string{"redirect_uris": reg.RedirectURIs, "contacts": reg.Contacts} {
		if len(v) > 0 {
			m[name] = v
		}
	}
	for name, v := range more {
		if v != "" {
			m[name] = v
		}
	}
	b, err := json.Marshal(m)
	if err != nil {
		return err
	}
	return httpd.WriteJSON(w, status, json.RawMessage(b))
}
