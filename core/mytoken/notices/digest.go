package notices

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/oidcbox/oidcbox/core/mytoken/desk"
	"github.com/oidcbox/oidcbox/store"
)

const (
	flushEvery = time.Minute
	// maxSummed is how many different lines a sum has; what comes beyond is counted in one.
	maxSummed = 50
	// maxSums is how many sums wait in memory before they are written down early.
	maxSums = 5000
)

// digestRecord sums up events for one notification.
type digestRecord struct {
	Version int          `json:"v"`
	Since   time.Time    `json:"since"`
	Lines   []digestLine `json:"lines"`
	Others  int          `json:"others,omitzero"`
}

// digestLine is how often something happened to a mytoken.
type digestLine struct {
	Class string    `json:"class"`
	MOMID string    `json:"mom_id"`
	Name  string    `json:"name"`
	Count int       `json:"count"`
	Last  time.Time `json:"last"`
	IP    string    `json:"ip,omitzero"` // of the last one
}

func (d *digestRecord) add(l digestLine) {
	at := slices.IndexFunc(d.Lines, func(o digestLine) bool { return o.Class == l.Class && o.MOMID == l.MOMID })
	switch {
	case at >= 0:
		o := &d.Lines[at]
		o.Count += l.Count
		if l.Last.After(o.Last) {
			o.Last, o.IP, o.Name = l.Last, l.IP, l.Name
		}
	case len(d.Lines) >= maxSummed:
		d.Others += l.Count
	default:
		d.Lines = append(d.Lines, l)
	}
}

// sum adds an event to what will be written down.
func (n *Notices) sum(e desk.Notice, sub int) {
	l := digestLine{Class: e.Class, MOMID: e.MOMID, Name: cut(e.Name, shownName), Count: 1, Last: e.At}
	if e.From.Client.IsValid() {
		l.IP = e.From.Client.String()
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.sums[e.User] == nil {
		if len(n.sums) >= maxSums {
			n.o.Count("notice lost")
			return
		}
		n.sums[e.User] = make(map[int]*digestRecord)
	}
	d := n.sums[e.User][sub]
	if d == nil {
		d = &digestRecord{Version: recordVersion, Since: n.now()}
		n.sums[e.User][sub] = d
	}
	d.add(l)
}

// flush writes sums down.
func (n *Notices) flush(ctx context.Context) {
	n.mu.Lock()
	sums := n.sums
	n.sums = make(map[string]map[int]*digestRecord)
	n.mu.Unlock()
	for user, subs := range sums {
		for sub, d := range subs {
			if err := n.merge(ctx, user, sub, d); err != nil {
				n.o.Count("notice lost")
				n.o.Log.WarnContext(ctx, "events that were summed up are lost", "err", err)
			}
		}
	}
}

func (n *Notices) merge(ctx context.Context, user string, sub int, d *digestRecord) error {
	err := n.o.Engine.Update(ctx, func(tx store.WTx) error {
		if _, err := getForUpdate[subRecord](tx, kindSub, user, id(sub)); err != nil {
			if errors.Is(err, ErrUnknown) { // it was ended meanwhile
				return nil
			}
			return err
		}
		old, err := getForUpdate[digestRecord](tx, kindDigest, user, id(sub))
		if errors.Is(err, ErrUnknown) {
			old, err = &digestRecord{Version: recordVersion, Since: d.Since}, nil
		}
		if err != nil {
			return err
		}
		for _, l := range d.Lines {
			old.add(l)
		}
		old.Others += d.Others
		return put(tx, old, time.Time{}, kindDigest, user, id(sub))
	})
	if err != nil {
		return fmt.Errorf("sum events up: %w", err)
	}
	return nil
}

// digests makes mails of the sums that are old enough.
func (n *Notices) digests(ctx context.Context, held store.Lease) error {
	type due struct {
		user string
		sub  int
	}
	var all []due
	err := n.o.Engine.View(ctx, func(tx store.Tx) error {
		all = nil
		return scan(tx, func(key []string, d *digestRecord) error {
			sub, err := strconv.Atoi(key[1])
			if err == nil && n.now().Sub(d.Since) >= n.o.Digest {
				all = append(all, due{key[0], sub})
			}
			return err
		}, kindDigest)
	})
	if err != nil {
		return fmt.Errorf("look for sums of events: %w", err)
	}
	var errs []error
	for _, d := range all {
		errs = append(errs, n.digest(ctx, held, d.user, d.sub))
	}
	return errors.Join(errs...)
}

func (n *Notices) digest(ctx context.Context, held store.Lease, user string, sub int) error {
	err := n.o.Engine.Update(ctx, func(tx store.WTx) error {
		p, err := person(tx, user)
		if err != nil {
			return err
		}
		r, err := getForUpdate[subRecord](tx, kindSub, user, id(sub))
		if errors.Is(err, ErrUnknown) {
			return remove(tx, kindDigest, user, id(sub))
		}
		if err != nil {
			return err
		}
		d, err := getForUpdate[digestRecord](tx, kindDigest, user, id(sub))
		if err != nil {
			return err
		}
		return errors.Join(n.enqueue(tx, user, p, n.summary(p, d, r)), savePerson(tx, user, p),
			remove(tx, kindDigest, user, id(sub)))
	}, held)
	if errors.Is(err, ErrUnknown) || errors.Is(err, errNoRoom) {
		return nil // it waits for the next day and grows no further than its bound
	}
	if err != nil {
		return fmt.Errorf("make a mail of a sum of events: %w", err)
	}
	return nil
}
