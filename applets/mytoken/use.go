package mytoken

import (
	"context"
	"errors"
	"net/http"

	"github.com/oidcbox/oidcbox/core/agent/control"
	"github.com/oidcbox/oidcbox/core/mytoken"
	"github.com/oidcbox/oidcbox/core/secret"
)

// ask makes one request with the mytoken at hand: it holds the mytoken, makes the request, and settles what replaced it
// before anybody looks at the answer.
func ask[T any](
	ctx context.Context, s *session, h *held, call func(mt secret.Text) (T, *mytoken.Issued, error),
) (T, error) {
	var v T
	err := s.use(ctx, h, func(mt secret.Text) (update *mytoken.Issued, err error) {
		v, update, err = call(mt)
		return update, err
	})
	return v, err
}

// use is ask for a request whose answer says nothing, or is kept by call. A stored mytoken is lent by the agent, so that
// neither the agent nor another command uses it meanwhile; call may then be made again with another one. That of a file
// is locked from the time it was read.
func (s *session) use(
	ctx context.Context, h *held, call func(mt secret.Text) (*mytoken.Issued, error),
) error {
	if h.name != "" {
		return s.borrow(ctx, h.name, call)
	}
	update, err := call(h.text)
	return errors.Join(err, s.keep(h, update))
}

func (s *session) borrow(
	ctx context.Context, name string, call func(mt secret.Text) (*mytoken.Issued, error),
) error {
	var next secret.Text
	var said error
	err := s.admin.Lend(ctx, name, func(ctx context.Context, mt secret.Text) control.Returned {
		var update *mytoken.Issued
		update, said = call(mt)
		if update != nil && !update.Token.Empty() && !update.Token.Equal(mt) {
			next.Wipe()
			next = update.Token.Clone()
		}
		return control.Returned{Next: next.Clone(), Outcome: became(said)}
	})
	defer next.Wipe()
	if err != nil && !next.Empty() {
		s.rescue(next)
	}
	return errors.Join(said, err)
}

// became is what an error says about the mytoken that was used.
func became(err error) string {
	var said *mytoken.Error
	switch {
	case err == nil:
		return control.LentUsed
	case mytoken.NeedsLogin(err):
		return control.LentRefused
	case errors.As(err, &said) && said.Status >= http.StatusBadRequest && !mytoken.Temporary(err),
		errors.As(err, &said) && said.Status == http.StatusTooManyRequests:
		return control.LentDenied
	case mytoken.Unsent(err):
		return control.LentUnsent
	}
	return control.LentUnknown
}
