package service

import (
	"github.com/oidcbox/oidcbox/core/agent/login"
)

// Accounts are the person's account files, as oidc-agent keeps them. login.Directory is one.
type Accounts interface {
	// Has reports whether there is a file of this name; it need not be a good one.
	Has(name string) bool
	// Read takes the file of a name apart. The error wraps fs.ErrNotExist when there is none.
	Read(name string) (login.File, error)
	// Write puts a file in place of the one of this name: whole or not at all, and durable when it returns.
	Write(name string, file []byte) error
	// Remove removes the file of a name.
	Remove(name string) error
	// Names lists the account files, sorted.
	Names() ([]string, error)
}

var _ Accounts = login.Directory{}

// hasAccount reports whether the person has an account file of this name.
func (s *Service) hasAccount(name string) bool {
	return s.opts.Accounts != nil && login.CheckName(name) == nil && s.opts.Accounts.Has(name)
}
