package profiles

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/oidcbox/oidcbox/core/mytoken"
	"github.com/oidcbox/oidcbox/core/mytoken/rules"
)

// Payload returns a template as it is read from the server: expanded, with relative times counted from now. "this"
// stays: it is about whoever uses the template.
func Payload(kind string, payload []byte, lookup Lookup, now time.Time) ([]byte, error) {
	b, err := Expand(kind, payload, lookup)
	if err != nil {
		return nil, err
	}
	switch kind {
	case mytoken.RestrictionTemplates:
		return reckonClauses(b, now)
	case mytoken.Profiles:
		return reckonProfile(b, now)
	}
	return b, nil
}

func reckonProfile(b []byte, now time.Time) ([]byte, error) {
	var o map[string]json.RawMessage
	if err := json.Unmarshal(b, &o); err != nil {
		return nil, fmt.Errorf("%w: a profile is an object", ErrRequest)
	}
	raw, ok := o["restrictions"]
	if !ok {
		return b, nil
	}
	var err error
	if o["restrictions"], err = reckonClauses(raw, now); err != nil {
		return nil, err
	}
	return write(o)
}

func reckonClauses(b []byte, now time.Time) ([]byte, error) {
	var rs mytoken.Restrictions
	if err := rs.UnmarshalJSON(b); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRequest, err)
	}
	for i := range rs {
		for _, m := range []*mytoken.Moment{&rs[i].NotBefore, &rs[i].Expires} {
			t, err := rules.Reckon(*m, now)
			if err != nil {
				return nil, fmt.Errorf("%w: clause %d: %w", ErrRequest, i+1, err)
			}
			*m = t
		}
	}
	if rs == nil {
		rs = mytoken.Restrictions{}
	}
	return write(rs)
}

// CheckTemplate reports whether a payload can be stored as a template: it can be expanded now, it is what its kind has
// to be, and restrictions restrict something.
func CheckTemplate(kind string, payload []byte, lookup Lookup, now time.Time) error {
	b, err := Payload(kind, payload, lookup, now)
	if err != nil {
		return err
	}
	switch kind {
	case mytoken.RestrictionTemplates:
		return checkClauses(b, now)
	case mytoken.RotationTemplates:
		var r mytoken.Rotation
		err = r.UnmarshalJSON(b)
	case mytoken.CapabilityTemplates:
		var c mytoken.Capabilities
		if err = c.UnmarshalJSON(b); err == nil && len(c) == 0 {
			err = errors.New("no capability is left")
		}
	case mytoken.Profiles:
		return checkProfile(b, now)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrRequest, err)
	}
	return nil
}

func checkProfile(b []byte, now time.Time) error {
	var r mytoken.Request
	if err := r.UnmarshalJSON(b); err != nil {
		return fmt.Errorf("%w: %w", ErrRequest, err)
	}
	if _, err := rules.Settle(r.Restrictions, rules.Setting{Now: now}); err != nil {
		return fmt.Errorf("%w: %w", ErrRequest, err)
	}
	return nil
}

func checkClauses(b []byte, now time.Time) error {
	var rs mytoken.Restrictions
	err := rs.UnmarshalJSON(b)
	if err == nil {
		rs, err = rules.Settle(rs, rules.Setting{Now: now})
	}
	if err == nil && len(rs) == 0 {
		err = errors.New("nothing is restricted")
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrRequest, err)
	}
	return nil
}
