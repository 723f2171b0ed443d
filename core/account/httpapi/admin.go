package httpapi

import (
	"context"

	"github.com/oidcbox/oidcbox/core/account/names"
	"github.com/oidcbox/oidcbox/core/account/provision"
	"github.com/oidcbox/oidcbox/core/account/state"
)

func (a *API) adminSuspend(c *call) error {
	return a.adminChange(c, a.o.Desk.Suspend, "SUSPEND")
}

func (a *API) adminResume(c *call) error {
	return a.adminChange(c, a.o.Desk.Resume, "RESUME")
}

// change is what somebody does with the account of another.
type change func(ctx context.Context, id string, by provision.By) (provision.Answer, error)

func (a *API) adminChange(c *call, do change, word string) error {
	who, err := a.asking(c, func() (known, error) { return a.admin(c, c.token, c.arg("iss")) })
	if err != nil {
		return err
	}
	if err := a.o.Limiter.change(who.ID); err != nil {
		return err
	}
	id, err := names.Encode(c.arg("sub"), c.arg("iss"))
	if err != nil { // nobody is called that
		return c.account(provision.Answer{State: state.NotDeployed, Message: nobody(c, word)})
	}
	answer, err := do(c, id, provision.By{Who: who.ID, Remote: c.remote()})
	if err != nil {
		something := "Something went wrong with admin action " + word + "."
		return trouble(err, something)
	}
	return c.account(answer)
}

// nobody is the message about an identity that cannot be one.
func nobody(c *call, word string) string {
	request := state.Suspend
	if word == "RESUME" {
		request = state.Resume
	}
	step := state.Next(state.NotDeployed, request, state.Circumstances{})
	return state.ChangeMessage(c.arg("sub")+"@"+c.arg("iss"), request, state.NotDeployed, step)
}
