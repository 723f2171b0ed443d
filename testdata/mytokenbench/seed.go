package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/oidcbox/oidcbox/core/mytoken"
	"github.com/oidcbox/oidcbox/core/mytoken/ledger"
	"github.com/oidcbox/oidcbox/core/mytoken/mint"
	"github.com/oidcbox/oidcbox/core/oidc/custody"
	"github.com/oidcbox/oidcbox/core/secret"
	"github.com/oidcbox/oidcbox/core/secret/keystore"
	"github.com/oidcbox/oidcbox/core/secret/vault"
	"github.com/oidcbox/oidcbox/core/token/jose"
	"github.com/oidcbox/oidcbox/store"
	"github.com/oidcbox/oidcbox/store/boltstore"
	"github.com/oidcbox/oidcbox/store/pgstore"
)

const (
	// perPerson is how many mytokens, each of a login of its own, a person has.
	perPerson = 10
	// writers share commits.
	writers = 128
)

// seeds are what mytokens are made of without a server, which would take a login of a person for each.
type seeds struct {
	issuer, provider string
	state            string // directory of the server
	database         string // URL of a PostgreSQL, "" for the file
	limit            int64  // uses of each access token; 0: none
}

// sow keeps n logins, each with a mytoken, and returns these. Their signatures are random: what a server has on record
// it knows by its hash.
func (s seeds) sow(ctx context.Context, n int) ([]string, error) {
	v, err := vault.New(vault.Prefer, nil)
	if err != nil {
		return nil, err
	}
	defer v.Close()
	eng, err := s.open(ctx)
	if err != nil {
		return nil, err
	}
	defer eng.Close()
	k, err := keystore.Open(ctx, eng, v, keystore.KeyFile(filepath.Join(s.state, "state-key")))
	if err != nil {
		return nil, err
	}
	defer k.Drop()
	l := ledger.New(k.Engine(), ledger.Options{Minter: noMinter{}, Verify: noVerify, Retention: 30 * 24 * time.Hour})
	tokens, err := s.begin(ctx, l, n)
	return tokens, errors.Join(err, l.Close(ctx))
}

func (s seeds) open(ctx context.Context) (store.Engine, error) {
	if s.database != "" {
		url := func() (string, error) { return s.database, nil }
		return pgstore.Open(ctx, url, pgstore.Options{Role: "mytoken-server", MaxConns: 32})
	}
	file := filepath.Join(s.state, "state.keys")
	return boltstore.Open(ctx, file, boltstore.Options{Role: "mytoken-server", MustExist: true, Timeout: 10 * time.Second})
}

func (s seeds) begin(ctx context.Context, l *ledger.Ledger, n int) ([]string, error) {
	make1, err := s.template()
	if err != nil {
		return nil, err
	}
	tokens := make([]string, n)
	var (
		wg   sync.WaitGroup
		mu   sync.Mutex
		next int
		errs []error
	)
	take := func() (int, bool) {
		mu.Lock()
		defer mu.Unlock()
		next++
		return next - 1, next <= n && len(errs) == 0
	}
	for range writers {
		wg.Go(func() {
			for i, ok := take(); ok; i, ok = take() {
				text, c, err := make1(i)
				if err == nil {
					_, err = l.Begin(ctx, ledger.Login{Refresh: secret.FromString(rand.Text() + rand.Text()), Habit: custody.HabitKeeps},
						ledger.Grant{JWT: secret.FromString(text), Claims: c, Event: ledger.Event{Comment: "Used grant_type oidc_flow"}})
				}
				if tokens[i] = text; err != nil {
					mu.Lock()
					errs = append(errs, err)
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	return tokens, errors.Join(errs...)
}

// template returns what makes mytokens that differ in jti and person from one that the server could have made.
func (s seeds) template() (func(i int) (string, mytoken.Claims, error), error) {
	key, err := jose.GenerateKey(mint.DefaultAlg, "")
	if err != nil {
		return nil, err
	}
	m, err := mint.New(s.issuer, key)
	if err != nil {
		return nil, err
	}
	const person = "person-template"
	now := time.Now()
	o := mint.Order{
		Name: "benchmark", OIDCIssuer: s.provider, OIDCSubject: person, Now: now, AuthTime: now,
		Capabilities: mytoken.Capabilities{"AT", "tokeninfo", "create_mytoken"},
	}
	if s.limit > 0 {
		o.Restrictions = mytoken.Restrictions{{UsagesAT: &s.limit}}
	}
	jwt, c, err := m.Issue(o)
	if err != nil {
		return nil, err
	}
	parts := bytes.Split([]byte(jwt.Expose()), []byte("."))
	payload, err := base64.RawURLEncoding.DecodeString(string(parts[1]))
	if err != nil {
		return nil, err
	}
	return func(i int) (string, mytoken.Claims, error) {
		who := fmt.Sprintf("person-%d-%d", s.limit, i/perPerson)
		own := bytes.ReplaceAll(payload, []byte(c.ID), []byte(uuid()))
		own = bytes.ReplaceAll(own, []byte(person), []byte(who))
		own = bytes.ReplaceAll(own, []byte(c.Subject), []byte(mint.Subject(who, s.provider)))
		sum := make([]byte, 132) // as long as a signature of ES512
		rand.Read(sum)
		read, err := mytoken.ParseClaims(own)
		text := string(parts[0]) + "." + base64.RawURLEncoding.EncodeToString(own) + "." + base64.RawURLEncoding.EncodeToString(sum)
		return text, read, err
	}, nil
}

func uuid() string {
	b := make([]byte, 16)
	rand.Read(b)
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

type noMinter struct{}

var errNone = errors.New("there is none here")

func (noMinter) Rotate(mytoken.Claims, time.Time) (secret.Text, mytoken.Claims, error) {
	return secret.Text{}, mytoken.Claims{}, errNone
}

func noVerify([]byte) (mytoken.Claims, error) { return mytoken.Claims{}, errNone }

// size is the length of the state in bytes, 0 for a database.
func (s seeds) size() int64 {
	if s.database != "" {
		return 0
	}
	info, err := os.Stat(filepath.Join(s.state, "state.keys"))
	if err != nil {
		return 0
	}
	return info.Size()
}
