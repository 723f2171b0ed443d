package ldapdir

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/go-ldap/ldap/v3"

	"github.com/oidcbox/oidcbox/core/account/backend"
)

var (
	// ErrReferral: the server sends elsewhere. Referrals are not followed: they would take the password with them.
	ErrReferral = errors.New("directory refers to another server, which is not followed")
	// ErrPlain: the server can be reached over the network without encryption only. Nothing was sent to it.
	ErrPlain = errors.New("directory does not encrypt")
	// ErrEntry: an entry that has the identity is not fit for an account: no number, root's group, more than
	// one name.
	ErrEntry = errors.New("entry is no usable account")
	// ErrOptions: Options cannot work.
	ErrOptions = errors.New("bad settings for the directory")
	// ErrFull: the counter has reached the end of the range of numbers.
	ErrFull = errors.New("no number is left in the range")
)

// maxDiagnostic bounds what a server says in an error.
const maxDiagnostic = 200

// answer is what a server said no with: its result code and, cut, its words.
type answer struct {
	code uint16
	text string
}

func (e *answer) Error() string {
	name := ldap.LDAPResultCodeMap[e.code]
	if e.text == "" {
		return fmt.Sprintf("directory answers %d (%s)", e.code, name)
	}
	return fmt.Sprintf("directory answers %d (%s): %q", e.code, name, e.text)
}

// code returns the result code in an error, or 0.
func code(err error) uint16 {
	if a, ok := errors.AsType[*answer](err); ok {
		return a.code
	}
	return 0
}

// translate makes an error of this package of one of the library. Those that say "ask again" are ErrUnavailable.
func translate(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if cause := ctx.Err(); cause != nil {
		return fmt.Errorf("%w: %w", backend.ErrUnavailable, cause)
	}
	le, ok := errors.AsType[*ldap.Error](err)
	if !ok {
		return fmt.Errorf("%w: %s", backend.ErrUnavailable, short(err.Error()))
	}
	if le.ResultCode >= ldap.ErrorNetwork {
		return fmt.Errorf("%w: %w: %s", backend.ErrUnavailable, errBroken, short(text(le)))
	}
	a := &answer{code: le.ResultCode, text: short(text(le))}
	switch a.code {
	case ldap.LDAPResultReferral:
		return fmt.Errorf("%w: %w", backend.ErrUnavailable, ErrReferral)
	case ldap.LDAPResultBusy, ldap.LDAPResultUnavailable, ldap.LDAPResultTimeLimitExceeded,
		ldap.LDAPResultAdminLimitExceeded, ldap.LDAPResultOperationsError, ldap.LDAPResultOther,
		ldap.LDAPResultInvalidCredentials, ldap.LDAPResultNoSuchObject:
		return fmt.Errorf("%w: %w", backend.ErrUnavailable, a)
	}
	return a
}

// errBroken marks that the connection is of no more use.
var errBroken = errors.New("connection failed")

func text(e *ldap.Error) string {
	if e.Err == nil {
		return ""
	}
	return e.Err.Error()
}

func short(s string) string {
	s = strings.ToValidUTF8(strings.TrimSpace(s), "?")
	if len(s) > maxDiagnostic {
		s = strings.ToValidUTF8(s[:maxDiagnostic], "")
	}
	return s
}
