package regapp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/oidcbox/oidcbox/core/account/backend"
)

// Names of attributes (eduPerson and inetOrgPerson by their numbers).
const (
	attrName   = "urn:oid:0.9.2342.19200300.100.1.1"
	attrMail   = "urn:oid:0.9.2342.19200300.100.1.3"
	attrFamily = "urn:oid:2.5.4.4"
	attrGiven  = "urn:oid:2.5.4.42"
	attrOrg    = "http://bwidm.de/bwidmOrgId"
)

// user is a user as the reg-app has it. All of it is sent back with an update, what we do not know included.
type user struct {
	all     map[string]json.RawMessage
	number  json.RawMessage // member id
	id      string          // externalId
	status  string
	attrs   map[string]string
	generic map[string]string
	groups  []groupRef
}

type groupRef struct {
	ID   json.RawMessage `json:"id"`
	Name string          `json:"name"`
}

// plain is a number or text of JSON as a word of a path.
func plain(raw json.RawMessage) (string, error) {
	var n json.Number
	if err := json.Unmarshal(raw, &n); err == nil {
		if _, err := strconv.ParseUint(n.String(), 10, 64); err == nil {
			return n.String(), nil
		}
	}
	return "", fmt.Errorf("%w: %w: id", backend.ErrUnavailable, ErrAnswer)
}

func (s *System) readUser(body []byte) (*user, error) {
	u := &user{}
	if err := decode("external-user", body, &u.all); err != nil {
		return nil, err
	}
	known := struct {
		ID         json.RawMessage   `json:"id"`
		ExternalID string            `json:"externalId"`
		Status     string            `json:"userStatus"`
		Attrs      map[string]string `json:"attributeStore"`
		Generic    map[string]string `json:"genericStore"`
		Groups     []groupRef        `json:"secondaryGroups"`
	}{}
	if err := decode("external-user", body, &known); err != nil {
		return nil, err
	}
	if known.ID == nil {
		return nil, fmt.Errorf("reg-app external-user: %w: %w: no id", backend.ErrUnavailable, ErrAnswer)
	}
	u.number, u.id, u.status = known.ID, known.ExternalID, known.Status
	u.attrs, u.generic, u.groups = known.Attrs, known.Generic, known.Groups
	if u.attrs == nil {
		u.attrs = map[string]string{}
	}
	if u.generic == nil {
		u.generic = map[string]string{}
	}
	return u, nil
}

// find returns the user with an identity. The error is errNone when there is none.
func (s *System) find(ctx context.Context, id string) (*user, error) {
	body, err := s.do(ctx, call{path: []string{"external-user", "find", "externalId", id}})
	if err != nil {
		return nil, err
	}
	u, err := s.readUser(body)
	if err == nil && u.id != id {
		err = fmt.Errorf("%w: reg-app answers with another user", backend.ErrMismatch)
	}
	return u, err
}

// named returns the identity of the user that has a name within our organisation, "" for a user without one. The error
// is errNone when nobody has it.
func (s *System) named(ctx context.Context, name string) (string, error) {
	body, err := s.do(ctx, call{path: []string{"external-user", "find", "attribute", attrName, name}})
	if err != nil {
		return "", err
	}
	list := []json.RawMessage{body}
	if strings.HasPrefix(strings.TrimSpace(string(body)), "[") {
		if err := decode("external-user", body, &list); err != nil {
			return "", err
		}
	}
	if len(list) == 0 {
		return "", errNone
	}
	ids := map[string]bool{}
	for _, one := range list {
		u, err := s.readUser(one)
		if err != nil {
			return "", err
		}
		ids[u.id] = true
	}
	if len(ids) > 1 {
		return "", nil // more than one: certainly not free, and nobody's alone
	}
	return slices.Collect(maps.Keys(ids))[0], nil
}

// update sends a user back. The interface wants empty objects where it gave null.
func (s *System) update(ctx context.Context, u *user) error {
	out := maps.Clone(u.all)
	for key, v := range out {
		if string(v) == "null" {
			out[key] = json.RawMessage("{}")
		}
	}
	for key, v := range map[string]map[string]string{"attributeStore": u.attrs, "genericStore": u.generic} {
		b, err := json.Marshal(v)
		if err != nil {
			return fmt.Errorf("reg-app external-user/update: %w", err)
		}
		out[key] = b
	}
	_, err := s.do(ctx, call{path: []string{"external-user", "update"}, body: out})
	return err
}

// registration is that of a user for our service.
type registration struct {
	Service   string            `json:"serviceShortName"`
	Status    string            `json:"registryStatus"`
	Reconcile json.RawMessage   `json:"lastReconcile"`
	Values    map[string]string `json:"registryValues"`
}

// gone reports whether the registration is over.
func (r registration) gone() bool {
	return r.Status == "DELETED" || r.Status == "DEPROVISIONED" || r.Status == "INVALID"
}

// blocked reports whether the reg-app keeps the person out of the service.
func (r registration) blocked() bool {
	return r.Status == "ON_HOLD" || r.Status == "BLOCKED" || r.Status == "LOST_ACCESS"
}

// registered returns the registration, nil when there is none that counts.
func (s *System) registered(ctx context.Context, id string) (*registration, error) {
	body, err := s.do(ctx, call{path: []string{"external-reg", "find", "externalId", id}})
	if errors.Is(err, errNone) {
		return nil, nil //nolint:nilnil // no registration is no error
	}
	if err != nil {
		return nil, err
	}
	var list []registration
	if strings.HasPrefix(strings.TrimSpace(string(body)), "{") {
		list = make([]registration, 1)
		err = decode("external-reg", body, &list[0])
	} else if len(strings.TrimSpace(string(body))) > 0 {
		err = decode("external-reg", body, &list)
	}
	if err != nil {
		return nil, err
	}
	list = slices.DeleteFunc(list, func(r registration) bool {
		return r.gone() || r.Service != "" && r.Service != s.opt.Service
	})
	if len(list) == 0 {
		return nil, nil //nolint:nilnil // likewise
	}
	return &list[0], nil
}

// register makes the registration and waits until the reg-app has told the hosts, which lastReconcile shows.
func (s *System) register(ctx context.Context, id string) (*registration, error) {
	_, err := s.do(ctx, call{path: []string{"external-reg", "register", "externalId", id, "ssn", s.opt.Service}, changes: true})
	if err != nil {
		return nil, err
	}
	return s.await(ctx, id)
}

func (s *System) await(ctx context.Context, id string) (*registration, error) {
	limit := time.NewTimer(s.opt.Wait)
	defer limit.Stop()
	for {
		r, err := s.registered(ctx, id)
		if err != nil {
			return nil, err
		}
		if r.ready() {
			return r, nil
		}
		pause := time.NewTimer(s.opt.Poll)
		select {
		case <-pause.C:
		case <-limit.C:
			pause.Stop()
			return nil, fmt.Errorf("%w: %w", backend.ErrUnavailable, ErrWaiting)
		case <-ctx.Done():
			pause.Stop()
			return nil, fmt.Errorf("%w: %w: %w", backend.ErrUnavailable, ErrWaiting, ctx.Err())
		}
	}
}

// ready reports whether the hosts of the service know the user.
func (r *registration) ready() bool {
	if r == nil || r.Values["localUid"] == "" {
		return false
	}
	at := string(r.Reconcile)
	return at != "" && at != "null" && at != "0"
}
