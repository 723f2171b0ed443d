package desk

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/oidcbox/oidcbox/core/mytoken"
	"github.com/oidcbox/oidcbox/core/mytoken/ledger"
	"github.com/oidcbox/oidcbox/core/mytoken/rules"
	"github.com/oidcbox/oidcbox/core/sorted"
	"github.com/oidcbox/oidcbox/core/token/jose"
)

// Names of events of information.
const (
	eventIntrospect   = "tokeninfo_introspect"
	eventHistory      = "tokeninfo_history"
	eventHistoryOther = "tokeninfo_history_other_token"
	eventSubtokens    = "tokeninfo_subtokens"
	eventList         = "tokeninfo_list_mytokens"
)

// Introspection is what the server says of a mytoken that is valid.
type Introspection struct {
	Kind   string // mytoken.KindToken or KindShortToken
	MOMID  string
	User   string
	Claims mytoken.Claims
	// Token are the claims as JSON, each clause with how often it was used.
	Token json.RawMessage
}

// Introspect says what a mytoken is. The restrictions do not matter, and nothing is counted; that it was looked at from
// an address is written into the history once in a while.
func (d *Desk) Introspect(ctx context.Context, c Caller) (Introspection, error) {
	b, err := d.admit(ctx, c, rules.Introspect)
	if err != nil {
		return Introspection{}, err
	}
	defer b.Close()
	out, err := introspection(b)
	if err != nil {
		return Introspection{}, err
	}
	if _, first := d.looked.Take(b.MOMID + " " + addressOf(c.Origin)); first {
		e := ledger.Event{Name: eventIntrospect, From: c.Origin}
		if err := d.o.Ledger.Note(ctx, b.MOMID, e); err != nil && !errors.Is(err, ledger.ErrUnknown) {
			return Introspection{}, err
		}
	}
	return out, nil
}

// lookedFor is how long an introspection from an address stands for those that follow it, in the history.
const lookedFor = 10 * time.Minute

// Inspect is Introspect for a service that was let in otherwise: the mytoken needs no capability, no key is proved, and
// nothing is written.
func (d *Desk) Inspect(ctx context.Context, c Caller) (Introspection, error) {
	b, err := d.identify(ctx, c)
	if err != nil {
		return Introspection{}, err
	}
	defer b.Close()
	return introspection(b)
}

func introspection(b *bearer) (Introspection, error) {
	out := Introspection{Kind: b.kind, MOMID: b.MOMID, User: b.User, Claims: b.Claims}
	var err error
	out.Token, err = annotated(b.Claims, b.Counters)
	return out, err
}

// annotated writes claims with the counters in their clauses, every other member as it came.
func annotated(c mytoken.Claims, counters rules.Counters) (json.RawMessage, error) {
	const member = "restrictions"
	fault := func(err error) error { return fmt.Errorf("describe a mytoken: %w", err) }
	raw, err := json.Marshal(c)
	if err != nil {
		return nil, fault(err)
	}
	o, err := jose.StrictObject(raw, jose.PayloadDepth, jose.PayloadMembers)
	if err != nil {
		return nil, fault(err)
	}
	clauses, err := json.Marshal(rules.Annotate(c.Restrictions, counters))
	if err != nil {
		return nil, fault(err)
	}
	var out bytes.Buffer
	sep := "{"
	for name, value := range o.All() {
		if name == member {
			value = string(clauses)
		}
		quoted, err := json.Marshal(name)
		if err != nil {
			return nil, fault(err)
		}
		fmt.Fprintf(&out, "%s%s:%s", sep, quoted, value)
		sep = ","
	}
	if sep == "{" {
		return nil, fault(errors.New("it says nothing"))
	}
	out.WriteByte('}')
	return out.Bytes(), nil
}

// enter is Enter with a check of one's own in the place of a capability: what it refuses costs nothing.
func (d *Desk) enter(ctx context.Context, c Caller, check func(*bearer) error) (*Visit, error) {
	b, err := d.present(ctx, c)
	if err != nil {
		return nil, err
	}
	if err := check(b); err != nil {
		defer b.Close()
		var no *Error
		if errors.As(err, &no) && no.Code == CodeCapabilities {
			d.notice(ctx, b, Notice{Class: ClassCapabilities, From: c.Origin})
		}
		return nil, err
	}
	v := &Visit{d: d, b: b, from: c.Origin}
	if v.r, err = d.reserve(ctx, b, rules.Use{Kind: rules.Other, Client: c.Origin.Client}, c.Origin); err != nil {
		b.Close()
		return nil, err
	}
	return v, nil
}

func lacking() *Error { return refuse(http.StatusForbidden, CodeCapabilities, textCapability, nil) }

// Words that stand for mytokens in the place of a mom_id.
const (
	wordThis     = "this"
	wordChildren = "children"
)

// Bounds of one history.
const (
	maxAskedFor = 100
	maxEvents   = 10_000
)

// History is what happened to one mytoken, newest first: the one in hand for "", or another by its mom_id.
func (d *Desk) History(ctx context.Context, c Caller, momID string) ([]mytoken.Event, *Issued, error) {
	if momID == "" {
		return d.HistoryOf(ctx, c, nil)
	}
	return d.HistoryOf(ctx, c, []string{momID})
}

// HistoryOf is what happened to mytokens, newest first: a mom_id, "this", "children", "children@<mom_id>"; none is the
// one in hand.
func (d *Desk) HistoryOf(ctx context.Context, c Caller, ids []string) ([]mytoken.Event, *Issued, error) {
	if len(ids) > maxAskedFor {
		return nil, nil, badRequest(fmt.Sprintf("more than %d mom_ids", maxAskedFor), nil)
	}
	var which []string
	v, err := d.enter(ctx, c, func(b *bearer) (err error) {
		which, err = d.chosen(ctx, b, ids, capabilityPair{rules.History, rules.HistoryOfAny})
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	defer v.Cancel(ctx)
	events, err := d.events(ctx, which)
	if err != nil {
		return nil, nil, err
	}
	name, comment := eventHistory, ""
	if !slices.Equal(which, []string{v.MOMID()}) {
		name, comment = eventHistoryOther, d.cut("mom_ids: "+strings.Join(ids, " "))
	}
	update, err := v.Done(ctx, name, comment)
	return events, update, err
}

func (d *Desk) events(ctx context.Context, which []string) ([]mytoken.Event, error) {
	var all []mytoken.Event
	for _, id := range which {
		some, err := d.o.Ledger.Events(ctx, id, maxEvents-len(all))
		if err != nil && !errors.Is(err, ledger.ErrUnknown) {
			return nil, err
		}
		if all = append(all, some...); len(all) >= maxEvents {
			break
		}
	}
	sorted.By(all, func(a, b mytoken.Event) int { return b.Time.Compare(a.Time) })
	return all, nil
}

// capabilityPair are the capabilities for something about the mytoken in hand and those below it, and about any.
type capabilityPair struct{ own, any string }

// chosen resolves what a request is about and checks that the mytoken may ask it: about itself and what was made from
// it with one capability, about any other of the same person with the other one.
func (d *Desk) chosen(ctx context.Context, b *bearer, ids []string, need capabilityPair) ([]string, error) {
	mayAny := rules.Allows(b.Claims.Capabilities, need.any)
	if !mayAny && !rules.Allows(b.Claims.Capabilities, need.own) {
		return nil, lacking()
	}
	if len(ids) == 0 || slices.Equal(ids, []string{wordThis}) {
		return []string{b.MOMID}, nil
	}
	all, err := d.o.Ledger.List(ctx, b.User)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, id := range ids {
		some, err := resolve(all, b.MOMID, id)
		if err != nil {
			return nil, err
		}
		for _, t := range some {
			if !mayAny && t.MOMID != b.MOMID && !slices.Contains(t.Path, b.MOMID) {
				return nil, lacking()
			}
			if !slices.Contains(out, t.MOMID) {
				out = append(out, t.MOMID)
			}
		}
	}
	return out, nil
}

// resolve finds what one mom_id or word stands for, among the mytokens of one person.
func resolve(all []ledger.Token, own, id string) ([]ledger.Token, error) {
	below := ""
	switch root, ok := strings.CutPrefix(id, wordChildren+"@"); {
	case id == wordThis:
		id = own
	case id == wordChildren:
		below = own
	case ok:
		below = root
	}
	at := slices.IndexFunc(all, func(t ledger.Token) bool { return t.MOMID == id || t.MOMID == below })
	if at < 0 {
		return nil, notYours()
	}
	if below == "" {
		return all[at : at+1], nil
	}
	return slices.DeleteFunc(slices.Clone(all), func(t ledger.Token) bool { return !slices.Contains(t.Path, below) }), nil
}

// notYours is the refusal for a mytoken of another person, and for one that there is not: nobody is told which.
func notYours() *Error {
	return refuse(http.StatusForbidden, CodeGrant, "there is no such mytoken of this person", ledger.ErrUnknown)
}

// Subtokens is the tree of what was made from the mytoken in hand, which is its root.
func (d *Desk) Subtokens(ctx context.Context, c Caller) (Listing, *Issued, error) {
	v, err := d.Enter(ctx, c, Need{Capability: rules.Subtokens})
	if err != nil {
		return Listing{}, nil, err
	}
	defer v.Cancel(ctx)
	tree, err := d.o.Ledger.Tree(ctx, v.MOMID())
	if err != nil {
		return Listing{}, nil, err
	}
	return d.listing(ctx, v, []ledger.Node{tree}, eventSubtokens)
}

// List returns all mytokens of the person as trees, also those that have ended and are kept.
func (d *Desk) List(ctx context.Context, c Caller) ([]ledger.Node, *Issued, error) {
	l, update, err := d.Listing(ctx, c)
	return l.Trees, update, err
}

// Listing is List with what the person has marked the mytokens with.
func (d *Desk) Listing(ctx context.Context, c Caller) (Listing, *Issued, error) {
	v, err := d.Enter(ctx, c, Need{Capability: rules.List})
	if err != nil {
		return Listing{}, nil, err
	}
	defer v.Cancel(ctx)
	all, err := d.o.Ledger.List(ctx, v.User())
	if err != nil {
		return Listing{}, nil, err
	}
	return d.listing(ctx, v, ledger.Forest(all), eventList)
}

// Listing are mytokens as trees.
type Listing struct {
	Trees []ledger.Node
	tags  tagRecord
}

func (d *Desk) listing(ctx context.Context, v *Visit, trees []ledger.Node, event string) (Listing, *Issued, error) {
	tags, err := d.readTags(ctx, v.User())
	if err != nil {
		return Listing{}, nil, err
	}
	update, err := v.Done(ctx, event, "")
	return Listing{Trees: trees, tags: tags}, update, err
}

// Tags are the marks on a mytoken of the listing, its own and those it has from what it was made from.
func (l Listing) Tags(t ledger.Token) []MarkedTag { return l.tags.on(t) }

// Remaining are the restrictions of the mytoken in hand with what is left of its uses, for making one from it that has
// less: that is a use itself. Nothing is counted or written.
func (d *Desk) Remaining(ctx context.Context, c Caller) (mytoken.Restrictions, error) {
	b, err := d.identify(ctx, c)
	if err != nil {
		return nil, err
	}
	defer b.Close()
	var out mytoken.Restrictions
	for _, r := range b.Claims.Restrictions {
		key := rules.KeyOf(r)
		r.UsagesAT = leftOf(b.Counters, key, rules.Access, r.UsagesAT, 0)
		r.UsagesOther = leftOf(b.Counters, key, rules.Other, r.UsagesOther, 1)
		if r.UsagesAT == nil || r.UsagesOther == nil || *r.UsagesAT > 0 || *r.UsagesOther > 0 {
			out = append(out, r)
		}
	}
	if len(out) == 0 && len(b.Claims.Restrictions) > 0 {
		return nil, refuse(http.StatusForbidden, CodeRestricted, textRestricted, rules.ErrNothingLeft)
	}
	return out, nil
}

// leftOf is how many uses there are when taken more are gone; nil where there is no limit.
func leftOf(all rules.Counters, key rules.Key, kind rules.Kind, limit *int64, taken int64) *int64 {
	n, limited := all[rules.CounterKey{Clause: key, Kind: kind}].Left(limit)
	if !limited {
		return nil
	}
	n = max(0, n-taken)
	return &n
}
