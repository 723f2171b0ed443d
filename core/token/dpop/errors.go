package dpop

import "errors"

var (
	// ErrOptions: the settings of a checker make no sense.
	ErrOptions = errors.New("DPoP checker is not configured")
	// ErrProof: the proof is not a good one, whatever the request (RFC 9449: invalid_dpop_proof). ErrNoProof, ErrRequest,
	// ErrAge, ErrReplay and *NonceError are kinds of it.
	ErrProof = errors.New("DPoP proof is not valid")
	// ErrNoProof: the request has no DPoP header.
	ErrNoProof error = &proofError{"there is none"}
	// ErrRequest: the proof is for another request or another token: htm, htu or ath differ.
	ErrRequest error = &proofError{"it is for another request or token"}
	// ErrAge: the proof was made too long ago or lies in the future.
	ErrAge error = &proofError{"its time is not now"}
	// ErrReplay: the proof was used before.
	ErrReplay error = &proofError{"it was used before"}
	// ErrBinding: the proof is a good one, made with another key than that of the token.
	ErrBinding = errors.New("token is bound to another key than that of the DPoP proof")
	// ErrTooMany: there are so many proofs to remember that a further one could not be told from a replay. Trying again
	// later helps.
	ErrTooMany = errors.New("too many DPoP proofs at the moment")
)

// proofError is a kind of ErrProof.
type proofError struct{ why string }

func (e *proofError) Error() string { return ErrProof.Error() + ": " + e.why }

func (e *proofError) Unwrap() error { return ErrProof }

// NonceError: the proof has no nonce of ours, or an old one. The answer has to carry Next in the header DPoP-Nonce and
// the error use_dpop_nonce (RFC 9449 section 9); the client then makes another proof. It is an ErrProof.
type NonceError struct{ Next string }

func (e *NonceError) Error() string { return "DPoP proof has no nonce of this service" }

// Unwrap gives ErrProof.
func (e *NonceError) Unwrap() error { return ErrProof }
