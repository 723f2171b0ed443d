package approval

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/oidcbox/oidcbox/core/account/provision"
	"github.com/oidcbox/oidcbox/core/account/state"
	"github.com/oidcbox/oidcbox/core/transport/mail"
	"github.com/oidcbox/oidcbox/store"
)

// recordVersion is in every record.
const recordVersion = 1

func table() store.Table { return store.Table{Name: "account.approval", HideKeys: true} }

// Kinds of rows.
const (
	kindKey  = "key"  // the key of links
	kindTold = "told" // identity -> what administrators were told of
	kindMail = "mail" // a mail that waits
)

// toldRecord is what is known here of a request that administrators were told of.
type toldRecord struct {
	Version  int       `json:"v"`
	ID       string    `json:"id"`
	Revision string    `json:"revision"` // of the request
	Asked    Asked     `json:"asked"`
	Day      time.Time `json:"day"`   // since which mails are counted
	Mails    int       `json:"mails"` // of that day
}

func toldKey(id string) store.Key {
	who := short[[whoBytes]byte](id)
	return store.Key{kindTold, string(who[:])}
}

// mailRecord is a mail that waits.
type mailRecord struct {
	Version  int       `json:"v"`
	To       string    `json:"to"`
	Subject  string    `json:"subject"`
	Text     string    `json:"text"`
	Created  time.Time `json:"created"`
	Next     time.Time `json:"next"`
	Attempts int       `json:"attempts,omitzero"`
}

const keepTrying = 48 * time.Hour

func read[T any](r store.Record, err error) (*T, error) {
	if err != nil {
		return nil, err
	}
	var value T
	var head struct {
		Version int `json:"v"`
	}
	if json.Unmarshal(r.Value, &head) != nil || head.Version != recordVersion || json.Unmarshal(r.Value, &value) != nil {
		return nil, ErrRecord
	}
	return &value, nil
}

func put(tx store.WTx, k store.Key, record any, ends time.Time) error {
	b, err := json.Marshal(record)
	if err != nil {
		return fmt.Errorf("write a record of the approvals: %w", err)
	}
	return tx.Put(table(), store.Record{Key: k, Value: b, Expires: ends})
}

// round tells of what waits and was not told of, and of what does not wait any more.
//
// Where there is no mail server nobody is told, and nothing is written down as told: once there is one, what waits by
// then is.
func (o *Office) round(ctx context.Context, held store.Lease) error {
	if o.o.Open == nil {
		return nil
	}
	waiting, err := o.o.Desk.Pending(ctx)
	if err != nil {
		return fmt.Errorf("look what waits: %w", err)
	}
	told := map[string]*toldRecord{}
	err = o.o.Engine.View(ctx, func(tx store.Tx) error {
		clear(told)
		for r, err := range tx.Scan(table(), store.Key{kindTold}) {
			t, err := read[toldRecord](r, err)
			if err != nil {
				return err
			}
			told[t.ID] = t
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("look who was told of what: %w", err)
	}
	var errs []error
	for _, r := range waiting {
		if err := ctx.Err(); err != nil {
			return nil
		}
		before := told[r.ID]
		delete(told, r.ID)
		if before == nil || before.Revision != r.Revision {
			errs = append(errs, o.tell(ctx, held, r))
		}
	}
	for id, t := range told {
		errs = append(errs, o.lost(ctx, id, t))
	}
	return errors.Join(errs...)
}

// lost finds out what became of a request of which nobody has told us.
func (o *Office) lost(ctx context.Context, id string, t *toldRecord) error {
	s := state.Unknown
	if v, err := o.o.Desk.ByName(ctx, t.Asked.Name); err == nil && v.ID == id && !t.Asked.Change {
		s = v.State
	}
	return o.decided(ctx, id, s)
}

// tell puts the mails about a request into the outbox, and writes down that it did.
func (o *Office) tell(ctx context.Context, held store.Lease, r provision.Request) error {
	key, err := o.signingKey(ctx)
	if err != nil {
		return err
	}
	now := o.o.Now().UTC()
	err = o.o.Engine.Update(ctx, func(tx store.WTx) error {
		row, err := tx.GetForUpdate(table(), toldKey(r.ID))
		before, err := read[toldRecord](row, err)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		t := toldRecord{Version: recordVersion, ID: r.ID, Revision: r.Revision, Asked: askedOf(r), Day: now}
		if before != nil && now.Sub(before.Day) < 24*time.Hour {
			t.Day, t.Mails = before.Day, before.Mails
		}
		if t.Mails >= mailsPerDay {
			return nil // later: it is not written down as told
		}
		t.Mails++
		if err := o.letters(tx, t.Asked, before != nil, r.Revision, key); err != nil {
			return err
		}
		return put(tx, toldKey(r.ID), t, time.Time{})
	}, held)
	if err != nil {
		return fmt.Errorf("tell of a request: %w", err)
	}
	return nil
}

// letters are those to the administrators and the person about a request.
func (o *Office) letters(tx store.WTx, a Asked, anew bool, revision string, key []byte) error {
	toAdmin, toUser := adminDeploy, userDeploy
	switch {
	case a.Change:
		toAdmin, toUser = adminUpdate, userUpdate
	case anew:
		toAdmin, toUser = adminDeployUpdate, userDeployUpdate
	}
	until := o.o.Now().Add(o.o.LinkLife)
	for _, admin := range o.o.Admins {
		l := link{
			who: short[[whoBytes]byte](a.ID), what: short[[whatBytes]byte](revision),
			admin: short[[adminBytes]byte](admin.String()), until: until,
		}
		values := o.values(a)
		values["link"], values["link_expires"] = noLink, until.UTC().Format("2006-01-02 15:04 UTC")
		if o.o.Link != nil {
			values["link"] = o.o.Link(l.sign(key))
		}
		if err := o.enqueue(tx, admin.String(), toAdmin, values); err != nil {
			return err
		}
	}
	return o.toUser(tx, a, toUser)
}

const noLink = "(This service has no web pages: use the commands below.)"

// toUser is a mail to the person, where the provider says an address that can be used.
func (o *Office) toUser(tx store.WTx, a Asked, kind string) error {
	address, err := mail.ParseAddress(a.Email)
	if err != nil {
		return nil //nolint:nilerr // nobody to write to
	}
	return o.enqueue(tx, address.String(), kind, o.values(a))
}

// decided tells the person what became of the request, once: whoever takes the row away does.
func (o *Office) decided(ctx context.Context, id string, s state.State) error {
	err := o.o.Engine.Update(ctx, func(tx store.WTx) error {
		row, err := tx.GetForUpdate(table(), toldKey(id))
		t, err := read[toldRecord](row, err)
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := tx.Delete(table(), toldKey(id)); err != nil {
			return err
		}
		switch {
		case s.MayLogIn():
			return o.toUser(tx, t.Asked, userAccepted)
		case s == state.Rejected:
			return o.toUser(tx, t.Asked, userRejected)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("tell somebody what was decided: %w", err)
	}
	return nil
}

// enqueue puts a mail into the outbox.
func (o *Office) enqueue(tx store.WTx, to, kind string, values map[string]string) error {
	subject, body := o.templates[kind].fill(values)
	if len(subject) > mail.MaxSubject {
		subject = strings.ToValidUTF8(subject[:mail.MaxSubject-3], "") + "..."
	}
	now := o.o.Now().UTC()
	return put(tx, store.Key{kindMail, rand.Text()}, mailRecord{
		Version: recordVersion, To: to, Subject: subject, Text: body, Created: now, Next: now,
	}, now.Add(keepTrying))
}

// values are the variables of templates. Those of the adapter have its names; what it had as commands says here what is
// done.
func (o *Office) values(a Asked) map[string]string {
	out := map[string]string{}
	for k, v := range o.o.Settings {
		out[k] = oneLine(v)
	}
	user := "make the account " + a.Name + " with the primary group " + a.Primary
	if a.Change {
		user = "keep the account " + a.Name
	}
	for k, v := range map[string]string{
		"hostname": o.o.Hostname, "unique_id": a.ID, "full_name": a.FullName, "email": a.Email, "sub": a.Subject,
		"iss": a.Issuer, "username": a.Name, "ssh_host": o.o.SSHHost, "login_page": o.o.Page, "user_cmd": user,
		"sent_from": o.o.From.String(),
	} {
		out[k] = oneLine(v)
	}
	var groups, members []string
	for _, g := range a.Groups {
		groups = append(groups, "have the group "+g)
		members = append(members, "put "+a.Name+" into "+g)
	}
	for _, g := range a.Removed {
		members = append(members, "take "+a.Name+" out of "+g)
	}
	out["groups_cmd"], out["memberships_cmd"] = lines(groups), lines(members)
	if _, ok := out["admin_email"]; !ok && len(o.o.Admins) > 0 {
		out["admin_email"] = o.o.Admins[0].String()
	}
	return out
}

// Test puts the mail into the outbox with which administrators see that mails reach them. The error is ErrOptions where
// there is no mail server, or nobody to write to.
func (o *Office) Test(ctx context.Context) error {
	if o.o.Open == nil || len(o.o.Admins) == 0 {
		return fmt.Errorf("%w: there is no mail server, or no administrator", ErrOptions)
	}
	err := o.o.Engine.Update(ctx, func(tx store.WTx) error {
		for _, a := range o.o.Admins {
			if err := o.enqueue(tx, a.String(), adminTest, o.values(Asked{})); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("keep a mail: %w", err)
	}
	o.Notify(provision.Event{})
	return nil
}
