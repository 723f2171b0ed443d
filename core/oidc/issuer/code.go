package issuer

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"net/url"
	"strings"
	"time"

	"github.com/oidcbox/oidcbox/store"
)

// codeRow is an authorization code. It is kept after its use, so that a second use is known.
type codeRow struct {
	Client      string   `json:"client"`
	Subject     string   `json:"sub"`
	Scope       []string `json:"scope"`
	Audience    []string `json:"aud"`
	RedirectURI string   `json:"redirect_uri"`
	Challenge   string   `json:"challenge,omitempty"`
	Nonce       string   `json:"nonce,omitempty"`
	AuthTime    int64    `json:"auth_time"`
	Expires     int64    `json:"exp"`
	Grant       string   `json:"grant"`
	Used        bool     `json:"used,omitempty"`
}

// kept is how long the row stays.
func (row codeRow) kept() time.Time { return time.Unix(row.Expires, 0).Add(10 * time.Minute) }

// saveCode keeps row under a new code and returns the code.
func (i *Issuer) saveCode(ctx context.Context, row codeRow) (string, error) {
	if err := i.codes.take(ctx, i); err != nil {
		return "", err
	}
	code := random(32)
	row.Expires, row.Grant = i.in(i.o.CodeTTL), newGrantID()
	err := i.o.Engine.Update(ctx, func(tx store.WTx) error {
		return save(tx, slot{codeTable(), digest(code), row.kept()}, row)
	})
	return code, err
}

// redeemCode gives tokens for a code, once: all is decided in one Update. A code that comes again takes the tokens it
// gave with it (RFC 6749 section 4.1.2), whoever sent it first.
func (i *Issuer) redeemCode(ctx context.Context, c party, q url.Values) (answer, error) {
	if q.Get("code") == "" {
		return answer{}, badRequest("code is missing")
	}
	if err := i.grants.take(ctx, i); err != nil {
		return answer{}, err
	}
	var x redemption
	err := i.o.Engine.Update(ctx, func(tx store.WTx) (err error) {
		x, err = i.redeem(tx, c, q)
		return err
	})
	if err != nil || x.reused {
		i.grants.give()
	}
	if err != nil {
		return answer{}, err
	}
	if x.reused {
		i.o.Log.Warn("authorization code came twice, its tokens are revoked", "op", "redeem", "client", c.ID)
		return answer{}, badGrant("the code was used before")
	}
	return i.answer(i.wantedOf(x.fam.ID, x.fam.Row), x.nonce, x.fam.Refresh)
}

// redemption is what became of a code.
type redemption struct {
	fam    family
	nonce  string
	reused bool
}

func (i *Issuer) redeem(tx store.WTx, c party, q url.Values) (x redemption, err error) {
	key := digest(q.Get("code"))
	row, ok, err := loadForUpdate[codeRow](tx, codeTable(), key)
	if err != nil {
		return x, err
	}
	if !ok {
		return x, badGrant("the code is not known or has expired")
	}
	if row.Used {
		return redemption{reused: true}, tx.Delete(grantTable(), store.Key{row.Grant})
	}
	if err := i.checkCode(row, c, q); err != nil {
		return x, err
	}
	row.Used = true
	if err := save(tx, slot{codeTable(), key, row.kept()}, row); err != nil {
		return x, err
	}
	x.nonce = row.Nonce
	x.fam = i.newFamily(row.Grant, c, grant{
		Subject: row.Subject, Scope: row.Scope, Audience: row.Audience, AuthTime: row.AuthTime,
	})
	return x, i.saveGrant(tx, x.fam.ID, x.fam.Row)
}

// wantedOf is the access token that the whole of a grant gives.
func (i *Issuer) wantedOf(id string, g grant) wanted {
	return wanted{
		GrantID: id, Client: g.Client, Subject: g.Subject, User: i.subject(g.Subject), Scope: g.Scope,
		Audience: g.Audience, AuthTime: g.AuthTime, Actor: g.Actor,
	}
}

func (i *Issuer) checkCode(row codeRow, c party, q url.Values) error {
	switch {
	case row.Client != c.ID:
		return badGrant("the code was given to another client")
	case i.o.Now().Unix() >= row.Expires:
		return badGrant("the code is not known or has expired")
	case q.Get("redirect_uri") != row.RedirectURI:
		return badGrant("redirect_uri is not that of the authorization request")
	}
	verifier := q.Get("code_verifier")
	if row.Challenge == "" {
		if verifier != "" {
			// A challenge was taken out of the request on its way here (RFC 9700 section 4.8.2).
			return badGrant("code_verifier without a code_challenge")
		}
		return nil
	}
	if !goodVerifier(verifier) {
		return badGrant("code_verifier is missing or not well formed")
	}
	sum := sha256.Sum256([]byte(verifier))
	got := base64.RawURLEncoding.EncodeToString(sum[:])
	if subtle.ConstantTimeCompare([]byte(got), []byte(row.Challenge)) != 1 {
		return badGrant("code_verifier does not belong to the code_challenge")
	}
	return nil
}

// goodVerifier is the grammar of RFC 7636 section 4.1.
func goodVerifier(s string) bool {
	const unreserved = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"
	return len(s) >= 43 && len(s) <= 128 && strings.Trim(s, unreserved) == ""
}
