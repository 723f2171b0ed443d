package pages

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/oidcbox/oidcbox/core/mytoken"
	"github.com/oidcbox/oidcbox/core/mytoken/desk"
	"github.com/oidcbox/oidcbox/core/mytoken/rules"
)

// wider says in what settled terms allow more than was asked for, in words; none: in nothing.
func wider(asked, given desk.Terms, now time.Time) []string {
	out := widerCapabilities(asked.Capabilities, given.Capabilities)
	out = append(out, widerRestrictions(asked.Restrictions, given.Restrictions, now)...)
	out = append(out, widerRotation(asked.Rotation, given.Rotation)...)
	if asked.Issuer != "" && !mytoken.SameIssuer(asked.Issuer, given.Issuer) {
		out = append(out, "another provider than was asked for: "+plain(given.Issuer))
	}
	return out
}

func widerCapabilities(asked, given mytoken.Capabilities) []string {
	if len(asked) == 0 {
		asked = rules.DefaultCapabilities()
	}
	_, dropped, err := rules.SubCapabilities(asked, given)
	if errors.Is(err, rules.ErrNoCapability) {
		dropped = given
	}
	var out []string
	for _, c := range dropped {
		if slices.Contains(asked, c) { // it names nothing, and so not even itself
			continue
		}
		out = append(out, fmt.Sprintf("may also: %s (%s)", capabilityMeans(c), plain(c)))
	}
	return out
}

func widerRestrictions(asked, given mytoken.Restrictions, now time.Time) []string {
	switch {
	case len(asked) == 0:
		return nil
	case len(given) == 0:
		return []string{"usable at any time, from anywhere and without a limit: all restrictions are gone"}
	}
	t, err := rules.Tighten(rules.Parent{Restrictions: asked, Now: now, Template: true}, given)
	faults := t.Dropped
	var clauses *rules.ClausesError
	if errors.As(err, &clauses) {
		faults = clauses.Faults
	} else if err != nil && len(faults) == 0 {
		return []string{"restrictions other than those that were asked for"}
	}
	var out []string
	for _, f := range faults {
		out = append(out, "way "+strconv.Itoa(f.Clause)+" of using it goes beyond what was asked for: "+plain(f.Reason))
	}
	return out
}

func widerRotation(asked, given *mytoken.Rotation) []string {
	if asked == nil {
		return nil
	}
	if given == nil {
		given = &mytoken.Rotation{}
	}
	var out []string
	for _, m := range []struct {
		wider bool
		text  string
	}{
		{asked.OnAT && !given.OnAT, "not replaced with each access token any more"},
		{asked.OnOther && !given.OnOther, "not replaced with each other use any more"},
		{asked.AutoRevoke && !given.AutoRevoke, "does not end when a replaced one is used"},
		{
			asked.Lifetime > 0 && (given.Lifetime == 0 || given.Lifetime > asked.Lifetime),
			"each one is good for longer than was asked for",
		},
	} {
		if m.wider {
			out = append(out, m.text)
		}
	}
	return out
}

// digest names terms: a person agrees to those that were shown, and to no others.
func digest(t desk.Terms) (string, error) {
	caps := slices.Clone(t.Capabilities)
	slices.Sort(caps)
	b, err := json.Marshal(struct {
		Issuer, Name string
		Capabilities mytoken.Capabilities
		Restrictions mytoken.Restrictions
		Rotation     *mytoken.Rotation
	}{t.Issuer, t.Name, caps, t.Restrictions, t.Rotation})
	if err != nil {
		return "", fmt.Errorf("write terms: %w", err)
	}
	sum := sha256.Sum256(b)
	return base64.RawURLEncoding.EncodeToString(sum[:]), nil
}
