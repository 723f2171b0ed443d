package regapp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/oidcbox/oidcbox/core/account/backend"
)

// means reports whether a group of the reg-app is the one that is wanted: reg-apps put the organisation before the names
// of groups that they are asked to make.
func (s *System) means(have, wanted string) bool { return have == wanted || have == s.Front()+wanted }

// setGroups makes the user a member of exactly the wanted groups. A group that is not there is made; when the reg-app
// then calls it quite otherwise, nobody is put into it and the error is ErrRefused.
func (s *System) setGroups(ctx context.Context, u *user, wanted []string) (added, removed []string, err error) {
	number, err := plain(u.number)
	if err != nil {
		return nil, nil, err
	}
	for _, name := range slices.Compact(slices.Sorted(slices.Values(wanted))) {
		if slices.ContainsFunc(u.groups, func(g groupRef) bool { return s.means(g.Name, name) }) {
			continue
		}
		gid, err := s.group(ctx, name)
		if err != nil {
			return added, nil, fmt.Errorf("group %s: %w", name, err)
		}
		if err := s.member(ctx, "add", gid, number); err != nil {
			return added, nil, fmt.Errorf("group %s: %w", name, err)
		}
		added = append(added, name)
	}
	for _, g := range u.groups {
		known := slices.ContainsFunc(wanted, func(name string) bool { return s.means(g.Name, name) })
		if known || s.opt.Limits.CheckName(g.Name) != nil {
			continue
		}
		gid, err := plain(g.ID)
		if err != nil {
			return added, removed, err
		}
		if err := s.member(ctx, "remove", gid, number); err != nil {
			return added, removed, fmt.Errorf("group %s: %w", g.Name, err)
		}
		removed = append(removed, g.Name)
	}
	slices.Sort(removed)
	return added, removed, nil
}

func (s *System) member(ctx context.Context, word, gid, number string) error {
	_, err := s.do(ctx, call{path: []string{"group-admin", word, "groupId", gid, "userId", number}, changes: true})
	return err
}

// group returns the number of the group with a name, which is made when it is not there.
func (s *System) group(ctx context.Context, name string) (string, error) {
	var body []byte
	err := errNone
	for _, called := range []string{name, s.Front() + name} {
		if errors.Is(err, errNone) {
			body, err = s.do(ctx, call{path: []string{"group-admin", "find", "name", called}})
		}
	}
	if errors.Is(err, errNone) {
		body, err = s.do(ctx, call{path: []string{"group-admin", "create", s.opt.Service, name}, changes: true})
	}
	if err != nil {
		return "", err
	}
	var g struct {
		ID   json.RawMessage `json:"id"`
		Name string          `json:"name"`
	}
	if err := decode("group-admin", body, &g); err != nil {
		return "", err
	}
	if !s.means(g.Name, name) {
		return "", fmt.Errorf("%w: the reg-app calls it otherwise", backend.ErrRefused)
	}
	return plain(g.ID)
}
