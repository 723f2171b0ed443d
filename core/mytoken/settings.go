package mytoken

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/token/jose"
)

const endpointSettings = "usersettings_endpoint"

// GrantSSH is the way of getting tokens over ssh.
const GrantSSH = "ssh"

// Grant is a way of getting tokens that a person can switch on and off.
type Grant struct {
	Type    string
	Enabled bool
}

// Grants lists the ways a person has ever switched. The update is as in Issued.
func (c *Client) Grants(ctx context.Context, mt secret.Text) ([]Grant, *Issued, error) {
	const op = "grants"
	a, update, err := c.managed(ctx, mt, call{
		op: op, endpoint: endpointSettings, target: below(c.server.SettingsEndpoint, "grants"), method: http.MethodGet,
	})
	if err != nil {
		return nil, update, err
	}
	list, err := listOf(a, "grant_types", func(o jose.Object) (g Grant, err error) {
		if g.Type, err = o.String("grant_type"); err == nil {
			g.Enabled, err = o.Bool("enabled")
		}
		return g, err
	})
	if err != nil {
		return nil, update, c.bad(op, err)
	}
	return list, update, nil
}

// SetGrant switches one way of getting tokens.
func (c *Client) SetGrant(ctx context.Context, mt secret.Text, grant string, enabled bool) (*Issued, error) {
	q := call{op: "enable a grant", endpoint: endpointSettings, target: below(c.server.SettingsEndpoint, "grants")}
	if !enabled {
		q.op, q.method = "disable a grant", http.MethodDelete
	}
	q.body.put("grant_type", grant)
	return c.changed(ctx, mt, q)
}

// SSHKey is one that may get tokens.
type SSHKey struct {
	Name, Fingerprint string
	Created, LastUsed time.Time // LastUsed zero: never
}

// SSHKeys lists the keys; enabled says whether they can be used at all.
func (c *Client) SSHKeys(ctx context.Context, mt secret.Text) (enabled bool, keys []SSHKey, update *Issued, err error) {
	const op = "ssh keys"
	a, update, err := c.managed(ctx, mt, call{op: op, endpoint: endpointSettings, target: c.sshURL(), method: http.MethodGet})
	if err != nil {
		return false, nil, update, err
	}
	if enabled, err = a.Bool("grant_enabled"); err != nil {
		return false, nil, update, c.bad(op, err)
	}
	keys, err = listOf(a, "ssh_keys", func(o jose.Object) (k SSHKey, err error) {
		k.Name, _ = o.String("name")
		created, _, _ := o.Int("created")
		used, _, _ := o.Int("last_used")
		k.Created, k.LastUsed = unixTime(created), unixTime(used)
		k.Fingerprint, err = o.String("ssh_key_fp")
		return k, err
	})
	if err != nil {
		return false, nil, update, c.bad(op, err)
	}
	return enabled, keys, update, nil
}

func (c *Client) sshURL() string { return below(c.server.SettingsEndpoint, "grants", GrantSSH) }

// SSHKeyRequest is what a key is to be allowed.
type SSHKeyRequest struct {
	Key          string // line of authorized_keys
	Name         string
	Capabilities Capabilities // none: AT
	Restrictions Restrictions
}

// AddSSHKey begins the login that a key gets its own mytoken by; WaitSSHKey waits for its end.
func (c *Client) AddSSHKey(ctx context.Context, mt secret.Text, r SSHKeyRequest) (Consent, *Issued, error) {
	const op = "add an ssh key"
	q := call{op: op, endpoint: endpointSettings, target: c.sshURL()}
	q.body.put("grant_type", grantMytoken)
	q.body.put("ssh_key", r.Key)
	q.body.text("name", r.Name)
	q.body.list("capabilities", r.Capabilities)
	if len(r.Restrictions) > 0 {
		q.body.put("restrictions", r.Restrictions)
	}
	a, update, err := c.managed(ctx, mt, q)
	if err != nil {
		return Consent{}, update, err
	}
	w, err := readConsent(a, false)
	if err != nil {
		return Consent{}, update, c.bad(op, err)
	}
	return w, update, nil
}

// SSHLogin is how a key is used.
type SSHLogin struct {
	User   secret.Text // the user name is the secret
	Config secret.Text // entry of ~/.ssh/config as the server suggests it: a text of a stranger
}

// Wipe clears the secrets.
func (l SSHLogin) Wipe() {
	l.User.Wipe()
	l.Config.Wipe()
}

// WaitSSHKey is Wait for AddSSHKey.
func (c *Client) WaitSSHKey(ctx context.Context, w Consent) (l SSHLogin, err error) {
	const op = "add an ssh key"
	err = c.wait(ctx, w, func() error {
		q := call{op: op, endpoint: endpointSettings, target: c.sshURL(), secrets: []secret.Text{w.Code}}
		q.body.put("grant_type", grantPolling)
		q.body.secret(grantPolling, w.Code)
		a, _, err := c.do(ctx, q)
		if err != nil {
			return err
		}
		user, err := a.String("ssh_user")
		if err == nil && user == "" {
			err = fmt.Errorf("%w: no ssh_user in it", ErrAnswer)
		}
		if err != nil {
			return c.bad(op, err)
		}
		config, _ := a.String("ssh_host_config")
		l = SSHLogin{User: secret.FromString(user), Config: secret.FromString(config)}
		return nil
	})
	return l, err
}

// RemoveSSHKey takes a key, by its fingerprint or its line of authorized_keys, its mytoken.
func (c *Client) RemoveSSHKey(ctx context.Context, mt secret.Text, fingerprint, line string) (*Issued, error) {
	q := call{op: "remove an ssh key", endpoint: endpointSettings, target: c.sshURL(), method: http.MethodDelete}
	q.body.text("ssh_key_fp", fingerprint)
	q.body.text("ssh_key", line)
	return c.changed(ctx, mt, q)
}

// Email is where mails about mytokens go.
type Email struct {
	Address  string
	Verified bool
	HTML     bool // preferred over plain text
}

// Email returns the settings of mails.
func (c *Client) Email(ctx context.Context, mt secret.Text) (e Email, update *Issued, err error) {
	const op = "mail settings"
	a, update, err := c.managed(ctx, mt, call{
		op: op, endpoint: endpointSettings, target: below(c.server.SettingsEndpoint, "email"), method: http.MethodGet,
		ssh: sshCall{action: SSHEmail},
	})
	if err != nil {
		return e, update, err
	}
	e.Address, err = a.String("email_address")
	for _, m := range []struct {
		name string
		to   *bool
	}{{"email_verified", &e.Verified}, {"prefer_html_mail", &e.HTML}} {
		if err == nil {
			*m.to, err = a.Bool(m.name)
		}
	}
	if err != nil {
		return Email{}, update, c.bad(op, err)
	}
	return e, update, nil
}

// SetEmail changes the address, where it is not "", and the form of mails, where html is not nil. A new address gets a
// mail with which it is confirmed.
func (c *Client) SetEmail(ctx context.Context, mt secret.Text, address string, html *bool) (*Issued, error) {
	q := call{
		op: "change mail settings", endpoint: endpointSettings, target: below(c.server.SettingsEndpoint, "email"),
		method: http.MethodPut, ssh: sshCall{action: SSHSetEmail},
	}
	q.body.text("email_address", address)
	if html != nil {
		q.body.put("prefer_html_mail", *html)
	}
	return c.changed(ctx, mt, q)
}

// listOf reads an array of objects; null and absent are none.
func listOf[T any](a answer, name string, read func(jose.Object) (T, error)) ([]T, error) {
	list, err := elements(a.WithoutNull(), name)
	if err != nil {
		return nil, err
	}
	out := make([]T, 0, len(list))
	for _, b := range list {
		o, err := readObject(b)
		if err != nil {
			return nil, err
		}
		v, err := read(o)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, nil
}
