package notices

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/oidcbox/oidcbox/core/sorted"
	"github.com/oidcbox/oidcbox/store"
)

// has reports whether a mytoken is in a calendar.
func (r calendarRecord) has(s subject) bool {
	return marked(r.Tags, s.tags) || slices.ContainsFunc(r.Tokens, func(a about) bool { return a.MOMID == s.momID })
}

// calendars are all of a person, the oldest first.
func (n *Notices) calendars(ctx context.Context, user string) (all []calendarRecord, err error) {
	err = n.o.Engine.View(ctx, func(tx store.Tx) error {
		all = nil
		return scan(tx, func(_ []string, r *calendarRecord) error {
			all = append(all, *r)
			return nil
		}, kindCalendar, user)
	})
	if err != nil {
		return nil, fmt.Errorf("list calendars: %w", err)
	}
	sorted.By(all, func(a, b calendarRecord) int {
		return cmpOr(a.Created.Compare(b.Created), strings.Compare(a.ID, b.ID))
	})
	return all, nil
}

func cmpOr(a, b int) int {
	if a != 0 {
		return a
	}
	return b
}

// calendar returns one of a person by its id or its name. ErrUnknown.
func (n *Notices) calendar(ctx context.Context, user, nameOrID string) (calendarRecord, error) {
	all, err := n.calendars(ctx, user)
	if err != nil {
		return calendarRecord{}, err
	}
	for _, by := range []func(calendarRecord) string{
		func(r calendarRecord) string { return r.ID }, func(r calendarRecord) string { return r.Name },
	} {
		if at := slices.IndexFunc(all, func(r calendarRecord) bool { return by(r) == nameOrID }); at >= 0 && nameOrID != "" {
			return all[at], nil
		}
	}
	return calendarRecord{}, fmt.Errorf("find a calendar: %w", ErrUnknown)
}

// addCalendar makes one. With unique its name must not be taken. Errors: ErrName, ErrTaken, ErrTooMany.
func (n *Notices) addCalendar(ctx context.Context, user, name string, tags []string, unique bool) (calendarRecord, error) {
	if !validLine(name, maxName) {
		return calendarRecord{}, fmt.Errorf("make a calendar: %w", ErrName)
	}
	all, err := n.calendars(ctx, user)
	if err != nil {
		return calendarRecord{}, err
	}
	switch {
	case len(all) >= n.o.Limits.Calendars:
		return calendarRecord{}, fmt.Errorf("make a calendar: %w", ErrTooMany)
	case unique && slices.ContainsFunc(all, func(r calendarRecord) bool { return r.Name == name }):
		return calendarRecord{}, fmt.Errorf("make a calendar: %w", ErrTaken)
	}
	r := calendarRecord{
		Version: recordVersion, ID: randomCode(codeLength), Name: name, Tags: tags, Created: n.now(),
	}
	err = n.o.Engine.Update(ctx, func(tx store.WTx) error {
		return errors.Join(saveCalendar(tx, user, &r),
			keepCode(tx, r.ID, codeRecord{User: user, Purpose: forCalendar, Calendar: r.ID}))
	})
	if err != nil {
		return calendarRecord{}, fmt.Errorf("make a calendar: %w", err)
	}
	return r, nil
}

func saveCalendar(tx store.WTx, user string, r *calendarRecord) error {
	return put(tx, r, time.Time{}, kindCalendar, user, r.ID)
}

// changeCalendar edits one, by its id.
func (n *Notices) changeCalendar(
	ctx context.Context, user, calID string, edit func(tx store.WTx, r *calendarRecord) error,
) (out calendarRecord, err error) {
	err = n.o.Engine.Update(ctx, func(tx store.WTx) error {
		r, err := getForUpdate[calendarRecord](tx, kindCalendar, user, calID)
		if err != nil {
			return err
		}
		if err := edit(tx, r); err != nil {
			return err
		}
		out = *r
		return saveCalendar(tx, user, r)
	})
	if err != nil {
		return calendarRecord{}, fmt.Errorf("change a calendar: %w", err)
	}
	return out, nil
}

// renameCalendar changes name and tags, where they are not nil.
func (n *Notices) renameCalendar(
	ctx context.Context, user, calID string, name *string, tags []string,
) (calendarRecord, error) {
	if name != nil && !validLine(*name, maxName) {
		return calendarRecord{}, fmt.Errorf("change a calendar: %w", ErrName)
	}
	return n.changeCalendar(ctx, user, calID, func(_ store.WTx, r *calendarRecord) error {
		if name != nil {
			r.Name = *name
		}
		if tags != nil {
			r.Tags = tags
		}
		return nil
	})
}

// removeCalendar deletes one and its feed.
func (n *Notices) removeCalendar(ctx context.Context, user, calID string) error {
	_, err := n.changeCalendar(ctx, user, calID, func(store.WTx, *calendarRecord) error { return nil })
	if err != nil {
		return err
	}
	for { // the codes of its entries may be more than one change may hold
		var left int
		err := n.o.Engine.Update(ctx, func(tx store.WTx) error {
			r, err := getForUpdate[calendarRecord](tx, kindCalendar, user, calID)
			if err != nil {
				return err
			}
			some := r.Tokens[:min(len(r.Tokens), batch)]
			for _, a := range some {
				if err := dropCode(tx, user, a.Code); err != nil {
					return err
				}
			}
			r.Tokens = r.Tokens[len(some):]
			if left = len(r.Tokens); left > 0 {
				return saveCalendar(tx, user, r)
			}
			return errors.Join(dropCode(tx, user, calID), remove(tx, kindCalendar, user, calID))
		})
		if errors.Is(err, ErrUnknown) || err == nil && left == 0 {
			return nil
		}
		if err != nil {
			return fmt.Errorf("delete a calendar: %w", err)
		}
	}
}

// batch is how many codes one change drops, below store.MaxWrites.
const batch = 25

// enter puts a mytoken that expires into a calendar. Errors: ErrUnknown, ErrNoEnd, ErrName, ErrTooMany.
func (n *Notices) enter(ctx context.Context, user, calID, momID, comment string) (calendarRecord, error) {
	if !validLine(comment, maxComment) {
		return calendarRecord{}, fmt.Errorf("comment: %w", ErrName)
	}
	t, err := n.own(ctx, user, momID)
	if err != nil {
		return calendarRecord{}, err
	}
	if t.Expires.IsZero() {
		return calendarRecord{}, ErrNoEnd
	}
	return n.changeCalendar(ctx, user, calID, func(tx store.WTx, r *calendarRecord) error {
		rec, err := token(tx, user, momID)
		if err != nil {
			return err
		}
		at := slices.IndexFunc(r.Tokens, func(a about) bool { return a.MOMID == momID })
		switch {
		case at >= 0:
			r.Tokens[at].Comment = comment
			return nil
		case len(r.Tokens) >= n.o.Limits.Tokens:
			return ErrTooMany
		}
		a := about{MOMID: momID, Comment: comment, Code: randomCode(codeLength), Since: n.now()}
		r.Tokens = append(r.Tokens, a)
		return errors.Join(saveToken(tx, user, momID, rec),
			keepCode(tx, a.Code, codeRecord{User: user, Purpose: forRemoving, Calendar: calID, MOMID: momID}))
	})
}

// leave takes a mytoken out of a calendar. ErrUnknown.
func (n *Notices) leave(ctx context.Context, user, calID, momID string) (calendarRecord, error) {
	return n.changeCalendar(ctx, user, calID, func(tx store.WTx, r *calendarRecord) error {
		at := slices.IndexFunc(r.Tokens, func(a about) bool { return a.MOMID == momID })
		if at < 0 {
			return ErrUnknown
		}
		code := r.Tokens[at].Code
		r.Tokens = slices.Delete(r.Tokens, at, at+1)
		return dropCode(tx, user, code)
	})
}
