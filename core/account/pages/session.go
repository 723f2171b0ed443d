package pages

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/oidcbox/oidcbox/core/oidc/flow"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/store"
)

// How long things live. A session is for one visit, where nothing else is said: a password is asked for soon, or not at
// all.
const (
	loginLife   = 10 * time.Minute
	sessionLife = 15 * time.Minute
)

// maxToken is the longest access token that a session takes, in bytes.
const maxToken = 32 << 10

// recordVersion is that of the records here. They live for minutes: what another version wrote counts as not there.
const recordVersion = 1

// table has what the pages keep. Keys are hashes already, and hidden all the same: who can read the store must not find
// out whose browser has been here.
func table() store.Table { return store.Table{Name: "account.web", HideKeys: true} }

const (
	kindLogin   = "login"
	kindSession = "session"
)

// loginRecord is a login that was begun: what finishing it needs. It is secret and good once.
type loginRecord struct {
	Version  int    `json:"v"`
	Issuer   string `json:"iss"`
	Nonce    string `json:"nonce"`
	Verifier []byte `json:"verifier"`
	Bound    []byte `json:"bound"` // SHA-256 of the cookie of the browser that began it
}

// sessionRecord is a browser that is logged in.
type sessionRecord struct {
	Version int       `json:"v"`
	Issuer  string    `json:"iss"`
	Subject string    `json:"sub"`
	Token   []byte    `json:"token"`
	Ends    time.Time `json:"ends"`
}

func (s *sessionRecord) token() secret.Text { return secret.New(append([]byte(nil), s.Token...)) }

// key is the row of something whose name only a browser knows.
func key(kind, name string) store.Key {
	sum := sha256.Sum256([]byte(name))
	return store.Key{kind, hex.EncodeToString(sum[:])}
}

func (p *Pages) keep(ctx context.Context, k store.Key, record any, ends time.Time) error {
	b, err := json.Marshal(record)
	if err != nil {
		return fmt.Errorf("write a record of the pages: %w", err)
	}
	defer clear(b)
	err = p.o.Engine.Update(ctx, func(tx store.WTx) error {
		return tx.Put(table(), store.Record{Key: k, Value: b, Expires: ends})
	})
	if err != nil {
		return fmt.Errorf("keep a record of the pages: %w", err)
	}
	return nil
}

// take reads a login and removes it, so that a redirect is good for one landing.
func (p *Pages) take(ctx context.Context, state string) (*loginRecord, error) {
	k := key(kindLogin, state)
	var found []byte
	err := p.o.Engine.Update(ctx, func(tx store.WTx) error {
		r, err := tx.GetForUpdate(table(), k)
		if err != nil {
			return err
		}
		found = r.Value
		return tx.Delete(table(), k)
	})
	if errors.Is(err, store.ErrNotFound) {
		return nil, gone(codeLanding, err)
	}
	if err != nil {
		return nil, fmt.Errorf("find a login that was begun: %w", err)
	}
	var l loginRecord
	if err := json.Unmarshal(found, &l); err != nil || l.Version != recordVersion {
		return nil, gone(codeLanding, errors.New("record of a login cannot be read"))
	}
	return &l, nil
}

func (l *loginRecord) resume(redirect, state string) flow.CodeResume {
	return flow.CodeResume{
		RedirectURI: redirect, State: state, Nonce: l.Nonce, Verifier: secret.New(append([]byte(nil), l.Verifier...)),
	}
}

// load returns the session of a browser.
func (p *Pages) load(ctx context.Context, name string) (*sessionRecord, error) {
	if name == "" {
		return nil, gone(codeSession, store.ErrNotFound)
	}
	var found []byte
	err := p.o.Engine.View(ctx, func(tx store.Tx) error {
		r, err := tx.Get(table(), key(kindSession, name))
		found = r.Value
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		return nil, gone(codeSession, err)
	}
	if err != nil {
		return nil, fmt.Errorf("find a session: %w", err)
	}
	var s sessionRecord
	if err := json.Unmarshal(found, &s); err != nil || s.Version != recordVersion || !p.o.Now().Before(s.Ends) {
		return nil, gone(codeSession, errors.New("session is over"))
	}
	return &s, nil
}

// end removes a session.
func (p *Pages) end(ctx context.Context, name string) error {
	err := p.o.Engine.Update(ctx, func(tx store.WTx) error { return tx.Delete(table(), key(kindSession, name)) })
	if err != nil {
		return fmt.Errorf("end a session: %w", err)
	}
	return nil
}
