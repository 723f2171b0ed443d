package notices

import (
	"errors"
	"fmt"
	"time"

	"github.com/oidcbox/oidcbox/store"
)

// outRecord is a mail that waits, bodyRecord what is in it: who looks what is due reads the small ones.
type outRecord struct {
	Version  int       `json:"v"`
	Created  time.Time `json:"created"`
	Next     time.Time `json:"next"`
	Attempts int       `json:"attempts,omitzero"`
	// Sending is the fence of the sender that has it in hand, 0 for none. Once says that nobody sends it again then.
	Sending uint64 `json:"sending,omitzero"`
	Once    bool   `json:"once,omitzero"`
}

type bodyRecord struct {
	Version     int    `json:"v"`
	To          string `json:"to"`
	Subject     string `json:"subject"`
	Text        string `json:"text"`
	HTML        string `json:"html,omitzero"`
	Invitation  string `json:"invitation,omitzero"`
	Unsubscribe string `json:"unsubscribe,omitzero"`
	// Life is how long it is tried.
	Life time.Duration `json:"life"`
}

// letter is a mail to be put into the outbox.
type letter struct {
	bodyRecord
	once bool
}

const (
	keepTrying = 48 * time.Hour
	day        = 24 * time.Hour
)

// errNoRoom is returned by enqueue for a mail above what the person, or the outbox, may have.
var errNoRoom = errors.New("no room for another mail")

// enqueue puts a mail into the outbox, in the change that it belongs to. The person's record is locked, and saved by
// the caller. Where there is no mail, or no address that was confirmed, it does nothing.
func (n *Notices) enqueue(tx store.WTx, user string, p *personRecord, l letter) error {
	if !n.Mails() || l.To == "" {
		return nil
	}
	full, err := get[countRecord](tx, kindMeta, metaOutbox)
	if err != nil && !errors.Is(err, ErrUnknown) {
		return err
	}
	now := n.now()
	if full != nil && full.Count >= n.o.Limits.Outbox || !p.Day.take(now, day, n.o.Limits.PerDay) {
		n.o.Count("held back")
		return errNoRoom
	}
	if l.Life == 0 {
		l.Life = keepTrying
	}
	name := randomCode(codeLength)
	end := now.Add(l.Life)
	l.Version = recordVersion
	out := outRecord{Version: recordVersion, Created: now, Next: now, Once: l.once}
	if err := errors.Join(
		put(tx, l.bodyRecord, end, kindBody, user, name),
		put(tx, out, end, kindOut, user, name),
	); err != nil {
		return fmt.Errorf("keep a mail: %w", err)
	}
	return nil
}
