package prompt

import "errors"

var (
	// ErrNobody is returned when there is no way to ask a question of this kind here. It is returned at once.
	ErrNobody = errors.New("there is nobody to ask")
	// ErrCancelled is returned when the person closed the question without an answer.
	ErrCancelled = errors.New("the question was cancelled")
	// ErrTimeout is returned when nobody answered in the time of the question.
	ErrTimeout = errors.New("nobody answered in time")
	// ErrBroken is returned when a program that should have asked could not, or said something that is no answer.
	ErrBroken = errors.New("the program that asks failed")
)
