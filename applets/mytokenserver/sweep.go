package mytokenserver

import (
	"context"
	"time"
)

// sweeper is an engine that gives the space of expired records back.
type sweeper interface {
	Sweep(ctx context.Context) (removed int, err error)
}

// sweeps removes what is over, now and then, until ctx ends.
func (d *server) sweeps(ctx context.Context) {
	// Not at once: at the start there is other work, and several servers are often started together.
	wait := time.NewTimer(min(d.started.retention.sweep, time.Minute))
	defer wait.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-wait.C:
		}
		d.sweep(ctx)
		wait.Reset(d.started.retention.sweep)
	}
}

// sweep does it once. Of several servers on one state one does it at a time, and the others wait for their turn.
func (d *server) sweep(ctx context.Context) {
	begin := d.env.Now()
	swept, err := d.ledger.Sweep(ctx)
	if err == nil {
		if e, ok := d.state.Raw.(sweeper); ok {
			_, err = e.Sweep(ctx)
		}
	}
	switch {
	case ctx.Err() != nil:
	case err != nil:
		d.log.Error("what is over was not removed", "op", "sweep", "err", err)
	default:
		d.numbers.swept(d.env.Now(), swept)
		d.log.Debug("swept", "op", "sweep", "tokens", swept.Tokens, "logins", swept.Logins, "users", swept.Users,
			"lost", swept.Lost, "dur", d.env.Now().Sub(begin))
	}
}
