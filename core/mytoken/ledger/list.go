package ledger

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/oidcbox/oidcbox/core/mytoken"
	"github.com/oidcbox/oidcbox/core/mytoken/rules"
	"github.com/oidcbox/oidcbox/core/sorted"
	"github.com/oidcbox/oidcbox/store"
)

// Condition is whether a mytoken can still be used.
type Condition string

// The conditions.
const (
	Live    Condition = "live"
	Expired Condition = "expired"
	Ended   Condition = "revoked"
)

// Token is what is kept of a mytoken, for lists and for introspection. Nothing in it is a secret.
type Token struct {
	MOMID, Name  string
	User, Login  string
	Path         []string // mom_ids of those it was made from, the first one first
	IP           string
	Created      time.Time
	Expires      time.Time // zero: never
	LastUse      time.Time // zero: not yet
	SeqNo        int64
	Capabilities mytoken.Capabilities
	Restrictions mytoken.Restrictions
	Rotation     *mytoken.Rotation
	Counters     rules.Counters
	// Unknown is how many uses nobody knows the outcome of.
	Unknown   int64
	Condition Condition
	EndedAt   time.Time
	Reason    string // why it was revoked

	lost   int  // uses that lapsed and are not booked
	untidy bool // the sweep has something to write
}

// Parent is the mom_id of the mytoken it was made from, "" for the first one of a login.
func (t Token) Parent() string {
	if len(t.Path) == 0 {
		return ""
	}
	return t.Path[len(t.Path)-1]
}

func (l *Ledger) tokenOf(momID string, t *tokenRecord, s *stateRecord, now time.Time) Token {
	out := Token{
		MOMID: momID, Name: t.Name, User: t.User, Login: t.Login, Path: t.Path, IP: t.IP, Created: t.Created,
		Expires: s.Expires, LastUse: s.LastUse, SeqNo: s.SeqNo, Capabilities: t.Capabilities, Rotation: t.Rotation,
		Counters: s.counters(), Condition: Live,
	}
	out.Restrictions, _ = t.clauses() // as they were written by rawClauses
	for _, c := range out.Counters {
		out.Unknown += c.Lost
	}
	if s.Revoked != nil {
		out.Reason = s.Revoked.Reason
	}
	return out
}

func (l *Ledger) readToken(tx store.Tx, momID string, now time.Time) (Token, error) {
	s, err := read[stateRecord](tx, tableStates, momID)
	if err != nil {
		return Token{}, err
	}
	t, err := read[tokenRecord](tx, tableTokens, momID)
	if err != nil {
		return Token{}, err
	}
	lost, err := s.lapse(now, l.o.Hold)
	if err != nil {
		return Token{}, err
	}
	if _, err := t.clauses(); err != nil {
		return Token{}, err
	}
	out := l.tokenOf(momID, t, s, now)
	if out.EndedAt, err = endOf(tx, s, now); err != nil {
		return Token{}, err
	}
	_, marked := markAbove(tx, s.Path)
	switch {
	case s.Revoked != nil || errors.Is(marked, ErrRevoked):
		out.Condition = Ended
	case !out.EndedAt.IsZero():
		out.Condition = Expired
	}
	out.lost = lost
	out.untidy = lost > 0 || l.outdated(s, now) || out.Condition == Expired && !s.Returned && len(s.Path) > 0
	return out, nil
}

// Find returns what is kept of a mytoken, also of one that has ended and is retained. ErrUnknown.
func (l *Ledger) Find(ctx context.Context, momID string) (t Token, err error) {
	err = l.eng.View(ctx, func(tx store.Tx) error {
		t, err = l.readToken(tx, momID, l.now())
		return err
	})
	if err != nil {
		return Token{}, fmt.Errorf("find a mytoken: %w", err)
	}
	return t, nil
}

// List returns all mytokens of a person that are kept, in the order they were made. A person who has none, or is not
// known, has an empty list.
func (l *Ledger) List(ctx context.Context, user string) ([]Token, error) {
	var all []Token
	err := l.eng.View(ctx, func(tx store.Tx) error {
		now := l.now()
		for row, err := range tx.Scan(table(tableOwned), store.Key{user}) {
			if err != nil {
				return err
			}
			t, err := l.readToken(tx, row.Key[2], now)
			if errors.Is(err, ErrUnknown) {
				continue
			}
			if err != nil {
				return err
			}
			all = append(all, t)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list the mytokens of a person: %w", err)
	}
	sorted.By(all, func(a, b Token) int {
		if c := a.Created.Compare(b.Created); c != 0 {
			return c
		}
		return strings.Compare(a.MOMID, b.MOMID)
	})
	return all, nil
}

// Node is a mytoken with those that were made from it.
type Node struct {
	Token    Token
	Children []Node
}

// Tree returns a mytoken and all below it. ErrUnknown.
func (l *Ledger) Tree(ctx context.Context, momID string) (Node, error) {
	root, err := l.Find(ctx, momID)
	if err != nil {
		return Node{}, err
	}
	all, err := l.List(ctx, root.User)
	if err != nil {
		return Node{}, err
	}
	return grow(root, all), nil
}

// Forest returns all mytokens of a person as trees. What was made from one that is not kept any more is a root.
func Forest(all []Token) []Node {
	kept := make(map[string]bool, len(all))
	for _, t := range all {
		kept[t.MOMID] = true
	}
	var roots []Node
	for _, t := range all {
		if !kept[t.Parent()] {
			roots = append(roots, grow(t, all))
		}
	}
	return roots
}

// grow finds the children by their paths, once over the list.
func grow(root Token, all []Token) Node {
	under := make(map[string][]Token)
	for _, t := range all {
		if p := t.Parent(); p != "" {
			under[p] = append(under[p], t)
		}
	}
	return nodeOf(root, under)
}

func nodeOf(t Token, under map[string][]Token) Node {
	n := Node{Token: t}
	for _, c := range under[t.MOMID] { // no deeper than MaxDepth, as it was made
		n.Children = append(n.Children, nodeOf(c, under))
	}
	return n
}

// LoginState is what is kept of a login.
type LoginState struct {
	ID, User string
	Created  time.Time
	Ended    time.Time // zero: it lives
	// AtProvider says that its refresh token was revoked at the provider. An ended login without it may live on there.
	AtProvider bool
}

// LoginState returns what is kept of a login. ErrUnknown.
func (l *Ledger) LoginState(ctx context.Context, login string) (s LoginState, err error) {
	err = l.eng.View(ctx, func(tx store.Tx) error {
		r, err := read[loginRecord](tx, tableLogins, login)
		if err == nil {
			s = LoginState{ID: login, User: r.User, Created: r.Created, Ended: r.Ended, AtProvider: r.AtProvider}
		}
		return err
	})
	if err != nil {
		return LoginState{}, fmt.Errorf("find a login: %w", err)
	}
	return s, nil
}
