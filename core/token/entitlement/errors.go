package entitlement

import "errors"

var (
	// ErrForm: the text is no group entitlement of AARC-G002 or AARC-G069. It may be another kind of URN.
	ErrForm = errors.New("not a group entitlement (urn:NID:NAMESPACE:group:GROUP)")
	// ErrAuthority: G002 read strictly wants an authority at the end, and there is none.
	ErrAuthority = errors.New("entitlement has no authority")
)
