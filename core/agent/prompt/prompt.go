package prompt

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/oidcbox/oidcbox/core/secret"
)

// Kind says what sort of answer a question wants. The words are those of oidc-prompt.
type Kind string

// The kinds.
const (
	Password    Kind = "password"     // a line that is not shown
	Input       Kind = "input"        // a line; Default is what an empty one means
	Confirm     Kind = "confirm"      // yes or no; Default "yes", "no" or ""
	Multiple    Kind = "multiple"     // several lines; Choices are suggested
	Select      Kind = "select"       // one of Choices
	SelectOther Kind = "select-other" // one of Choices, or a line of the person's own
	// Link shows where to log in. Label is the address; Default is AnyDevice where a telephone will do. The question
	// is over when its context is: an answer before that says only that the person has seen it.
	Link Kind = "link"
)

// Known reports whether k is one of the kinds.
func (k Kind) Known() bool {
	return slices.Contains([]Kind{Password, Input, Confirm, Multiple, Select, SelectOther, Link}, k)
}

// DefaultTimeout is how long a question without a time of its own waits.
const DefaultTimeout = 300 * time.Second

// Yes and No are the values of Question.Default for Confirm.
const (
	Yes = "yes"
	No  = "no"
)

// AnyDevice is the value of Question.Default for a Link that need not be opened on this machine.
const AnyDevice = "any-device"

// Question is one question. Texts may hold what strangers said: whoever shows them makes them safe for his screen.
type Question struct {
	Kind    Kind
	Title   string // of a window
	Text    string // what it is about; may have several lines
	Label   string // in front of the answer; the address of a Link
	Choices []string
	Default string
	Timeout time.Duration // 0 is DefaultTimeout
	// Retry is why the question is asked again, "" for the first time.
	Retry string
}

// Answer is what a person said. The caller wipes Text.
type Answer struct {
	Text   secret.Text // of Password, Input, Select and SelectOther
	Yes    bool        // of Confirm; of Link that the person has seen it
	Chosen []string    // of Multiple
}

// Asker asks. It returns within the time of the question, and at once when ctx ends. The errors are ErrNobody,
// ErrCancelled, ErrTimeout, ErrBroken, or that of ctx.
type Asker interface {
	Ask(ctx context.Context, q Question) (Answer, error)
}

// Chain asks by the first of its members that can.
type Chain []Asker

// Ask implements Asker. A member that fails before anybody could have seen the question leaves it to the next one.
func (c Chain) Ask(ctx context.Context, q Question) (Answer, error) {
	var broken error
	for _, a := range c {
		answer, err := a.Ask(ctx, q)
		switch {
		case errors.Is(err, ErrNobody):
		case errors.Is(err, ErrBroken):
			broken = errors.Join(broken, err)
		default:
			return answer, err
		}
	}
	if broken != nil {
		return Answer{}, errors.Join(ErrNobody, broken)
	}
	return Answer{}, ErrNobody
}

// Can reports whether somebody in the chain knows this kind of question here and now.
func (c Chain) Can(k Kind) bool {
	return slices.ContainsFunc(c, func(a Asker) bool { return Can(a, k) })
}

// Can reports whether a could ask a question of this kind here and now, as far as it can tell without asking. It is
// false for nil.
func Can(a Asker, k Kind) bool {
	if a == nil {
		return false
	}
	if c, ok := a.(interface{ Can(k Kind) bool }); ok {
		return c.Can(k)
	}
	return true
}

// limit gives the context of a question its time.
func (q Question) limit(ctx context.Context) (context.Context, context.CancelFunc) {
	d := q.Timeout
	if d <= 0 {
		d = DefaultTimeout
	}
	return context.WithTimeoutCause(ctx, d, ErrTimeout)
}

// ended is the error for a question whose context has ended: ErrTimeout for its own time, else what ended it.
func ended(ctx context.Context) error {
	if cause := context.Cause(ctx); errors.Is(cause, ErrTimeout) {
		return ErrTimeout
	}
	return ctx.Err()
}
