package login

import "errors"

var (
	// ErrQuestion: a question is not one: too long, no JSON of its form, an auth phase without a secret, an account phase
	// with one, characters that no secret or name has. It was not answered.
	ErrQuestion = errors.New("not a question about a login")
	// ErrAnswer: what came back is no answer, or a yes that does not say for whom. It is a no.
	ErrAnswer = errors.New("not an answer about a login")
	// ErrNobody: there is no socket, or nobody listens at it.
	ErrNobody = errors.New("nobody answers questions about logins")
	// ErrForeign: socket, directory or listener belong to somebody who is not trusted. Nothing was sent.
	ErrForeign = errors.New("the socket for logins is somebody else's")
	// ErrLate: there was no answer in time.
	ErrLate = errors.New("no answer in time")
)
