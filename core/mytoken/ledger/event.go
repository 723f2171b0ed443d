package ledger

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/oidcbox/oidcbox/core/mytoken"
	"github.com/oidcbox/oidcbox/store"
)

// Names of events that the ledger writes itself. The others are the caller's.
const (
	EventCreated   = "created"
	EventInherited = "inherited_RT"
	EventMTCreated = "MT_created"
	EventRotated   = "token_rotated"
	EventRevoked   = "revoked"
	EventUnknown   = "unknown"
)

// maxComment bounds what a stranger can write into a history.
const maxComment = 500

// Event is what is written into the history of a mytoken.
type Event struct {
	Name    string
	Comment string
	From    Origin
}

// note writes an event of a mytoken under its next number, and drops the one that is too many. s is written by the
// caller in the same Update.
func (l *Ledger) note(tx store.WTx, momID string, s *stateRecord, e Event, now time.Time) error {
	if e.Name == "" {
		return nil
	}
	rec := eventRecord{
		Version: recordVersion, At: now, Event: e.Name, Comment: cut(e.Comment), IP: e.From.ip(),
		UserAgent: cut(e.From.UserAgent),
	}
	if s.Next-s.First >= int64(l.o.Events) {
		if err := tx.Delete(table(tableEvents), eventKey(momID, s.First)); err != nil {
			return err
		}
		s.First++
	}
	s.Next++
	return write(tx, tableEvents, rec, now.Add(l.o.Retention), eventKey(momID, s.Next-1)...)
}

// Note writes an event into the history of a mytoken, for what is no use of it. ErrUnknown.
func (l *Ledger) Note(ctx context.Context, momID string, e Event) error {
	err := l.eng.Update(ctx, func(tx store.WTx) error {
		s, now, err := l.forUpdate(tx, momID)
		if err != nil {
			return err
		}
		if err := l.note(tx, momID, s, e, now); err != nil {
			return err
		}
		return write(tx, tableStates, s, time.Time{}, momID)
	})
	if err != nil {
		return fmt.Errorf("write into the history of a mytoken: %w", err)
	}
	return nil
}

func eventKey(momID string, n int64) store.Key { return store.Key{momID, strconv.FormatInt(n, 10)} }

func cut(s string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	if len(s) <= maxComment {
		return s
	}
	n := maxComment
	for !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// Events returns the history of a mytoken, newest first, at most limit lines (0: all that are kept). ErrUnknown.
func (l *Ledger) Events(ctx context.Context, momID string, limit int) ([]mytoken.Event, error) {
	var all []mytoken.Event
	err := l.eng.View(ctx, func(tx store.Tx) error {
		s, err := read[stateRecord](tx, tableStates, momID)
		if err != nil {
			return err
		}
		for n := s.Next - 1; n >= s.First && (limit <= 0 || len(all) < limit); n-- {
			e, err := decode[eventRecord](tx.Get(table(tableEvents), eventKey(momID, n)))
			if errors.Is(err, ErrUnknown) {
				continue // retention
			}
			if err != nil {
				return err
			}
			all = append(all, mytoken.Event{
				Event: e.Event, Comment: e.Comment, IP: e.IP, UserAgent: e.UserAgent, MOMID: momID, Time: e.At,
			})
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the history of a mytoken: %w", err)
	}
	return all, nil
}
