package pages

import (
	"errors"
	"net/http"
	"strings"

	"github.com/oidcbox/oidcbox/core/mytoken"
	"github.com/oidcbox/oidcbox/core/mytoken/desk"
	"github.com/oidcbox/oidcbox/core/mytoken/rules"
)

func (p *Pages) routeSettings(get, post func(string, reply)) {
	get("/settings", func(v *visit) error { return v.settings(http.StatusOK, settingsTry{}) })
	if p.o.Mail != nil {
		post("/settings/email", p.setEmail)
	}
	if p.o.SSH != nil {
		post("/settings/grant", p.setGrant)
		post("/settings/ssh", p.addSSHKey)
		post("/settings/ssh/remove", p.removeSSHKey)
	}
}

// settingsBody is the page of a person's settings.
type settingsBody struct {
	Email         mytoken.Email
	Address       input
	SSH           bool // there is an ssh grant
	SSHOn         bool
	Keys          []mytoken.SSHKey
	Key, KeyName  input
	Notices       bool
	Subscriptions []subscription
	Classes       []box
	Calendars     []calendarLine
	Calendar      input
	Problem       string // of notifications
}

// settingsTry is what somebody tried to change and could not.
type settingsTry struct {
	notice                                  string
	address, addressError                   string
	key, keyName, keyError, calendar, other string
}

// settings shows the page. Every part that the session may not see, or that is not there, is left out.
func (v *visit) settings(status int, try settingsTry) error {
	if out, err := v.need(); out {
		return err
	}
	ctx, o := v.r.Context(), v.p.o
	var body settingsBody
	if o.Mail != nil {
		email, update, err := o.Mail.Email(ctx, v.caller())
		v.renewed(update)
		if err != nil {
			return err
		}
		body.Email = email
		body.Address = input{
			Name: "email", Label: "Mail address", Type: "email", Max: 254, Value: email.Address, Error: try.addressError,
			Hint: "a new address gets a mail with which you confirm it",
		}
		if try.addressError != "" {
			body.Address.Value = try.address
		}
	}
	if err := v.sshSettings(&body, try); err != nil {
		return err
	}
	if err := v.noticeSettings(&body, try); err != nil {
		return err
	}
	return v.show(status, "settings", sheet{
		Title: "Settings", Nav: "settings", Notice: try.notice, Problem: try.other,
		Body: body,
	})
}

func (v *visit) sshSettings(body *settingsBody, try settingsTry) error {
	o := v.p.o
	if o.SSH == nil {
		return nil
	}
	grants, update, err := o.SSH.Grants(v.r.Context(), v.caller())
	v.renewed(update)
	if err != nil {
		return err
	}
	body.SSH = true
	for _, g := range grants {
		body.SSHOn = body.SSHOn || g.Type == mytoken.GrantSSH && g.Enabled
	}
	if body.Keys, update, err = o.SSH.SSHKeys(v.r.Context(), v.caller()); err != nil {
		return err
	}
	v.renewed(update)
	body.Key = input{
		Name: "ssh_key", Label: "Public key", Type: "area", Max: 16 << 10, Required: true, Off: true, Value: try.key,
		Hint: "the line of the file that ends in .pub, such as ssh-ed25519 AAAA…", Error: try.keyError,
	}
	body.KeyName = input{
		Name: "name", Label: "Name of the key", Type: "text", Max: maxName, Off: true,
		Value: try.keyName, Hint: "optional",
	}
	return nil
}

// changed answers a change of settings: the page again, with what came of it.
func (v *visit) changed(update *desk.Issued, err error, done string, fail func(problem string) settingsTry) error {
	v.renewed(update)
	if problem, ok := refused(err); ok && !endedSession(err) {
		return v.settings(http.StatusUnprocessableEntity, fail(problem))
	}
	if err != nil {
		return err
	}
	return v.settings(http.StatusOK, settingsTry{notice: done})
}

func endedSession(err error) bool {
	var e *desk.Error
	return errors.As(err, &e) && e.Status == http.StatusUnauthorized
}

func (p *Pages) setEmail(v *visit) error {
	if out, err := v.need(); out {
		return err
	}
	address := strings.TrimSpace(v.form.Get("email"))
	fail := func(problem string) settingsTry { return settingsTry{address: address, addressError: problem} }
	if len(address) > 254 || strings.ContainsFunc(address, func(r rune) bool { return r <= ' ' }) {
		return v.settings(http.StatusUnprocessableEntity, fail("This is no mail address."))
	}
	update, err := p.o.Mail.SetEmail(v.r.Context(), v.caller(), address, v.form.Get("html") == "1")
	return v.changed(update, err, "The mail settings are changed.", fail)
}

func otherProblem(problem string) settingsTry { return settingsTry{other: problem} }

func (p *Pages) setGrant(v *visit) error {
	if out, err := v.need(); out {
		return err
	}
	on := v.form.Get("enabled") == "1"
	update, err := p.o.SSH.SetGrant(v.r.Context(), v.caller(), mytoken.GrantSSH, on)
	done := "Your ssh keys cannot be used any more."
	if on {
		done = "Your ssh keys can be used now."
	}
	return v.changed(update, err, done, otherProblem)
}

// addSSHKey begins the login that a key gets its mytoken by: the consent page says for what.
func (p *Pages) addSSHKey(v *visit) error {
	if out, err := v.need(); out {
		return err
	}
	r := mytoken.SSHKeyRequest{
		Key: strings.TrimSpace(v.form.Get("ssh_key")), Name: strings.TrimSpace(v.form.Get("name")),
		Capabilities: mytoken.Capabilities{rules.AT},
	}
	b, update, err := p.o.SSH.AddSSHKey(v.r.Context(), v.caller(), r)
	v.renewed(update)
	if problem, ok := refused(err); ok && !endedSession(err) {
		return v.settings(http.StatusUnprocessableEntity, settingsTry{key: r.Key, keyName: r.Name, keyError: problem})
	}
	if err != nil {
		return err
	}
	defer b.PollingCode.Wipe()
	v.await(pendingSSH, b)
	return v.goTo(b.ConsentURI)
}

func (p *Pages) removeSSHKey(v *visit) error {
	if out, err := v.need(); out {
		return err
	}
	update, err := p.o.SSH.RemoveSSHKey(v.r.Context(), v.caller(), v.form.Get("ssh_key_fp"))
	return v.changed(update, err, "The key is removed, and its mytoken has ended.", otherProblem)
}
