package service

import (
	"slices"
	"time"
)

// Served is how a login is served, for the process that takes the place of this one. No secrets.
type Served struct {
	Name               string    `json:"name"`
	Confirm            bool      `json:"confirm,omitempty"`
	AlwaysAllowIDToken bool      `json:"always_allow_id_token,omitempty"`
	Expires            time.Time `json:"expires,omitzero"`
}

// Served lists the logins of the keystore that are served, and the names of those that are in memory only: they would end
// with this process.
func (s *Service) Served() (stored []Served, inMemory []string) {
	for _, l := range s.logins.list() {
		if !l.stored {
			inMemory = append(inMemory, l.name)
			continue
		}
		stored = append(stored, Served{
			Name: l.name, Confirm: l.confirm, AlwaysAllowIDToken: l.allowIDTok, Expires: l.expires,
		})
	}
	return stored, inMemory
}

// Resume makes the logins of the keystore served as they were: with the same questions, until the same time, and only
// those that were.
func (s *Service) Resume(as []Served) error {
	for _, l := range s.logins.list() {
		if !l.stored {
			continue
		}
		at := slices.IndexFunc(as, func(v Served) bool { return v.Name == l.name })
		if at < 0 {
			s.logins.remove(l.name)
			s.tokens.forget(l.name)
			continue
		}
		l.confirm, l.allowIDTok, l.expires = as[at].Confirm, as[at].AlwaysAllowIDToken, as[at].Expires
		if err := s.logins.put(l); err != nil {
			return err
		}
	}
	return nil
}

// Locked reports whether the agent is locked by a password.
func (s *Service) Locked() bool { return s.gate.isClosed() }
