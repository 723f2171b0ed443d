package httpapi

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/token/gate"
	"github.com/oidcbox/oidcbox/core/token/remote"
)

const (
	// maxTurn is how long a request waits for its turn with an issuer that is asked as often as it may be: a course whose
	// people log in all at once are no attack.
	maxTurn = 10 * time.Second
	// spare is what is left of the time of a request after that.
	spare = 500 * time.Millisecond
	// maxQueue bounds the requests that wait so.
	maxQueue = 256
	// loginTime is how long anything takes that a login waits for.
	loginTime = 3 * time.Second
)

// check asks the gate about a token, and again when only the number of questions to its issuer was in the way.
func (a *API) check(ctx context.Context, token secret.Text, service string) (gate.Outcome, error) {
	ask := func() (gate.Outcome, error) {
		return a.o.Gate.Check(ctx, gate.Presented{Token: token, Scheme: gate.Bearer}, service)
	}
	out, err := ask()
	wait, limited := turn(err)
	if !limited {
		return out, err
	}
	select {
	case a.queue <- struct{}{}:
		defer func() { <-a.queue }()
	default:
		return out, err
	}
	end := time.Now().Add(maxTurn)
	if t, ok := ctx.Deadline(); ok && t.Add(-spare).Before(end) {
		end = t.Add(-spare)
	}
	for limited && time.Now().Add(wait).Before(end) {
		if !pause(ctx, wait) {
			break
		}
		out, err = ask()
		wait, limited = turn(err)
	}
	return out, err
}

// turn reports whether a token was not judged because its issuer is asked too often already, and when to try again. Who
// waits comes back at different times.
func turn(err error) (wait time.Duration, limited bool) {
	var busy *remote.UnavailableError
	if !errors.Is(err, remote.ErrLimited) || !errors.As(err, &busy) {
		return 0, false
	}
	return busy.RetryAfter + rand.N(100*time.Millisecond), true
}

// pause reports whether it waited to the end.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
