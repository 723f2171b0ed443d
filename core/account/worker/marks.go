package worker

import (
	"context"
	"fmt"

	"github.com/oidcbox/oidcbox/core/account/backend"
	"github.com/oidcbox/oidcbox/core/account/mark"
)

// writeMarks brings marks to what the ledger has: a worker that was killed, or a directory that was lost, leaves them
// wrong.
func (s *server) writeMarks(ctx context.Context) error {
	if s.Marks == "" {
		return nil
	}
	return s.ledger.entries(ctx, func(e entry) error {
		switch e.Stage {
		case gone:
			return mark.Remove(s.Marks, e.Name)
		case making:
			return nil
		}
		return s.putMark(s.markOf(e.Name, e.UID, e.ID))
	})
}

// AdoptReport is what Adopt did.
type AdoptReport struct {
	Adopted []backend.Account
	Known   int
	// Refused are accounts with an identity that were not taken, and why.
	Refused []Refusal
}

// Refusal is an account that was not adopted.
type Refusal struct {
	Name string // as the system has it
	UID  uint32
	Err  error
}

// Adopt takes every account that the System says belongs to an identity into the ledger, when users cannot have
// written that: accounts of a provisioner that was here before, or of a ledger that was lost. It is for root, not for
// the socket; no Serve runs on the ledger meanwhile. The error is backend.ErrEditable when the field proves nothing.
func Adopt(ctx context.Context, o Options) (AdoptReport, error) {
	s, err := newServer(o)
	if err != nil {
		return AdoptReport{}, err
	}
	if err := o.System.Trust(ctx); err != nil {
		return AdoptReport{}, fmt.Errorf("adopt accounts: %w", err)
	}
	var report AdoptReport
	err = o.System.All(ctx, func(a backend.Account) error {
		e, had, err := s.ledger.find(ctx, a.ID)
		switch {
		case err != nil:
			return err
		case had && e.Stage == made && s.agrees(a, e) == nil:
			report.Known++
			return nil
		case had:
			err = s.agrees(a, e)
		}
		if err == nil {
			_, err = s.adopt(ctx, a)
		}
		if err != nil {
			report.Refused = append(report.Refused, Refusal{Name: a.Name, UID: a.UID, Err: err})
			return nil
		}
		report.Adopted = append(report.Adopted, a)
		return nil
	})
	return report, err
}
