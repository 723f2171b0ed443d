package desk

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/oidcbox/oidcbox/core/mytoken"
	"github.com/oidcbox/oidcbox/core/mytoken/ledger"
	"github.com/oidcbox/oidcbox/core/mytoken/rules"
)

// Events of settings.
const (
	eventGrantsListed  = "settings_grants_listed"
	eventGrantEnabled  = "settings_grant_enabled"
	eventGrantDisabled = "settings_grant_disabled"
)

const settingGrants = "grants"

// grantTypes are the ways of getting tokens that a person can switch.
func grantTypes() []string { return []string{mytoken.GrantSSH} }

// Grants lists the ways of getting tokens that a person has ever switched.
func (d *Desk) Grants(ctx context.Context, c Caller) ([]mytoken.Grant, *Issued, error) {
	v, err := d.Enter(ctx, c, Need{Capability: rules.ReadOnly + rules.Grants})
	if err != nil {
		return nil, nil, err
	}
	defer v.Cancel(ctx)
	on, err := d.grants(ctx, v.User())
	if err != nil {
		return nil, nil, err
	}
	out := []mytoken.Grant{}
	for _, name := range grantTypes() {
		if enabled, touched := on[name]; touched {
			out = append(out, mytoken.Grant{Type: name, Enabled: enabled})
		}
	}
	update, err := v.Done(ctx, eventGrantsListed, "")
	return out, update, err
}

// SetGrant switches a way of getting tokens.
func (d *Desk) SetGrant(ctx context.Context, c Caller, grant string, enabled bool) (*Issued, error) {
	e := AuditEvent{Action: "grant", From: c.Origin}
	update, err := d.setGrant(ctx, c, setting{grant, enabled}, &e)
	d.audit(ctx, e, err)
	return update, err
}

// setting is a way of getting tokens as it is to be.
type setting struct {
	grant   string
	enabled bool
}

func (d *Desk) setGrant(ctx context.Context, c Caller, to setting, about *AuditEvent) (*Issued, error) {
	grant, enabled := to.grant, to.enabled
	if grant != mytoken.GrantSSH {
		return nil, badRequest(fmt.Sprintf("value '%s' not valid for GrantType", cutTo(grant, 64)), nil)
	}
	v, err := d.Enter(ctx, c, Need{Capability: rules.Grants})
	if err != nil {
		return nil, err
	}
	defer v.Cancel(ctx)
	about.User, about.MOMID = v.User(), v.MOMID()
	err = d.o.Ledger.ChangeSetting(ctx, v.User(), settingGrants, func(raw json.RawMessage) (json.RawMessage, error) {
		on, err := parseGrants(raw)
		if err != nil {
			return nil, err
		}
		on[grant] = enabled
		return json.Marshal(on)
	})
	if err != nil {
		return nil, err
	}
	event := eventGrantEnabled
	if !enabled {
		event = eventGrantDisabled
	}
	comment := "grant_type: " + grant
	v.Notice(ctx, Notice{Class: ClassSettings, Event: event, Comment: comment})
	return v.Done(ctx, event, comment)
}

// GrantEnabled reports whether a person has switched a way of getting tokens on.
func (d *Desk) GrantEnabled(ctx context.Context, user, grant string) (bool, error) {
	on, err := d.grants(ctx, user)
	return on[grant], err
}

func (d *Desk) grants(ctx context.Context, user string) (map[string]bool, error) {
	raw, err := d.o.Ledger.Setting(ctx, user, settingGrants)
	if err != nil {
		return nil, err
	}
	return parseGrants(raw)
}

func parseGrants(raw json.RawMessage) (map[string]bool, error) {
	on := make(map[string]bool)
	if raw == nil {
		return on, nil
	}
	if err := json.Unmarshal(raw, &on); err != nil {
		return nil, fmt.Errorf("read the grants of a person: %w", ledger.ErrRecord)
	}
	return on, nil
}
