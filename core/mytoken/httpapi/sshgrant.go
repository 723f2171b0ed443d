package httpapi

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/oidcbox/oidcbox/core/mytoken"
	"github.com/oidcbox/oidcbox/core/mytoken/desk"
)

const pathSSH = pathGrants + "/" + mytoken.GrantSSH

// SSHRoutes are the endpoints about ssh keys, for Options.Mount of a server that has an ssh server.
func SSHRoutes(k *desk.SSHKeys) []Route {
	g := sshGrant{k}
	return []Route{
		{Method: http.MethodGet, Path: pathSSH, API: g.list},
		{Method: http.MethodPost, Path: pathSSH, API: g.post, Forms: true},
		{Method: http.MethodDelete, Path: pathSSH, API: g.remove, Forms: true},
	}
}

type sshGrant struct{ keys *desk.SSHKeys }

type sshKeyOut struct {
	Name        string `json:"name,omitempty"`
	Fingerprint string `json:"ssh_key_fp"`
	Created     int64  `json:"created"`
	LastUsed    int64  `json:"last_used,omitempty"`
}

type sshKeysOut struct {
	Enabled bool        `json:"grant_enabled"`
	Keys    []sshKeyOut `json:"ssh_keys"`
}

// list lists the keys of the person.
func (g sshGrant) list(c *Call) (Answer, error) {
	who, err := c.Caller()
	if err != nil {
		return Answer{}, err
	}
	defer who.Mytoken.Wipe()
	out := sshKeysOut{Keys: []sshKeyOut{}}
	if out.Enabled, err = g.keys.Enabled(c.Context(), who); err != nil {
		return Answer{}, err
	}
	keys, update, err := g.keys.List(c.Context(), who)
	if err != nil {
		return Answer{}, err
	}
	for _, k := range keys {
		out.Keys = append(out.Keys, sshKeyOut{k.Name, k.Fingerprint, k.Created.Unix(), secondOf(k.LastUsed)})
	}
	return Answer{Body: out, Update: update}, nil
}

func secondOf(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}

// post begins the login of a key, or asks for its end.
func (g sshGrant) post(c *Call) (Answer, error) {
	grant, err := c.grant()
	if err != nil {
		return Answer{}, err
	}
	switch grant {
	case grantMytoken:
		return g.add(c)
	case grantPolling:
		return g.poll(c)
	}
	return Answer{}, refuse(http.StatusBadRequest, desk.CodeGrant, "Unsupported grant_type")
}

func (g sshGrant) add(c *Call) (Answer, error) {
	var r mytoken.SSHKeyRequest
	if err := c.Body.Texts(map[string]*string{"ssh_key": &r.Key, "name": &r.Name}); err != nil {
		return Answer{}, err
	}
	for name, to := range map[string]json.Unmarshaler{"capabilities": &r.Capabilities, "restrictions": &r.Restrictions} {
		if raw := c.Body.Raw(name); raw != nil {
			if err := to.UnmarshalJSON(raw); err != nil {
				return Answer{}, badRequest(plain(err.Error()))
			}
		}
	}
	who, err := c.Caller()
	if err != nil {
		return Answer{}, err
	}
	defer who.Mytoken.Wipe()
	b, update, err := g.keys.Add(c.Context(), who, r)
	if err != nil {
		return Answer{}, err
	}
	out := c.api.begunAnswer(b)
	out.Update = update
	return out, nil
}

func (g sshGrant) poll(c *Call) (Answer, error) {
	code, err := c.api.code(c, grantPolling)
	if err != nil {
		return Answer{}, err
	}
	defer code.Wipe()
	l, err := g.keys.Poll(c.Context(), code, c.Origin)
	if err != nil {
		return Answer{}, err
	}
	return Answer{
		Body: map[string]string{"ssh_user": l.User.Expose(), "ssh_host_config": l.Config.Expose()},
		wipe: l.Wipe,
	}, nil
}

// remove takes a key off the list, by its fingerprint or its line of authorized_keys.
func (g sshGrant) remove(c *Call) (Answer, error) {
	var fingerprint, line string
	if err := c.Body.Texts(map[string]*string{"ssh_key_fp": &fingerprint, "ssh_key": &line}); err != nil {
		return Answer{}, err
	}
	who, err := c.Caller()
	if err != nil {
		return Answer{}, err
	}
	defer who.Mytoken.Wipe()
	var update *desk.Issued
	if fingerprint == "" && line != "" {
		update, err = g.keys.RemoveLine(c.Context(), who, line)
	} else {
		update, err = g.keys.Remove(c.Context(), who, fingerprint)
	}
	return Answer{Update: update}, err
}
